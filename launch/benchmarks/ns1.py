# SPDX-License-Identifier: Apache-2.0
"""NaturalSpeech's speed: speaking and training; beside VITS.

Seconds of computing that a second of speech takes, seconds of a step of each
phase, and what share of a step of the main phase soft-DTW takes; all in float32
and with random weights. Where torch and transformers are installed, its VITS
speaks in turn in the same process; where coqui-tts is, its VITS trains, too
(`pip install torch transformers coqui-tts`).
"""

import argparse
import dataclasses
import importlib.util
from collections.abc import Callable
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import timing
from configs import ns1 as ns1_config
from ns_jax import stages
from ns_jax.inference.restore import Weights
from ns_jax.inference.single_voice import Sentence, SingleVoice, spoken
from ns_jax.losses import gaussian
from ns_jax.losses.soft_dtw import soft_dtw
from ns_jax.models import ns1 as ns1_model
from ns_jax.models.mixed_phonemes import Mixed
from ns_jax.nn.gaussian import Gaussian
from ns_jax.stages import ns1 as ns1_stage
from ns_jax.stages.ns1_terms import Ways
from ns_jax.text import symbols
from ns_jax.text.frontend import Reading
from ns_jax.training import state as state_lib
from ns_jax.training import step as step_lib

PARTS = ("speaking", "training", "divergence")
_PHASES = ("warm-up", "main", "tuning")
_FRAMES_PER_PHONEME = 5
_CLIPS, _CLIP_SEC = 16, 1.5
_MAKE_WAYS = ns1_stage.make_ways


@dataclasses.dataclass(frozen=True)
class Clips:
  """Utterances to train on, all of one length."""

  wav: np.ndarray  # [B, S] float32
  phonemes: np.ndarray  # [B, N] int32


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """What may be asked for."""
  parser.add_argument("--preset", default="paper", help="of configs/ns1.py")
  parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
  parser.add_argument("--seconds", nargs="+", type=int, default=(3, 10))
  parser.add_argument("--rounds", type=int, default=5)
  parser.add_argument(
    "--no-peers", action="store_true", help="ours alone, torch or not"
  )


def run(args: argparse.Namespace) -> None:
  """Prints the times."""
  config = ns1_config.get_config(args.preset)
  config.dtype = "float32"
  # The warm-up is judged from its beginning, in every preset.
  config.model.adversarial.start_step = 0
  peers = None if args.no_peers else _peers()
  if "speaking" in args.parts:
    _time_speaking(config, peers, args)
  if "training" in args.parts:
    _time_training(config, peers, args.rounds)
  if "divergence" in args.parts:
    _time_divergence(config, args.rounds)


def _time_speaking(config: Any, peers: Any, args: argparse.Namespace) -> None:
  speakers = [_Ours(config), *(peers.speakers(config) if peers else ())]
  for speaker in speakers:
    print(f"{speaker.name}: {speaker.size / 1e6:.1f} M parameters that speak")
  rows = []
  for seconds in args.seconds:
    works = {s.name: s.speaking(seconds) for s in speakers}
    made = {
      name: len(work()) / config.audio.sample_rate_hz
      for name, work in works.items()
    }
    times = timing.in_turn(works, rounds=args.rounds)
    factors = {name: times[name] / made[name] for name in times}
    rows.append((f"{seconds} s", 1.0, factors))
  print()
  title = "computing per second of speech, s"
  timing.print_table(title, rows, lambda _, factor: factor)


def _time_training(config: Any, peers: Any, rounds: int) -> None:
  trainer = _Training(config)
  clips = _clips(config)
  trainers = peers.trainers(config) if peers else ()
  works = {
    f"ns_jax, {name}": trainer.training(clips, phase)
    for phase, name in enumerate(_PHASES)
  }
  works |= {t.name: t.training(clips) for t in trainers}
  times = timing.in_turn(works, rounds=rounds)
  label = f"{_CLIPS} x {_CLIP_SEC} s, {config.slice_frames} frames decoded"
  timing.print_table("step, s", [(label, 1.0, times)], lambda _, time: time)


def _time_divergence(config: Any, rounds: int) -> None:
  """Soft-DTW by itself, and what a step is without it."""
  clips = _clips(config)
  with mock.patch.object(ns1_stage, "make_ways", _frame_by_frame):
    aligned = _Training(config)
  works = {
    "step": _Training(config).training(clips, 1),
    "step, aligned": aligned.training(clips, 1),
    **_divergences(config),
  }
  times = timing.in_turn(works, rounds=rounds)
  timing.print_table(
    "main phase", [("ms", 1.0, times)], lambda _, time: 1000 * time
  )
  share = times["soft-DTW"] / times["step"]
  saved = 1 - times["step, aligned"] / times["step"]
  print(f"soft-DTW of both losses: {share:.1%} of the step")
  print(f"the step that compares frame by frame: {saved:.1%} shorter\n")


class _Aligned(Ways):
  """Compares frame by frame whatever durations are predicted."""

  def backward(self, *args: Any, aligned: bool) -> jax.Array:
    return super().backward(*args, aligned=True)

  def forward(self, *args: Any, aligned: bool) -> jax.Array:
    return super().forward(*args, aligned=True)


