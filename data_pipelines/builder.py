# SPDX-License-Identifier: Apache-2.0
"""Corpus to records: a TFDS dataset in array_record shards, made by Beam.

Three steps, each of which finds what an earlier, killed one left: list the
source (`plan`), make the shards one by one, write the metadata. The last file
written is `records.json`; without it a folder holds no records yet.
"""

import collections
import contextlib
import fcntl
import functools
import itertools
import json
import logging
import math
import os
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import tensorflow_datasets as tfds

from data_pipelines import beam, progress, shards
from data_pipelines.corpora.corpus import Corpus, Item, Note
from data_pipelines.records import RECORDS_FILE
from data_pipelines.shards import PLAN, Shard
from ns_jax.errors import UserError

CLIPS_FILE, REJECTS_FILE = "clips.tsv", "rejects.tsv"

_logger = logging.getLogger("ns_jax.records")
_LOCK_FILE = ".lock"  # of a build
PREPARE_LOCK_FILE = ".prepare.lock"  # of a build and all that is added to it
_MOST_SHARDS = 64  # of a split, before shards have their full size


def build(
  corpus: Corpus,
  directory: str | pathlib.Path,
  *,
  label: str,
  beam_options: Sequence[str] | Any = (),
) -> pathlib.Path:
  """Makes the records of a corpus unless they stand, with a progress bar.

  Args:
    corpus: what to store.
    directory: of the records; made if missing.
    label: of the progress bar.
    beam_options: as for any Beam pipeline; without a runner among them, all
      cores of this machine.

  Returns:
    The absolute path of the directory.

  Raises:
    UserError: the directory cannot be written or holds something else, or the
      corpus has no record.
  """
  log = pathlib.Path(directory).expanduser().absolute() / PLAN / "log"
  run = beam.make_run(beam_options, log)
  return build_with(corpus, directory, run, label=label)


def build_with(
  corpus: Corpus, directory: str | pathlib.Path, run: beam.Run, *, label: str
) -> pathlib.Path:
  """As `build`, with another way to make shards."""
  directory = pathlib.Path(directory).expanduser().absolute()
  if stands(corpus, directory):
    return directory
  try:
    with lock(directory, _LOCK_FILE):
      if not stands(corpus, directory):
        _plan(corpus, directory)
        shards.clear_leftovers(directory)
        with progress.bar(directory, label):
          left = [
            shard
            for shard in shards.planned(directory)
            if not shards.is_done(directory, shard)
          ]
          run(left, functools.partial(shards.make, corpus, str(directory)))
        _finish(corpus, directory)
  except OSError as error:
    raise UserError(
      f"{directory}: cannot write records there ({error.strerror}); "
      "what is done is kept: mend this and run the same command"
    ) from error
  return directory


def stands(corpus: Corpus, directory: pathlib.Path) -> bool:
  """Whether the very records are there, finished.

  Raises:
    UserError: the directory holds something else, or cannot be read.
  """
  try:
    return _stands(corpus, directory)
  except OSError as error:
    raise UserError(
      f"{directory}: cannot be read ({error.strerror}); choose another folder"
    ) from error


def _stands(corpus: Corpus, directory: pathlib.Path) -> bool:
  for path in (directory / RECORDS_FILE, directory / PLAN / RECORDS_FILE):
    if path.is_file():
      there, here = json.loads(path.read_text())["identity"], corpus.identity()
      differing = sorted(
        name
        for name in there.keys() | here.keys()
        if there.get(name) != here.get(name)
      )
      if differing:
        first = differing[0]
        raise UserError(
          f"{directory}: holds records made otherwise ({first} is "
          f"{there.get(first)!r} there and {here.get(first)!r} here); "
          "choose another folder or delete this one"
        )
      return path.parent == directory
  own = {_LOCK_FILE, PREPARE_LOCK_FILE, f"{PLAN}.tmp"}
  own |= {CLIPS_FILE, REJECTS_FILE}  # of a build that found nothing of use
  if directory.is_dir() and {p.name for p in directory.iterdir()} - own:
    raise UserError(
      f"{directory}: is not empty and holds no records; choose another folder"
    )
  return False


