# SPDX-License-Identifier: Apache-2.0
"""What `ns_jax.main` does in each mode: corpus, stages and reports in order.

Every job picks up where an earlier, killed one stopped: each part looks on
disk for its own result first.
"""

import contextlib
import functools
import logging
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.experimental import multihost_utils

from data_pipelines import builder, examples, input_pipeline, records
from data_pipelines.corpora import demo
from data_pipelines.features import codes
from ns_jax import audio, evaluation, sharding, stages
from ns_jax.errors import UserError
from ns_jax.evaluation import report
from ns_jax.evaluation.contract import Context, Section
from ns_jax.inference import restore
from ns_jax.inference.codec import SpeechCodec
from ns_jax.inference.synthesize import Synthesizer, Utterance
from ns_jax.text.frontend import Frontend
from ns_jax.training import loop, workdir, writers

_logger = logging.getLogger(__name__)

_CORPORA = {"demo": demo.corpus}


def train(config: Any, path: str | pathlib.Path) -> None:
  """Prepares the corpus, trains what the stage stands on and the stage itself.

  Args:
    config: the run's config.
    path: workdir; made if missing, continued if it holds the same run.

  Raises:
    UserError: the workdir cannot be used, or training diverged.
  """
  run_dir = pathlib.Path(path).absolute()
  with _locked(run_dir):
    _train(config, run_dir)


def evaluate(config: Any, path: str | pathlib.Path) -> None:
  """Measures the newest checkpoint of a run again and rewrites its report.

  Raises:
    UserError: the workdir holds no trained run of this config.
  """
  run_dir = pathlib.Path(path).absolute()
  workdir.read_config(run_dir)
  with _locked(run_dir):
    workdir.open_workdir(run_dir, config)
    clock = _Stopwatch()
    records_dir = _prepare(config)
    if "frozen" in config:
      codec = SpeechCodec.from_workdir(_codec_dir(config, run_dir))
      records_dir = _add_codes(config, records_dir, codec)
    _report(config, run_dir, records_dir, clock)


def synthesize(
  config: Any,
  path: str | pathlib.Path,
  *,
  text: str | None,
  prompt: str | None,
  out: str | None,
) -> None:
  """Says a text in the voice of a prompt.

  Args:
    config: its section sample chooses the solver; the rest comes from the run.
    path: workdir of a trained ns2 run.
    text: what to say.
    prompt: audio file with the voice.
    out: wave file to write.

  Raises:
    UserError: something is missing, or the text or prompt cannot be used.
  """
  if text is None or prompt is None or out is None:
    raise UserError("--mode=synthesize needs --text, --prompt and --out")
  target = pathlib.Path(out)
  if not target.absolute().parent.is_dir():
    raise UserError(f"{target}: its folder does not exist; make it first")
  phonemes = Frontend().ids(text)
  weights = restore.restore(path)
  if "sample" not in config or "sample" not in weights.config:
    raise UserError(
      "this stage cannot speak; give the config and workdir of an ns2 run"
    )
  weights.config.sample = config.sample
  spec = audio.AudioSpec(**weights.config.audio)
  voice = audio.read_audio(prompt, spec)
  synthesizer = Synthesizer(weights)
  utterance = Utterance(phonemes, synthesizer.encode_prompt(voice))
  (speech,) = synthesizer.speak([utterance])
  audio.write_wav(target, speech.wav, spec)
  _logger.info(
    "wrote %s: %.2f seconds", target, len(speech.wav) / spec.sample_rate_hz
  )


