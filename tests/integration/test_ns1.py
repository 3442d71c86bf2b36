# SPDX-License-Identifier: Apache-2.0
"""NaturalSpeech by commands: pre-train, train, go on, speak, give away."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import pytest
import soundfile
from click.testing import CliRunner

from ns_jax.apps import cli
from ns_jax.text import sup_phonemes

pytestmark = pytest.mark.slow
ROOT = pathlib.Path(__file__).parents[2]
CACHE = tempfile.TemporaryDirectory()  # all runs compile the same programs


def run(stage, *flags):
  result = subprocess.run(
    [sys.executable, "-m", "ns_jax.main", f"--config=configs/{stage}.py:tiny"]
    + list(flags),
    cwd=ROOT,
    env={
      **os.environ,
      "JAX_PLATFORMS": "cpu",
      "XLA_FLAGS": os.environ["XLA_FLAGS"]
      + " --xla_force_host_platform_device_count=1",
      "JAX_COMPILATION_CACHE_DIR": CACHE.name,
    },
    capture_output=True,
    text=True,
    timeout=600,
  )
  assert result.returncode == 0, result.stderr[-3000:]
  return result.stderr


def metrics(workdir):
  """What was logged, without what depends on the clock."""
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  records = [json.loads(line) for line in lines]
  for record in records:
    del record["timing"]
  return records


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  """Folder with a language model, and a run that began with its encoder."""
  root = tmp_path_factory.mktemp("ns1")
  # Starts sooner than with TensorFlow.
  data = (
    f"--config.data.dir={root / 'data'}",
    "--config.data.reader=array_record",
  )
  run("phoneme_lm", *data, f"--workdir={root / 'lm'}")
  flags = *data, f"--config.phoneme_lm={root / 'lm'}"
  run("ns1", *flags, f"--workdir={root / 'whole'}")
  # In the middle of the main phase; the language model is needed no more.
  parts = f"--workdir={root / 'parts'}"
  run("ns1", *flags, parts, "--config.train.num_steps=5")
  (root / "lm").rename(root / "elsewhere")
  run("ns1", *flags, parts)
  return root


def test_a_run_goes_on_inside_a_phase(runs):
  parts = [m for m in metrics(runs / "parts") if m["step"] != 5]  # its end
  assert parts == metrics(runs / "whole")
  report = json.loads((runs / "whole" / "report.json").read_text())
  assert report["reading"]["summary"]["length_ratio"] > 0.0
  assert list((runs / "whole" / "samples").glob("*.upsampling.png"))


def test_the_encoder_is_that_of_the_language_model(runs):
  ours, theirs = (
    json.loads((runs / name / "config.json").read_text())
    for name in ("whole", "elsewhere")
  )
  assert ours["model"]["encoder"] == theirs["model"]["encoder"]
  assert sup_phonemes.digest(sup_phonemes.load(runs / "whole")) == (
    sup_phonemes.digest(sup_phonemes.load(runs / "elsewhere"))
  )


def test_it_speaks_from_workdir_and_bundle(runs, tmp_path):
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
