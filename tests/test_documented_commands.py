# SPDX-License-Identifier: Apache-2.0
"""The commands and the Python of README.md and docs/ do what they promise.

Every command is parsed by the program that would run it (tests/parsers.py), and
every name that Python imports is looked up. At night they are run, in the order
of CHECKS and in one folder, small: presets become `:tiny`, recordings a hum.

A new command of ours needs a line in CHECKS under its document: what it begins
with, and `Run()`, or `Parse` and why it is not run. Python is run as it is,
with what PYTHON gives it.
"""

import ast
import dataclasses
import importlib.util
import os
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from tests import documents, parsers, speakers

OURS = ("ns-jax", "python ", "launch/", "--config.")
SPEAK = "--model=tiny"  # random weights, that speak in no time


@dataclasses.dataclass(frozen=True)
class Run:
  """Every night."""

  more: str = ""  # that makes it small
  needs: str = ""  # a module without which it cannot be


@dataclasses.dataclass(frozen=True)
class Parse:
  """By day, and no more."""

  why: str


LAUNCH = Parse("tests/launch runs the scripts")
STUDY = Parse("hours of training or measuring")

CHECKS = {
  "README.md": {
    "python -m ns_jax.main --config=configs/ns2.py": Run(
      "--workdir=runs/ns2-demo"
    ),
    "python -m ns_jax.main --config=configs/ns2.py:small": Run(),
    "python -m ns_jax.main --config=configs/ns1.py": Run(
      "--workdir=runs/ns1-demo"
    ),
    "python -m ns_jax.main --config=configs/ns1.py:small": Run(),
    "python -m ns_jax.main --config=configs/phoneme_lm.py": Run(),
    "ns-jax synthesize --text": Run(SPEAK),
    "ns-jax synthesize --model runs/ns1-demo": Run("--overwrite"),
    "ns-jax encode": Run(),
    "ns-jax decode": Run(),
    "ns-jax plan": Run("--rows=16 --no-search --quick", needs="libtpu"),
    "ns-jax prepare": Run("--aligner=shipped"),
    "ns-jax inspect": Run(),
  },
  "docs/ablations.md": {"python launch/ablate_": STUDY},
  "docs/codec.md": {
    "ns-jax encode": Run("--overwrite"),
    "ns-jax decode": Run("--overwrite"),
    "python launch/compare_codecs.py": STUDY,
  },
  "docs/command.md": {
    "ns-jax doctor": Run(),
    "ns-jax encode": Run("--overwrite"),
  },
  "docs/evaluation.md": {
    "python -m ns_jax.main": Parse("fetches the weights of judges"),
    "--config.eval.": Parse("fetches the weights of judges"),
  },
  "docs/launching.md": {"launch/": LAUNCH},
  "docs/performance.md": {"taskset -c 2,3 python launch/bench.py": STUDY},
  "docs/plan.md": {
    "ns-jax plan": Run("--no-search --quick", needs="libtpu"),
    "python launch/plan.py": STUDY,
  },
  "docs/speaking.md": {
    "python -m ns_jax.main --config=configs/ns2_distilled.py": Run(
      "--workdir=runs/ns2_distilled-demo"
    ),
    "python -m ns_jax.main --config=configs/ns2.py:mini": Parse(
      "tests/apps/test_starting.py goes on from given weights"
    ),
    "python launch/": STUDY,
    "ns-jax synthesize --text": Run(f"{SPEAK} --overwrite"),
    "ns-jax synthesize --model runs/ns2_distilled-demo": Run(),
    "ns-jax convert": Run(f"{SPEAK} --overwrite"),
    "ns-jax enhance": Run(f"{SPEAK} --overwrite"),
    "ns-jax sing": Run(f"{SPEAK} --overwrite"),
  },
}

RECORDINGS = ("voice", "in", "me", "you", "street", "their_song")
# What Python of a document is given, and what of it is written otherwise.
PYTHON = {
  "docs/codec.md": ({"wav": speakers.voice(2.0)}, {}),
  "docs/singing.md": ({"measured_f0_hz": np.full(2336, 220.0)}, {}),
  "docs/speaking.md": ({}, {"Synthesizer.load()": 'Synthesizer.load("tiny")'}),
}
BY_DAY = ("docs/singing.md",)


def ours():
  """The commands that start our programs."""
  return [
    command
    for document in [*CHECKS, *(set(documents.NAMES) - set(CHECKS))]
    for command in documents.commands(document)
    if " ".join(command.words).startswith(OURS) or command.words[0] == "taskset"
  ]


def check_of(command):
  """The longest line of CHECKS that a command begins with, if there is one."""
  document = command.place.partition(":")[0]
  text = " ".join(command.words)
  lines = [line for line in CHECKS.get(document, {}) if text.startswith(line)]
  return max(lines, key=len, default=None)


