# SPDX-License-Identifier: Apache-2.0
"""Runs whose folder is in a bucket."""

import os
import threading
import time

import numpy as np
import pytest
import toy

from ns_jax import paths
from ns_jax.errors import UserError
from ns_jax.training import checkpoint, remote_lock, workdir, writers
from tests import gcs


@pytest.fixture
def bucket(monkeypatch):
  monkeypatch.setattr(remote_lock, "BEAT_SEC", 0.2)
  monkeypatch.setattr(remote_lock, "STALE_SEC", 2.0)
  with gcs.used() as storage:
    yield storage


def contents(bucket):
  objects = bucket.buckets["bucket"]
  return {name: objects[name].content for name in objects}


@pytest.mark.slow
@pytest.mark.nightly
def test_a_run_in_a_bucket_goes_on_and_may_be_moved(bucket, tmp_path):
  whole = toy.run(tmp_path / "whole", toy.make_config(12))
  run = paths.resolve("gs://bucket/run")
  toy.run(run, toy.make_config(6))
  bucket.fail_every = 23
  state = toy.run(run, toy.make_config(12))
  bucket.fail_every = 0
  np.testing.assert_array_equal(
    state.params["gen"]["kernel"], whole.params["gen"]["kernel"]
  )
  plain = lambda path: [
    {name: value for name, value in record.items() if name != "timing"}
    for record in writers.read_metrics(path)
  ]
  assert plain(run) == plain(tmp_path / "whole")
  kept = {name.split("/")[2] for name in contents(bucket) if "/state/" in name}
  assert kept == {"6", "9", "12"}
  assert "run/checkpoints/12/digests.json" in contents(bucket)
  for name, content in contents(bucket).items():  # from there to here
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
  here = checkpoint.read_newest(tmp_path / "run")
  for path in (tmp_path / "whole").rglob("*"):  # and from here to there
    if path.is_file():
      name = path.relative_to(tmp_path).as_posix()
      bucket.put("bucket", name, path.read_bytes())
  for step, found in (here, checkpoint.read_newest(run)):
    assert step == 12
    np.testing.assert_array_equal(
      found["params"]["gen"]["kernel"], whole.params["gen"]["kernel"]
    )


@pytest.mark.slow
def test_a_cut_checkpoint_in_a_bucket_is_set_aside(bucket):
  run = paths.resolve("gs://bucket/run")
  toy.run(run, toy.make_config(6))
  large = max(
    (len(content), name)
    for name, content in contents(bucket).items()
    if name.startswith("run/checkpoints/6/state/")
  )[1]
  bucket.put("bucket", large, contents(bucket)[large][:-1])
  assert checkpoint.read_newest(run)[0] == 3
  toy.run(run, toy.make_config(9))
  names = contents(bucket)
  assert any(name.startswith("run/corrupt_checkpoints/6-0/") for name in names)
  assert checkpoint.read_newest(run)[0] == 9


@pytest.mark.slow
def test_a_checkpoint_that_is_not_committed_is_none(bucket):
  run = paths.resolve("gs://bucket/run")
  toy.run(run, toy.make_config(6))
  del bucket.buckets["bucket"]["run/checkpoints/6/commit_success.txt"]
  assert checkpoint.read_newest(run)[0] == 3


def test_two_runs_cannot_share_a_folder(bucket):
  run = paths.resolve("gs://bucket/run")
  with workdir.lock(run):
    token = workdir.holder(run)
    assert token
    with pytest.raises(UserError, match="another run"), workdir.lock(run):
      pass
    assert workdir.holder(run) == token
  assert workdir.holder(run) is None
  with workdir.lock(run):
    assert workdir.holder(run) != token


def test_the_lock_of_a_killed_run_becomes_free(bucket):
  bucket.put("bucket", "run/.lock", b"of a killed run")
  begun = time.monotonic()
  with workdir.lock(paths.resolve("gs://bucket/run")):
    assert time.monotonic() - begun >= 1.5


def test_who_has_lost_the_lock_stops(bucket, monkeypatch):
  stopped = threading.Event()
  monkeypatch.setattr(os, "_exit", lambda status: stopped.set())
  run = paths.resolve("gs://bucket/run")
  with workdir.lock(run):
    bucket.put("bucket", "run/.lock", b"another")
    assert stopped.wait(20)
  assert workdir.holder(run) == "another"


def test_a_folder_of_something_else_is_left_as_it_is(bucket):
  bucket.put("bucket", "run/thesis.txt", b"mine")
  run = paths.resolve("gs://bucket/run")
  with pytest.raises(UserError, match="holds no run"), workdir.lock(run):
    pass
  assert bucket.names("bucket") == ["run/thesis.txt"]
