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
from jax.experimental import multihost_utils

from data_pipelines import builder, examples, input_pipeline, records
from data_pipelines.features import codes
from ns_jax import audio, evaluation, sharding, stages
from ns_jax.apps import checks, speaking
from ns_jax.errors import UserError
from ns_jax.evaluation import report
from ns_jax.evaluation.contract import Context, Section
from ns_jax.inference import restore
from ns_jax.inference.codec import LATENT_STATISTICS, SpeechCodec
from ns_jax.inference.restore import Weights
from ns_jax.inference.synthesize import Synthesizer
from ns_jax.inference.utterance import Manner
from ns_jax.training import checkpoint, loop, workdir, writers

_logger = logging.getLogger(__name__)


def train(config: Any, path: str | pathlib.Path) -> None:
  """Prepares the corpus, trains what the stage stands on and the stage itself.

  Args:
    config: the run's config.
    path: workdir; made if missing, continued if it holds the same run.

  Raises:
    UserError: the config or the workdir cannot be used, or training diverged.
  """
  run_dir = pathlib.Path(path).absolute()
  if checks.stands_on_given_codec(config):
    # The run is self-contained: it says what codec it stands on.
    config.codec = _config_of_codec(config, run_dir)
  checks.check(config)
  with _locked(run_dir):
    _train(config, run_dir)


def evaluate(config: Any, path: str | pathlib.Path) -> None:
  """Measures the newest checkpoint of a run again and rewrites its report.

  Args:
    config: its sections eval and sample choose how, data.corpus on what; the
      rest must be the run's.
    path: workdir of the run.

  Raises:
    UserError: the workdir holds no trained run of this config.
  """
  run_dir = pathlib.Path(path).absolute()
  saved = workdir.read_config(run_dir)
  if "codec" in saved and "codec" in config:
    config.codec = saved.codec
  checks.check(config, splits=("test",))
  trained = config.copy_and_resolve_references()
  for field in ("corpus", "corpus_size"):
    trained.data[field] = saved.data[field]
  with _locked(run_dir):
    workdir.open_workdir(run_dir, trained)
    clock = _Stopwatch()
    weights = _weights(config, run_dir)
    records_dir = _prepare(config)
    if "frozen" in config:
      records_dir = _add_codes(config, records_dir, SpeechCodec.of(weights))
    _report(weights, run_dir, records_dir, clock)


def synthesize(
  config: Any,
  path: str | pathlib.Path,
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
    sampling=speaking.Sampling.of(config.sample),
    manner=Manner(),
    seed=config.seed,
    overwrite=True,
  )
  _logger.info("wrote %s: %.2f seconds", out, seconds)


def _train(config: Any, run_dir: pathlib.Path) -> None:
  _first_process_first(
    lambda: workdir.open_workdir(run_dir, config), f"workdir {config.stage}"
  )
  if report.reported_step(run_dir) == config.train.num_steps:
    path = run_dir / report.REPORT_MARKDOWN
    _logger.info("%s is finished; its results: %s", run_dir, path)
    return
  clock = _Stopwatch()
  with clock("corpus"):
    records_dir = _prepare(config)
  frozen: dict[str, Any] = {}
  start: dict[str, Any] = {}
  if "frozen" in config:
    codec = _codec(config, run_dir, clock)
    with clock("codes"):
      records_dir = _add_codes(config, records_dir, codec)
    frozen["codec"] = codec.frozen(*codes.read_latent_stats(records_dir))
  for field in checks.TRAINED:
    if config.get(field):
      trained = _trained(config, field, codec)
      # It hears latents on the scale of the records that it was trained on.
      for name in LATENT_STATISTICS:
        frozen["codec"][name] = trained.frozen["codec"][name]
      if field == "teacher":
        frozen["teacher"] = trained.params["gen"]
      else:
        start = {"gen": trained.params["gen"]}
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
  _report(_weights(config, run_dir), run_dir, records_dir, clock)


def _weights(config: Any, run_dir: pathlib.Path) -> Weights:
  """A run's weights, to be measured as `config` asks now."""
  return dataclasses.replace(restore.restore(run_dir), config=config)


