# SPDX-License-Identifier: Apache-2.0
"""What docs/troubleshooting.md quotes is what the programs say."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "troubleshooting.md"
# Ours; what other programs say is in blocks of ```console.
QUOTES = re.findall(r"^```text\n(.*?)\n```$", DOCUMENT.read_text(), re.M | re.S)
_PLACEHOLDER = re.compile(r"%[sd.]")  # of logged lines


def texts():
  """All texts of the code, `…` for what is filled in."""
  for package in ("ns_jax", "data_pipelines"):
    for path in sorted((ROOT / package).rglob("*.py")):
      for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
          yield _PLACEHOLDER.sub("…", node.value)
        elif isinstance(node, ast.JoinedStr):
          yield "".join(
            str(part.value) if isinstance(part, ast.Constant) else "…"
            for part in node.values
          )


@pytest.fixture(scope="module")
def said():
  return "\n".join(texts())


@pytest.mark.parametrize("quote", QUOTES)
def test_it_is_said(said, quote):
  pattern = re.escape(quote).replace("…", "[^\n]*?")
  assert re.search(pattern, said), quote


def test_most_are_ours():
  assert len(QUOTES) > 20
  assert not re.search("no program says this", "\n".join(texts()))
