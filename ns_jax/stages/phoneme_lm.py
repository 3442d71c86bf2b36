# SPDX-License-Identifier: Apache-2.0
"""Masked language model of mixed phonemes (NaturalSpeech, Sec. 3.2).

What it learns of text alone is where the phoneme encoder of NaturalSpeech may
begin: the parameters `encoder` of its one player.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from ns_jax import masks, sharding
from ns_jax.array_types import Array, Batch, Params
from ns_jax.errors import UserError
from ns_jax.models import mixed_phonemes
from ns_jax.models.mixed_phonemes import MaskedLm, Mixed
from ns_jax.text import symbols
from ns_jax.training import optim
from ns_jax.training.metrics import Mean
from ns_jax.training.stage import Stage

Losses = tuple[Array, tuple[dict[str, Array], Mapping[str, Any]]]
Term = tuple[Array, Array]  # values and the mask of those that count


def make_model(config: ConfigDict) -> MaskedLm:
  """The network of `configs/phoneme_lm.py`.

  Raises:
    UserError: sizes that do not fit one another.
  """
  return MaskedLm(
    mixed_phonemes.make_encoder(
      symbols.VOCABULARY_SIZE,
      dim=config.model.dim,
      dtype=jnp.dtype(config.dtype),
      **config.model.encoder,
    )
  )


def build(config: ConfigDict) -> Stage:
  """Builds the stage from `configs/phoneme_lm.py`."""
  rate = config.objective.mask_rate
  if not 0.0 < rate <= 1.0:
    raise UserError(f"config.objective.mask_rate={rate} must be in (0, 1]")
  trainer = _Training(
    model=make_model(config),
    mask_rate=rate,
    weights=dict(config.loss),
  )
  has_sups = bool(config.model.encoder.num_sup_phonemes)
  return Stage(
    name="phoneme_lm",
    features=("phonemes",) + ("sup_phonemes",) * has_sups,
    init_fn=trainer.init,
    players=(optim.make_player("gen", trainer.loss, config.optim),),
    eval_fn=trainer.evaluate,
    sample_fn=None,
    ema_decay={"gen": config.ema_decay},
    partition_rules=mixed_phonemes.PARTITION_RULES,
  )


@dataclasses.dataclass(frozen=True)
class _Training:
  """The stage's functions; all state is in their arguments."""

  model: MaskedLm
  mask_rate: float  # share of the sup-phonemes that are asked for
  weights: Mapping[str, float]

  def init(
    self, key: Array, batch: Batch, frozen: Mapping[str, Any]
  ) -> tuple[dict[str, Params], dict]:
    """Parameters of the one player; there is no other state."""
    del frozen
    mixed = _mixed(jax.tree.map(lambda x: x[:1], batch))
    mask = mixed.phonemes > 0
    variables = self.model.init(key, mixed, mask, mixed.span, train=False)
    return {"gen": variables["params"]}, {}

  def loss(
    self, params, model_state, frozen, batch, key, *, step, phase, train
  ) -> Losses:
    """Weighted sum of both cross entropies, each the mean of what is asked."""
    del frozen, step, phase
    terms = self._ask(params["gen"], batch, key, train)
    means = {name: masks.masked_mean(*term) for name, term in terms.items()}
    total = sum(
      weight * means[name]
      for name, weight in self.weights.items()
      if name in means
    )
    return jnp.asarray(total), (means, model_state)

  def evaluate(
    self, params, model_state, frozen, batch, key
  ) -> dict[str, Mean]:
    """The same without dropout; accuracies are of what is masked, too."""
    del model_state, frozen
    terms = self._ask(params["gen"], batch, key, train=False)
    return {name: Mean.of(*term) for name, term in terms.items()}

  def _ask(
    self, params: Params, batch: Batch, key: Array, train: bool
  ) -> dict[str, Term]:
    """Masks a batch and compares what is told with what was there."""
    mask_key, dropout_key = jax.random.split(key)
    mixed = _mixed(jax.tree.map(sharding.constrain_batch, batch))
    encoder, mask = self.model.encoder, mixed.phonemes > 0
    max_spans = mask.shape[1]
    masked = mixed_phonemes.mask_spans(
      mixed,
      batch["num_spans"],
      max_spans,
      mask_key,
      rate=self.mask_rate,
      num_symbols=encoder.num_symbols,
      num_sup_phonemes=encoder.num_sup_phonemes,
    )
    spans, is_asked = _first(masked.is_asked_span, self._most(max_spans))
    logits: Any = self.model.apply(
      {"params": params},
      masked.mixed,
      mask,
      spans,
      train=train,
      rngs={"dropout": dropout_key},
    )
    of_phonemes, of_sups = logits
    terms = _told(of_phonemes, mixed.phonemes, masked.is_asked, "phoneme")
    if of_sups is None:
      return terms
    sups = _of_spans(mixed, spans)
    return terms | _told(of_sups, sups, is_asked, "sup_phoneme")

  def _most(self, max_spans: int) -> int:
    """More of so many are asked for less than once in 100,000 times."""
    rate = self.mask_rate
    spread = math.sqrt(rate * (1.0 - rate) * max_spans)
    return min(math.ceil(rate * max_spans + 5.0 * spread), max_spans)


def _mixed(batch: Batch) -> Mixed:
  """Sup-phonemes are 0 where there are none."""
  phonemes = batch["phonemes"]
  sups = batch.get("sup_phonemes", jnp.zeros_like(phonemes))
  return Mixed(phonemes, sups, batch["span"])


def _first(asked: Array, most: int) -> tuple[Array, Array]:
  """The first of those that are asked for.

  Args:
    asked: [B, K] bool.
    most: M.

  Returns:
    [B, M] int32, their numbers; and [B, M] bool, whether there are so many.
  """
  are, spans = jax.lax.top_k(asked.astype(jnp.int32), most)
  return spans, are == 1


def _of_spans(mixed: Mixed, spans: Array) -> Array:
  """The sup-phonemes [B, M] of spans [B, M]; 0 for spans that are not there."""
  member = spans[:, :, None] == mixed.span[:, None, :]
  member &= (mixed.phonemes > 0)[:, None, :]
  return jnp.max(member * mixed.sup_phonemes[:, None, :], axis=-1)


def _told(
  logits: Array, targets: Array, asked: Array, name: str
) -> dict[str, Term]:
  """Cross entropy, in nats, and accuracy of what was asked for."""
  ce = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
  right = logits.argmax(axis=-1) == targets
  return {f"{name}_ce": (ce, asked), f"{name}_accuracy": (right, asked)}