def _frame_by_frame(config: Any) -> Ways:
  ways = _MAKE_WAYS(config)
  return _Aligned(ways.model, ways.divergence, ways.hop_samples)


def _divergences(config: Any) -> dict[str, Callable[[], Any]]:
  """Both losses' tables of divergences, and soft-DTW over them."""
  frames, options = _num_frames(config), config.divergence
  shape = (_CLIPS, frames, config.model.dim)
  rng = np.random.default_rng(0)
  draw = lambda: jnp.asarray(rng.normal(size=shape), jnp.float32)
  sizes = jnp.full(_CLIPS, frames)

  def pairwise(means: Any, log_stds: Any) -> jax.Array:
    tables = [
      gaussian.pairwise_divergence(
        gaussian.moments(means[i], log_stds[i]),
        Gaussian(means[i + 1], log_stds[i + 1]),
      )
      for i in (0, 2)
    ]
    return jnp.stack(tables)

  def warped(tables: jax.Array) -> jax.Array:
    totals = [
      soft_dtw(t, sizes, sizes, gamma=options.gamma, warp=options.warp)
      for t in tables
    ]
    return sum(total.mean() for total in totals)

  means, log_stds = ([draw() for _ in range(4)] for _ in range(2))
  tables = jax.jit(pairwise)(means, log_stds)
  of_tables = jax.jit(jax.value_and_grad(warped))
  of_pairs = jax.jit(
    jax.value_and_grad(lambda m, s: pairwise(m, s).mean(), argnums=(0, 1))
  )
  return {
    "soft-DTW": lambda: jax.block_until_ready(of_tables(tables)),
    "pairs": lambda: jax.block_until_ready(of_pairs(means, log_stds)),
  }


class _Ours:
  """The model of a preset, ready to speak."""

  name = "ns_jax"

  def __init__(self, config: Any):
    model = ns1_model.make_model(config, symbols.VOCABULARY_SIZE)
    ids = jnp.ones((1, 4), jnp.int32)
    spectra = jnp.ones((1, 4, 513))
    params = jax.jit(model.init)(
      jax.random.key(0), Mixed(ids, ids, ids), jnp.ones((1, 4)), spectra
    )["params"]
    params = spoken(params)
    self.size = sum(leaf.size for leaf in jax.tree.leaves(params))
    self._voice = SingleVoice(
      Weights(
        config=config,
        step=0,
        params={"gen": params},
        model_state={"remembers": np.float32(1.0)},
      )
    )

  def speaking(self, seconds: int) -> Callable[[], np.ndarray]:
    """Says something that long."""
    frames = round(seconds * self._voice.spec.frame_rate_hz)
    durations = even_durations(frames, frames // _FRAMES_PER_PHONEME)
    rng = np.random.default_rng(0)
    ids = rng.integers(5, symbols.VOCABULARY_SIZE, len(durations))
    reading = Reading(ids.astype(np.int32), np.zeros(len(ids), np.uint8))
    sentence = Sentence(reading, durations)
    return lambda: self._voice.speak([sentence])[0].wav


class _Training:
  """The stage of a preset."""

  def __init__(self, config: Any):
    self._stage = stages.build(config)
    self._hop_samples = config.audio.hop_samples
    self._state: Any = None

  def training(self, clips: Clips, phase: int) -> Callable[[], Any]:
    """One step of both players; phases share their weights."""
    size = len(clips.wav)
    frames = clips.wav.shape[1] // self._hop_samples
    phonemes = clips.phonemes.shape[1]
    batch = {
      "wav": clips.wav,
      "phonemes": clips.phonemes,
      "durations": np.tile(even_durations(frames, phonemes), (size, 1)),
      "num_phonemes": np.full(size, phonemes, np.int32),
      "num_frames": np.full(size, frames, np.int32),
      "f0": np.full((size, frames), 150.0, np.float32),
    }
    make = lambda batch: state_lib.create_state(
      self._stage, jax.random.key(0), batch, {}
    )
    if self._state is None:
      self._state = jax.jit(make)(batch)
    train_step = step_lib.make_train_step(self._stage, phase)
    compiled = jax.jit(train_step, donate_argnums=0)

    def step() -> None:
      self._state, logs = compiled(self._state, batch)
      jax.block_until_ready((self._state, logs))

    return step


def even_durations(frames: int, phonemes: int) -> np.ndarray:
  """[N] int32, frames, as even as they can be."""
  edges = np.linspace(0, frames, phonemes + 1).round()
  return np.diff(edges).astype(np.int32)


def _num_frames(config: Any) -> int:
  rate = config.audio.sample_rate_hz / config.audio.hop_samples
  return round(_CLIP_SEC * rate)


def _clips(config: Any) -> Clips:
  rng = np.random.default_rng(0)
  frames = _num_frames(config)
  wav = 0.1 * rng.normal(size=(_CLIPS, frames * config.audio.hop_samples))
  shape = (_CLIPS, frames // _FRAMES_PER_PHONEME)
  ids = rng.integers(5, symbols.VOCABULARY_SIZE, shape)
  return Clips(wav.clip(-1, 1).astype(np.float32), ids.astype(np.int32))


def _peers() -> Any:
  """The module of what is installed to compare with."""
  if importlib.util.find_spec("torch") is None:
    print("torch is not installed: no peers\n")
    return None
  from benchmarks import torch_vits

  return torch_vits
