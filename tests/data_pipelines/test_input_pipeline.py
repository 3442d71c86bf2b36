# SPDX-License-Identifier: Apache-2.0
import functools
import itertools
import threading

import numpy as np
import pytest

from data_pipelines import examples, input_pipeline, records
from ns_jax.errors import UserError


@pytest.fixture
def make(records_dir, spec):
  """make_batches on the tiny corpus's 16 training records."""
  return functools.partial(
    input_pipeline.make_batches,
    records_dir,
    "train",
    reader="array_record",
    example_fn=functools.partial(
      examples.utterance,
      features=("f0", "wav"),
      max_frames=100,  # shorter than most: windows are random
      max_phonemes=30,
      spec=spec,
    ),
    batch_size=4,
    seed=3,
  )


def _take(batches, count):
  taken = list(itertools.islice(batches, count))
  batches.close()
  return taken


def _assert_same(left, right):
  assert len(left) == len(right) > 0
  for a, b in zip(left, right, strict=True):
    assert list(a) == list(b)
    for name in a:
      assert a[name].dtype == b[name].dtype
      np.testing.assert_array_equal(a[name], b[name])


def _index_of(record, rng):
  del rng
  return {"id": np.array(list(record["id"].encode().ljust(32)), np.int32)}


def test_epoch_covers_every_record_once_in_a_new_order(make, records_dir):
  ids = [
    bytes(row.tolist()).decode().strip()
    for batch in make(example_fn=_index_of, num_epochs=2)
    for row in batch["id"]
  ]
  stored = records.Records(records_dir, "train")
  expected = sorted(stored[i]["id"] for i in range(len(stored)))
  assert sorted(ids[:16]) == sorted(ids[16:]) == expected
  assert ids[:16] != ids[16:] and ids[:16] != expected


def test_another_number_of_processes_goes_on_in_the_epoch(make, records_dir):
  """Stopped in the midst of an epoch: nothing is seen twice or left out."""
  seen = []
  for count, steps in ((1, range(0, 1)), (2, range(1, 3)), (4, range(3, 8))):
    for index in range(count):
      batches = make(
        example_fn=_index_of,
        start_step=steps.start,
        process_index=index,
        process_count=count,
      )
      for step, batch in zip(steps, _take(batches, len(steps)), strict=True):
        seen += [
          (step // 4, bytes(row.tolist()).strip()) for row in batch["id"]
        ]
  stored = records.Records(records_dir, "train")
  ids = [stored[i]["id"].encode() for i in range(len(stored))]
  expected = [(epoch, name) for epoch in range(2) for name in ids]
  assert sorted(seen) == sorted(expected)


def test_unshuffled_is_the_stored_order(make, records_dir):
  stored = records.Records(records_dir, "train")
  batch = next(make(example_fn=_index_of, shuffle=False))
  for i, row in enumerate(batch["id"]):
    assert bytes(row.tolist()).decode().strip() == stored[i]["id"]


def test_resuming_at_a_step_continues(make):
  _assert_same(_take(make(), 9)[5:], _take(make(start_step=5), 4))
  _assert_same(
    list(make(num_epochs=1))[3:], list(make(num_epochs=1, start_step=3))
  )


def test_seed_changes_the_batches(make):
  one, other = next(make()), next(make(seed=4))
  assert not np.array_equal(one["phonemes"], other["phonemes"])


def test_processes_together_see_the_single_process_batch(make):
  whole = _take(make(), 6)
  parts = [_take(make(process_index=i, process_count=2), 6) for i in range(2)]
  joined = [
    {name: np.concatenate([a[name], b[name]]) for name in a}
    for a, b in zip(*parts, strict=True)
  ]
  _assert_same(whole, joined)


def test_dropped_iterator_stops_its_threads(make):
  before = set(threading.enumerate())  # one of another test may yet end
  batches = make()
  next(batches)
  assert set(threading.enumerate()) - before
  batches.close()
  assert set(threading.enumerate()) <= before


@pytest.mark.parametrize(
  "reader",
  ["array_record", pytest.param("tf_data", marks=pytest.mark.slow)],
)
def test_error_in_an_example_reaches_the_caller(make, reader):
  seen = []

  def fail(record, rng):
    seen.append(record)
    if len(seen) > 1:
      raise UserError("bad record")
    return {"one": np.zeros(1, np.float32)}

  with pytest.raises(UserError, match="bad record"):
    list(make(example_fn=fail, reader=reader))


def test_bad_arguments(make):
  with pytest.raises(UserError, match="'grain'"):
    make(reader="grain")
  with pytest.raises(UserError, match="does not divide over 3"):
    make(process_count=3)
  with pytest.raises(UserError, match="16 records"):
    make(batch_size=17, num_epochs=1)
  with pytest.raises(UserError, match="'codes'"):
    make(features=("codes",))


@pytest.mark.slow
def test_both_readers_give_identical_batches(make):
  _assert_same(
    _take(make(start_step=2), 7),
    _take(make(start_step=2, reader="tf_data"), 7),
  )
  _assert_same(
    list(make(num_epochs=1, process_index=1, process_count=2)),
    list(
      make(num_epochs=1, process_index=1, process_count=2, reader="tf_data")
    ),
  )
