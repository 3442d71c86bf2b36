# SPDX-License-Identifier: Apache-2.0
"""What NaturalSpeech's training measures and shows of held-out utterances."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ns_jax import masks
from ns_jax.array_types import Array, Params
from ns_jax.audio import AudioSpec
from ns_jax.dsp import mel
from ns_jax.stages.ns1_example import Example
from ns_jax.stages.ns1_terms import Expected, Heard, Ways
from ns_jax.training.metrics import Mean


@dataclasses.dataclass(frozen=True)
class HeldOut:
  """Functions of the stage; all state is in their arguments."""

  spec: AudioSpec
  ways: Ways

  def evaluate(
    self, params, model_state, frozen, batch, key
  ) -> dict[str, Mean]:
    """How far what is voiced again, and what is said, is from the original.

    What is said has the original's timing, so that frames can be compared.
    """
    del frozen
    gen, example = params["gen"], Example.of(batch)
    heard, expected = self._read(gen, example, key, aligned=True)
    divergence = self.ways.backward(gen, heard, expected, aligned=True)
    frames = masks.length_mask(example.num_frames, heard.draw.shape[1])
    voice = self._voice(gen, model_state)
    revoiced = voice(heard.posterior.mean, example.num_frames)
    most_likely = expected._replace(draw=expected.prior.mean)
    said = voice(self.ways.say(gen, most_likely), example.num_frames)
    original = mel.log_mel(example.wav, self.spec)
    apart = {
      name: jnp.abs(mel.log_mel(wav, self.spec) - original).mean(-1)
      for name, wav in {"revoiced": revoiced, "said": said}.items()
    }
    error = jnp.abs(expected.durations - example.durations)
    return {
      "backward": Mean.of(divergence),
      **{
        f"{name}_mel_db": Mean.of(distance * mel.DB_PER_NEPER, frames)
        for name, distance in apart.items()
      },
      "duration_error_frames": Mean.of(error, example.phoneme_mask),
    }

  def sample(self, params, model_state, frozen, batch, key) -> dict[str, Array]:
    """Originals, voiced again, and said with a timing of their own."""
    del frozen
    gen, example = params["gen"], Example.of(batch)
    heard, expected = self._read(gen, example, key, aligned=False)
    voice = self._voice(gen, model_state)
    waves = {
      "original": example.wav,
      "revoiced": voice(heard.posterior.mean, heard.num_frames),
      "said": voice(self.ways.say(gen, expected), expected.num_frames),
    }
    samples = {}
    for name, wav in waves.items():
      samples[f"audio/{name}"] = wav
      samples[f"figure/{name}"] = mel.log_mel(wav, self.spec).swapaxes(1, 2)
    weights = expected.upsampled.weights.mean(-1).swapaxes(1, 2)
    said = masks.length_mask(expected.num_frames, weights.shape[2])
    samples["alignment/durator"] = weights * said[:, None]
    samples["phonemes/text"] = example.mixed.phonemes
    return samples | self._pitch(gen, model_state, example, heard)

  def _pitch(
    self,
    gen: Params,
    model_state: Mapping[str, Any],
    example: Example,
    heard: Heard,
  ) -> dict[str, Array]:
    """The recording's, and what the decoder is told of it; if it is told."""
    if example.f0_hz is None:
      return {}
    recalled = self.ways.recall(
      gen,
      heard.posterior.mean,
      heard.num_frames,
      remembers=model_state["remembers"],
    )
    told = jnp.exp(self.ways.log_f0(gen, recalled))
    is_voiced = example.f0_hz > 0.0
    return {
      "pitch/recording": example.f0_hz,
      "pitch/told to the decoder": jnp.where(is_voiced, told, 0.0),
    }

  def _read(
    self, gen: Params, example: Example, key: Array, *, aligned: bool
  ) -> tuple[Heard, Expected]:
    hear_key, expect_key = jax.random.split(key)
    heard = self.ways.hear(gen, example, hear_key)
    expected = self.ways.expect(
      gen, example, expect_key, aligned=aligned, train=False
    )
    return heard, expected

  def _voice(
    self, gen: Params, model_state: Mapping[str, Any]
  ) -> Callable[[Array, Array], Array]:
    return functools.partial(
      self.ways.voice, gen, remembers=model_state["remembers"]
    )