def _config_of_codec(config: Any, run_dir: pathlib.Path) -> Any:
  """The config of the given codec; once a run has one, always the same."""
  is_shipped = config.frozen.codec == restore.SHIPPED
  if is_shipped and (run_dir / workdir.CONFIG_FILE).exists():
    saved = workdir.read_config(run_dir)
    if "codec" in saved:
      return saved.codec
  return workdir.read_config(_codec_dir(config, run_dir))


def _codec_dir(config: Any, run_dir: pathlib.Path) -> pathlib.Path:
  """The workdir or bundle of the codec this run stands on."""
  name = config.frozen.codec
  if name == checks.TRAIN:
    return run_dir / "codec"
  return restore.weights_folder(name, "codec")


def _codec(
  config: Any, run_dir: pathlib.Path, clock: "_Stopwatch"
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
      _train(config.codec, _codec_dir(config, run_dir))
  return SpeechCodec.load(_codec_dir(config, run_dir)).first(count)


def _trained(config: Any, field: str, codec: SpeechCodec) -> Weights:
  """The model that a run begins with or learns from.

  Raises:
    UserError: it cannot be read, or stands on another codec.
  """
  model = Synthesizer.load(config[field])
  if model.codec.codec_id != codec.codec_id:
    raise UserError(
      f"config.{field}={config[field]!r}: stands on another codec; "
      "give config.frozen as it was trained with"
    )
  return model.weights


def _prepare(config: Any) -> pathlib.Path:
  """The folder of the records; builds the built-in corpus unless it stands."""
  corpus = checks.demo_corpus(config)
  if not corpus:
    return pathlib.Path(config.data.corpus).expanduser().absolute()
  grid = "_".join(map(str, corpus.spec.grid.values()))
  folder = f"demo_{corpus.size}_{grid}"
  return _first_process_first(
    lambda: builder.build(
      corpus, pathlib.Path(config.data.dir) / folder, label="demo corpus"
    ),
    "corpus",
  )


def _add_codes(
  config: Any, records_dir: pathlib.Path, codec: SpeechCodec
) -> pathlib.Path:
  """Encodes the corpus unless done; returns the new records' folder."""
  return _first_process_first(
    lambda: codes.add_codes(
      records_dir,
      codec.encode,
      codec.codec_id,
      spec=audio.AudioSpec(**config.audio),
    ),
    "codes",
  )


def _first_process_first(
  make: Callable[[], pathlib.Path], what: str
) -> pathlib.Path:
  """Runs `make` on process 0, then on the others, which find its result."""
  result = None
  for turn in ("first", "others"):
    if (jax.process_index() == 0) == (turn == "first"):
      result = make()
    _wait_for_all(f"{what} {turn}")
  assert result is not None
  return result


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
  run_dir: pathlib.Path,
  records_dir: pathlib.Path,
  clock: "_Stopwatch",
) -> None:
  """Runs the config's evaluators on process 0 and writes the report."""
  if jax.process_index() == 0:
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
      codec_dir = _codec_dir(config, run_dir)
      if (codec_dir / writers.METRICS_FILE).exists():
        learning = report.learning_section(codec_dir, run_dir)
        sections["codec learning"] = learning
    title = f"{config.stage} {config.preset or 'demo'}"
    path = report.write_report(
      run_dir, title, weights.step, sections, clock.seconds
    )
    _logger.info("finished; report: %s", path)
  _wait_for_all("report")


@contextlib.contextmanager
def _locked(run_dir: pathlib.Path) -> Iterator[None]:
  """Holds the workdir's lock on process 0, on behalf of all."""
  if jax.process_index() != 0:
    yield
    return
  with workdir.lock(run_dir):
    yield


def _wait_for_all(what: str) -> None:
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(what)


class _Stopwatch:
  """Seconds spent in named parts of a job."""

  def __init__(self):
    self.seconds: dict[str, float] = {}

  @contextlib.contextmanager
  def __call__(self, name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    self.seconds[name] = time.perf_counter() - start