def _train(config: Any, run_dir: pathlib.Path) -> None:
  if "frozen" in config and config.frozen.codec:
    # The run is self-contained: it says what codec it stands on.
    config.codec = workdir.read_config(config.frozen.codec)
  _first_process_first(
    lambda: workdir.open_workdir(run_dir, config), f"workdir {config.stage}"
  )
  report_path = run_dir / report.REPORT_MARKDOWN
  if _is_finished(config, run_dir):
    _logger.info("%s is finished; its results: %s", run_dir, report_path)
    return
  clock = _Stopwatch()
  with clock("corpus"):
    records_dir = _prepare(config)
  frozen: dict[str, Any] = {}
  if "frozen" in config:
    codec_dir = _codec_dir(config, run_dir)
    if not config.frozen.codec:
      with clock("codec"):
        _train(config.codec, codec_dir)
    codec = SpeechCodec.from_workdir(codec_dir)
    with clock("codes"):
      records_dir = _add_codes(config, records_dir, codec)
    frozen["codec"] = codec.frozen(*codes.read_latent_stats(records_dir))
  _logger.info("training %s in %s", config.stage, run_dir)
  stage = stages.build(config)
  mesh = sharding.make_mesh(config.mesh)
  feeds = loop.Feeds(
    train=functools.partial(_batches, config, stage, records_dir, "train"),
    valid=functools.partial(_batches, config, stage, records_dir, "valid"),
  )
  with clock(config.stage), jax.set_mesh(mesh):
    loop.fit(config, stage, feeds, run_dir, mesh=mesh, frozen=frozen)
  if jax.process_index() == 0:
    _report(config, run_dir, records_dir, clock)
  _wait_for_all("report")


def _codec_dir(config: Any, run_dir: pathlib.Path) -> pathlib.Path:
  """The workdir of the codec this run stands on."""
  given = config.frozen.codec
  return pathlib.Path(given).absolute() if given else run_dir / "codec"


def _is_finished(config: Any, run_dir: pathlib.Path) -> bool:
  """True if the report was written after the last step of this config."""
  steps = [r["step"] for r in writers.read_metrics(run_dir)]
  has_report = (run_dir / workdir.REPORT_FILE).exists()
  return has_report and max(steps, default=0) >= config.train.num_steps


def _prepare(config: Any) -> pathlib.Path:
  """Builds the corpus unless it stands; returns its records' folder."""
  if config.data.corpus not in _CORPORA:
    raise UserError(
      f"config.data.corpus={config.data.corpus!r} is unknown; "
      f"use one of {', '.join(_CORPORA)}"
    )
  corpus = _CORPORA[config.data.corpus](
    config.data.corpus_size, audio.AudioSpec(**config.audio)
  )
  return _first_process_first(
    lambda: builder.prepare(corpus, config.data.dir), "corpus"
  )


def _add_codes(
  config: Any, records_dir: pathlib.Path, codec: SpeechCodec
) -> pathlib.Path:
  """Encodes the corpus unless done; returns the new records' folder."""
  return _first_process_first(
    lambda: codes.add_codes(
      records_dir,
      lambda wav, num_samples: codec.encode(wav),
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


def _batches(
  config: Any,
  stage: Any,
  records_dir: pathlib.Path,
  split: str,
  start_step: int | None = None,
) -> Iterator[Any]:
  """Endless shuffled batches from `start_step`, or one pass in order."""
  one_pass = start_step is None
  return input_pipeline.make_batches(
    records_dir,
    split,
    reader=config.data.reader,
    example_fn=examples.make_example_fn(
      config.data, stage.features, audio.AudioSpec(**config.audio)
    ),
    features=stage.features,
    batch_size=config.train.batch_size,
    seed=config.seed,
    start_step=0 if one_pass else start_step,
    process_index=jax.process_index(),
    process_count=jax.process_count(),
    shuffle=not one_pass,
    num_epochs=1 if one_pass else None,
  )


def _report(
  config: Any,
  run_dir: pathlib.Path,
  records_dir: pathlib.Path,
  clock: "_Stopwatch",
) -> None:
  """Runs the config's evaluators and writes report.md and report.json."""
  sections: dict[str, Section] = {}
  if "frozen" in config:
    codec_dir = _codec_dir(config, run_dir)
    sections["codec learning"] = report.learning_section(codec_dir, run_dir)
  sections["learning"] = report.learning_section(run_dir, run_dir)
  weights = restore.restore(run_dir)
  stage = stages.build(config)
  with clock("evaluation"):
    context = Context(
      weights=weights,
      spec=audio.AudioSpec(**config.audio),
      run_dir=run_dir,
      test_records=records.Records(records_dir, "test"),
      test_batches=functools.partial(
        _batches, config, stage, records_dir, "test"
      ),
    )
    for name in config.eval.evaluators:
      sections[name] = evaluation.find(name)(context)
  title = f"{config.stage} {config.preset or 'demo'}, step {weights.step}"
  path = report.write_report(run_dir, title, sections, clock.seconds)
  _logger.info("finished; report: %s", path)


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
