# SPDX-License-Identifier: Apache-2.0
"""What the documents point at is there: names in code, files, headings."""

import ast
import functools
import pathlib
import re
import urllib.parse

import pytest

ROOT = pathlib.Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
# `path.py:Name` or `path.py:Name.method`, from ns_jax, tests or the root; but
# after a config there is a preset.
_NAME = re.compile(r"`((?!configs/)[\w/]+\.py):([\w.]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_ROW = re.compile(r"^\|(?!---)(.*)\|$", re.MULTILINE)


def identify(path):
  return str(path.relative_to(ROOT))


@functools.cache
def names(path):
  """Dotted names of all that a module defines, or binds at its top."""
  found = set()

  def visit(node, prefix):
    for child in ast.iter_child_nodes(node):
      if isinstance(child, ast.FunctionDef | ast.ClassDef):
        found.add(prefix + child.name)
        if isinstance(child, ast.ClassDef):
          visit(child, f"{prefix}{child.name}.")
      targets = getattr(child, "targets", [getattr(child, "target", None)])
      found.update(prefix + getattr(target, "id", "") for target in targets)

  visit(ast.parse(path.read_text()), "")
  return found


def where(path):
  """The file that a document means."""
  places = (ROOT / "ns_jax" / path, ROOT / "tests" / path, ROOT / path)
  return next((place for place in places if place.is_file()), None)


@pytest.mark.parametrize("document", DOCUMENTS, ids=identify)
def test_names_in_code_exist(document):
  for path, name in _NAME.findall(document.read_text()):
    file = where(path)
    assert file and name in names(file), f"{path}:{name}"


def test_a_name_that_is_not_there_would_be_found():
  schedule = where("diffusion/schedule.py")
  assert {"VPSchedule", "VPSchedule.alpha"} <= names(schedule)
  assert not {"alpha", "VPSchedule.gamma"} & names(schedule)
  assert where("diffusion/none.py") is None


def test_each_equation_has_code_and_a_test():
  rows = _ROW.findall((ROOT / "docs" / "equations.md").read_text())
  rows = [row for row in rows if not row.startswith(" formula ")]
  assert len(rows) > 60
  for row in rows:
    files = [path.split("/")[-1] for path, _ in _NAME.findall(row)]
    kinds = [file.startswith("test_") for file in files]
    assert kinds == [False, True], row


def anchors(document):
  """What GitHub makes of its headings."""
  headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
  plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
  return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("document", DOCUMENTS, ids=identify)
def test_links_lead_somewhere(document):
  for link in _LINK.findall(document.read_text()):
    address = urllib.parse.urlsplit(link)
    if address.scheme:
      continue
    target = document.parent / address.path if address.path else document
    assert target.exists(), link
    if address.fragment:
      assert address.fragment in anchors(target), link
