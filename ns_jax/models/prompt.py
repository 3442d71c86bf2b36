# SPDX-License-Identifier: Apache-2.0
"""The speech prompt: cutting it out in training, and encoding it.

In training a random part of the utterance is the prompt and the rest, its two
ends joined, is what the model must produce (NaturalSpeech 2, Sec. 3.4).
Everything here has fixed shapes and runs on the device.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from ns_jax import masks
from ns_jax.array_types import Array
from ns_jax.nn import transformer


class Cut(NamedTuple):
  """Frames [start, start + length) of each utterance are its prompt."""

  start: Array  # [B] int32
  length: Array  # [B] int32, 0 where no phoneme boundary lies in the cut


class Rest(NamedTuple):
  """Which frames of each utterance are left to be produced."""

  index: Array  # [B, T'] int32, frames of the utterance in order
  mask: Array  # [B, T'] bool


def draw_cut(
  key: Array,
  durations: Array,
  *,
  min_frames: int,
  max_frames: int,
  max_fraction: float,
) -> Cut:
  """Draws a prompt that begins and ends at phoneme boundaries.

  Its length is uniform between `min_frames` and `max_frames`, within
  `max_fraction` of the utterance, and then shrinks to the boundaries inside.

  Args:
    key: typed key.
    durations: [B, N] int32, frames of each phoneme, 0 in the padding.
    min_frames: shortest draw.
    max_frames: longest draw.
    max_fraction: largest part of the utterance, in [0, 1].

  Returns:
    The cut of each utterance.
  """
  length_key, start_key = jax.random.split(key)
  ends = jnp.cumsum(durations, axis=1)
  bounds = jnp.pad(ends, ((0, 0), (1, 0)))
  total = ends[:, -1].astype(jnp.float32)
  longest = jnp.minimum(max_frames, max_fraction * total)
  shortest = jnp.minimum(min_frames, longest)
  batch = (durations.shape[0],)
  length = jax.random.uniform(length_key, batch, jnp.float32)
  length = shortest + length * (longest - shortest)
  start = jax.random.uniform(start_key, batch, jnp.float32) * (total - length)
  stop = start + length
  last = bounds[:, -1:]
  first_inside = jnp.where(bounds >= start[:, None], bounds, last).min(axis=1)
  last_inside = jnp.where(bounds <= stop[:, None], bounds, 0).max(axis=1)
  return Cut(first_inside, jnp.maximum(last_inside - first_inside, 0))


def take(values: Array, index: Array) -> Array:
  """Gathers frames: values [B, T, ...] at index [B, T'] -> [B, T', ...]."""
  index = index.reshape(index.shape + (1,) * (values.ndim - 2))
  return jnp.take_along_axis(values, index, axis=1, mode="clip")


def cut_index(cut: Cut, size: int) -> Array:
  """Frames of the prompt, [B, size] int32; `cut.length` of them are real."""
  return cut.start[:, None] + jnp.arange(size)[None, :]


def rest_index(cut: Cut, num_frames: Array, size: int, key: Array) -> Rest:
  """Frames outside the prompt, the two ends joined.

  Where more than `size` are left, a random window of `size` of them.

  Args:
    cut: what is taken away.
    num_frames: [B] int32, length of each utterance.
    size: T', fixed.
    key: typed key, places the window.

  Returns:
    Indices, clipped to the utterance, and which of them are real.
  """
  left = num_frames - cut.length
  surplus = jnp.maximum(left - size, 0)
  offset = jax.random.randint(key, left.shape, 0, surplus + 1)
  position = offset[:, None] + jnp.arange(size)[None, :]
  after = position >= cut.start[:, None]
  index = position + jnp.where(after, cut.length[:, None], 0)
  mask = position < left[:, None]
  return Rest(jnp.where(mask, index, 0), mask)


def frames_inside(cut: Cut, size: int) -> Array:
  """[B, size] bool, true for frames of the prompt."""
  frame = jnp.arange(size)[None, :]
  stop = cut.start + cut.length
  return (frame >= cut.start[:, None]) & (frame < stop[:, None])


def phonemes_inside(cut: Cut, durations: Array, first_frame: Array) -> Array:
  """Which phonemes begin within the prompt.

  Args:
    cut: the prompt, among the frames of the excerpt.
    durations: [B, N] int32, frames.
    first_frame: [B] int32, where the excerpt begins.

  Returns:
    [B, N] bool.
  """
  starts = jnp.cumsum(durations, axis=1) - durations - first_frame[:, None]
  stop = cut.start + cut.length
  return (starts >= cut.start[:, None]) & (starts < stop[:, None])


class Prompt(NamedTuple):
  """An encoded prompt."""

  hidden: Array  # [B, P, D]
  mask: Array  # [B, P] bool
  f0_hz: Array  # [B] float32, its mean pitch; 0 where not known


class PromptEncoder(nn.Module):
  """Projection and Transformer over latents (NaturalSpeech 2, Sec. 3.4)."""

  dim: int
  num_layers: int
  num_heads: int
  filter_size: int
  kernel_size: int
  dropout_rate: float
  remat: str = "none"  # a policy of nn.remat
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self, latents: Array, num_frames: Array, f0_hz: Array, *, train: bool
  ) -> Prompt:
    """Encodes; a prompt of no frames becomes a learned null token.

    Args:
      latents: [B, P, D] float32, normalised.
      num_frames: [B] int32, real frames; 0 asks for no voice in particular.
      f0_hz: [B] float32, mean pitch, from `prosody.mean_f0`.
      train: whether to drop out.
    """
    size = latents.shape[1]
    mask = masks.length_mask(num_frames, size)
    x = nn.Dense(self.dim, dtype=self.dtype, name="in_proj")(latents)
    hidden = transformer.Transformer(
      self.num_layers,
      self.num_heads,
      self.filter_size,
      self.kernel_size,
      self.dropout_rate,
      self.remat,
      self.dtype,
      name="transformer",
    )(x, mask, train=train)
    null = self.param("null", nn.initializers.normal(1.0), (self.dim,))
    is_null = (num_frames == 0)[:, None]
    null = null.astype(hidden.dtype)[None, None, :]
    return Prompt(
      jnp.where(is_null[..., None], null, hidden),
      mask | (is_null & (jnp.arange(size) == 0)[None, :]),
      jnp.where(num_frames > 0, f0_hz, 0.0),
    )
