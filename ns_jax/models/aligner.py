# SPDX-License-Identifier: Apache-2.0
"""Which phoneme sounds at which frame, learned from text and speech alone.

"One TTS Alignment To Rule Them All", arXiv 2108.10447: phonemes and mel frames
are brought into one space, and the nearer two are, the likelier they belong
together.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.scipy.special import betaln, gammaln

from ns_jax.array_types import Array, check_shapes
from ns_jax.nn import conv

_NEVER = -1e9


class Aligner(nn.Module):
  """Two small convolutional encoders and the distances between them."""

  num_symbols: int
  dim: int  # of the phoneme embedding
  space_dim: int  # of the space both are brought to
  temperature: float  # of the squared distances
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self, phonemes: Array, phoneme_mask: Array, mel: Array, frame_mask: Array
  ) -> Array:
    """Compares every frame with every phoneme.

    Args:
      phonemes: [B, N] int32.
      phoneme_mask: [B, N] bool.
      mel: [B, T, M] float32, log-mel.
      frame_mask: [B, T] bool.

    Returns:
      [B, T, N] float32, logits; very low for padding.
    """
    check_shapes(phonemes, "B N", phoneme_mask, "B N", mel, "B T M")
    x = nn.Embed(
      self.num_symbols, self.dim, dtype=self.dtype, name="embedding"
    )(phonemes)
    x = x * phoneme_mask[..., None]
    keys = self._encode(x, (2 * self.dim, self.space_dim), "keys")
    # Without the mean, which is the voice and the room; the spread is about 3.
    real = frame_mask[..., None]
    mean = jnp.sum(mel * real, axis=1) / jnp.sum(real, axis=1)
    y = ((mel - mean[:, None]) / 3.0 * real).astype(self.dtype)
    queries = self._encode(
      y, (2 * mel.shape[-1], mel.shape[-1], self.space_dim), "queries"
    )
    inner = jnp.einsum("btd,bnd->btn", queries, keys)
    squared = (
      jnp.sum(queries**2, axis=-1)[:, :, None]
      - 2.0 * inner
      + jnp.sum(keys**2, axis=-1)[:, None, :]
    )
    logits = -self.temperature * squared
    return jnp.where(phoneme_mask[:, None, :], logits, _NEVER)

  def _encode(self, x: Array, sizes: tuple[int, ...], name: str) -> Array:
    """Plain layers, for frames the first over neighbours; float32 out.

    The paper's phonemes hear their neighbours, too. Then a phoneme can be
    explained by the sound of the next one, and boundaries drift.
    """
    for i, size in enumerate(sizes):
      kernel_size = 3 if i == 0 and name == "queries" else 1
      x = nn.relu(x) if i else x
      x = conv.Conv1d(size, kernel_size, dtype=self.dtype, name=f"{name}_{i}")(
        x
      )
    return x.astype(jnp.float32)


def diagonal_log_prior(
  num_frames: Array, num_phonemes: Array, shape: tuple[int, int]
) -> Array:
  """Beta-binomial prior of the phoneme at each frame: near the diagonal.

  Args:
    num_frames: [B] int32.
    num_phonemes: [B] int32.
    shape: (T, N) to pad to.

  Returns:
    [B, T, N] float32, log-probabilities; meaningless in the padding.
  """
  t, n = (jnp.arange(size, dtype=jnp.float32) for size in shape)
  last = jnp.maximum(num_phonemes[:, None, None] - 1.0, 0.0)
  n = jnp.minimum(n[None, None, :], last)
  alpha = t[None, :, None] + 1.0
  beta = jnp.maximum(num_frames[:, None, None] - t[None, :, None], 1.0)
  choose = gammaln(last + 1.0) - gammaln(n + 1.0) - gammaln(last - n + 1.0)
  return choose + betaln(n + alpha, last - n + beta) - betaln(alpha, beta)


def log_probabilities(
  logits: Array, num_frames: Array, num_phonemes: Array
) -> Array:
  """Logits [B, T, N] with the diagonal prior, as paths are scored by."""
  prior = diagonal_log_prior(
    num_frames, num_phonemes, (logits.shape[1], logits.shape[2])
  )
  soft = jax.nn.log_softmax(logits, axis=-1)
  return soft + jnp.logaddexp(prior, jnp.log(1e-8))
