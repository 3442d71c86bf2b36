# SPDX-License-Identifier: Apache-2.0
"""How fast stages train: each phase's step, what it reaches, and the input.

  python launch/bench.py train --config configs/codec.py configs/ns2.py:small

On made-up batches: time to compile, median time of a step, seconds of audio a
second, FLOP/s beside those of a large matrix product in the same run, their
share of an accelerator's peak (MFU) and memory. On real records (`--records`,
or the built-in corpus): the same steps fed as training is; what they take
longer is the wait for input. FLOPs are counted of the step as it is written,
without what rematerialisation repeats. `--reader array_record` needs no
TensorFlow; `--dtype bfloat16` is what accelerators want.
"""

import argparse
import importlib
import pathlib
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from benchmarks import accelerators, timing
from data_pipelines import examples, input_pipeline
from data_pipelines.features import codes
from ns_jax import sharding, stages
from ns_jax.apps import checks, corpora, starting, synthetic
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError
from ns_jax.inference.codec import SpeechCodec
from ns_jax.nn import remat
from ns_jax.planning import jaxprs
from ns_jax.training import feed
from ns_jax.training import state as state_lib
from ns_jax.training import step as step_lib
from ns_jax.training.program import Program

_COLUMNS = (
  "config and phase",
  "compile, s",
  "step, s",
  "audio s/s",
  "GFLOP a step",
  "GFLOP/s",
  "of matmul",
  "MFU",
  "peak memory, GB",
  "fed step, s",
  "wait for input",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """What may be asked for."""
  parser.add_argument("--config", nargs="+", required=True)
  parser.add_argument("--batch-size", type=int, help="of all of them")
  parser.add_argument("--dtype", help="of all of them")
  parser.add_argument("--records", help="folder; default: the config's corpus")
  parser.add_argument("--reader", help="tf_data or array_record")
  parser.add_argument("--made-up", action="store_true", help="no records")
  parser.add_argument("--steps", type=int, default=8, help="timed at once")
  parser.add_argument("--rounds", type=int, default=5)


def run(args: argparse.Namespace) -> None:
  """Prints a row for each phase."""
  device = jax.devices()[0]
  print(f"{jax.device_count()} x {device.device_kind}")
  print(f"| {' | '.join(_COLUMNS)} |")
  print("|---|" + "--:|" * (len(_COLUMNS) - 1))
  for name in args.config:
    with tempfile.TemporaryDirectory() as directory:
      config = _config(name, args)
      run_dir = pathlib.Path(directory)
      starting.adopt(config, run_dir)
      mesh = sharding.make_mesh(config.mesh)
      with jax.set_mesh(mesh):
        _bench(name, config, run_dir, mesh, args)


def _config(name: str, args: argparse.Namespace) -> Any:
  path, _, preset = name.partition(":")
  module = pathlib.Path(path)
  if not module.is_file():
    raise UserError(f"--config {name}: there is no such file")
  config = importlib.import_module(f"configs.{module.stem}").get_config(preset)
  if args.batch_size:
    config.train.batch_size = args.batch_size
  if args.dtype:
    config.dtype = args.dtype
  if args.records:
    config.data.corpus = args.records
  if args.reader:
    config.data.reader = args.reader
  return config


def _bench(
  name: str,
  config: Any,
  run_dir: pathlib.Path,
  mesh: Any,
  args: argparse.Namespace,
) -> None:
  stage = stages.build(config)
  batch = synthetic.batch(config, stage, config.train.batch_size)
  batches = None if args.made_up else _batches(config, stage, run_dir)
  for phase in range(len(stage.phases)):
    trainer = _Trainer(config, stage, phase, batch, mesh)
    same = lambda batch=trainer.batch: batch
    works = {"made up": _steps(trainer, same, args.steps)}
    if batches is None:
      seconds = timing.in_turn(works, rounds=args.rounds)
    else:
      with feed.on_devices(batches, mesh) as take:
        works["fed"] = _steps(trainer, take, args.steps)
        seconds = timing.in_turn(works, rounds=args.rounds)
    seconds = {key: value / args.steps for key, value in seconds.items()}
    label = f"{name}, {phase}" if len(stage.phases) > 1 else name
    cells = " | ".join(_cells(config, trainer, seconds))
    print(f"| {label} | {cells} |", flush=True)


def _steps(
  trainer: "_Trainer", take: Callable[[], Any], count: int
) -> Callable[[], None]:
  """Several steps that follow each other as in training, unwatched."""

  def work() -> None:
    for _ in range(count):
      trainer.step(take())
    trainer.wait()

  return work


def _cells(
  config: Any, trainer: "_Trainer", seconds: dict[str, float]
) -> list[str]:
  """Of a row, after its name."""
  step = seconds["made up"]
  audio_sec = _audio_sec(trainer.batch, AudioSpec(**config.audio))
  rate = trainer.flops / step if trainer.flops else None
  matmul = accelerators.matmul_flops(config.dtype) * jax.device_count()
  peak = accelerators.peak_flops(config.dtype)
  cells = [
    f"{trainer.compile_sec:.1f}",
    f"{step:.4g}",
    f"{audio_sec / step:.4g}" if audio_sec else "none",
    f"{trainer.flops / 1e9:.4g}" if trainer.flops else "not known",
    f"{rate / 1e9:.4g}" if rate else "not known",
    f"{rate / matmul:.0%}" if rate else "not known",
    f"{rate / peak / jax.device_count():.0%}" if rate and peak else "not known",
    f"{accelerators.peak_bytes() / 1e9:.2f}",
  ]
  if "fed" in seconds:
    wait = seconds["fed"] / step - 1
    return [*cells, f"{seconds['fed']:.4g}", f"{wait:.1%}"]
  return [*cells, "", ""]


def _audio_sec(batch: Any, spec: AudioSpec) -> float:
  if "num_samples" in batch:
    return float(batch["num_samples"].sum()) / spec.sample_rate_hz
  if "num_frames" in batch:
    return float(batch["num_frames"].sum()) / spec.frame_rate_hz
  return 0.0


class _Trainer:
  """A phase's step as the trainer compiles it, and a state that it changes."""

  def __init__(
    self, config: Any, stage: Any, phase: int, batch: Any, mesh: Any
  ):
    make = lambda batch, frozen: state_lib.create_state(
      stage, jax.random.key(config.seed), batch, frozen
    )
    self.batch = sharding.to_global(batch, mesh)
    frozen = synthetic.frozen(config)
    abstract = jax.eval_shape(make, self.batch, frozen)
    program = Program(stage, mesh, abstract, config.train.micro_batches)
    train_step = program.train_steps[phase]
    start = time.perf_counter()
    self._step = train_step.lower(abstract, self.batch).compile()
    self.compile_sec = time.perf_counter() - start
    self.flops = _flops(config, phase, abstract, self.batch)
    init = jax.jit(make, out_shardings=program.state_shardings)
    state = init(self.batch, jax.device_get(frozen))
    self._state = state.replace(
      step=jax.device_put(
        np.int32(stage.phases[phase]), sharding.replicated(mesh)
      )
    )

  def step(self, batch: Any) -> None:
    self._state, _ = self._step(self._state, batch)

  def wait(self) -> None:
    jax.block_until_ready(self._state)


def _flops(config: Any, phase: int, state: Any, batch: Any) -> float | None:
  """Of a step that repeats nothing; None: of a loop of unknown length."""
  once = config.copy_and_resolve_references()
  for section, _ in remat.users(once.model, "model"):
    section.remat = "none"
  once.train.micro_batches = 1
  step = step_lib.make_train_step(stages.build(once), phase, 1)
  try:
    return jaxprs.flops(jax.jit(step).trace(state, batch).jaxpr)
  except jaxprs.UnknownLengthError:
    return None


def _batches(config: Any, stage: Any, run_dir: pathlib.Path) -> Any:
  """Real ones, without end, as the trainer reads them."""
  records_dir = corpora.prepare(config)
  if corpora.needs_sup_phonemes(config):
    starting.take_tokenizer(config, run_dir)
    records_dir = corpora.add_sup_phonemes(config, records_dir, run_dir)
  if "frozen" in config:
    if config.frozen.codec == checks.TRAIN:
      raise UserError(
        "its codec is not trained yet; --made-up needs none of it"
      )
    codec = SpeechCodec.load(starting.codec_dir(config, run_dir))
    codec = codec.first(config.frozen.num_codebooks)
    records_dir = corpora.add_codes(config, records_dir, codec)
    codes.read_latent_stats(records_dir)
  spec = AudioSpec(**config.audio)
  return input_pipeline.make_batches(
    records_dir,
    "train",
    reader=config.data.reader,
    example_fn=examples.make_example_fn(config.data, stage.features, spec),
    batch_size=config.train.batch_size,
    seed=config.seed,
    features=stage.features,
  )
