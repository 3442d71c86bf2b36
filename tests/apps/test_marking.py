# SPDX-License-Identifier: Apache-2.0
"""`--mark` on every verb that speaks, and `ns-jax detect`."""

import json
import pathlib
import types

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from ns_jax import api
from ns_jax.apps import cli
from ns_jax.audio import AudioSpec
from tests import waves

VERBS = {
  "synthesize": ("--text", "Hi.", "--prompt", "voice.wav"),
  "convert": ("said.wav", "--text", "Hi.", "--prompt", "voice.wav"),
  "enhance": ("said.wav", "--text", "Hi.", "--prompt", "voice.wav"),
  "sing": ("song.mid", "--prompt", "voice.wav"),
}


class Speaks:
  """Stands in for a model, and always says the same."""

  def speaker(self, *_):
    return types.SimpleNamespace(model=types.SimpleNamespace(max_phonemes=100))

  def convert(self, *_, **__):
    return api.Audio(waves.syllables(), AudioSpec())

  enhance = sing = sing_like = convert

  sample_rate_hz = 16_000

  def stream(self, *_, **__):
    yield from np.array_split(waves.syllables(), 9)

  def say(self, lines):
    return [self.convert() for _ in lines]


@pytest.fixture(autouse=True)
def model(monkeypatch, tmp_path):
  monkeypatch.setattr(api, "load", lambda *_: Speaks())
  monkeypatch.delenv("NS_JAX_MARK_KEY", raising=False)
  monkeypatch.chdir(tmp_path)


def run(*args):
  result = CliRunner().invoke(cli.cli, args)
  return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_what_is_marked_is_found(verb):
  for name, options in {"yes.wav": ["--mark"], "no.wav": []}.items():
    status, _, stderr = run(verb, *VERBS[verb], "--out", name, *options)
    assert status == 0, stderr
  assert run("detect", "yes.wav")[0] == 0
  assert run("detect", "no.wav")[0] == 1


def test_what_is_marked_while_it_is_made_is_found():
  result = CliRunner().invoke(
    cli.cli,
    ["synthesize", *VERBS["synthesize"], "--out", "-", "--mark"],
  )
  assert result.exit_code == 0, result.stderr
  pathlib.Path("said.wav").write_bytes(result.stdout_bytes)
  assert run("detect", "said.wav")[0] == 0


def test_like_grep_one_is_enough():
  soundfile.write("plain.wav", waves.syllables(), 16_000)
  marked = api.Audio(waves.syllables(), AudioSpec()).marked()
  marked.save("marked.opus")
  status, stdout, _ = run("detect", "plain.wav", "marked.opus")
  plain, other = stdout.splitlines()
  assert status == 0
  assert plain.startswith("plain.wav: no mark found (z ")
  assert other.startswith("marked.opus: marked (z ")
  status, stdout, _ = run("detect", "plain.wav", "marked.opus", "--json")
  facts = json.loads(stdout)["files"]
  assert [fact["is_marked"] for fact in facts] == [False, True]
  assert facts[1]["z"] > facts[1]["threshold"] > facts[0]["z"]


def test_a_key_of_ones_own(monkeypatch):
  monkeypatch.setenv("NS_JAX_MARK_KEY", "mine")
  run("sing", *VERBS["sing"], "--out", "mine.wav", "--mark")
  assert run("detect", "mine.wav")[0] == 0
  monkeypatch.setenv("NS_JAX_MARK_KEY", "another")
  assert run("detect", "mine.wav")[0] == 1
  monkeypatch.setenv("NS_JAX_MARK_KEY", "")
  status, _, stderr = run("detect", "mine.wav")
  assert status == 2 and "NS_JAX_MARK_KEY is empty" in stderr
  monkeypatch.setattr(api, "load", None)  # nothing is spoken before
  status, _, stderr = run("sing", *VERBS["sing"], "--out", "no.wav", "--mark")
  assert status == 2 and "NS_JAX_MARK_KEY is empty" in stderr


def test_files_that_are_no_audio():
  status, stdout, stderr = run("detect", "missing.wav")
  assert (status, stdout) == (2, "") and "missing.wav" in stderr
  assert run("detect", "missing.wav", "none.wav")[:2] == (2, "")
  soundfile.write("plain.wav", waves.syllables(), 16_000)
  status, stdout, stderr = run("detect", "missing.wav", "plain.wav")
  assert status == 3 and stdout.startswith("plain.wav: no mark found")
  assert "missing.wav: no such audio file" in stderr
