# SPDX-License-Identifier: Apache-2.0
"""One of several processes is killed: its peers notice, and all go on."""

import os
import pathlib
import signal

import pytest

from ns_jax.training import checkpoint
from tests import fleet
from tests.launch import shells

pytestmark = pytest.mark.slow

STEPS = 60


def child_of(process):
  """The training process that a supervisor has begun."""
  listed = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
  return int(listed.read_text().split()[0])


def test_all_begin_again_where_one_was_killed(tmp_path):
  run_dir = tmp_path / "run"
  run_dir.mkdir()
  group = fleet.start(
    fleet.TRAIN_TOY,
    2,
    f"--workdir={run_dir}",
    STEPS,
    logs=tmp_path,
    prelude="processes._HEARTBEAT_SEC = 4\n" + fleet.JOIN,
    under=(str(shells.LAUNCH / "restart.sh"), "--wait=0", "--"),
  )
  fleet.wait_for_checkpoint(run_dir, 6, group)
  os.kill(child_of(group[1]), signal.SIGKILL)
  texts = fleet.succeed(group, tmp_path)
  for text in texts:
    assert text.count("begins again") >= 1
    assert f"done {STEPS}" in text
  assert checkpoint.read_newest(run_dir)[0] == STEPS
