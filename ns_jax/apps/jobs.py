# SPDX-License-Identifier: Apache-2.0
"""What `ns_jax.main` does in each mode: corpus, stages and reports in order.

Every job picks up where an earlier, killed one stopped: each part looks on
disk for its own result first.
"""

import contextlib
import dataclasses
import functools
import logging
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax

from data_pipelines import examples, input_pipeline, records
from data_pipelines.features import codes
from ns_jax import audio, evaluation, paths, sharding, stages
from ns_jax.apps import checks, corpora, processes, speaking, starting
from ns_jax.errors import UserError
from ns_jax.evaluation import report
from ns_jax.evaluation.contract import Context, Section
from ns_jax.inference import restore
from ns_jax.inference.codec import LATENT_STATISTICS, SpeechCodec
from ns_jax.inference.restore import Weights
from ns_jax.inference.sampling import Sampling
from ns_jax.inference.utterance import Manner
from ns_jax.training import checkpoint, loop, workdir, writers

_logger = logging.getLogger(__name__)


def train(config: Any, path: str | paths.Path) -> None:
  """Prepares the corpus, trains what the stage stands on and the stage itself.

  Args:
    config: the run's config.
    path: workdir; made if missing, continued if it holds the same run.

  Raises:
    UserError: the config or the workdir cannot be used, or training diverged.
  """
  run_dir = paths.resolve(path)
  processes.agree(
    {"--workdir": str(run_dir)} | workdir.flattened(config),
    "start them all with the same command",
  )
  starting.adopt(config, run_dir)
  checks.check(config)
  with _locked(run_dir):
    _train(config, run_dir)


def evaluate(config: Any, path: str | paths.Path) -> None:
  """Measures the newest checkpoint of a run again and rewrites its report.

  Args:
    config: its sections eval and sample choose how, data.corpus on what; the
      rest must be the run's.
    path: workdir of the run.

  Raises:
    UserError: the workdir holds no trained run of this config.
  """
  run_dir = paths.resolve(path)
  saved = workdir.read_config(run_dir)
  if "codec" in saved and "codec" in config:
    config.codec = saved.codec
  starting.adopt_encoder(config, run_dir)
  checks.check(config, splits=("test",))
  trained = config.copy_and_resolve_references()
  for field in ("corpus", "corpus_size"):
    trained.data[field] = saved.data[field]
  with _locked(run_dir):
    workdir.open_workdir(run_dir, trained)
    clock = _Stopwatch()
    weights = _weights(config, run_dir)
    records_dir = _prepare(config, run_dir, clock)
    if "frozen" in config:
      codec = SpeechCodec.of(weights)
      records_dir = corpora.add_codes(config, records_dir, codec)
    processes.on_first(lambda: _report(weights, run_dir, records_dir, clock))


def synthesize(
  config: Any,
  path: str | paths.Path,
  *,
  text: str | None,
  prompt: str | None,
  out: str | None,
) -> None:
  """Says a text, in the voice of a prompt or in the model's own.

  Args:
    config: its section sample says how; the rest comes from the run.
    path: workdir of a trained run of ns2 or ns1.
    text: what to say.
    prompt: audio file with the voice; None for ns1.
    out: wave file to write.

  Raises:
    UserError: something is missing, or the text or prompt cannot be used.
  """
  if text is None or out is None:
    raise UserError("--mode=synthesize needs --text and --out")
  if "sample" not in config:
    raise UserError(
      "this stage cannot speak; give the config and workdir of a run of ns1 or "
      "ns2"
    )
  seconds = speaking.synthesize(
    [text],
    [prompt] if prompt else [],
    out,
    model=str(path),
    sampling=Sampling.of(config.sample),
    manner=Manner(),
    seed=config.seed,
    overwrite=True,
  )
  _logger.info("wrote %s: %.2f seconds", out, seconds)


def _train(config: Any, run_dir: paths.Path) -> None:
  processes.first_then_others(lambda: workdir.open_workdir(run_dir, config))
  if report.reported_step(run_dir) == config.train.num_steps:
    path = run_dir / report.REPORT_MARKDOWN
    _logger.info("%s is finished; its results: %s", run_dir, path)
    return
  clock = _Stopwatch()
  records_dir = _prepare(config, run_dir, clock)
  frozen: dict[str, Any] = {}
  start = starting.encoder(config, run_dir)
  if "frozen" in config:
    codec = _codec(config, run_dir, clock)
    with clock("codes"):
      records_dir = corpora.add_codes(config, records_dir, codec)
    frozen["codec"] = codec.frozen(*codes.read_latent_stats(records_dir))
  for field in checks.TRAINED:
    if config.get(field):
      trained = starting.trained_model(config, field, codec)
      # It hears latents on the scale of the records that it was trained on.
      for name in LATENT_STATISTICS:
        frozen["codec"][name] = trained.frozen["codec"][name]
      if field == "teacher":
        frozen["teacher"] = trained.params["gen"]
      else:
        start = {"gen": trained.params["gen"]}
  processes.agree(
    records.read_facts(records_dir), "copy the same records to all hosts"
  )
  _logger.info("training %s in %s", config.stage, run_dir)
  stage = stages.build(config)
  mesh = sharding.make_mesh(config.mesh)
  share = dict(
    process_index=jax.process_index(), process_count=jax.process_count()
  )
  read = _reader(config, stage, records_dir)
  feeds = loop.Feeds(
    train=lambda step: read(
      "train", batch_size=config.train.batch_size, start_step=step, **share
    ),
    valid=lambda: read("valid", **_one_pass(config), **share),
  )
  with clock(config.stage), jax.set_mesh(mesh):
    loop.fit(
      config, stage, feeds, run_dir, mesh=mesh, frozen=frozen, start=start
    )
  processes.on_first(
    lambda: _report(_weights(config, run_dir), run_dir, records_dir, clock)
  )


