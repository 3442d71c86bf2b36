# SPDX-License-Identifier: Apache-2.0
"""SIGTERM saves and stops; SIGKILL, at any moment, costs nothing but time."""

import contextlib
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
import toy

from ns_jax.errors import Preempted
from ns_jax.training import checkpoint, divergence, loop
from tests import commands, fleet


def told_at(number):
  """Batches, and SIGTERM while one of them is being read."""
  plain = toy.make_feeds()

  def train(first):
    for own, batch in enumerate(plain.train(first), first):
      if own == number:
        os.kill(os.getpid(), signal.SIGTERM)
      yield batch

  return loop.Feeds(train, plain.valid)


@pytest.mark.parametrize("eval_every", [1, 6])
@pytest.mark.parametrize("number", range(5, 10))
def test_sigterm_saves_and_stops(tmp_path, number, eval_every):
  """Which step it meets depends on how far ahead the batches are read."""
  before = signal.getsignal(signal.SIGTERM)
  config = lambda: toy.make_config(12, save_every=12, eval_every=eval_every)
  with pytest.raises(Preempted) as stopped:
    toy.run(tmp_path / "told", config(), feeds=told_at(number))
  assert checkpoint.read_newest(tmp_path / "told")[0] == stopped.value.args[0]
  assert number - 2 <= stopped.value.args[0] <= number + 2
  assert signal.getsignal(signal.SIGTERM) is before
  told = toy.run(tmp_path / "told", config())
  whole = toy.run(tmp_path / "whole", config())
  jax.tree.map(np.testing.assert_array_equal, told.params, whole.params)
  assert commands.metrics(tmp_path / "told") == commands.metrics(
    tmp_path / "whole"
  )


def test_sigterm_is_heard_while_a_run_goes_back(tmp_path, monkeypatch):
  add = divergence.Skipped.add

  def told(*args):
    os.kill(os.getpid(), signal.SIGTERM)
    add(*args)

  monkeypatch.setattr(divergence.Skipped, "add", told)
  with pytest.raises(Preempted, match="6"):
    toy.run(tmp_path, toy.make_config(12), toy.make_stage(poison_step=7))
  assert checkpoint.read_newest(tmp_path)[0] == 6


@pytest.mark.slow
def test_all_processes_stop_where_one_is_told_to(tmp_path):
  run_dir = tmp_path / "run"
  run_dir.mkdir()
  train = fleet.TRAIN_TOY
  group = fleet.start(train, 2, run_dir, 4000, logs=tmp_path, devices=2)
  fleet.wait_for_checkpoint(run_dir, 3, group)
  group[1].send_signal(signal.SIGTERM)
  texts = fleet.succeed(group, tmp_path)
  step = checkpoint.read_newest(run_dir)[0]
  assert all(f"stopped {step}" in text.splitlines() for text in texts)
  again = fleet.start(train, 4, run_dir, step + 4, logs=tmp_path)
  assert all(
    f"done {step + 4}" in text for text in fleet.succeed(again, tmp_path)
  )
  toy.run(tmp_path / "whole", toy.make_config(step + 4))
  pairs = zip(
    commands.metrics(run_dir), commands.metrics(tmp_path / "whole"), strict=True
  )
  for found, expected in pairs:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
      assert found[name] == pytest.approx(value, rel=1e-4, abs=1e-7), name


# Imports once, and is a fork of itself for each run.
FORKS = """
import os, pathlib, sys
import toy
for line in sys.stdin:
  child = os.fork()
  if not child:
    config = toy.make_config(16, save_every=4, eval_every=8)
    toy.run(pathlib.Path(line.strip()), config)
    os._exit(0)
  print(child, flush=True)
  print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
  "wanted", [8, pytest.param(30, marks=pytest.mark.nightly)]
)
def test_kills_at_random_moments_change_nothing(tmp_path, wanted):
  here = pathlib.Path(__file__).parent
  environment = os.environ | {"PYTHONPATH": f"{here}:{here.parents[1]}"}
  kills, runs, moments = 0, 0, random.Random(0)
  with subprocess.Popen(
    [sys.executable, "-c", FORKS],
    env=environment,
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    text=True,
  ) as forks:

    def attempt(path, kill_after_sec=None):
      forks.stdin.write(f"{path}\n")
      forks.stdin.flush()
      child = int(forks.stdout.readline())
      if kill_after_sec is not None:
        time.sleep(kill_after_sec)
        with contextlib.suppress(ProcessLookupError):  # it was done already
          os.kill(child, signal.SIGKILL)
      return int(forks.stdout.readline())

    attempt(tmp_path / "warm")  # compiles
    start = time.monotonic()
    assert attempt(tmp_path / "whole") == 0
    whole_sec = time.monotonic() - start
    expected = commands.metrics(tmp_path / "whole")
    while kills < wanted:
      path, status = tmp_path / f"run{runs}", -signal.SIGKILL
      while status and kills < wanted:
        status = attempt(path, moments.uniform(0.0, whole_sec))
        kills += status == -signal.SIGKILL
        assert status in (0, -signal.SIGKILL)
      if status:
        assert attempt(path) == 0
      assert commands.metrics(path) == expected
      runs += 1
    forks.stdin.close()