@pytest.fixture(scope="module")
def parse(tmp_path_factory):
  with parsers.opened(tmp_path_factory.mktemp("parsed")) as opened:
    yield opened.parse


@pytest.mark.parametrize("document", documents.NAMES)
def test_commands_are_parsed(document, parse):
  wrong = []
  for command in documents.commands(document):
    try:
      parse(command.words)
    except Exception as error:
      wrong.append(f"{command.place}: {command}\n  {error}")
  assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("document", documents.NAMES)
def test_verbs_and_options_in_running_text_are_there(document):
  for command in documents.spoken_of(document):
    parsers.check_spoken_of(command.words)


def test_every_command_of_ours_has_a_check():
  without = [command for command in ours() if check_of(command) is None]
  assert not without, "no line in CHECKS for:\n" + "\n".join(
    f"{command.place}: {command}" for command in without
  )


def test_every_check_is_of_a_command():
  used = {(c.place.partition(":")[0], check_of(c)) for c in ours()}
  listed = {(name, line) for name, lines in CHECKS.items() for line in lines}
  assert listed == used


@pytest.mark.parametrize("document", documents.NAMES)
def test_python_imports_what_there_is(document):
  for block in documents.blocks(document, "python"):
    tree = ast.parse(block.text, block.place)
    imported = {}
    for node in ast.walk(tree):
      if isinstance(node, ast.Import | ast.ImportFrom):
        statement = ast.Module([node], type_ignores=[])
        exec(compile(statement, block.place, "exec"), imported)
    for node in ast.walk(tree):
      if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        if node.value.id in imported:
          assert hasattr(imported[node.value.id], node.attr), block.place


def _run_python(document):
  """Runs all Python of a document, one block after the other."""
  given, otherwise = PYTHON.get(document, ({}, {}))
  names = dict(given)
  for block in documents.blocks(document, "python"):
    text = block.text
    for written, instead in otherwise.items():
      text = text.replace(written, instead)
    exec(compile(text, block.place, "exec"), names)
  return names


@pytest.mark.parametrize("document", BY_DAY)
def test_python_runs_by_day(document, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert _run_python(document)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
  """A folder with the files that documents speak of."""
  home = tmp_path_factory.mktemp("home")
  for i, name in enumerate(RECORDINGS):
    soundfile.write(home / f"{name}.wav", speakers.voice(2.0, i), 16_000)
  (home / "book.txt").write_text(
    "".join(f"{said}\n" for said in _sentences(100)), encoding="utf-8"
  )
  corpus = home / "LJSpeech-1.1"
  (corpus / "wavs").mkdir(parents=True)
  lines = []
  for i, said in enumerate(_sentences(40)):
    name = f"LJ001-{i:04}"
    wav = speakers.voice(0.07 * len(said), i)
    soundfile.write(corpus / "wavs" / f"{name}.wav", wav, 16_000)
    lines.append(f"{name}|{said}|{said}\n")
  (corpus / "metadata.csv").write_text("".join(lines), encoding="utf-8")
  speakers.bundle(home / "tiny", on_shipped=True)
  return home


def _sentences(count):
  path = documents.ROOT / "data_pipelines" / "corpora" / "demo_sentences.txt"
  return path.read_text(encoding="utf-8").splitlines()[:count]


@pytest.fixture(scope="module")
def start(home):
  """Starts a command in that folder, small; returns what it says."""
  programs = {
    "ns-jax": (sys.executable, "-m", "ns_jax.apps.cli"),
    "python": (sys.executable,),
  }
  one_device = "--xla_force_host_platform_device_count=1"
  variables = {
    "HOME": str(home),
    "PYTHONPATH": str(documents.ROOT),
    "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} {one_device}",
  }

  def start(command, more):
    text = re.sub(r"(configs/\w+\.py)(:\w+)?", r"\1:tiny", str(command))
    first, *words = shlex.split(text.replace("~", str(home)))
    done = subprocess.run(
      [*programs[first], *words, *more.split()],
      cwd=home,
      env={**os.environ, **variables},
      stdin=subprocess.DEVNULL,
      capture_output=True,
      text=True,
      check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stderr[-3000:]}"

  return start


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("document", CHECKS)
def test_commands_run(document, start, home):
  for command in documents.commands(document):
    line = check_of(command)
    check = line and CHECKS[document][line]
    if not isinstance(check, Run):
      continue
    if check.needs and importlib.util.find_spec(check.needs) is None:
      continue
    start(command, check.more)
    words = command.words
    if "--out" in words:
      assert (home / words[words.index("--out") + 1]).exists(), command


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize(
  "document", [n for n in documents.NAMES if documents.blocks(n, "python")]
)
def test_python_runs(document, home, monkeypatch):
  monkeypatch.chdir(home)
  assert _run_python(document)
