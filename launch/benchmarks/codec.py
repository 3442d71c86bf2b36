# SPDX-License-Identifier: Apache-2.0
"""The codec's speed: encoding, decoding, training; beside PyTorch's.

How many times faster than real time it encodes and decodes, and how long a step
of training takes with and without discriminators. Where torch is installed, a
literal twin of ours does the same work in turn in the same process; where
encodec is, too, its SEANet at 16 kHz and hop 200 (`pip install torch einops;
pip install --no-deps encodec`).
"""

import argparse
import importlib.util
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import timing
from configs import codec as codec_config
from ns_jax import stages
from ns_jax.inference.codec import SpeechCodec
from ns_jax.inference.restore import Weights
from ns_jax.training import state as state_lib
from ns_jax.training import step as step_lib

_LENGTHS = ((10, 1), (10, 16), (60, 1))  # seconds, clips at a time


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """What may be asked for."""
  parser.add_argument("--preset", default="small", help="of configs/codec.py")
  parser.add_argument("--rounds", type=int, default=5)
  parser.add_argument(
    "--no-peers", action="store_true", help="ours alone, torch or not"
  )


def run(args: argparse.Namespace) -> None:
  """Prints the times."""
  config = codec_config.get_config(args.preset)
  ours = _Ours(config)
  peers = [] if args.no_peers else _peers(config)
  coding: list[tuple[str, float, dict[str, float]]] = []
  for seconds, clips in _LENGTHS:
    wav = _noise(clips, seconds * config.audio.sample_rate_hz)
    for verb in ("encode", "decode"):
      works = {p.name: p.coding(verb, wav) for p in (ours, *peers)}
      label = f"{verb} {clips} x {seconds} s"
      times = timing.in_turn(works, rounds=args.rounds)
      coding.append((label, clips * seconds, times))
  timing.print_table("times real time", coding, lambda sec, time: sec / time)
  samples = config.data.crop_frames * config.audio.hop_samples
  wav = _noise(config.train.batch_size, samples)
  training = []
  for adversarial in (False, True):
    works = {p.name: p.training(wav, adversarial) for p in (ours, *peers)}
    label = "step with discriminators" if adversarial else "step without"
    times = timing.in_turn(works, rounds=args.rounds)
    training.append((label, 1.0, times))
  title = f"ms, {config.train.batch_size} x {samples} samples"
  timing.print_table(title, training, lambda _, time: 1000 * time)


class _Ours:
  """The codec of a preset, with random weights."""

  name = "ns_jax"

  def __init__(self, config: Any):
    self._stage = stages.build(config)
    self._starts = config.model.adversarial.start_step
    samples = config.data.crop_frames * config.audio.hop_samples
    batch = self._batch(_noise(config.train.batch_size, samples))
    make = lambda batch: state_lib.create_state(
      self._stage, jax.random.key(0), batch, {}
    )
    self._state = jax.jit(make)(batch)
    self._steps = [
      jax.jit(step_lib.make_train_step(self._stage, phase))
      for phase in range(len(self._stage.phases))
    ]
    self._codec = SpeechCodec.of(
      Weights(
        config=config,
        step=0,
        params=self._state.params,
        model_state=_by_name(self._state.model_state),
      )
    )

  def coding(self, verb: str, wav: np.ndarray) -> Callable[[], Any]:
    """Encodes waves, or decodes what they give."""
    if verb == "encode":
      return lambda: self._codec.encode(wav)
    codes, _ = self._codec.encode(wav)
    return lambda: self._codec.decode(self._codec.latents(codes))

  def training(self, wav: np.ndarray, adversarial: bool) -> Callable[[], Any]:
    """One step of both players."""
    step = jnp.int32(self._starts if adversarial else 0)
    state = self._state.replace(step=step)
    batch = self._batch(wav)
    train_step = self._steps[self._stage.phase(int(step))]
    return lambda: jax.block_until_ready(train_step(state, batch))

  def _batch(self, wav: np.ndarray) -> dict[str, np.ndarray]:
    return {
      "wav": wav,
      "num_samples": np.full(len(wav), wav.shape[1], np.int32),
    }


def _by_name(model_state: Any) -> Any:
  return {"codebook": {"embeddings": model_state["codebook"].embeddings}}


def _peers(config: Any) -> list[Any]:
  """What is installed to compare with."""
  if importlib.util.find_spec("torch") is None:
    print("torch is not installed: no peers\n")
    return []
  from benchmarks import torch_peers

  return torch_peers.all_of(config)


def _noise(clips: int, samples: int) -> np.ndarray:
  rng = np.random.default_rng(0)
  return (0.1 * rng.normal(size=(clips, samples))).astype(np.float32)