def _plan(corpus: Corpus, directory: pathlib.Path) -> None:
  """Lists the items of every shard, once."""
  if (directory / PLAN).is_dir():
    return
  unfinished = directory / f"{PLAN}.tmp"
  shutil.rmtree(unfinished, ignore_errors=True)
  unfinished.mkdir(parents=True)
  notes: list[Note] = []
  counts = collections.Counter[str]()
  with contextlib.ExitStack() as stack:
    lists: dict[str, Any] = {}
    for split, item in corpus.plan(notes):
      if split not in lists:
        lists[split] = stack.enter_context((unfinished / split).open("w"))
      lists[split].write(json.dumps(item) + "\n")
      counts[split] += 1
  fewest, most = corpus.items_per_shard
  for split, count in counts.items():
    size = max(fewest, min(most, math.ceil(count / _MOST_SHARDS)))
    num_shards = math.ceil(count / size)
    with (unfinished / split).open() as file:
      items: Iterator[Item] = map(json.loads, file)
      for index in range(num_shards):
        shard = Shard(split, index, num_shards)
        shards.write_items(unfinished, shard, itertools.islice(items, size))
    (unfinished / split).unlink()
  (unfinished / "notes").write_text(json.dumps(notes))
  facts = {"identity": corpus.identity(), "items": counts.total()}
  (unfinished / RECORDS_FILE).write_text(json.dumps(facts))
  unfinished.rename(directory / PLAN)


def _finish(corpus: Corpus, directory: pathlib.Path) -> None:
  """Writes the metadata, the marker last, and clears the plan away."""
  plan = directory / PLAN
  planned = shards.planned(directory)
  corpus.finish(
    directory,
    itertools.chain(
      json.loads((plan / "notes").read_text()),
      *(shards.notes(directory, shard) for shard in planned),
    ),
  )
  facts = {shard: shards.done(directory, shard) for shard in planned}
  template = tfds.core.ShardedFileTemplate(
    data_dir=tfds.core.Path(directory),
    template=shards.FILENAME_TEMPLATE,
    filetype_suffix="array_record",
  )
  infos = []
  for split in dict.fromkeys(shard.split for shard in planned):
    own = [shard for shard in planned if shard.split == split]
    if not sum(facts[shard]["num_records"] for shard in own):
      for shard in own:  # TFDS knows no empty splits
        (directory / shard.name).unlink(missing_ok=True)
      continue
    infos.append(
      tfds.core.SplitInfo(
        name=split,
        shard_lengths=[facts[shard]["num_records"] for shard in own],
        num_bytes=sum(facts[shard]["num_bytes"] for shard in own),
        filename_template=template,
      )
    )
  if not infos:
    shutil.rmtree(plan)
    raise UserError(
      f"{directory}: nothing could be used; {REJECTS_FILE} there says why"
    )
  with progress.stdout_to(os.devnull):
    tfds.folder_dataset.write_metadata(
      data_dir=directory,
      features=shards.tfds_features(corpus.features),
      split_infos=infos,
      filename_template=template,
      description=corpus.description,
      check_data=False,
      disable_shuffling=True,
    )
  marker = {
    "identity": corpus.identity(),
    "description": corpus.description,
    "splits": {info.name: info.num_examples for info in infos},
    "bytes": sum(info.num_bytes for info in infos),
    "longest": _longest(facts.values()),
  }
  (plan / "marker").write_text(json.dumps(marker, indent=1))
  (plan / "marker").replace(directory / RECORDS_FILE)
  shutil.rmtree(plan)


def _longest(facts: Iterable[dict[str, Any]]) -> dict[str, int]:
  longest: dict[str, int] = {}
  for fact in facts:
    for name, length in fact["longest"].items():
      longest[name] = max(longest.get(name, 0), length)
  return longest


@contextlib.contextmanager
def lock(directory: pathlib.Path, name: str) -> Iterator[None]:
  """Waits for, then holds the right to work in a directory; makes it.

  The system releases it when the process ends, however it ends.

  Raises:
    UserError: the directory cannot be written.
  """
  try:
    directory.mkdir(parents=True, exist_ok=True)
    file = (directory / name).open("w")
  except OSError as error:
    raise UserError(
      f"{directory}: cannot write records there ({error.strerror}); choose "
      "another folder"
    ) from error
  with file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      _logger.info("%s: another process is at it; waiting", directory)
      fcntl.flock(file, fcntl.LOCK_EX)
    yield
