# SPDX-License-Identifier: Apache-2.0
"""Records to batches: shuffled, sharded by process, resumable at any step.

Which record stands where is a pure function of (seed, position), so resuming
needs no reading and every process knows its rows. Two readers run the same
example function: `tf_data` on tf.data, `array_record` on Python threads without
TensorFlow. Their batches are identical.
"""

import collections
import concurrent.futures
import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Callable, Collection, Iterator

import numpy as np

from data_pipelines.corpora.corpus import Record
from data_pipelines.examples import Example
from data_pipelines.records import Records
from ns_jax.errors import UserError

ExampleFn = Callable[[Record, np.random.Generator], Example]

_WORKERS = 2
_PREFETCH_BATCHES = 4


@dataclasses.dataclass(frozen=True)
class _Order:
  """Which record stands at each position of an endless run of epochs."""

  num_records: int
  seed: int
  shuffle: bool

  def __call__(self, position: int) -> tuple[int, int]:
    """Returns (epoch, record index)."""
    epoch, offset = divmod(position, self.num_records)
    if not self.shuffle:
      return epoch, offset
    return epoch, int(_permutation(self.num_records, self.seed, epoch)[offset])


@functools.lru_cache(maxsize=8)
def _permutation(size: int, seed: int, epoch: int) -> np.ndarray:
  return np.random.default_rng((seed, epoch)).permutation(size)


@dataclasses.dataclass(frozen=True)
class _Rows:
  """This process's part of every global batch."""

  example_at: Callable[[int], Example]  # by position
  batch_size: int  # global
  first_row: int
  num_rows: int

  def example(self, index: int) -> Example:
    """Example `index` of this process, counted from step 0."""
    step, row = divmod(index, self.num_rows)
    return self.example_at(step * self.batch_size + self.first_row + row)

  def batch(self, step: int) -> Example:
    """All rows of one step, stacked."""
    first = step * self.num_rows
    rows = [self.example(first + i) for i in range(self.num_rows)]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def make_batches(
  records_dir: str | pathlib.Path,
  split: str,
  *,
  reader: str,
  example_fn: ExampleFn,
  batch_size: int,
  seed: int,
  features: Collection[str] = (),
  start_step: int = 0,
  process_index: int = 0,
  process_count: int = 1,
  shuffle: bool = True,
  num_epochs: int | None = None,
) -> Iterator[Example]:
  """Opens a split as an iterator of batches.

  Epochs follow each other without a gap, so a batch may span two. Rows of all
  processes, in order, are the batch a single process would get.

  Args:
    records_dir: finished records.
    split: "train", "valid" or "test".
    reader: "tf_data" or "array_record".
    example_fn: record and generator to fixed-shape arrays; the generator is
      seeded by (seed, epoch, record), whatever the order of reading.
    batch_size: rows over all processes; process_count must divide it.
    seed: of order and examples.
    features: record fields that must be there.
    start_step: batches to skip, at no cost.
    process_index: which rows are ours.
    process_count: how many processes share a batch.
    shuffle: a new permutation each epoch, else the stored order.
    num_epochs: then stop, without a last batch that would be short; None: go
      on for ever.

  Returns:
    Iterator of dicts, each array [batch_size / process_count, ...]. Closing it
    (or dropping it) stops its threads.

  Raises:
    UserError: no such records, field or reader; sizes that do not fit.
  """
  if reader not in READERS:
    raise UserError(f"no reader '{reader}'; choose of {list(READERS)}")
  if batch_size % process_count:
    raise UserError(
      f"batch_size {batch_size} does not divide over {process_count} processes"
    )
  records = Records(records_dir, split, features)
  order = _Order(len(records), seed, shuffle)
  num_steps = None
  if num_epochs is not None:
    num_steps = num_epochs * len(records) // batch_size
  if num_steps == 0:
    raise UserError(
      f"{records_dir}: split '{split}' has {len(records)} records, too few for "
      f"one batch of {batch_size}"
    )

  def example_at(position: int) -> Example:
    epoch, index = order(position)
    rng = np.random.default_rng((seed, epoch, index))
    return example_fn(records[index], rng)

  num_rows = batch_size // process_count
  rows = _Rows(example_at, batch_size, process_index * num_rows, num_rows)
  return READERS[reader](rows, start_step, num_steps)


def _array_record(
  rows: _Rows, start_step: int, num_steps: int | None
) -> Iterator[Example]:
  steps = (
    itertools.count(start_step)
    if num_steps is None
    else iter(range(start_step, num_steps))
  )
  pool = concurrent.futures.ThreadPoolExecutor(_WORKERS, "batches")
  try:
    ahead = collections.deque(
      pool.submit(rows.batch, step)
      for step in itertools.islice(steps, _PREFETCH_BATCHES)
    )
    while ahead:
      batch = ahead.popleft().result()
      for step in itertools.islice(steps, 1):
        ahead.append(pool.submit(rows.batch, step))
      yield batch
  finally:
    pool.shutdown(cancel_futures=True)


def _tf_data(
  rows: _Rows, start_step: int, num_steps: int | None
) -> Iterator[Example]:
  import tensorflow as tf

  tf.config.set_visible_devices([], "GPU")  # the accelerator is JAX's
  first = rows.example(start_step * rows.num_rows)
  names = list(first)
  mistakes: list[UserError] = []  # TensorFlow makes its own of them

  def example(index: np.ndarray) -> list[np.ndarray]:
    try:
      return list(rows.example(int(index)).values())
    except UserError as error:
      mistakes.append(error)
      raise

  def load(index: tf.Tensor) -> dict[str, tf.Tensor]:
    values = tf.numpy_function(
      example,
      [index],
      [first[name].dtype for name in names],
    )
    for name, value in zip(names, values, strict=True):
      value.set_shape(first[name].shape)
    return dict(zip(names, values, strict=True))

  end = (
    np.iinfo(np.int64).max if num_steps is None else num_steps * rows.num_rows
  )
  dataset = (
    tf.data.Dataset.range(start_step * rows.num_rows, end)
    .map(load, num_parallel_calls=_WORKERS, deterministic=True)
    .batch(rows.num_rows, drop_remainder=True)
    .prefetch(_PREFETCH_BATCHES)
  )
  try:
    for batch in dataset:
      yield {name: value.numpy() for name, value in batch.items()}
  except tf.errors.OpError:
    if mistakes:
      raise mistakes[0] from None
    raise


READERS = {"tf_data": _tf_data, "array_record": _array_record}
