# SPDX-License-Identifier: Apache-2.0
"""The contract between the trainer and what it trains.

A stage is a frozen record of pure functions. What differs between stages is
data in that record; the trainer has no branch on a stage's name.
"""

import bisect
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import optax

from ns_jax.array_types import Array, Batch, Params
from ns_jax.sharding import Rules
from ns_jax.training.metrics import Mean


class LossFn(Protocol):
  """Loss of one player."""

  def __call__(
    self,
    params: Mapping[str, Params],  # player -> parameters, all players
    model_state: Mapping[str, Any],  # collections without gradient
    frozen: Mapping[str, Any],  # weights of earlier stages
    batch: Batch,
    key: Array,
    *,
    step: Array,  # [] int32
    phase: int,  # of the stage's, see there
    train: bool,
  ) -> tuple[Array, tuple[dict[str, Array], Mapping[str, Any]]]:
    """Returns (scalar loss, (scalars to log, new model_state))."""
    ...


class InitFn(Protocol):
  """Makes parameters and model state; a stage may start from frozen ones."""

  def __call__(
    self, key: Array, batch: Batch, frozen: Mapping[str, Any]
  ) -> tuple[dict[str, Params], dict[str, Any]]:
    """Returns ({player: parameters}, model_state)."""
    ...


class BeginFn(Protocol):
  """Makes a run ready for a phase, before the first step of it."""

  def __call__(
    self,
    params: Mapping[str, Params],
    model_state: Mapping[str, Any],
    frozen: Mapping[str, Any],
    batch: Batch,
    key: Array,
    *,
    phase: int,
  ) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Returns (parameters to replace, by player and path; new model_state)."""
    ...


class EvalFn(Protocol):
  """Measures one held-out batch."""

  def __call__(
    self,
    params: Mapping[str, Params],
    model_state: Mapping[str, Any],
    frozen: Mapping[str, Any],
    batch: Batch,
    key: Array,
  ) -> dict[str, Mean]:
    """Returns named means, merged over batches by the trainer."""
    ...


class SampleFn(Protocol):
  """Makes examples a person can hear or see from one held-out batch."""

  def __call__(
    self,
    params: Mapping[str, Params],
    model_state: Mapping[str, Any],
    frozen: Mapping[str, Any],
    batch: Batch,
    key: Array,
  ) -> dict[str, Array]:
    """Returns arrays by kind and name, as `previews` draws them.

    audio/… [B, S] waves; figure/… [B, M, T] log-mels; alignment/… [B, N, T]
    shares of the phonemes in each frame, and phonemes/… [B, N] their ids;
    pitch/… [B, T] in Hz, 0 where unvoiced; codebook/… [Q, K] hits of codes.
    """
    ...


@dataclasses.dataclass(frozen=True)
class Player:
  """One set of parameters with its loss and optimiser."""

  name: str
  loss_fn: LossFn
  tx: optax.GradientTransformation
  learning_rate: Callable[[Any], Any]  # of a step; `tx` has it, this tells it


@dataclasses.dataclass(frozen=True)
class Stage:
  """Everything the trainer needs to know of one stage."""

  name: str
  features: tuple[str, ...]  # record fields this stage reads
  init_fn: InitFn
  players: tuple[Player, ...]  # updated in this order, every step
  eval_fn: EvalFn
  sample_fn: SampleFn | None  # None: there is nothing to hear or see
  ema_decay: Mapping[str, float]  # player -> decay; absent player: no average
  partition_rules: Rules
  # First step of each phase. A phase is a program of its own: what a branch in
  # the step would decide is decided when it is compiled, which matters because
  # XLA runs what is in a branch at half the speed on CPU.
  phases: tuple[int, ...] = (0,)

  begin_fn: BeginFn | None = None  # of every phase but the first
  has_one_voice: bool = False  # of several speakers it would make a blend

  def phase(self, step: int) -> int:
    """Which phase a step belongs to."""
    return bisect.bisect_right(self.phases, step) - 1
