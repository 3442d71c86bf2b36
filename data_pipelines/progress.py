# SPDX-License-Identifier: Apache-2.0
"""What a build shows, and what it keeps from the terminal."""

import contextlib
import json
import os
import pathlib
import threading
from collections.abc import Iterator

import tqdm

from data_pipelines import shards
from data_pipelines.records import RECORDS_FILE

_WATCH_SEC = 0.5


@contextlib.contextmanager
def bar(directory: pathlib.Path, label: str) -> Iterator[None]:
  """Draws a bar of the items that are done, whoever makes them."""
  facts = json.loads((directory / shards.PLAN / RECORDS_FILE).read_text())
  left = set(shards.planned(directory))
  over = threading.Event()
  finished = 0

  def count(shown: tqdm.tqdm) -> None:
    nonlocal finished
    for shard in [s for s in left if shards.is_done(directory, s)]:
      finished += shards.done(directory, shard)["num_items"]
      left.discard(shard)
    now = finished + (shards.count_made(directory) if left else 0)
    if (news := min(now, facts["items"]) - shown.n) > 0:
      shown.update(news)

  def watch(shown: tqdm.tqdm) -> None:
    while not over.wait(_WATCH_SEC):
      count(shown)

  with (
    os.fdopen(os.dup(2), "w") as screen,
    tqdm.tqdm(total=facts["items"], desc=label, file=screen) as shown,
  ):
    count(shown)
    watcher = threading.Thread(target=watch, args=(shown,), daemon=True)
    watcher.start()
    try:
      yield
    finally:
      over.set()
      watcher.join()
      count(shown)


@contextlib.contextmanager
def stderr_to(path: pathlib.Path) -> Iterator[None]:
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
def stdout_to(path: str) -> Iterator[None]:
  """Sends what Python code prints to a file."""
  with open(path, "w") as file, contextlib.redirect_stdout(file):
    yield
