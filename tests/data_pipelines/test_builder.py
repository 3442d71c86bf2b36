# SPDX-License-Identifier: Apache-2.0
import dataclasses
import multiprocessing
import os

import numpy as np
import pytest

from data_pipelines import builder, records
from data_pipelines.corpora.corpus import Corpus
from ns_jax.errors import UserError


def _records(split):
  for i in range({"train": 5, "valid": 2}[split]):
    yield {
      "id": f"{split}{i}",
      "wav": np.arange(-i, 100, dtype=np.int16),
      "f0": np.full(3, i, np.float32),
    }


_CORPUS = Corpus(
  name="toy",
  config="c",
  version="1.0.0",
  description="A toy.",
  features=("id", "wav", "f0"),
  split_sizes={"train": 5, "valid": 2},
  records=_records,
)


def _never(split):
  raise AssertionError("built again")


def _dies_half_way(split):
  yield from _records(split)
  if split == "valid":
    os._exit(9)


def _prepare(corpus, data_dir):
  builder.prepare(corpus, data_dir)


def test_round_trip_keeps_order_and_values(tmp_path):
  records_dir = builder.prepare(_CORPUS, tmp_path)
  assert records_dir == tmp_path / "toy" / "c" / "1.0.0"
  for split in ("train", "valid"):
    stored = records.Records(records_dir, split)
    expected = list(_records(split))
    assert len(stored) == len(expected)
    for i, record in enumerate(expected):
      assert stored[i]["id"] == record["id"]
      np.testing.assert_array_equal(stored[i]["wav"], record["wav"])
      assert stored[i]["wav"].dtype == np.int16
      np.testing.assert_array_equal(stored[i]["f0"], record["f0"])


def test_finished_records_are_not_built_again(tmp_path):
  first = builder.prepare(_CORPUS, tmp_path)
  again = dataclasses.replace(_CORPUS, records=_never)
  assert builder.prepare(again, tmp_path) == first


def test_killed_build_leaves_nothing_finished_and_recovers(tmp_path):
  context = multiprocessing.get_context("spawn")
  dying = dataclasses.replace(_CORPUS, records=_dies_half_way)
  process = context.Process(target=_prepare, args=(dying, tmp_path))
  process.start()
  process.join()
  assert process.exitcode == 9
  assert list((tmp_path / "toy" / "c").glob("incomplete.*"))
  assert not builder.is_complete(tmp_path / "toy" / "c" / "1.0.0")
  records_dir = builder.prepare(_CORPUS, tmp_path)
  assert len(records.Records(records_dir, "train")) == 5
  assert not list(records_dir.parent.glob("incomplete.*"))


def test_two_processes_build_one_dataset(tmp_path):
  context = multiprocessing.get_context("spawn")
  processes = [
    context.Process(target=_prepare, args=(_CORPUS, tmp_path)) for _ in range(2)
  ]
  for process in processes:
    process.start()
  for process in processes:
    process.join()
  assert [process.exitcode for process in processes] == [0, 0]
  assert len(records.Records(tmp_path / "toy/c/1.0.0", "valid")) == 2


def test_failing_source_leaves_nothing_finished(tmp_path):
  broken = dataclasses.replace(_CORPUS, records=_never)
  with pytest.raises(AssertionError, match="built again"):
    builder.prepare(broken, tmp_path)
  assert not builder.is_complete(tmp_path / "toy/c/1.0.0")


def test_unwritable_directory_is_one_clear_line(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match="cannot write records"):
    builder.prepare(_CORPUS, tmp_path / "file")


def test_finish_adds_to_the_directory_before_it_is_final(tmp_path):
  def finish(directory):
    assert not builder.is_complete(directory)
    (directory / "extra.json").write_text("{}")

  corpus = dataclasses.replace(_CORPUS, finish=finish)
  assert (builder.prepare(corpus, tmp_path) / "extra.json").is_file()
