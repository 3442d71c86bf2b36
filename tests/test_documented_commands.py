# SPDX-License-Identifier: Apache-2.0
"""The commands and the Python of README.md and docs/ do what they promise.

Every command is parsed by the program that would run it (tests/parsers.py), and
every name that Python imports is looked up. At night they are run, in the order
of CHECKS and in one folder (tests/document_runs.py), small: presets become
`:tiny`, recordings a hum.

A new command of ours needs a line in CHECKS under its document: what it begins
with, and `Run()`, or `Parse` and why it is not run. Python is run as it is,
with what PYTHON gives it.
"""

import ast
import dataclasses
import importlib.util

import numpy as np
import pytest

from tests import document_runs, documents, parsers, speakers

OURS = ("ns-jax ", "python ", "launch/", "--config.", "taskset ")
SPEAK = "--model=tiny"  # random weights, that speak in no time


@dataclasses.dataclass(frozen=True)
class Run:
  """Every night."""

  more: str = ""  # that makes it small
  needs: str = ""  # a module without which it cannot be


class Serve(Run):
  """Every night, for what follows to ask; until the next one."""


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
    "ns-jax doctor": Run(),
    "ns-jax convert": Run(SPEAK),
    "ns-jax enhance": Run(SPEAK),
    "ns-jax sing": Run(SPEAK),
    "ns-jax demo": Parse("tests/apps/page opens it in a browser"),
    "ns-jax serve": Parse("docs/serving.md serves"),
    "ns-jax train": Parse("python -m ns_jax.main does the same, and is run"),
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
  "docs/demo.md": {
    "ns-jax demo": Parse("tests/apps/page opens it in a browser"),
  },
  "docs/evaluation.md": {
    "python -m ns_jax.main": Parse("fetches the weights of judges"),
    "--config.eval.": Parse("fetches the weights of judges"),
  },
  "docs/export.md": {
    "ns-jax export runs/": Run(),
    "ns-jax synthesize": Run("--overwrite"),
    "ns-jax export-stablehlo": Run(),
    "python examples/load_stablehlo.py": Run(),
  },
  "docs/guides/own_corpus.md": {
    "ns-jax prepare": Parse("tests/data_pipelines/corpora reads LibriTTS"),
    "ns-jax inspect": Parse("README.md inspects"),
    "ns-jax train": STUDY,
    "ns-jax evaluate": STUDY,
    "ns-jax export": Parse("docs/export.md exports"),
    "ns-jax synthesize": Parse("docs/export.md speaks with a bundle"),
  },
  "docs/guides/own_voice.md": {
    "ns-jax synthesize --text": Run(f"{SPEAK} --overwrite"),
    "ns-jax prepare": Run(),
    "ns-jax inspect": Run(),
    "ns-jax train": STUDY,
    "ns-jax synthesize --model": Parse("what STUDY trains"),
  },
  "docs/guides/pod.md": {
    "ns-jax plan": Parse("README.md plans"),
    "launch/": LAUNCH,
  },
  "docs/launching.md": {"launch/": LAUNCH},
  "docs/performance.md": {
    "python launch/bench.py speak": Run("--minutes 0.05 --rounds 1"),
    "taskset -c 2,3 python launch/bench.py": STUDY,
  },
  "docs/plan.md": {
    "ns-jax plan": Run("--no-search --quick", needs="libtpu"),
    "python launch/plan.py": STUDY,
  },
  "docs/responsible_use.md": {
    "ns-jax synthesize": Run(f"{SPEAK} --overwrite"),
    "ns-jax detect": Parse("a hum is too short to carry the mark"),
  },
  "docs/serving.md": {
    "ns-jax serve": Serve(SPEAK),
    "python launch/load_test.py": Run("--clients 3 --seconds 3"),
  },
  "docs/speaking.md": {
    "ns-jax train ns2_distilled": Parse("tests/apps/test_shell.py trains"),
    "python launch/": STUDY,
    "ns-jax synthesize --text": Run(f"{SPEAK} --overwrite"),
    "ns-jax synthesize --model runs/ns2_distilled-demo": Parse(
      "tests/stages/test_ns2_distilled.py distils"
    ),
    "ns-jax convert": Run(f"{SPEAK} --overwrite"),
    "ns-jax enhance": Run(f"{SPEAK} --overwrite"),
    "ns-jax sing": Run(f"{SPEAK} --overwrite"),
  },
}

# What Python of a document is given, and what of it is written otherwise.
PYTHON = {
  "docs/codec.md": ({"wav": speakers.voice(2.0)}, {}),
  "docs/singing.md": ({"measured_f0_hz": np.full(2336, 220.0)}, {}),
  "docs/python.md": (
    {},
    {
      "ns_jax.load()": 'ns_jax.load("tiny")',
      '"twinkle': f'"{documents.ROOT}/examples/twinkle',
    },
  ),
  "docs/speaking.md": ({}, {"ns_jax.load()": 'ns_jax.load("tiny")'}),
}
BY_DAY = ("docs/singing.md",)


def ours():
  """The commands that start our programs."""
  return [
    command
    for document in documents.NAMES
    for command in documents.commands(document)
    if command.text.startswith(OURS)
  ]


def check_of(command):
  """The longest line of CHECKS that a command begins with, if there is one."""
  lines = CHECKS.get(command.document, {})
  fitting = [line for line in lines if command.text.startswith(line)]
  return max(fitting, key=len, default=None)


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
  used = {(c.document, check_of(c)) for c in ours()}
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


class _Python:
  """Runs the Python of a document, one block after the other."""

  def __init__(self, document, here=str):
    """Args: here: changes what cannot be the same in this place."""
    given, self._otherwise = PYTHON.get(document, ({}, {}))
    self._names = dict(given)
    self._here = here

  def run(self, block):
    text = self._here(block.text)
    for written, instead in self._otherwise.items():
      text = text.replace(written, instead)
    exec(compile(text, block.place, "exec"), self._names)


@pytest.mark.parametrize("document", BY_DAY)
def test_python_runs_by_day(document, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  python = _Python(document)
  for block in documents.blocks(document, "python"):
    python.run(block)


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
  home = tmp_path_factory.mktemp("home")
  document_runs.prepare(home)
  shell = document_runs.Shell(home)
  yield shell
  shell.stop()


def _run(command, shell):
  """Runs a command as CHECKS says."""
  line = check_of(command)
  check = CHECKS[command.document][line] if line else None
  if isinstance(check, Serve):
    shell.serve(command, check.more)
  elif isinstance(check, Run):
    if not check.needs or importlib.util.find_spec(check.needs):
      shell.run(command, check.more)
  elif command.words[0] == "curl" and shell.serves:
    shell.run(command, "")


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("document", dict.fromkeys([*CHECKS, *PYTHON]))
def test_a_document_is_true(document, shell, monkeypatch):
  monkeypatch.chdir(shell.home)
  python = _Python(document, shell.here)
  steps = [*documents.commands(document), *documents.blocks(document, "python")]
  for step in sorted(steps, key=lambda step: step.line):
    if isinstance(step, documents.Block):
      python.run(step)
    else:
      _run(step, shell)
  shell.stop()


def test_all_python_is_run_at_night():
  have = {n for n in documents.NAMES if documents.blocks(n, "python")}
  assert have <= {*CHECKS, *PYTHON}, "add these documents to PYTHON"