def _weights(config: Any, run_dir: paths.Path) -> Weights:
  """A run's weights, to be measured as `config` asks now."""
  return dataclasses.replace(restore.restore(run_dir), config=config)


def _codec(
  config: Any, run_dir: paths.Path, clock: "_Stopwatch"
) -> SpeechCodec:
  """The codec this run stands on: once it has one, always the same."""
  name, count = config.frozen.codec, config.frozen.num_codebooks
  if checkpoint.exists(run_dir):
    codec = SpeechCodec.of(restore.restore(run_dir))
    if name in (restore.SHIPPED, checks.TRAIN):
      return codec
    if SpeechCodec.load(name).first(count).codec_id != codec.codec_id:
      raise UserError(
        f"{run_dir}: was trained on another codec than that of {name}; "
        "give --workdir another folder"
      )
    return codec
  if name == checks.TRAIN:
    with clock("codec"):
      _train(config.codec, starting.codec_dir(config, run_dir))
  return SpeechCodec.load(starting.codec_dir(config, run_dir)).first(count)


def _prepare(
  config: Any, run_dir: paths.Path, clock: "_Stopwatch"
) -> pathlib.Path:
  """The folder of the records, with sup-phonemes if the stage reads them."""
  with clock("corpus"):
    records_dir = corpora.prepare(config)
  if corpora.needs_sup_phonemes(config):
    with clock("sup-phonemes"):
      starting.take_tokenizer(config, run_dir)
      records_dir = corpora.add_sup_phonemes(config, records_dir, run_dir)
  return records_dir


def _reader(config: Any, stage: Any, records_dir: pathlib.Path) -> Callable:
  """Batches of a split, by name; see `input_pipeline.make_batches`."""
  return functools.partial(
    input_pipeline.make_batches,
    records_dir,
    reader=config.data.reader,
    example_fn=examples.make_example_fn(
      config.data, stage.features, audio.AudioSpec(**config.audio)
    ),
    features=stage.features,
    seed=config.seed,
  )


def _one_pass(config: Any) -> dict[str, Any]:
  """How held-out splits are read."""
  return dict(batch_size=config.eval.batch_size, shuffle=False, num_epochs=1)


def _report(
  weights: Weights,
  run_dir: paths.Path,
  records_dir: pathlib.Path,
  clock: "_Stopwatch",
) -> None:
  """Runs the config's evaluators and writes the report."""
  config = weights.config
  sections: dict[str, Section] = {}
  read = _reader(config, stages.build(config), records_dir)
  context = Context(
    weights=weights,
    spec=audio.AudioSpec(**config.audio),
    run_dir=run_dir,
    test_records=records.Records(records_dir, "test"),
    test_batches=lambda: read("test", **_one_pass(config)),
  )
  with clock("evaluation"):
    for name in reversed(config.eval.evaluators):
      sections[name] = evaluation.find(name)(context)
  sections["learning"] = report.learning_section(run_dir, run_dir)
  if "frozen" in config:
    codec_dir = starting.codec_dir(config, run_dir)
    if (codec_dir / writers.METRICS_FILE).exists():
      learning = report.learning_section(codec_dir, run_dir)
      sections["codec learning"] = learning
  title = f"{config.stage} {config.preset or 'demo'}"
  path = report.write_report(
    run_dir, title, weights.step, sections, clock.seconds
  )
  _logger.info("finished; report: %s", path)


@contextlib.contextmanager
def _locked(run_dir: paths.Path) -> Iterator[None]:
  """Holds the workdir's lock on process 0, on behalf of all."""
  with contextlib.ExitStack() as held:
    processes.on_first(lambda: held.enter_context(workdir.lock(run_dir)))
    processes.agree(
      {"the lock of the workdir": workdir.holder(run_dir)},
      "give --workdir a folder that they all share",
    )
    yield


class _Stopwatch:
  """Seconds spent in named parts of a job."""

  def __init__(self):
    self.seconds: dict[str, float] = {}

  @contextlib.contextmanager
  def __call__(self, name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    self.seconds[name] = time.perf_counter() - start
