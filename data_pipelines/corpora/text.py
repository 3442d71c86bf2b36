# SPDX-License-Identifier: Apache-2.0
"""A plain-text file, sentence by sentence: phonemes without speech.

Books whose lines are wrapped and files with a line per text are both read. The
sentence itself says which split it is in, so that none stands in two.
"""

import dataclasses
import hashlib
import os
import pathlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from sentencex import segment  # pyright: ignore[reportAttributeAccessIssue]

from data_pipelines.builder import REJECTS_FILE
from data_pipelines.corpora import listing, tables
from data_pipelines.corpora.corpus import Item, Note, Record
from data_pipelines.features import transcripts
from ns_jax.errors import UserError

VERSION = 1  # of how records are made
SUFFIX = ".txt"
_SHARE = 50  # one sentence in so many is held out, for valid and test each
# Where fewer lines are empty, a line is a text and not a part of one.
_LEAST_EMPTY = 0.02


@dataclasses.dataclass(frozen=True)
class TextCorpus:
  """Sentences as the builder sees them; an item is one of them."""

  path: pathlib.Path
  digest: str  # of the file
  is_wrapped: bool  # empty lines part its texts
  features = ("id", "text", "phonemes", "word_starts")
  items_per_shard = (256, 4096)

  @classmethod
  def of(cls, path: str | pathlib.Path) -> "TextCorpus":
    """Looks at a file once.

    Raises:
      UserError: it cannot be read.
    """
    path = pathlib.Path(os.path.abspath(os.path.expanduser(path)))
    sha = hashlib.sha256()
    lines = empty = 0
    try:
      with path.open("rb") as file:
        for line in file:
          sha.update(line)
          lines += 1
          empty += not line.strip()
    except OSError as error:
      raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    return cls(path, sha.hexdigest()[:12], empty >= _LEAST_EMPTY * lines > 0)

  @property
  def name(self) -> str:
    """What to call the folder of its records."""
    return f"text_{self.path.stem}_{self.digest}"

  @property
  def description(self) -> str:
    """A sentence for the dataset's metadata."""
    return f"Sentences of {self.path.name}."

  def identity(self) -> dict[str, Any]:
    """What the file holds, wherever it lies."""
    return dict(corpus="text", version=VERSION, digest=self.digest)

  def split_sizes(self) -> dict[str, int]:
    """Number of sentences in each split, those that cannot be read, too."""
    return dict(Counter(split for split, _ in self.plan([])))

  def plan(self, notes: list[Note]) -> Iterator[tuple[str, Item]]:
    """Lists the sentences with their splits.

    Raises:
      UserError: the file holds none.
    """
    number = 0
    for place, text in self._texts(notes):
      for sentence in segment("en", text):
        sentence = sentence.strip()
        if not any(character.isalnum() for character in sentence):
          continue
        number += 1
        item = dict(id=f"{number:09d}", place=place, text=sentence)
        yield _split_of(sentence), item
    if not number:
      raise UserError(f"{self.path}: holds no sentence")

  def records(self, items: list[Item], notes: list[Note]) -> Iterator[Record]:
    """Reads the sentences that can be read."""
    for item in items:
      try:
        reading = transcripts.read(item["text"])
      except UserError as error:
        listing.reject(
          notes, str(error), file=item["place"], clip_id=item["id"]
        )
        continue
      yield {
        "id": item["id"],
        "text": item["text"],
        "phonemes": reading.phonemes,
        "word_starts": reading.word_starts,
      }

  def finish(self, directory: pathlib.Path, notes: Iterable[Note]) -> None:
    """Writes `rejects.tsv`."""
    tables.write(directory, {"reject": (REJECTS_FILE, tables.REJECTS)}, notes)

  def _texts(self, notes: list[Note]) -> Iterator[tuple[str, str]]:
    """Yields (place, text): paragraphs or lines, each on one line."""
    gathered: list[str] = []
    start = ""
    for place, line in listing.all_lines(self.path, notes):
      if gathered and not (self.is_wrapped and line.strip()):
        yield start, " ".join(" ".join(gathered).split())
        gathered = []
      if line.strip():
        start = start if gathered else place
        gathered.append(line)
    if gathered:
      yield start, " ".join(" ".join(gathered).split())


def _split_of(sentence: str) -> str:
  """Always the same one, wherever the sentence stands."""
  number = hashlib.sha256(sentence.encode()).digest()[:4]
  place = int.from_bytes(number, "big") % _SHARE
  return {0: "valid", 1: "test"}.get(place, "train")
