# SPDX-License-Identifier: Apache-2.0
"""Duration and pitch: predictors, expansion, pitch embedding (Sec. 3.3).

Durations are in latent frames and predicted as log(1 + d); pitch is log Hz on
voiced frames with a logit of being voiced beside it.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from ns_jax import masks, sharding
from ns_jax.array_types import Array
from ns_jax.models.prompt import Prompt
from ns_jax.nn import attention, conv, remat

BLOCK_LAYERS = 3
MIN_F0_HZ, MAX_F0_HZ = 50.0, 1100.0
MAX_DURATION_FRAMES = 400  # of one phoneme; nobody holds one longer
# Where predictions start: a typical phoneme and a voice of middle pitch.
DURATION_BIAS = (math.log(1.0 + 6.0),)
MIDDLE_F0_HZ = 150.0
PITCH_BIAS = (math.log(MIDDLE_F0_HZ), 0.0)


class Pitch(NamedTuple):
  """What is predicted for each frame."""

  log_f0: Array  # [B, T] float32, log Hz; has no meaning where unvoiced
  voiced_logit: Array  # [B, T] float32


class PredictorLayer(nn.Module):
  """Convolution with a residual, after attention to the prompt if it attends.

  Both are residual branches of their own, so what is heard in the prompt
  reaches the output by itself too.
  """

  attends: bool
  kernel_size: int
  num_heads: int
  conv_dropout_rate: float
  attention_dropout_rate: float
  dtype: Any

  @nn.compact
  def __call__(
    self, x: Array, mask: Array, prompt: Prompt, train: bool
  ) -> Array:
    """Maps [B, T, D] to [B, T, D], zero in the padding."""
    if self.attends:
      queries = nn.LayerNorm(dtype=self.dtype, name="attention_norm")(x)
      heard = attention.MultiHeadAttention(
        self.num_heads, dtype=self.dtype, name="attention"
      )(queries, prompt.hidden, prompt.mask)
      x = x + nn.Dropout(self.attention_dropout_rate, deterministic=not train)(
        heard
      )
    y = conv.Conv1d(
      x.shape[-1],
      self.kernel_size,
      scanned=True,
      dtype=self.dtype,
      name="conv",
    )(x * mask[..., None])
    y = nn.LayerNorm(dtype=self.dtype, name="norm")(nn.relu(y))
    y = nn.Dropout(self.conv_dropout_rate, deterministic=not train)(y)
    return (x + y) * mask[..., None]


class PredictorBlock(nn.Module):
  """Layers, each told whether it attends to the prompt."""

  attends: tuple[bool, ...]
  kernel_size: int
  num_heads: int
  conv_dropout_rate: float
  attention_dropout_rate: float
  dtype: Any

  @nn.compact
  def __call__(
    self, x: Array, mask: Array, prompt: Prompt, train: bool
  ) -> tuple[Array, None]:
    """Maps [B, T, D] to ([B, T, D], None), as `nn.scan` wants it."""
    for i, attends in enumerate(self.attends):
      x = PredictorLayer(
        attends,
        self.kernel_size,
        self.num_heads,
        self.conv_dropout_rate,
        self.attention_dropout_rate,
        self.dtype,
        name=f"layer_{i}",
      )(x, mask, prompt, train)
    return sharding.constrain_batch(x), None


class Predictor(nn.Module):
  """Convolutions that attend to the prompt every third layer, or not at all."""

  num_layers: int
  kernel_size: int
  num_heads: int
  conv_dropout_rate: float
  attention_dropout_rate: float
  bias: tuple[float, ...]  # of the outputs, at the start of training
  hears_prompt: bool
  remat: str = "none"  # a policy of nn.remat
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self, x: Array, mask: Array, prompt: Prompt, *, train: bool
  ) -> Array:
    """Predicts.

    Args:
      x: [B, T, D], hidden phonemes or frames.
      mask: [B, T] bool.
      prompt: whose manner to follow.
      train: whether to drop out.

    Returns:
      [B, T, len(bias)] float32.
    """
    block = remat.wrapped(PredictorBlock, self.remat, (4,))
    options = (
      self.kernel_size,
      self.num_heads,
      self.conv_dropout_rate,
      self.attention_dropout_rate,
      self.dtype,
    )
    num_blocks, num_rest = divmod(self.num_layers, BLOCK_LAYERS)
    x = x.astype(self.dtype)
    if num_blocks:
      x, _ = nn.scan(
        block,
        variable_axes={"params": 0},
        split_rngs={"params": True, "dropout": True},
        in_axes=nn.broadcast,  # pyright: ignore[reportArgumentType]
        length=num_blocks,
      )(
        (False, False, self.hears_prompt), *options, name="blocks"
      )(x, mask, prompt, train)
    if num_rest:
      plain = (False,) * num_rest
      x, _ = block(plain, *options, name="rest")(x, mask, prompt, train)
    return nn.Dense(
      len(self.bias),
      bias_init=lambda key, shape, dtype: jnp.asarray(self.bias, dtype),
      dtype=jnp.float32,
      name="out",
    )(x.astype(jnp.float32))


def round_durations(
  log_durations: Array, mask: Array, is_silence: Array
) -> Array:
  """Whole frames from predicted log(1 + d).

  Args:
    log_durations: [B, N] float32.
    mask: [B, N] bool.
    is_silence: [B, N] bool, symbols that may last no frame at all.

  Returns:
    [B, N] int32, at most MAX_DURATION_FRAMES; 0 in the padding, elsewhere at
    least 1 for phonemes.
  """
  longest = math.log1p(MAX_DURATION_FRAMES)  # whatever is predicted
  frames = jnp.round(jnp.expm1(jnp.clip(log_durations, 0.0, longest)))
  frames = frames.astype(jnp.int32)
  shortest = jnp.where(is_silence, 0, 1)
  return jnp.where(mask, jnp.maximum(frames, shortest), 0)


def f0_of(pitch: Pitch, mask: Array) -> Array:
  """Predicted f0, [B, T] float32, Hz: 0 where unvoiced or padding."""
  voiced = (pitch.voiced_logit > 0.0) & mask
  log_f0 = jnp.clip(pitch.log_f0, math.log(MIN_F0_HZ), math.log(MAX_F0_HZ))
  return jnp.where(voiced, jnp.exp(log_f0), 0.0)


def mean_f0(f0_hz: Array, mask: Array) -> Array:
  """Geometric mean over voiced frames, [B, T] -> [B] float32; 0 if none is."""
  voiced = mask & (f0_hz > 0.0)
  log_f0 = jnp.log(jnp.where(voiced, f0_hz, 1.0))
  mean = jax.vmap(masks.masked_mean)(log_f0, voiced)
  return jnp.where(voiced.any(axis=1), jnp.exp(mean), 0.0)


def of_voice(pitch: Pitch, f0_hz: Array) -> Pitch:
  """Pitch predicted for a voice at MIDDLE_F0_HZ, as one at f0_hz [B] has it.

  How a melody moves has little to do with how high a voice is, and few voices
  are enough to learn the one without the other.
  """
  known = f0_hz > 0.0
  ratio = jnp.where(known, f0_hz, MIDDLE_F0_HZ) / MIDDLE_F0_HZ
  return pitch._replace(log_f0=pitch.log_f0 + jnp.log(ratio)[:, None])


def durations_within(
  durations: Array, first_frame: Array, num_frames: Array
) -> Array:
  """How much of each phoneme lies in an excerpt.

  Args:
    durations: [B, N] int32, frames.
    first_frame: [B] int32, where the excerpt begins.
    num_frames: [B] int32, length of the excerpt.

  Returns:
    [B, N] int32, frames; they sum to num_frames.
  """
  ends = jnp.cumsum(durations, axis=1) - first_frame[:, None]
  ends = jnp.clip(ends, 0, num_frames[:, None])
  return jnp.diff(ends, axis=1, prepend=0)


def expand(hidden: Array, durations: Array, num_frames: int) -> Array:
  """Repeats each phoneme's vector for its frames.

  Args:
    hidden: [B, N, D].
    durations: [B, N] int32, 0 in the padding.
    num_frames: T, fixed; frames past the sum of durations repeat the last
      phoneme.

  Returns:
    [B, T, D].
  """
  ends = jnp.cumsum(durations, axis=1)
  frames = jnp.arange(num_frames)
  index = jax.vmap(lambda row: jnp.searchsorted(row, frames, side="right"))(
    ends
  )
  return jnp.take_along_axis(hidden, index[..., None], axis=1, mode="clip")


def pitch_bins(f0_hz: Array, num_bins: int) -> Array:
  """Bin of each frame: 0 where unvoiced, else 1 .. num_bins - 1, log-spaced.

  Args:
    f0_hz: [...] float32, 0 where unvoiced.
    num_bins: size of the table.

  Returns:
    [...] int32.
  """
  log_range = math.log(MAX_F0_HZ / MIN_F0_HZ)
  # num_bins - 2 edges from 50 to 1100 Hz; outside them the outer bins.
  safe_hz = jnp.maximum(f0_hz, 1.0)
  position = jnp.log(safe_hz / MIN_F0_HZ) / log_range * (num_bins - 3)
  inner = 2 + jnp.floor(position).astype(jnp.int32)
  return jnp.where(f0_hz > 0.0, jnp.clip(inner, 1, num_bins - 1), 0)


def advance_phase(f0_hz: Array, frame_rate_hz: float) -> Array:
  """Phase of a fundamental that starts at a crest and never jumps.

  Args:
    f0_hz: [B, T] float32, at the centres of frames.
    frame_rate_hz: of the frames.

  Returns:
    [B, T] float32, radians in [0, 2 pi).
  """
  before = jnp.pad(f0_hz, ((0, 0), (1, 0)))[:, :-1]
  cycles = 0.5 * (before + f0_hz) / frame_rate_hz
  # Whole periods are left out early, for the sake of float32.
  return 2.0 * jnp.pi * (jnp.cumsum(cycles % 1.0, axis=1) % 1.0)


class PitchEmbedding(nn.Module):
  """Table over log-spaced bins of f0, and the phase of the fundamental.

  Latents of a codec that keeps the wave's shape depend on where in its period
  a voice is. A model that is not told has to make the phase up, coherently
  from frame to frame, which takes it long to learn.
  """

  num_bins: int
  dim: int
  embedding_std: float
  hears_phase: bool  # False: the frequency alone, as in the paper
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, f0_hz: Array, f0_phase: Array) -> Array:
    """Embeds pitch.

    Args:
      f0_hz: [B, T] float32, 0 where unvoiced.
      f0_phase: [B, T] float32, radians; means nothing where unvoiced.

    Returns:
      [B, T, dim].
    """
    pitch = nn.Embed(
      self.num_bins,
      self.dim,
      embedding_init=nn.initializers.normal(self.embedding_std),
      dtype=self.dtype,
      name="embedding",
    )(pitch_bins(f0_hz, self.num_bins))
    if not self.hears_phase:
      return pitch
    circle = jnp.stack([jnp.cos(f0_phase), jnp.sin(f0_phase)], axis=-1)
    circle = circle * (f0_hz > 0.0)[..., None]
    return pitch + nn.Dense(
      self.dim, use_bias=False, dtype=self.dtype, name="phase"
    )(circle)
