# SPDX-License-Identifier: Apache-2.0
import dataclasses
import json
import multiprocessing
import os
import pathlib
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_pipelines import beam, builder, records
from ns_jax.errors import UserError


def _record(split, i):
  return {
    "id": f"{split}{i}",
    "wav": np.arange(-i, 100, dtype=np.int16),
    "f0": np.full(3, i, np.float32),
  }


@dataclasses.dataclass(frozen=True)
class _Toy:
  """Five and two records; every one of item 3 is refused."""

  version: int = 1
  dies_at: int = -1
  flag: str = ""  # a file: what stands there happened before
  description = "A toy."
  features = ("id", "wav", "f0")
  items_per_shard = (2, 2)

  def identity(self) -> dict[str, Any]:
    return {"toy": self.version}

  def plan(self, notes):
    notes.append({"planned": True})
    yield from (("train", {"split": "train", "i": i}) for i in range(5))
    yield from (("valid", {"split": "valid", "i": i}) for i in range(2))

  def records(self, items, notes):
    for item in items:
      if item["split"] == "train" and item["i"] == self.dies_at:
        os._exit(9)
      if self.flag:
        with open(self.flag, "a") as file:
          file.write(f"{item['split']}{item['i']} ")
      if item["i"] == 3:
        notes.append({"refused": 3})
      else:
        yield _record(item["split"], item["i"])

  def finish(self, directory, notes):
    assert not (directory / records.RECORDS_FILE).exists()
    (directory / "notes.json").write_text(json.dumps(list(notes)))


class _Empty(_Toy):
  def records(self, items, notes):
    yield from ()


def _build(corpus, directory):
  return builder.build(
    corpus, directory, label="toy", beam_options=beam.THIS_PROCESS
  )


def _content(directory):
  """Everything stored; the order of fields in a record's bytes is chance."""
  stored = {
    split: [
      (record["id"], record["wav"].tolist(), record["f0"].tolist())
      for record in records.Records(directory, split)
    ]
    for split in ("train", "valid")
  }
  files = {
    path.name: None if "array_record" in path.name else path.read_bytes()
    for path in directory.iterdir()
  }
  return stored, files


def test_round_trip_keeps_order_values_and_notes(tmp_path):
  records_dir = _build(_Toy(), tmp_path / "out")
  assert records_dir == tmp_path / "out"
  for split, kept in (("train", (0, 1, 2, 4)), ("valid", (0, 1))):
    stored = records.Records(records_dir, split)
    assert len(stored) == len(kept)
    for i, number in enumerate(kept):
      expected = _record(split, number)
      assert stored[i]["id"] == expected["id"]
      np.testing.assert_array_equal(stored[i]["wav"], expected["wav"])
      assert stored[i]["wav"].dtype == np.int16
      np.testing.assert_array_equal(stored[i]["f0"], expected["f0"])
  notes = json.loads((records_dir / "notes.json").read_text())
  assert notes == [{"planned": True}, {"refused": 3}]
  facts = records.read_facts(records_dir)
  assert facts["splits"] == {"train": 4, "valid": 2}
  assert facts["longest"] == {"wav": 104, "f0": 3}
  assert not (records_dir / "plan").exists()


def test_tfds_reads_what_is_written(tmp_path):
  info = tfds.builder_from_directory(_build(_Toy(), tmp_path / "out")).info
  assert info.splits["train"].num_examples == 4
  assert info.splits["train"].shard_lengths == [2, 1, 1]
  assert info.description == "A toy."


def test_all_cores_write_the_same(tmp_path):
  one = _build(_Toy(), tmp_path / "one")
  many = builder.build(_Toy(), tmp_path / "many", label="toy")
  assert _content(one) == _content(many)


def test_finished_records_are_not_built_again(tmp_path):
  first = _build(_Toy(), tmp_path / "out")
  assert _build(_Toy(dies_at=0), tmp_path / "out") == first


def test_killed_build_goes_on_where_it_was(tmp_path):
  log = tmp_path / "log"
  context = multiprocessing.get_context("spawn")
  dying = _Toy(dies_at=4, flag=str(log))
  process = context.Process(target=_build, args=(dying, tmp_path / "out"))
  process.start()
  process.join()
  assert process.exitcode == 9
  with pytest.raises(UserError, match="no finished records"):
    records.Records(tmp_path / "out", "train")
  made = log.read_text().split()
  done = {path.stem[:5] for path in (tmp_path / "out/plan").glob("*.done")}
  assert done
  log.unlink()
  _build(_Toy(flag=str(log)), tmp_path / "out")
  again = log.read_text().split()
  assert len(again) < 7 and len(set(made + again)) == 7
  whole = _build(_Toy(), tmp_path / "whole")
  assert _content(tmp_path / "out") == _content(whole)


def test_two_processes_build_one_dataset(tmp_path):
  context = multiprocessing.get_context("spawn")
  processes = [
    context.Process(target=_build, args=(_Toy(), tmp_path / "out"))
    for _ in range(2)
  ]
  for process in processes:
    process.start()
  for process in processes:
    process.join()
  assert [process.exitcode for process in processes] == [0, 0]
  assert len(records.Records(tmp_path / "out", "valid")) == 2


def test_other_records_in_the_folder_are_named(tmp_path):
  _build(_Toy(), tmp_path / "out")
  with pytest.raises(UserError, match="toy is 1 there and 2 here"):
    _build(_Toy(version=2), tmp_path / "out")


def test_a_foreign_folder_stays_as_it_is(tmp_path):
  (tmp_path / "thesis.tex").write_text("")
  with pytest.raises(UserError, match="is not empty"):
    _build(_Toy(), tmp_path)
  assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_nothing_usable_is_an_error_and_leaves_room_for_another_try(tmp_path):
  with pytest.raises(UserError, match="nothing could be used"):
    _build(_Empty(), tmp_path / "out")
  (tmp_path / "out" / "notes.json").rename(tmp_path / "out" / "clips.tsv")
  _build(_Toy(), tmp_path / "out")


def test_unwritable_directory_is_one_clear_line(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match="cannot write records"):
    _build(_Toy(), tmp_path / "file")


class _Dies(_Toy):
  """A corpus whose worker is killed, by the kernel perhaps."""

  def records(self, items, notes):
    os.kill(os.getpid(), signal.SIGKILL)
    yield


def test_a_worker_that_dies_is_an_error_not_a_wait(tmp_path):
  with pytest.raises(UserError, match="a worker died"):
    builder.build(_Dies(), tmp_path / "out", label="toy")


class _Waits(_Toy):
  """A corpus whose making goes on while something else fails."""

  def records(self, items, notes):
    pathlib.Path(self.flag, "asked").touch()
    while not pathlib.Path(self.flag, "failed").exists():
      time.sleep(0.01)
    yield from _Toy().records(items, notes)


def test_a_late_failure_of_an_earlier_build_is_not_this_ones(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(
    threading, "excepthook", lambda args: (tmp_path / "failed").touch()
  )

  def fail_late():
    while not (tmp_path / "asked").exists():
      time.sleep(0.01)
    raise RuntimeError("Worker subprocess exited with return code -9")

  threading.Thread(target=fail_late).start()
  _build(_Waits(flag=str(tmp_path)), tmp_path / "out")
  assert len(records.Records(tmp_path / "out", "valid")) == 2


def test_a_mistaken_runner_is_named(tmp_path):
  with pytest.raises(UserError, match="Unexpected pipeline runner: Flnk"):
    builder.build(
      _Toy(), tmp_path / "out", label="toy", beam_options=["--runner=Flnk"]
    )
