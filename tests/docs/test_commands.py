# SPDX-License-Identifier: Apache-2.0
"""Commands in the documents: verbs, options and config fields are there.

That they work is tested where each is; here, that none is misspelt or stale.
"""

import functools
import importlib
import pathlib
import re
import shlex

import click
import ml_collections
import pytest

from ns_jax.apps import cli
from ns_jax.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_OURS = re.compile(r"ns-jax [a-z]|python -m ns_jax\.main|launch/\w+\.sh")
_FIELD = re.compile(r"--config\.([\w.]+?)(?:=.*)?")


def commands():
  """(document, words) of each command in a block of code."""
  for document in DOCUMENTS:
    text = document.read_text().replace("\\\n", " ")
    text = re.sub(r"<[\w ']+>", "PLACEHOLDER", text)
    lines = re.findall(r"^```bash\n(.*?)^```$", text, re.M | re.S)
    lines += re.findall(r"^    (.*)$", text, re.M)
    for line in "\n".join(lines).splitlines():
      if not _OURS.search(line):
        continue
      for words in simple_commands(line):
        if _OURS.match(" ".join(words)):
          name = f"{document.stem}: {' '.join(words)[:60]}"
          yield pytest.param(words, id=name)


def simple_commands(line):
  """Words of each of several commands in a line of a shell."""
  tokens = shlex.shlex(line, posix=True, punctuation_chars="|&;>")
  tokens.whitespace_split = True
  words = []
  for token in tokens:
    if set(token) <= set("|&;>"):
      yield words
      words = []
    else:
      words.append(token)
  yield words


@functools.cache
def load_config(name):
  stem, _, preset = pathlib.PurePath(name).name.partition(":")
  module = importlib.import_module(f"configs.{stem.removesuffix('.py')}")
  return module.get_config(preset)


def check_fields(name, flags):
  """Each --config.field must be one of that config."""
  config = load_config(name)
  for flag in flags:
    if field := _FIELD.fullmatch(flag):
      place = config
      for part in field[1].split("."):
        assert isinstance(place, ml_collections.ConfigDict), flag
        assert part in place, flag
        place = place[part]


def check_verb(name, words):
  """Its options, and what it must be given, as Click would."""
  verb = cli.cli.commands[name]
  context = click.Context(verb, info_name=name, **verb.context_settings)
  given, *_ = verb.make_parser(context).parse_args(list(words))
  for parameter in verb.params:
    value = given.get(parameter.name)
    if parameter.required:
      assert value not in (None, ()), parameter.name
    if isinstance(parameter.type, click.Choice) and value is not None:
      parameter.type.convert(value, parameter, context)
  return given


@pytest.mark.parametrize("words", list(commands()))
def test_it_could_be_given(words):
  if words[0] == "ns-jax":
    given = check_verb(words[1], words[2:])
    if words[1] == "train":
      check_fields(given["config"], given["flags"])
    return
  if words[0].startswith("launch/"):
    assert (ROOT / words[0]).is_file(), words[0]
  configs = [w.partition("=")[2] for w in words if w.startswith("--config=")]
  assert configs or "--config" not in " ".join(words)
  for name in configs:
    check_fields(name, words)


def test_there_are_some():
  assert len(list(commands())) > 50


@pytest.mark.parametrize(
  "line",
  [
    "ns-jax synthesize --out a.wav --volume 3",
    "ns-jax synthesize --text hello",
    "ns-jax train ns2:tiny --config.train.num_step=3",
    "ns-jax train ns2:huge",
    "ns-jax prepare speech --out=records --pitch=dia",
    "python -m ns_jax.main --config=configs/ns2.py --config.optim.rate=1",
    "launch/nowhere.sh -- --config=configs/ns2.py",
  ],
)
def test_a_mistake_would_be_found(line):
  with pytest.raises((AssertionError, click.UsageError, UserError)):
    test_it_could_be_given(shlex.split(line))
