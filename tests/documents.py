# SPDX-License-Identifier: Apache-2.0
"""What the documents tell people to type."""

import dataclasses
import pathlib
import re
import runpy
import shlex
from collections.abc import Iterator
from unittest import mock

ROOT = pathlib.Path(__file__).parents[1]
_FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_BETWEEN_COMMANDS = {"&&", "||", ";", "|", "&", ">", ">>", "<"}


def _paths() -> list[pathlib.Path]:
  patterns = ("*.md", "docs/**/*.md", "ns_jax/*/**/*.md")
  return sorted(path for glob in patterns for path in ROOT.glob(glob))


NAMES = tuple(path.relative_to(ROOT).as_posix() for path in _paths())


@dataclasses.dataclass(frozen=True)
class Block:
  """A fenced block."""

  document: str
  line: int  # of the first line in it
  language: str
  text: str

  @property
  def place(self) -> str:
    """For people who look for it."""
    return f"{self.document}:{self.line}"


@dataclasses.dataclass(frozen=True)
class Command:
  """A program and its arguments."""

  document: str
  line: int  # of the block
  words: tuple[str, ...]

  @property
  def place(self) -> str:
    """For people who look for it."""
    return f"{self.document}:{self.line}"

  @property
  def text(self) -> str:
    """The words as they are."""
    return " ".join(self.words)

  def __str__(self) -> str:
    """As it could be typed."""
    return shlex.join(self.words)


def blocks(document: str, *languages: str) -> list[Block]:
  """The fenced blocks of a document that are in one of some languages."""
  text = (ROOT / document).read_text(encoding="utf-8")
  return [
    Block(
      document,
      text.count("\n", 0, found.start(3)) + 1,
      found[2],
      re.sub(f"^{found[1]}", "", found[3], flags=re.MULTILINE),
    )
    for found in _FENCED.finditer(text)
    if found[2] in languages
  ]


def commands(document: str) -> list[Command]:
  """All commands of a document; of a pipe, each."""
  found = []
  for block in blocks(document, "bash", "sh", "console"):
    text = block.text
    if block.language == "console":  # what does not begin so is an answer
      lines = [line for line in text.splitlines() if line.startswith("$ ")]
      text = "\n".join(line[2:] for line in lines)
    for line in text.replace("\\\n", " ").splitlines():
      found += [Command(document, block.line, w) for w in _split(line)]
  return found


def spoken_of(document: str) -> list[Command]:
  """`ns-jax ...` in running text; maybe not whole."""
  text = (ROOT / document).read_text(encoding="utf-8")
  prose = _FENCED.sub(lambda block: "\n" * block[0].count("\n"), text)
  return [
    Command(
      document,
      prose.count("\n", 0, found.start()) + 1,
      tuple(found[1].split()),
    )
    for found in re.finditer(r"`(ns-jax\s[^`]+)`", prose)
  ]


def extras() -> set[str]:
  """Those of the package."""
  with mock.patch("setuptools.setup") as setup:
    runpy.run_path(str(ROOT / "setup.py"))
  return set(setup.call_args.kwargs["extras_require"])


def _split(line: str) -> Iterator[tuple[str, ...]]:
  """The commands of a line, without what redirections go to."""
  lexer = shlex.shlex(line, posix=True, punctuation_chars=";<>|&")
  lexer.whitespace_split = True
  words: list[str] = []
  is_target = False
  for word in [*lexer, ";"]:
    if word not in _BETWEEN_COMMANDS:
      if not is_target:
        words.append(word)
      is_target = False
      continue
    is_target = word[0] in "<>"
    if not is_target and words:
      yield tuple(words)
      words = []
