# SPDX-License-Identifier: Apache-2.0
"""Aligner training: durations out of text and speech alone (2108.10447)."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from ns_jax import masks
from ns_jax.array_types import Array, Batch, Params
from ns_jax.audio import AudioSpec
from ns_jax.dsp import mel
from ns_jax.losses import alignment
from ns_jax.models import aligner
from ns_jax.nn import monotonic
from ns_jax.text import symbols
from ns_jax.training import optim
from ns_jax.training.metrics import Mean
from ns_jax.training.stage import Stage

FEATURES = ("phonemes", "word_starts", "wav")
CLOSE_MS = 25.0  # a boundary this near to the true one counts as found


def make_aligner(config: ConfigDict) -> aligner.Aligner:
  """The network of `configs/aligner.py`."""
  return aligner.Aligner(
    dtype=jnp.dtype(config.dtype),
    **config.model,
  )


def build(config: ConfigDict) -> Stage:
  """Builds the stage from `configs/aligner.py`."""
  trainer = _Training(
    spec=AudioSpec(**config.audio),
    model=make_aligner(config),
    weights=dict(config.loss),
    binarise_from=config.objective.binarise_from,
    min_frames=config.path.min_frames,
  )
  return Stage(
    name="aligner",
    features=FEATURES + ("durations",) * config.eval.true_durations,
    init_fn=trainer.init,
    players=(optim.make_player("gen", trainer.loss, config.optim),),
    eval_fn=trainer.evaluate,
    sample_fn=trainer.sample,
    ema_decay={"gen": config.ema_decay},
    partition_rules=(),  # too small to be split
  )


@dataclasses.dataclass(frozen=True)
class _Training:
  """The stage's functions; all state is in their arguments."""

  spec: AudioSpec
  model: aligner.Aligner
  weights: Mapping[str, float]
  binarise_from: int  # first step of the binarisation loss
  min_frames: int  # of a phoneme

  def init(
    self, key: Array, batch: Batch, frozen: Mapping[str, Any]
  ) -> tuple[dict[str, Params], dict]:
    """Parameters of the one player; there is no other state."""
    del frozen
    variables = self.model.init(key, *self._inputs(batch))
    return {"gen": variables["params"]}, {}

  def loss(
    self,
    params: Mapping[str, Params],
    model_state: Mapping[str, Any],
    frozen: Mapping[str, Any],
    batch: Batch,
    key: Array,
    *,
    step: Array,
    phase: int,
    train: bool,
  ) -> tuple[Array, tuple[dict[str, Array], Mapping[str, Any]]]:
    """Forward-sum and, once paths make sense, binarisation."""
    del frozen, key, phase, train
    terms, *_ = self._align(params["gen"], batch)
    means = {
      name: masks.masked_mean(values, mask)
      for name, (values, mask) in terms.items()
    }
    binarise = self.weights["binarisation"] * (step >= self.binarise_from)
    total = self.weights["forward_sum"] * means["forward_sum"]
    return total + binarise * means["binarisation"], (means, model_state)

  def evaluate(
    self,
    params: Mapping[str, Params],
    model_state: Mapping[str, Any],
    frozen: Mapping[str, Any],
    batch: Batch,
    key: Array,
  ) -> dict[str, Mean]:
    """Losses, and how far phones begin from where they should, if known."""
    del model_state, frozen, key
    terms, durations, _ = self._align(params["gen"], batch)
    means = {
      name: Mean.of(values, mask) for name, (values, mask) in terms.items()
    }
    if "durations" not in batch:
      return means
    found, true = (
      (jnp.cumsum(d, axis=1) - d) * self.spec.frame_period_ms
      for d in (durations, batch["durations"])
    )
    error_ms = jnp.abs(found - true)
    phonemes = batch["phonemes"]
    is_phone = masks.length_mask(batch["num_phonemes"], phonemes.shape[1])
    is_phone &= ~jnp.isin(phonemes, jnp.array(symbols.PAUSE_IDS))
    return means | {
      "boundary_error_ms": Mean.of(error_ms, is_phone),
      "boundaries_found": Mean.of(error_ms <= CLOSE_MS, is_phone),
    }

  def sample(
    self,
    params: Mapping[str, Params],
    model_state: Mapping[str, Any],
    frozen: Mapping[str, Any],
    batch: Batch,
    key: Array,
  ) -> dict[str, Array]:
    """What each frame is likely to be of, and the best path through that."""
    del model_state, frozen, key
    _, durations, log_probs = self._align(params["gen"], batch)
    log_mel, frame_mask = self._inputs(batch)
    path = monotonic.on_path(durations, log_mel.shape[1])
    alignments = {"likely": jax.nn.softmax(log_probs), "best path": path}
    return {
      "figure/recording": log_mel.swapaxes(1, 2),
      "phonemes/text": batch["phonemes"],
    } | {
      f"alignment/{name}": (shares * frame_mask[..., None]).swapaxes(1, 2)
      for name, shares in alignments.items()
    }

  def _inputs(self, batch: Batch) -> tuple[Array, Array]:
    log_mel = mel.log_mel(batch["wav"], self.spec)
    return log_mel, masks.length_mask(batch["num_frames"], log_mel.shape[1])

  def _align(
    self, params: Params, batch: Batch
  ) -> tuple[dict[str, tuple[Array, Array]], Array, Array]:
    """Elements of the losses with their masks, durations, log-probabilities.

    Durations are [B, N], log-probabilities of phonemes in frames [B, T, N]. All
    paths through the text as it is written are summed; the best one may
    pause between any two words.
    """
    log_mel, frame_mask = self._inputs(batch)
    logits: Any = self.model.apply({"params": params}, log_mel, frame_mask)
    phonemes = batch["phonemes"]
    told = (phonemes != symbols.PADDING_ID) & ~batch["is_offer"]
    log_probs = aligner.of_phonemes(logits, phonemes, told)
    lengths = batch["num_frames"], batch["num_phonemes"]
    is_pause = jnp.isin(phonemes, jnp.array(symbols.PAUSE_IDS))
    durations = monotonic.best_durations(
      jax.lax.stop_gradient(log_probs), *lengths, is_pause, self.min_frames
    )
    near = aligner.with_diagonal_prior(log_probs, batch["num_frames"], told)
    forward_sum = alignment.forward_sum(
      near, *lengths, is_pause, self.min_frames
    )
    terms = {
      "forward_sum": (forward_sum, jnp.ones_like(forward_sum, bool)),
      "binarisation": (
        alignment.binarisation(log_probs, durations),
        frame_mask,
      ),
    }
    return terms, durations, log_probs
