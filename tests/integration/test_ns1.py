# SPDX-License-Identifier: Apache-2.0
"""NaturalSpeech by commands: pre-train, train, go on, speak, give away."""

import json
import shutil

import pytest
import soundfile
from click.testing import CliRunner

from ns_jax.apps import cli
from ns_jax.text import sup_phonemes
from tests import commands

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  with commands.forked(tmp_path_factory.mktemp("commands")) as forked:
    yield lambda stage, *flags: commands.succeed(
      forked(f"{stage}.py:tiny", *flags)
    )


@pytest.fixture(scope="module")
def runs(run, tmp_path_factory):
  """Folder with a language model, and a run that began with its encoder."""
  root = tmp_path_factory.mktemp("ns1")
  flags = flags_of(root)
  run("phoneme_lm", *flags, f"--workdir={root / 'lm'}")
  begun = f"--config.phoneme_lm={root / 'lm'}"
  run("ns1", *flags, begun, f"--workdir={root / 'whole'}")
  return root


def flags_of(root):
  """Where records go; its reader starts sooner than TensorFlow."""
  return (
    f"--config.data.dir={root / 'data'}",
    "--config.data.reader=array_record",
  )


@pytest.mark.nightly
def test_a_run_goes_on_inside_a_phase(run, runs, tmp_path):
  lm = tmp_path / "lm"
  shutil.copytree(runs / "lm", lm)
  flags = (
    *flags_of(runs),
    f"--config.phoneme_lm={lm}",
    f"--workdir={tmp_path / 'parts'}",
    "--config.eval.evaluators=('losses',)",
  )
  run("ns1", *flags, "--config.train.num_steps=5")  # within the main phase
  shutil.rmtree(lm)  # is needed no more
  run("ns1", *flags)
  logged = commands.metrics(tmp_path / "parts")
  whole = commands.metrics(runs / "whole")
  assert [m for m in logged if m["step"] != 5] == whole  # 5: its end


def test_a_run_is_reported(runs):
  report = json.loads((runs / "whole" / "report.json").read_text())
  assert report["reading"]["summary"]["length_ratio"] > 0.0
  assert list((runs / "whole" / "samples").glob("*.upsampling.png"))


def test_the_encoder_is_that_of_the_language_model(runs):
  ours, theirs = (
    json.loads((runs / name / "config.json").read_text())
    for name in ("whole", "lm")
  )
  assert ours["model"]["encoder"] == theirs["model"]["encoder"]
  assert sup_phonemes.digest(sup_phonemes.load(runs / "whole")) == (
    sup_phonemes.digest(sup_phonemes.load(runs / "lm"))
  )


def test_it_speaks_from_workdir_and_bundle(run, runs, tmp_path):
  run(
    *("ns1", "--mode=synthesize", f"--workdir={runs / 'whole'}"),
    *("--text=Come in.", f"--out={tmp_path / 'main.wav'}"),
  )
  card = tmp_path / "CARD.md"
  card.write_text("# Knows nothing\n")

  def call(*words):
    return CliRunner().invoke(cli.cli, [str(word) for word in words])

  result = call("export", runs / "whole", tmp_path / "b", "--card", card)
  assert result.exit_code == 0, result.stderr
  for name, model in {"run": runs / "whole", "bundle": tmp_path / "b"}.items():
    out = tmp_path / f"{name}.wav"
    result = call(
      *("synthesize", "--text", "Come in.", "--model", model, "--out", out)
    )
    assert result.exit_code == 0, result.stderr
  frames = {path.stem: soundfile.info(path).frames
            for path in tmp_path.glob("*.wav")}  # fmt: skip
  assert frames["main"] == frames["run"] == frames["bundle"] > 0
