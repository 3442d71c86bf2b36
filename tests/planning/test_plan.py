# SPDX-License-Identifier: Apache-2.0
"""What follows from a step's figures, and how it is told."""

import dataclasses

import pytest

from ns_jax.planning import plan, roofline, table
from ns_jax.planning.compiling import Memory

STEP = plan.Step(
  stage="ns2",
  slice_name="test:2x2",
  chips=4,
  phase=0,
  first_step=0,
  num_steps=43_200,
  layout="data 4 x fsdp 1 x tensor 1",
  rows=8,
  audio_sec=120.0,
  memory=Memory(50.0, 45.0, 40.0, 30.0, 5.0),
  hbm_bytes=100.0,
  flops=300.0,
  pass_flops=400.0,
  traced_flops=320.0,
  model_flops=200.0,
  traffic_bytes=100.0,
  exchanges=(),
  bound=roofline.Bound(4.0, 2.0, 2.0),
  compiler_sec=6.0,
  peak_flops_per_sec=100.0,
  unknown=(),
)


def test_what_follows_from_the_figures():
  found = STEP.to_json()
  assert found["memory_bytes"] == 90.0
  assert found["step_sec"] == [4.0, 8.0]
  assert found["utilisation"] == [0.25, 0.5]
  assert found["audio_hours_per_hour"] == [15.0, 30.0]
  assert found["expected_sec"] == 8.0
  assert found["expected_utilisation"] == 0.25
  assert found["days"] == [2.0, 4.0]
  assert found["is_known"]
  assert "25 to 50" in table.describe(STEP)


@pytest.mark.parametrize(
  ("figures", "reason"),
  [
    (dict(unknown=("loop a of unknown length",)), "loop a of unknown"),
    (dict(flops=100.0), "the two counts of products differ"),
    (dict(traced_flops=None), "were not counted before compiling"),
  ],
)
def test_times_are_not_told_where_counts_are_not_whole(figures, reason):
  told = table.describe(dataclasses.replace(STEP, **figures))
  assert reason in told
  assert "binds" not in told
