# SPDX-License-Identifier: Apache-2.0
"""Scripts of launch/, run among programs that tests put first on PATH."""

import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).parents[2]
LAUNCH = ROOT / "launch"
_LIMIT_SEC = 60
# Whoever started us in the background, or by nohup, left these ignored.
_LISTENING = (str(shutil.which("env")), "--default-signal=INT,HUP")
# Writes the words that a program is called with to the file CALLS, all at once,
# because others write too.
_RECORD = """#!/usr/bin/env bash
printf '%s\\037' "${0##*/}" "$@" $'\\036' >>"$CALLS"
"""


class Shell:
  """A place to run scripts in, with programs of its own."""

  def __init__(self, folder: pathlib.Path):
    """Args: folder: for the programs and the record of their calls."""
    self.folder = folder
    self.launch = LAUNCH
    self.programs = folder / "programs"
    self.programs.mkdir(parents=True)
    self.environment = {
      **os.environ,
      "CALLS": str(folder / "calls"),
      "PATH": f"{self.programs}:{os.environ['PATH']}",
    }

  def program(self, name: str, body: str = "") -> pathlib.Path:
    """Makes a program that records its words and then does as `body` says."""
    path = self.programs / name
    path.write_text(_RECORD + body)
    path.chmod(0o755)
    return path

  def calls(self) -> list[list[str]]:
    """The words of every call of a program, in order, their names first."""
    path = self.folder / "calls"
    records = path.read_text().split("\036\037")[:-1] if path.exists() else []
    return [record.split("\037")[:-1] for record in records]

  def start(
    self, script: str, *words: str, **variables: str
  ) -> subprocess.Popen[str]:
    """Starts a script of `launch` with other environment variables."""
    return subprocess.Popen(
      [*_LISTENING, str(self.launch / script), *words],
      cwd=self.folder,
      env={**self.environment, **variables},
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )

  def run(
    self, script: str, *words: str, **variables: str
  ) -> subprocess.CompletedProcess[str]:
    """Runs a script of `launch` to its end."""
    process = self.start(script, *words, **variables)
    return finish(process)


def finish(
  process: subprocess.Popen[str],
) -> subprocess.CompletedProcess[str]:
  """Waits for its end and takes what it said."""
  try:
    out, err = process.communicate(timeout=_LIMIT_SEC)
  except subprocess.TimeoutExpired:
    process.kill()
    raise
  return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def bare_path(folder: pathlib.Path) -> str:
  """A PATH with what every machine has and nothing else."""
  bare = folder / "bare"
  bare.mkdir()
  for name in ("bash", "dirname", "mktemp", "rm"):
    path = shutil.which(name)
    assert path
    (bare / name).symlink_to(path)
  return str(bare)


def words_of(line: str, folder: pathlib.Path) -> list[str]:
  """The words that bash makes of a line."""
  script = f"printf '%s\\037' {line}"
  done = subprocess.run(
    ["bash", "-c", script],
    cwd=folder,
    capture_output=True,
    text=True,
    check=True,
  )
  return done.stdout.split("\037")[:-1]


def assert_one_clear_line(
  done: subprocess.CompletedProcess[str], message: str
) -> None:
  """It refused, with status 2 and one line that says why."""
  assert done.returncode == 2, done.stderr
  assert done.stdout == ""
  assert len(done.stderr.splitlines()) == 1
  assert ": error: " in done.stderr and message in done.stderr
