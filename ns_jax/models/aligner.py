# SPDX-License-Identifier: Apache-2.0
"""Which phoneme sounds at which frame, learned from text and speech alone.

After "One TTS Alignment To Rule Them All", arXiv 2108.10447: phonemes and mel
frames are brought into one space, and the nearer two are, the likelier they
belong together.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.scipy.special import betaln, gammaln

from ns_jax.array_types import Array, check_shapes
from ns_jax.nn import conv
from ns_jax.text import symbols

_NEVER = -1e9
_MEL_SPREAD = 3.0  # of log-mels around their mean, about


class Aligner(nn.Module):
  """Two small encoders and the distances between them.

  In the paper phonemes hear their neighbours. Here a symbol sounds the same
  wherever it stands, or it could be explained by the sound of the next one and
  boundaries would drift.
  """

  dim: int  # of the symbols' embedding
  space_dim: int  # of the space both are brought to
  temperature: float  # of the squared distances
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, mel: Array, frame_mask: Array) -> Array:
    """Compares every frame with every symbol of the inventory.

    Args:
      mel: [B, T, M] float32, log-mel.
      frame_mask: [B, T] bool.

    Returns:
      [B, T, V] float32, minus the distances.
    """
    check_shapes(mel, "B T M", frame_mask, "B T")
    num_symbols = symbols.VOCABULARY_SIZE
    x = nn.Embed(num_symbols, self.dim, dtype=self.dtype, name="embedding")(
      jnp.arange(num_symbols)
    )
    keys = self._encode(x[None], (2 * self.dim, self.space_dim), "keys")[0]
    # Without the mean, which is the voice and the room.
    real = frame_mask[..., None]
    mean = jnp.sum(mel * real, axis=1) / jnp.sum(real, axis=1)
    y = ((mel - mean[:, None]) / _MEL_SPREAD * real).astype(self.dtype)
    queries = self._encode(
      y, (2 * mel.shape[-1], mel.shape[-1], self.space_dim), "queries"
    )
    squared = (
      jnp.sum(queries**2, axis=-1, keepdims=True)
      - 2.0 * jnp.einsum("btd,vd->btv", queries, keys)
      + jnp.sum(keys**2, axis=-1)[None, None, :]
    )
    return -self.temperature * squared

  def _encode(self, x: Array, sizes: tuple[int, ...], name: str) -> Array:
    """Plain layers, for frames the first over neighbours; float32 out."""
    for i, size in enumerate(sizes):
      kernel_size = 3 if i == 0 and name == "queries" else 1
      x = nn.relu(x) if i else x
      x = conv.Conv1d(size, kernel_size, dtype=self.dtype, name=f"{name}_{i}")(
        x
      )
    return x.astype(jnp.float32)


def of_phonemes(logits: Array, phonemes: Array, told: Array) -> Array:
  """How likely each phoneme of a text is to sound at each frame.

  Args:
    logits: [B, T, V] float32, of the inventory.
    phonemes: [B, N] int32.
    told: [B, N] bool, phonemes of the text, which compete with each other;
      others are pauses that may be there.

  Returns:
    [B, T, N] float32, log-probabilities; very low for padding.
  """
  scores = jnp.take_along_axis(logits, phonemes[:, None, :], axis=2)
  rivals = jnp.where(told[:, None, :], scores, _NEVER)
  scores -= jax.nn.logsumexp(rivals, axis=-1, keepdims=True)
  is_real = phonemes[:, None, :] != symbols.PADDING_ID
  return jnp.where(is_real, scores, _NEVER)


def with_diagonal_prior(
  log_probs: Array, num_frames: Array, told: Array
) -> Array:
  """Scores of paths near the diagonal, through what the text tells.

  The prior finds the first alignments. It must not choose the last: a pause of
  two seconds moves all that follows off the diagonal.

  Args:
    log_probs: [B, T, N] float32, of each phoneme at each frame.
    num_frames: [B] int32.
    told: [B, N] bool, phonemes of the text; others are never on a path.

  Returns:
    [B, T, N] float32.
  """
  prior = diagonal_log_prior(num_frames, told, log_probs.shape[1])
  scores = log_probs + jnp.logaddexp(prior, jnp.log(1e-8))
  return jnp.where(told[:, None, :], scores, _NEVER)


def diagonal_log_prior(num_frames: Array, told: Array, size: int) -> Array:
  """Beta-binomial prior of the phoneme at each frame: near the diagonal.

  Args:
    num_frames: [B] int32.
    told: [B, N] bool, the phonemes that count.
    size: T to pad to.

  Returns:
    [B, T, N] float32, log-probabilities; meaningless for other phonemes and in
    the padding.
  """
  t = jnp.arange(size, dtype=jnp.float32)[None, :, None]
  place = jnp.cumsum(told, axis=1, dtype=jnp.float32)[:, None, :] - 1.0
  last = jnp.maximum(jnp.max(place, axis=-1, keepdims=True), 0.0)
  n = jnp.clip(place, 0.0, last)
  alpha = t + 1.0
  beta = jnp.maximum(num_frames[:, None, None] - t, 1.0)
  choose = gammaln(last + 1.0) - gammaln(n + 1.0) - gammaln(last - n + 1.0)
  return choose + betaln(n + alpha, last - n + beta) - betaln(alpha, beta)
