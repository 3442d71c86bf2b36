# SPDX-License-Identifier: Apache-2.0
"""When each phoneme of an utterance is said, and at which pitch."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ns_jax.array_types import Params
from ns_jax.audio import AudioSpec
from ns_jax.inference import batching
from ns_jax.inference.utterance import Utterance
from ns_jax.models import ns2_sampling, prosody
from ns_jax.models.ns2 import NaturalSpeech2


class Planner:
  """Predicts timing and pitch where they are not given."""

  def __init__(self, model: NaturalSpeech2, params: Params, spec: AudioSpec):
    """Takes a model with its parameters, and the frames it works on."""
    self._params, self._spec = params, spec
    self._predict_durations = jax.jit(
      functools.partial(ns2_sampling.predict_durations, model)
    )
    self._predict_f0 = jax.jit(
      functools.partial(ns2_sampling.predict_f0, model),
      static_argnames="num_frames",
    )

  def plan(
    self,
    request: ns2_sampling.Request,
    utterances: Sequence[Utterance],
    sizes: batching.Sizes,
  ) -> ns2_sampling.Prosody:
    """Plans a batch.

    Args:
      request: what is to be said.
      utterances: the same, with what is known and how to say it.
      sizes: of batches.

    Returns:
      Timing and pitch of as many frames as the longest needs, rounded up.
    """
    durations = self._durations(request, utterances)
    num_frames = batching.frames(int(durations.sum(axis=1).max()), sizes)
    f0_hz = self._f0_hz(request, utterances, durations, num_frames)
    f0_phase = np.array(self.advance(f0_hz))
    for row, utterance in zip(f0_phase, utterances, strict=True):
      if utterance.f0_phase is not None:
        row[:] = batching.pad(utterance.f0_phase[:num_frames], num_frames)
    return ns2_sampling.Prosody(*map(jnp.asarray, (durations, f0_hz, f0_phase)))

  def predict_durations(self, request: ns2_sampling.Request) -> np.ndarray:
    """[B, N] int32, frames, as the model would."""
    return np.array(self._predict_durations(self._params, request))

  def _durations(
    self, request: ns2_sampling.Request, utterances: Sequence[Utterance]
  ) -> np.ndarray:
    """[B, N] int32, frames."""
    if all(utterance.durations is not None for utterance in utterances):
      durations = np.zeros(request.phonemes.shape, np.int32)
    else:
      durations = self.predict_durations(request)
    for row, utterance in zip(durations, utterances, strict=True):
      own, count = utterance.durations, len(utterance.phonemes)
      if own is None:
        own = utterance.manner.pace(row[:count], utterance.phonemes)
      row[:count] = own
    return durations

  def _f0_hz(
    self,
    request: ns2_sampling.Request,
    utterances: Sequence[Utterance],
    durations: np.ndarray,
    num_frames: int,
  ) -> np.ndarray:
    """[B, T] float32, 0 where unvoiced."""
    if all(utterance.f0_hz is not None for utterance in utterances):
      f0_hz = np.zeros((len(utterances), num_frames), np.float32)
    else:
      predicted = self._predict_f0(
        self._params, request, durations, num_frames=num_frames
      )
      f0_hz = np.array(predicted)
    for row, utterance in zip(f0_hz, utterances, strict=True):
      if utterance.f0_hz is None:
        row[:] = utterance.manner.bend(row)
      else:
        row[:] = batching.pad(utterance.f0_hz[:num_frames], num_frames)
    return f0_hz

  def advance(self, f0_hz: np.ndarray) -> np.ndarray:
    """Phase of a pitch [..., T] that starts at a crest, radians."""
    rows = jnp.asarray(np.atleast_2d(f0_hz))
    phase = prosody.advance_phase(rows, self._spec.frame_rate_hz)
    return np.asarray(phase).reshape(f0_hz.shape)
