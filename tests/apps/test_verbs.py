# SPDX-License-Identifier: Apache-2.0
"""What every verb of `ns-jax` owes to people and to programs."""

import json
import logging
import pathlib
import re
import subprocess
import sys

import click
import numpy as np
import pytest
from click.testing import CliRunner

from ns_jax.apps import cli
from ns_jax.apps.commands import shared
from ns_jax.errors import UnreachableError, UserError


@shared.verb()
@click.argument("what")
def act(what: str) -> shared.Done:
  """Does something.

  Example: ns-jax act well
  """
  print("a library prints")
  logging.getLogger("ns_jax.act").info("about to act")
  if what == "badly":
    raise UserError("act: cannot be done badly; do it well")
  if what == "offline":
    raise UnreachableError("act: nobody is there")
  if what == "aloud":
    with shared.piped() as stdout:
      print("a library prints into it")
      stdout.write(b"\x00\xff\n")
  facts = {
    "path": pathlib.Path("a") / "b",
    "level_db": np.float32(-np.inf),
    "numbers": (1, np.arange(2), float("nan"), True, None),
  }
  return shared.Done("acted\ntwice", facts, status=3)


def _act(*args):
  result = CliRunner().invoke(act, args)
  return result.exit_code, result.stdout, result.stderr


def test_people_read_the_text():
  status, stdout, stderr = _act("well")
  assert (status, stdout) == (3, "a library prints\nacted\ntwice\n")
  assert stderr == "ns_jax: about to act\n"


def test_programs_read_strict_json():
  status, stdout, stderr = _act("well", "--json")
  assert status == 3 and stdout.count("\n") == 1
  assert json.loads(stdout, parse_constant=pytest.fail) == {
    "path": "a/b",
    "level_db": None,
    "numbers": [1, [0, 1], None, True, None],
  }
  assert stderr == "a library prints\n"


def test_quiet_leaves_stdout_empty():
  assert _act("well", "--quiet") == (3, "", "a library prints\n")
  assert _act("well", "--quiet", "--json")[:2] == _act("well", "--json")[:2]


@pytest.mark.parametrize("how", [[], ["--json"], ["--quiet"]])
@pytest.mark.parametrize(
  ("what", "status", "line"),
  [("badly", 2, "act: cannot be done badly; do it well"),
   ("offline", 1, "act: nobody is there")],
)  # fmt: skip
def test_a_mistake_is_the_last_line_of_stderr(what, status, line, how):
  ended, stdout, stderr = _act(what, *how)
  assert ended == status and stderr.endswith(f"\nns_jax: error: {line}\n")
  assert stdout == ("" if how else "a library prints\n")


def test_only_what_is_piped_is_on_stdout():
  result = CliRunner().invoke(act, ["aloud", "--quiet"])
  assert result.stdout_bytes == b"\x00\xff\n"
  result = CliRunner().invoke(act, ["aloud"])
  assert result.stdout_bytes == b"a library prints\n\x00\xff\n"
  assert "prints into it" in result.stderr and "acted" in result.stderr
  status, stdout, stderr = _act("aloud", "--json")
  assert (status, stdout) == (2, "") and "choose one" in stderr


def test_bars_and_lines_are_shown_to_people_alone():
  script = """
from ns_jax.apps.commands import shared
@shared.verb()
def count():
  '''Counts.'''
  import tqdm
  return shared.Done(str(sum(tqdm.tqdm(range(3)))), {"sum": 3})
count()
"""

  def run(*args):
    return subprocess.run(
      [sys.executable, "-c", script, *args],
      capture_output=True,
      text=True,
      check=True,
    )

  assert "3/3" in run().stderr
  for option, said in {"--quiet": "", "--json": '{"sum": 3}\n'}.items():
    result = run(option)
    assert (result.stdout, result.stderr) == (said, "")


@pytest.mark.parametrize("name", sorted(cli.cli.commands))
def test_help_is_whole(name):
  result = CliRunner().invoke(cli.cli, [name, "--help"])
  assert result.exit_code == 0
  lines = result.stdout.splitlines()
  assert lines[lines.index("  Example:") + 1].startswith(f"    ns-jax {name}")
  options = [line.split()[0] for line in lines if line.startswith("  --")]
  assert options[-2:] == ["--json", "--quiet"]
  undescribed = [
    parameter.name
    for parameter in cli.cli.commands[name].params
    if isinstance(parameter, click.Option) and not parameter.help
  ]
  assert not undescribed


def test_one_page_knows_all_verbs_and_statuses():
  page = (pathlib.Path(__file__).parents[2] / "docs/command.md").read_text()
  assert not [name for name in cli.cli.commands if f"`{name}`" not in page]
  said = CliRunner().invoke(cli.cli, ["--help"]).stdout
  told = " ".join(said.partition("Exit statuses:")[2].split())
  rows = re.findall(r"^\| (\d+) \| (.*) \|$", page, re.MULTILINE)
  assert told == " ".join(f"{status} {meaning}" for status, meaning in rows)
