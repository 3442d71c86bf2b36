# SPDX-License-Identifier: Apache-2.0
"""Differentiable durator: phonemes to frames by learned weights.

NaturalSpeech, Sec. 3.2, Eq. 6-9, after Parallel Tacotron 2 (arXiv 2103.14574).
Durations are real numbers; what a frame is made of varies smoothly with them,
so gradients reach the duration predictor and, through it, the encoder.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from ns_jax.array_types import Array, check_shapes
from ns_jax.models import prosody
from ns_jax.nn import conv
from ns_jax.nn.gaussian import Gaussian

_NEVER = -1e9  # logit of padding
_FEATURES = 8  # that each phoneme is known by where weights are computed
_FIRST_DURATION_FRAMES = 6.0


class Upsampled(NamedTuple):
  """Frames and how they were made."""

  frames: Array  # [B, M, D]
  weights: Array  # [B, M, N, Q] float32, sum over N is 1: attention
  coefficients: Array  # [B, M, N, P] float32


def boundaries(durations: Array, num_frames: int) -> tuple[Array, Array]:
  """How far each frame is from the begin and from the end of each phoneme.

  Args:
    durations: [B, N] float32, frames, 0 in the padding.
    num_frames: M.

  Returns:
    S and E [B, M, N] float32: S_ij = i - sum of d_k before j, E_ij = sum of d_k
    up to and with j, - i, for frames i = 1 … M. S + E = d_j.
  """
  ends = jnp.cumsum(durations, axis=1)[:, None, :]
  frames = jnp.arange(1, num_frames + 1, dtype=durations.dtype)[None, :, None]
  return frames - (ends - durations[:, None, :]), ends - frames


def attend(logits: Array, hidden: Array, mask: Array) -> tuple[Array, Array]:
  """Weights over phonemes, and the frames they make of them.

  Args:
    logits: [B, M, N, Q] float32.
    hidden: [B, N, D].
    mask: [B, N] bool, real phonemes.

  Returns:
    weights [B, M, N, Q], and [B, M, Q, D].
  """
  check_shapes(logits, "B M N Q", hidden, "B N D", mask, "B N")
  logits = jnp.where(mask[:, None, :, None], logits, _NEVER)
  weights = jax.nn.softmax(logits, axis=2)
  weighted = jnp.einsum("bmnq,bnd->bmqd", weights, hidden)
  return weights, weighted


class DurationPredictor(nn.Module):
  """Frames of each phoneme, a positive real number."""

  num_layers: int
  kernel_size: int
  dropout_rate: float
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, hidden: Array, mask: Array, *, train: bool) -> Array:
    """Maps [B, N, D] to [B, N] float32, 0 in the padding."""
    x = hidden
    for i in range(self.num_layers):
      x = conv.Conv1d(
        x.shape[-1], self.kernel_size, dtype=self.dtype, name=f"conv_{i}"
      )(x * mask[..., None])
      x = nn.LayerNorm(dtype=self.dtype, name=f"norm_{i}")(nn.relu(x))
      x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
    bias = nn.initializers.constant(math.log(_FIRST_DURATION_FRAMES))
    log_durations = nn.Dense(1, bias_init=bias, name="out")(x)[..., 0]
    log_durations = log_durations.astype(jnp.float32)
    log_most = math.log(prosody.MAX_DURATION_FRAMES)
    return jnp.exp(jnp.minimum(log_durations, log_most)) * mask


class Upsampler(nn.Module):
  """Learned upsampling from phonemes to frames (Eq. 6-9)."""

  num_weights: int  # Q, sets of weights
  num_coefficients: int  # P
  kernel_size: int
  frames_per_unit: float = 10.0  # in which distances are told to the network
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self, hidden: Array, durations: Array, mask: Array, num_frames: int
  ) -> Upsampled:
    """Makes frames.

    Args:
      hidden: [B, N, D].
      durations: [B, N] float32, frames, 0 in the padding.
      mask: [B, N] bool.
      num_frames: M; frames after the last phoneme's end have no meaning.

    Returns:
      M frames.
    """
    check_shapes(hidden, "B N D", durations, "B N", mask, "B N")
    sides = boundaries(durations, num_frames)
    logits = self._of_pairs("weights", self.num_weights, hidden, mask, sides)
    logits = (
      logits - self._decay()[None, None, None] * _outside(*sides)[..., None]
    )
    coefficients = self._of_pairs(
      "coefficients", self.num_coefficients, hidden, mask, sides
    )
    weights, weighted = attend(logits, hidden, mask)
    context = jnp.einsum("bmnq,bmnp->bmqp", weights, coefficients)
    width, shape = hidden.shape[-1], weighted.shape[:2]
    frames = nn.Dense(width, dtype=self.dtype, name="of_hidden")(
      weighted.reshape(*shape, -1)
    ) + nn.Dense(width, dtype=self.dtype, name="of_context")(
      context.reshape(*shape, -1)
    )
    return Upsampled(frames, weights, coefficients)

  def _of_pairs(
    self,
    name: str,
    size: int,
    hidden: Array,
    mask: Array,
    sides: tuple[Array, Array],
  ) -> Array:
    """What a small network says of each frame and phoneme, [B, M, N, size].

    Its first layer is split, so that [B, M, N, 2 + features] is never made.
    """
    x = nn.Dense(hidden.shape[-1], dtype=self.dtype, name=f"{name}_in")(hidden)
    x = conv.Conv1d(
      _FEATURES, self.kernel_size, dtype=self.dtype, name=f"{name}_conv"
    )(x * mask[..., None])
    x = nn.swish(nn.LayerNorm(dtype=self.dtype, name=f"{name}_norm")(x))
    width = 2 + _FEATURES
    of_phoneme = nn.Dense(width, dtype=self.dtype, name=f"{name}_phoneme")(x)
    distances = jnp.stack(sides, axis=-1) / self.frames_per_unit
    of_distance = nn.Dense(width, use_bias=False, name=f"{name}_distance")
    h = nn.swish(of_distance(distances) + of_phoneme[:, None])
    return nn.Dense(size, name=f"{name}_out")(h).astype(jnp.float32)

  def _decay(self) -> Array:
    """How much less, per frame, each set of weights heeds what is farther."""
    first = lambda _: jnp.log(2.0 ** -jnp.arange(self.num_weights))
    return jnp.exp(self.param("log_decay", first))


class Durator(nn.Module):
  """Durations, frames, and the prior p(z' | y) at each frame."""

  predictor: Any  # keyword arguments of DurationPredictor
  upsampler: Any  # of Upsampler
  latent_dim: int
  dtype: Any = jnp.float32

  def setup(self):
    """Makes the parts."""
    self.durations = DurationPredictor(**self.predictor, dtype=self.dtype)
    self.upsample = Upsampler(**self.upsampler, dtype=self.dtype)
    self.prior = nn.Dense(2 * self.latent_dim)

  def predict(self, hidden: Array, mask: Array, *, train: bool) -> Array:
    """Durations [B, N] float32 of hidden phonemes [B, N, D]."""
    return self.durations(hidden, mask, train=train)

  def __call__(
    self, hidden: Array, durations: Array, mask: Array, num_frames: int
  ) -> tuple[Gaussian, Upsampled]:
    """The prior [B, M, C] at M frames; arguments as of `Upsampler`."""
    upsampled = self.upsample(hidden, durations, mask, num_frames)
    return Gaussian.of(self.prior(upsampled.frames)), upsampled


def frame_counts(durations: Array) -> Array:
  """Whole frames of each utterance, at least one: [B, N] to [B] int32."""
  return jnp.maximum(jnp.round(durations.sum(axis=1)), 1.0).astype(jnp.int32)


def _outside(since: Array, until: Array) -> Array:
  """Frames from the middle of a frame to a phoneme; 0 inside it."""
  return jax.nn.relu(0.5 - since) + jax.nn.relu(-0.5 - until)
