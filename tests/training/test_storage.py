# SPDX-License-Identifier: Apache-2.0
"""Storage that fails: what was saved stays, and what can go on does."""

import dataclasses
import errno
import hashlib
import os
import pathlib
import shutil
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy

from ns_jax import files
from ns_jax.errors import UnreachableError
from ns_jax.training import checkpoint
from tests import commands


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
  monkeypatch.setattr(files, "PAUSES_SEC", (0.0, 0.0))
  monkeypatch.setattr(checkpoint, "PAUSES_SEC", (0.0,))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """A run that met no failure: its folder and last kernel."""
  folder = tmp_path_factory.mktemp("whole")
  state = toy.run(folder, toy.make_config(12))
  return folder, np.asarray(state.params["gen"]["kernel"])


@pytest.fixture
def failing_commits(monkeypatch):
  """Makes the commits of Orbax fail whose numbers, from 0, are in a set."""
  numbers, done, rename = set(), [], os.rename

  def flaky(source, target, **kwargs):
    if pathlib.Path(target).name.isdigit():  # a step
      done.append(target)
      if len(done) - 1 in numbers:
        raise OSError(errno.EIO, os.strerror(errno.EIO), source)
    return rename(source, target, **kwargs)

  monkeypatch.setattr(os, "rename", flaky)
  return numbers


def commits(workdir):
  """What is in the folder of checkpoints, as numbers."""
  names = os.listdir(workdir / checkpoint.CHECKPOINTS_DIR)
  return sorted(map(int, names))


def make_state(step):
  kernel = jnp.arange(4096.0).reshape(64, 64) + step
  return {"step": jnp.int32(step), "params": {"gen": {"kernel": kernel}}}


def save(workdir, *steps):
  checkpointer = checkpoint.Checkpointer(workdir, keep=3)
  for step in steps:
    checkpointer.save(step, make_state(step), wait=True)
  checkpointer.close()


def restore(workdir):
  abstract = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(
      leaf.shape, leaf.dtype, sharding=leaf.sharding
    ),
    make_state(0),
  )
  checkpointer = checkpoint.Checkpointer(workdir, keep=3)
  state = checkpointer.restore_latest(abstract)
  checkpointer.close()
  return state


@pytest.mark.parametrize("numbers", [{1}, {1, 2}, {3}])
def test_a_failed_save_is_made_again(
  tmp_path, whole, failing_commits, caplog, numbers
):
  failing_commits |= numbers
  state = toy.run(tmp_path, toy.make_config(12))
  assert caplog.text.count("cannot be saved") == len(numbers)
  np.testing.assert_array_equal(state.params["gen"]["kernel"], whole[1])
  assert commands.metrics(tmp_path) == commands.metrics(whole[0])
  assert checkpoint.read_newest(tmp_path)[0] == 12
  assert len(commits(tmp_path)) == 3


def test_three_failures_stop_the_run_and_the_same_command_goes_on(
  tmp_path, whole, failing_commits
):
  failing_commits |= {2, 3, 4}
  with pytest.raises(UnreachableError, match="cannot be saved.*run the same"):
    toy.run(tmp_path, toy.make_config(12))
  assert checkpoint.read_newest(tmp_path)[0] == 6
  failing_commits.clear()
  state = toy.run(tmp_path, toy.make_config(12))
  assert commits(tmp_path) == [6, 9, 12]
  np.testing.assert_array_equal(state.params["gen"]["kernel"], whole[1])


@pytest.fixture
def small_disk(tmp_path):
  disk = tmp_path / "disk"
  disk.mkdir()
  mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
  if subprocess.run(mount, capture_output=True, check=False).returncode:
    pytest.skip("this user cannot mount a disk to fill")
  yield disk
  subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_takes_nothing_away(small_disk, whole):
  run, ballast = small_disk / "run", small_disk / "ballast"
  feeds = toy.make_feeds()

  def filling(step):
    for number, batch in enumerate(feeds.train(step), step):
      if number == 8:
        free = shutil.disk_usage(small_disk).free
        ballast.write_bytes(bytes(free - (16 << 10)))
      yield batch

  with pytest.raises((OSError, RuntimeError, ValueError)) as caught:
    toy.run(
      run,
      toy.make_config(12, log_every=100),
      feeds=dataclasses.replace(feeds, train=filling),
    )
  assert files.is_disk_full(caught.value)
  # Batches are read ahead.
  assert checkpoint.read_newest(run)[0] in (3, 6)
  ballast.unlink()
  again = toy.run(run, toy.make_config(12, log_every=100))
  assert checkpoint.read_newest(run)[0] == 12
  np.testing.assert_array_equal(again.params["gen"]["kernel"], whole[1])


@pytest.mark.parametrize("is_sealed", [True, False])
def test_a_checkpoint_cut_anywhere_is_never_taken_for_whole(
  tmp_path, is_sealed
):
  save(tmp_path / "run", 1, 2)
  newest = tmp_path / "run" / checkpoint.CHECKPOINTS_DIR / "2"
  if not is_sealed:  # killed between the commit and the seal
    (newest / "digests.json").unlink()
  names = [p.relative_to(newest) for p in newest.rglob("*") if p.is_file()]
  assert len(names) > 5
  steps = []
  for number, name in enumerate(names):
    hurt = tmp_path / str(number)
    shutil.copytree(tmp_path / "run", hurt)
    cut = hurt / checkpoint.CHECKPOINTS_DIR / "2" / name
    os.truncate(cut, cut.stat().st_size // 2)
    state = restore(hurt)
    steps.append(int(state["step"]))
    expected = make_state(steps[-1])["params"]["gen"]["kernel"]
    np.testing.assert_array_equal(state["params"]["gen"]["kernel"], expected)
    is_state = name.parent.name != ""  # Orbax's notes lie beside it
    if is_sealed and is_state:
      assert steps[-1] == 1, name
  assert 1 in steps


def test_a_checkpoint_that_cannot_be_read_just_now_is_not_set_aside(
  tmp_path, monkeypatch, caplog
):
  save(tmp_path, 1, 2)
  digest, calls = hashlib.file_digest, []

  def flaky(file, name):
    calls.append(file)
    if len(calls) in fails:
      raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
    return digest(file, name)

  monkeypatch.setattr(hashlib, "file_digest", flaky)
  fails = range(2, 4)
  assert int(restore(tmp_path)["step"]) == 2
  assert caplog.text.count("again in") == 2
  calls.clear()
  fails = range(2, 5)
  with pytest.raises(UnreachableError, match="cannot be read.*run the same"):
    restore(tmp_path)
  assert not (tmp_path / checkpoint.SET_ASIDE_DIR).exists()
