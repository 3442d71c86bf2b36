# SPDX-License-Identifier: Apache-2.0
"""A cheap first guess of what a layout costs, to choose what to compile.

Compiling a step of the paper's size takes minutes, tracing it seconds. Only
compiled figures are ever reported.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from ns_jax import sharding
from ns_jax.nn import remat
from ns_jax.planning import compiling, topology
from ns_jax.planning.compiling import Run
from ns_jax.planning.topology import Slice

_MAX_TENSOR = 8  # no layer of ours has more to share out


@dataclasses.dataclass(frozen=True)
class Candidate:
  """One way to run a config."""

  mesh: tuple[int, ...]  # sizes of (data, fsdp, tensor)
  micro_batches: int
  remat: str | None  # None: as the config has it

  def __str__(self) -> str:
    """In one line."""
    data, fsdp, tensor = self.mesh
    text = f"data {data} x fsdp {fsdp} x tensor {tensor}"
    if self.micro_batches > 1:
      text += f", {self.micro_batches} micro-batches"
    return f"{text}, remat {self.remat}" if self.remat else text


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A guess for a candidate."""

  candidate: Candidate
  bytes: float  # of a chip's HBM
  seconds: float  # of a step


def candidates(run: Run, within: Slice, num_rows: int) -> Iterator[Candidate]:
  """All layouts that a batch of so many rows can have on a slice."""
  chips = within.num_chips
  policies = (
    tuple(remat.POLICIES) if compiling.has_remat(run.config.model) else (None,)
  )
  fewest = max(1, chips // num_rows)  # chips that must share a row
  for tensor in _divisors(chips):
    shards = chips // tensor
    if tensor < fewest or num_rows % shards:
      continue
    if tensor > max(fewest, _MAX_TENSOR):
      continue
    for fsdp in _divisors(shards):
      for parts in _powers_of_two(num_rows // shards):
        for policy in policies:
          yield Candidate((shards // fsdp, fsdp, tensor), parts, policy)


class Estimator:
  """Guesses for the candidates of one run; what they share is traced once."""

  def __init__(self, run: Run, within: Slice, num_rows: int, phase: int):
    """Args: what to plan, on which slice, for which batch and phase."""
    self._run, self._within = run, within
    self._num_rows, self._phase = num_rows, phase
    self._devices = topology.devices(within)
    self._state = run.state(num_rows)
    self._rules = run.stage.partition_rules
    self._forwards: dict[str | None, _Forward] = {}

  def estimate(self, candidate: Candidate) -> Estimate:
    """Guesses memory and time of one candidate."""
    traced = self._forward(candidate.remat)
    axis_sizes = dict(zip(sharding.MESH_AXES, candidate.mesh, strict=True))
    mesh = sharding.make_mesh(axis_sizes, self._devices)
    layouts = sharding.tree_shardings(self._state, mesh, self._rules)
    held = compiling.shard_bytes(self._state, layouts)
    own = compiling.shard_bytes(self._state.params, layouts.params)
    data, fsdp, tensor = candidate.mesh
    # Of activations, tensor parallelism shares out about half.
    shared = tensor if tensor == 1 else 0.5 + 0.5 * tensor
    kept = traced.residual_bytes / (data * fsdp * shared)
    chip = self._within.chip
    seconds = (
      traced.flops / self._within.num_chips / chip.flops_per_sec,
      (2.0 * held + 3.0 * kept) / chip.hbm_bytes_per_sec,
      self._sent_bytes(candidate, own)
      / self._within.ingress(compiling.coordinates(mesh)),
    )
    return Estimate(
      candidate,
      held + own + kept / candidate.micro_batches,
      0.5 * (max(seconds) + sum(seconds)),  # between overlap and none
    )

  def _sent_bytes(self, candidate: Candidate, own: float) -> float:
    """What a chip sends, its own part of the weights being `own` bytes."""
    data, fsdp, tensor = candidate.mesh
    item = np.dtype(self._run.config.dtype).itemsize
    # Weights for both passes, gradients back, for every part of the batch.
    sent = candidate.micro_batches * own * (fsdp - 1) * (2.0 * item / 4.0 + 1.0)
    sent += 2.0 * own * (data - 1) / data
    if tensor > 1:  # about a quarter of all activations there are
      policy = None if candidate.remat is None else "none"
      sent += 0.25 * self._forward(policy).residual_bytes / (data * fsdp)
    return sent

  def _forward(self, policy: str | None) -> "_Forward":
    if policy not in self._forwards:
      self._forwards[policy] = self._trace(policy)
    return self._forwards[policy]

  def _trace(self, policy: str | None) -> "_Forward":
    """Counts what a step computes and keeps under a policy."""
    run = self._run.with_options(1, policy)
    state, batch = self._state, run.batch(self._num_rows)
    flops = kept = 0.0
    for player in run.stage.players:
      own = state.params[player.name]

      def forward(own: Any, state: Any, batch: Any, player: Any = player):
        loss_fn = lambda own: player.loss_fn(
          {**state.params, player.name: own},
          state.model_state,
          state.frozen,
          batch,
          jax.random.key(0),
          step=state.step,
          phase=self._phase,
          train=True,
        )
        return jax.vjp(loss_fn, own, has_aux=True)[:2]

      def both(own: Any, state: Any, batch: Any, forward: Any = forward):
        loss, pull = forward(own, state, batch)
        return pull(loss)

      residuals = jax.eval_shape(forward, own, state, batch)[1]
      weights = {leaf.shape for leaf in jax.tree.leaves(own)}
      kept = max(
        kept,
        sum(
          float(leaf.size) * leaf.dtype.itemsize
          for leaf in jax.tree.leaves(residuals)
          if leaf.shape not in weights
        ),
      )
      flops += compiling.flops(jax.jit(both).trace(own, state, batch)) or 0.0
    return _Forward(flops, kept)


@dataclasses.dataclass(frozen=True)
class _Forward:
  flops: float  # of a step, both passes, all chips
  residual_bytes: float  # kept between the passes, of the whole batch


def _divisors(number: int) -> list[int]:
  return [i for i in range(1, number + 1) if number % i == 0]


def _powers_of_two(limit: int) -> list[int]:
  return [1 << i for i in range(limit.bit_length()) if limit % (1 << i) == 0]
