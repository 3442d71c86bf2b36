# SPDX-License-Identifier: Apache-2.0
"""A broken batch is left out; a broken run stops."""

import json

import jax
import numpy as np
import pytest
import toy

from ns_jax.errors import UserError
from ns_jax.training import checkpoint, divergence, loop
from tests import commands


def feeds_with(broken=(), missing=()):
  """Batches some of which are NaN, or are not there at all."""
  sound = toy.make_feeds()

  def train(first):
    number = -1
    for position, batch in enumerate(sound.train(0)):
      if position in missing:
        continue
      number += 1
      if number >= first:
        factor = np.float32(np.nan if position in broken else 1.0)
        yield {name: factor * rows for name, rows in batch.items()}

  return loop.Feeds(train, sound.valid)


def skipped(path):
  return json.loads((path / divergence.SKIPPED_FILE).read_text())


@pytest.mark.parametrize(
  ("broken", "log_every"), [((0,), 1), ((7,), 1), ((7, 8), 5), ((4, 11), 20)]
)
def test_a_broken_batch_is_as_if_it_were_not_there(
  tmp_path, caplog, broken, log_every
):
  config = toy.make_config(12, log_every=log_every)
  state = toy.run(tmp_path / "broken", config, feeds=feeds_with(broken))
  assert skipped(tmp_path / "broken") == list(broken)
  assert all(f"without batch {number}" in caplog.text for number in broken)
  sound = toy.run(tmp_path / "sound", config, feeds=feeds_with((), broken))
  jax.tree.map(np.testing.assert_array_equal, state.params, sound.params)
  assert commands.metrics(tmp_path / "broken") == commands.metrics(
    tmp_path / "sound"
  )


def test_a_run_that_goes_on_leaves_out_the_same(tmp_path):
  feeds = feeds_with((1, 4, 13))
  whole = toy.run(tmp_path / "whole", toy.make_config(18), feeds=feeds)
  toy.run(tmp_path / "parts", toy.make_config(6), feeds=feeds)
  parts = toy.run(tmp_path / "parts", toy.make_config(18), feeds=feeds)
  jax.tree.map(np.testing.assert_array_equal, whole.params, parts.params)
  assert skipped(tmp_path / "parts") == skipped(tmp_path / "whole")


@pytest.mark.parametrize(
  ("feeds", "stage"),
  [
    (feeds_with(range(7, 99)), toy.make_stage()),
    (feeds_with(), toy.make_stage(poison_step=7)),
  ],
)
def test_it_stops_where_other_batches_are_no_better(tmp_path, feeds, stage):
  with pytest.raises(UserError, match=r"is not finite at step 8, also without"):
    toy.run(tmp_path, toy.make_config(12), stage, feeds=feeds)
  assert len(skipped(tmp_path)) == divergence.MOST_SKIPPED
  step, state = checkpoint.read_newest(tmp_path)
  assert step == 6
  for leaf in jax.tree.leaves(state["params"]):
    assert np.isfinite(leaf).all()


@pytest.mark.parametrize("step", [0, 6])
def test_it_stops_where_the_first_step_of_all_or_of_these_is_broken(
  tmp_path, step
):
  """That is, right after the checkpoint that training goes back to."""
  with pytest.raises(UserError, match=rf"at step {step + 1}, also without 3"):
    toy.run(tmp_path, toy.make_config(12), toy.make_stage(poison_step=step))
  expected = list(range(step, step + divergence.MOST_SKIPPED))
  assert skipped(tmp_path) == expected


def test_numbers_go_on_after_what_is_left_out(tmp_path):
  (tmp_path / divergence.SKIPPED_FILE).write_text("[0, 3, 4]")
  numbers = divergence.Skipped(tmp_path)
  assert [numbers.number(step) for step in range(5)] == [1, 2, 5, 6, 7]
  kept = numbers.kept(iter([{"n": i} for i in range(2, 7)]), 2)
  assert [batch["n"] for batch in kept] == [2, 5, 6]
