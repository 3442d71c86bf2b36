# SPDX-License-Identifier: Apache-2.0
"""Has the programs that documents name parse what these say, and do no more.

Whoever would read a command reads it: click, absl and ml_collections, argparse,
the scripts with --dry-run.
"""

import argparse
import contextlib
import io
import pathlib
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator, Sequence
from unittest import mock

import click

from ns_jax.apps import cli, planning
from tests import commands, documents

ROOT = documents.ROOT
# Programs of others, of which nobody here asks how they read their arguments.
FOREIGN = {
  *(".", "curl", "echo", "export", "ffplay", "git", "jq", "openssl"),
  *("pre-commit", "pyright", "pytest", "python3", "ruff", "tensorboard"),
}
# Of ns_jax.main everything but its work.
_PARSE_ONLY = """
from ns_jax.apps import checks, jobs, processes
def parse(config, workdir, **_):
  checks.check_program(config)
jobs.train = jobs.evaluate = jobs.synthesize = parse
processes.join = lambda *_: None
"""


class _ParsedError(Exception):
  """A script has read its arguments."""


class Parsers:
  """All of them."""

  def __init__(self, main: commands.Run):
    """Args: main: runs `python -m ns_jax.main` as far as its work."""
    self._main = main

  def parse(self, words: Sequence[str]) -> None:
    """Parses a command; fails as it would, or if nobody knows it."""
    match list(words):
      case ["taskset", "-c", _, *rest]:
        self.parse(rest)
      case [flag, *_] if flag.startswith("--config."):
        self._parse_main(["--config=configs/ns2.py", *words])
      case ["ns-jax", *args]:
        self._parse_verb(args)
      case ["python", "-m", "ns_jax.main", *flags]:
        self._parse_main(flags)
      case ["python", script, *args] if script.startswith("launch/"):
        _parse_script(script, args)
      case ["python", script, *_]:
        assert (ROOT / script).is_file(), f"there is no {script}"
      case [script, *args] if script.startswith("launch/"):
        self._parse_launch(script, args)
      case ["pip", "install", *args]:
        _parse_requirements(args)
      case ["docker", "build", *args]:
        _parse_build(args)
      case ["docker", "run", *args]:
        (image,) = [word for word in args if word.startswith("ns_jax:")]
        assert image.partition(":")[2] in _targets()
        self._parse_verb(args[args.index(image) + 1 :])
      case [program, *_]:
        assert program in FOREIGN, f"tests/parsers.py does not know {program}"

  def _parse_main(self, flags: Sequence[str]) -> None:
    (config,) = [flag for flag in flags if flag.startswith("--config=")]
    others = [flag for flag in flags if flag != config]
    name = config.removeprefix("--config=").removeprefix("configs/")
    commands.succeed(self._main(name, *others))

  def _parse_verb(self, args: Sequence[str]) -> None:
    options = _parse_click(args)
    if args[0] == "train":
      self._parse_main([f"--config={options['config']}", *options["flags"]])
    elif args[0] == "plan":
      planning.load_config(options["config"], options["overrides"])

  def _parse_launch(self, script: str, args: list[str]) -> None:
    end = args.index("--") if "--" in args else len(args)
    done = subprocess.run(
      [ROOT / script, *args[:end], "--dry-run", *args[end:]],
      cwd=ROOT,
      capture_output=True,
      text=True,
      check=False,
    )
    assert done.returncode == 0, done.stderr
    match args[end + 1 :]:
      case []:
        pass
      case [first, *_] as flags if first.startswith("--"):
        self._parse_main(flags)
      case rest:
        self.parse(rest)


@contextlib.contextmanager
def opened(folder: pathlib.Path) -> Iterator[Parsers]:
  """Yields parsers, with a folder for what they log."""
  with commands.forked(folder, _PARSE_ONLY) as main:
    yield Parsers(main)


def check_spoken_of(words: Sequence[str]) -> None:
  """Checks that a verb of ns-jax and its options are there."""
  if words[1].isupper():  # ns-jax VERB
    return
  assert words[1] in cli.cli.commands, f"ns-jax has no verb {words[1]}"
  verb = cli.cli.commands[words[1]]
  names = {"-h", "--help", *(o for p in verb.params for o in p.opts)}
  names |= {o for p in verb.params for o in p.secondary_opts}
  given = {word.partition("=")[0] for word in words if word.startswith("--")}
  given = {name for name in given if not name.startswith("--config.")}
  assert given <= names, f"ns-jax {words[1]} has no {given - names}"


def _parse_click(args: Sequence[str]) -> dict:
  """The options of a verb."""
  try:
    if args[0].startswith("-"):
      cli.cli.make_context("ns-jax", list(args))
      return {}
    assert args[0] in cli.cli.commands, f"ns-jax has no verb {args[0]}"
    verb = cli.cli.commands[args[0]]
    group = click.Context(cli.cli, **cli.cli.context_settings)
    return verb.make_context(args[0], list(args[1:]), parent=group).params
  except click.exceptions.Exit:  # --help, --version
    return {}
  except click.UsageError as error:
    raise AssertionError(error.format_message()) from error


def _parse_script(script: str, args: Sequence[str]) -> None:
  """Runs a script until it has read all its arguments."""
  parse_args = argparse.ArgumentParser.parse_args

  def parse(parser, *given):
    read = parse_args(parser, *given)
    if any(a.nargs == argparse.REMAINDER for a in parser._actions):
      return read  # another parser reads the rest
    raise _ParsedError

  folder = str((ROOT / script).parent)
  said = io.StringIO()
  with (
    mock.patch.object(sys, "argv", [script, *args]),
    mock.patch.object(sys, "path", [folder, *sys.path]),
    mock.patch.object(argparse.ArgumentParser, "parse_args", parse),
    contextlib.redirect_stderr(said),
  ):
    try:
      runpy.run_path(str(ROOT / script), run_name="__main__")
    except _ParsedError:
      return
    except SystemExit:
      pass
  raise AssertionError(said.getvalue() or f"{script} reads no arguments")


def _parse_requirements(args: Sequence[str]) -> None:
  """Checks that the extras are there."""
  for word in args:
    found = re.fullmatch(r"(?:\.|ns_jax)\[(.+)\]", word)
    missing = {*found[1].split(",")} - documents.extras() if found else set()
    assert not missing, f"no extra {missing}"


def _parse_build(args: Sequence[str]) -> None:
  assert args[args.index("--target") + 1] in _targets()
  assert (ROOT / args[args.index("-f") + 1]).is_file()


def _targets() -> list[str]:
  text = (ROOT / "docker" / "Dockerfile").read_text()
  return re.findall(r"^FROM \S+ AS (\w+)$", text, re.MULTILINE)
