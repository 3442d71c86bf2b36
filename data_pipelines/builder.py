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
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow_datasets as tfds
import tqdm
from etils import epath

from data_pipelines import shards
from data_pipelines.corpora.corpus import Corpus, Item, Note
from data_pipelines.records import RECORDS_FILE
from data_pipelines.shards import PLAN, Shard
from ns_jax.errors import UserError

REJECTS_FILE = "rejects.tsv"
# Beam's own options; other runners are chosen with its usual ones.
ALL_CORES = (
  "--runner=DirectRunner",
  "--direct_running_mode=multi_processing",
  "--direct_num_workers=0",  # one a core
)
THIS_PROCESS = ("--runner=DirectRunner", "--direct_running_mode=in_memory")

_logger = logging.getLogger("ns_jax.records")
_LOCK_FILE = ".lock"
_MOST_SHARDS = 64  # of a split, before shards have their full size
_WATCH_SEC = 0.5

# Makes the shards that are left, each by a call of the function.
Run = Callable[[Sequence[Shard], Callable[[Shard], None]], None]


def build(
  corpus: Corpus,
  directory: str | pathlib.Path,
  *,
  label: str,
  beam_options: Sequence[str] = ALL_CORES,
) -> pathlib.Path:
  """Makes the records of a corpus unless they stand, with a progress bar.

  Args:
    corpus: what to store.
    directory: of the records; made if missing.
    label: of the progress bar.
    beam_options: as for any Beam pipeline.

  Returns:
    The absolute path of the directory.

  Raises:
    UserError: the directory cannot be written or holds something else, or the
      corpus has no record.
  """
  log = pathlib.Path(directory).expanduser().absolute() / PLAN / "log"
  run = functools.partial(_run_beam, beam_options, log)
  return build_with(corpus, directory, run, label=label)


def build_with(
  corpus: Corpus, directory: str | pathlib.Path, run: Run, *, label: str
) -> pathlib.Path:
  """As `build`, with another way to make shards."""
  directory = pathlib.Path(directory).expanduser().absolute()
  if _stands(corpus, directory):
    return directory
  try:
    with _lock(directory):
      if not _stands(corpus, directory):
        _plan(corpus, directory)
        with _progress(directory, label):
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


def _stands(corpus: Corpus, directory: pathlib.Path) -> bool:
  """Whether the very records are there.

  Raises:
    UserError: the directory holds something else.
  """
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
  own = {_LOCK_FILE, f"{PLAN}.tmp", REJECTS_FILE}
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


def _run_beam(
  options: Sequence[str],
  log: pathlib.Path,
  left: Sequence[Shard],
  make: Callable[[Shard], None],
) -> None:
  if not left:
    return
  import apache_beam as beam
  from apache_beam.options.pipeline_options import PipelineOptions

  try:
    with (
      _stderr_to(log),
      beam.Pipeline(options=PipelineOptions(list(options))) as pipeline,
    ):
      _ = (
        pipeline
        | "Shards" >> beam.Create([tuple(shard) for shard in left])
        | "Spread" >> beam.Reshuffle()
        | "Make" >> beam.Map(lambda shard: make(Shard(*shard)))
      )
  except RuntimeError as error:
    # Beam hands on the text of a worker's exception, and nothing else.
    said = re.search(r"UserError: (.*?)(?: \[while running|\n|$)", str(error))
    if not said:
      raise
    raise UserError(said[1]) from error


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
    data_dir=epath.Path(directory),
    template=shards.FILENAME_TEMPLATE,
    filetype_suffix="array_record",
  )
  infos = []
  for split in dict.fromkeys(shard.split for shard in planned):
    own = [facts[shard] for shard in planned if shard.split == split]
    if sum(fact["num_records"] for fact in own):
      infos.append(
        tfds.core.SplitInfo(
          name=split,
          shard_lengths=[fact["num_records"] for fact in own],
          num_bytes=sum(fact["num_bytes"] for fact in own),
          filename_template=template,
        )
      )
  if not infos:
    _clear(directory, planned)
    raise UserError(
      f"{directory}: nothing could be used; {REJECTS_FILE} there says why"
    )
  with _quiet():
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
  }
  (plan / "marker").write_text(json.dumps(marker, indent=1))
  (plan / "marker").replace(directory / RECORDS_FILE)
  shutil.rmtree(plan)


def _clear(directory: pathlib.Path, planned: Sequence[Shard]) -> None:
  for shard in planned:
    (directory / shard.name).unlink()
  shutil.rmtree(directory / PLAN)


@contextlib.contextmanager
def _progress(directory: pathlib.Path, label: str) -> Iterator[None]:
  """Draws a bar of the items in finished shards, whoever makes them."""
  facts = json.loads((directory / PLAN / RECORDS_FILE).read_text())
  left = set(shards.planned(directory))
  over = threading.Event()

  def count(bar: tqdm.tqdm) -> None:
    for shard in [s for s in left if shards.is_done(directory, s)]:
      bar.update(shards.done(directory, shard)["num_items"])
      left.discard(shard)

  def watch(bar: tqdm.tqdm) -> None:
    while not over.wait(_WATCH_SEC):
      count(bar)

  with (
    os.fdopen(os.dup(2), "w") as screen,
    tqdm.tqdm(total=facts["items"], desc=label, file=screen) as bar,
  ):
    count(bar)
    watcher = threading.Thread(target=watch, args=(bar,), daemon=True)
    watcher.start()
    try:
      yield
    finally:
      over.set()
      watcher.join()
      count(bar)


@contextlib.contextmanager
def _stderr_to(path: pathlib.Path) -> Iterator[None]:
  """Sends what this process and its workers write on stderr to a file.

  Beam's workers report everything they do.
  """
  kept = os.dup(2)
  try:
    with path.open("a") as log:
      os.dup2(log.fileno(), 2)
    yield
  finally:
    os.dup2(kept, 2)
    os.close(kept)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Hides what TFDS prints about metadata."""
  with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
    yield


@contextlib.contextmanager
def _lock(directory: pathlib.Path) -> Iterator[None]:
  """Waits for, then holds the right to build one directory."""
  directory.mkdir(parents=True, exist_ok=True)
  with open(directory / _LOCK_FILE, "w") as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      _logger.info("%s: another process is at it; waiting", directory)
      fcntl.flock(file, fcntl.LOCK_EX)
    yield  # released when the process ends, however it ends
