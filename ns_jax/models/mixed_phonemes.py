# SPDX-License-Identifier: Apache-2.0
"""Phonemes together with sup-phonemes, and their masked language model.

NaturalSpeech, Sec. 3.2, after Mixed-Phoneme BERT (arXiv 2203.17190): a
sup-phoneme is a frequent run of phonemes inside a word, and its embedding is
added to those of all phonemes it is made of.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.sharding import PartitionSpec as P

from ns_jax.array_types import Array, check_shapes
from ns_jax.errors import UserError
from ns_jax.nn import transformer

# Layers are stacked on axis 0 by nn.scan, hence the leading None. Tables have
# a row more than there are symbols, so their columns are what divides.
PARTITION_RULES = (
  (r"layers/attention/(query|key|value)/kernel$", P(None, "fsdp", "tensor")),
  (r"layers/attention/out/kernel$", P(None, "tensor", None, "fsdp")),
  (r"layers/ffn_in/kernel$", P(None, None, "fsdp", "tensor")),
  (r"layers/ffn_out/kernel$", P(None, None, "tensor", "fsdp")),
  (r"sup_embedding/embedding$", P(None, "fsdp")),
  (r"of_sup_phonemes/kernel$", P("fsdp", "tensor")),
)


class Mixed(NamedTuple):
  """An utterance, or what masking left of it."""

  phonemes: Array  # [B, N] int32, ids; 0 is padding
  sup_phonemes: Array  # [B, N] int32, id of the one each phoneme is part of
  span: Array  # [B, N] int32, which of the utterance's sup-phonemes that is


class MixedEncoder(nn.Module):
  """Both embeddings, and a Transformer that knows distances."""

  num_symbols: int
  num_sup_phonemes: int  # 0: phonemes alone
  dim: int
  num_layers: int
  num_heads: int
  filter_size: int
  kernel_size: int
  dropout_rate: float
  relative_window: int
  embedding_std: float
  remat: str = "none"  # a policy of nn.remat
  dtype: Any = jnp.float32

  def setup(self):
    """Makes tables with one more row, which stands for what is masked."""
    init = nn.initializers.normal(self.embedding_std)
    self.phoneme_embedding = nn.Embed(
      self.num_symbols + 1, self.dim, embedding_init=init
    )
    if self.num_sup_phonemes:
      self.sup_embedding = nn.Embed(
        self.num_sup_phonemes + 1, self.dim, embedding_init=init
      )
    self.transformer = transformer.Transformer(
      self.num_layers,
      self.num_heads,
      self.filter_size,
      self.kernel_size,
      self.dropout_rate,
      self.remat,
      self.dtype,
      out_kernel_size=self.kernel_size,
      relative_window=self.relative_window,
    )

  def __call__(self, mixed: Mixed, mask: Array, *, train: bool) -> Array:
    """Encodes an utterance; `mask` [B, N] bool is real; [B, N, dim]."""
    check_shapes(mixed.phonemes, "B N", mixed.sup_phonemes, "B N", mask, "B N")
    x = self.phoneme_embedding(mixed.phonemes)
    if self.num_sup_phonemes:
      x = x + self.sup_embedding(mixed.sup_phonemes)
    return self.transformer(x, mask, train=train)


def make_encoder(
  num_symbols: int, *, dim: int, dtype: Any, **options: Any
) -> MixedEncoder:
  """Builds the encoder of a config's section; num_symbols of phonemes.

  Raises:
    UserError: sizes that do not fit one another.
  """
  made = MixedEncoder(num_symbols, dim=dim, dtype=dtype, **options)
  where = "config.model.encoder"
  if made.num_heads < 1 or dim % made.num_heads:
    raise UserError(
      f"{where}.num_heads={made.num_heads} must divide config.model.dim={dim}"
    )
  if made.num_sup_phonemes and made.num_sup_phonemes < num_symbols:
    raise UserError(
      f"{where}.num_sup_phonemes={made.num_sup_phonemes}: give at least "
      f"{num_symbols}, which is that of phonemes, or 0 for none"
    )
  if made.relative_window < 0:
    raise UserError(
      f"{where}.relative_window={made.relative_window} must be 0 or more"
    )
  return made


class MaskedLm(nn.Module):
  """Tells masked phonemes and sup-phonemes from what is around them."""

  encoder: MixedEncoder

  @nn.compact
  def __call__(
    self, mixed: Mixed, mask: Array, spans: Array, *, train: bool
  ) -> tuple[Array, Array | None]:
    """Reads.

    Args:
      mixed: with some masked.
      mask: [B, N] bool.
      spans: [B, K] int32, which sup-phonemes to tell.
      train: whether to drop out.

    Returns:
      Logits [B, N, num_symbols] of phonemes; and [B, K, num_sup_phonemes] of
      sup-phonemes, out of the mean over their phonemes, if there are any.
    """
    hidden = self.encoder(mixed, mask, train=train).astype(jnp.float32)
    phonemes = nn.Dense(self.encoder.num_symbols, name="of_phonemes")(hidden)
    if not self.encoder.num_sup_phonemes:
      return phonemes, None
    means = mean_of_spans(hidden, mixed.span, mask, spans)
    of_sup = nn.Dense(self.encoder.num_sup_phonemes, name="of_sup_phonemes")
    return phonemes, of_sup(means)


def mean_of_spans(
  hidden: Array, span: Array, mask: Array, spans: Array
) -> Array:
  """Means [B, K, D] of the vectors [B, N, D] of each of the spans [B, K].

  0 where a span has none; `span` [B, N] says whose the vectors are.
  """
  member = (spans[:, :, None] == span[:, None, :]) & mask[:, None, :]
  counts = jnp.maximum(member.sum(axis=-1, keepdims=True), 1)
  return (
    jnp.einsum("bkn,bnd->bkd", member.astype(hidden.dtype), hidden) / counts
  )


class Masked(NamedTuple):
  """An utterance to be read, and what should be found in it."""

  mixed: Mixed
  is_asked: Array  # [B, N] bool, phonemes to tell
  is_asked_span: Array  # [B, K] bool, sup-phonemes to tell


def mask_spans(
  mixed: Mixed,
  num_spans: Array,
  max_spans: int,
  key: Array,
  *,
  rate: float,
  num_symbols: int,
  num_sup_phonemes: int,
) -> Masked:
  """Masks sup-phonemes with all their phonemes alike.

  Of those that are asked for, 80 % show as masked, 10 % as random symbols, and
  10 % as they are.

  Args:
    mixed: the utterance.
    num_spans: [B] int32, real sup-phonemes.
    max_spans: K.
    key: typed key.
    rate: share of the sup-phonemes that are asked for.
    num_symbols: V, whose id is that of a masked phoneme.
    num_sup_phonemes: W, likewise.

  Returns:
    What to read and what to tell.
  """
  shape = (mixed.phonemes.shape[0], max_spans)
  ask_key, how_key, sup_key, phoneme_key = jax.random.split(key, 4)
  is_real = jnp.arange(max_spans)[None, :] < num_spans[:, None]
  asked = is_real & (jax.random.uniform(ask_key, shape) < rate)
  how = jax.random.uniform(how_key, shape)
  of_phonemes = lambda spans: jnp.take_along_axis(spans, mixed.span, axis=1)
  is_asked = of_phonemes(asked) & (mixed.phonemes > 0)
  hidden = is_asked & of_phonemes(how < 0.8)
  random = is_asked & of_phonemes((how >= 0.8) & (how < 0.9))

  def shown(true: Array, other: Array, mask_id: int) -> Array:
    return jnp.where(hidden, mask_id, jnp.where(random, other, true))

  other_sup = jax.random.randint(sup_key, shape, 0, max(num_sup_phonemes, 1))
  other_phonemes = jax.random.randint(
    phoneme_key, mixed.phonemes.shape, 1, num_symbols
  )
  read = mixed._replace(
    phonemes=shown(mixed.phonemes, other_phonemes, num_symbols),
    sup_phonemes=shown(
      mixed.sup_phonemes, of_phonemes(other_sup), num_sup_phonemes
    ),
  )
  return Masked(read, is_asked, asked)
