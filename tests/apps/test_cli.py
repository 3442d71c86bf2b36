# SPDX-License-Identifier: Apache-2.0
"""The command `ns-jax`, run as people run it."""

import pathlib
import re

import click.testing
import numpy as np
import pytest
import soundfile

from data_pipelines import beam, builder, records
from data_pipelines.corpora import demo
from data_pipelines.features import sup_phonemes
from ns_jax.apps import cli, preparing
from ns_jax.apps.commands import shared
from ns_jax.audio import AudioSpec, from_int16
from ns_jax.errors import UserError


def _run(*args):
  result = click.testing.CliRunner().invoke(cli.cli, [str(a) for a in args])
  return result.exit_code, result.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Twenty-four good clips and a bad one."""
  base = tmp_path_factory.mktemp("cli")
  demo_dir = builder.build(
    demo.DemoCorpus("tiny", AudioSpec()),
    base / "demo",
    label="demo",
    beam_options=beam.THIS_PROCESS,
  )
  root = base / "clips"
  for split in ("train", "valid", "test"):
    for record in records.Records(demo_dir, split):
      path = root / record["speaker"] / record["id"]
      path.parent.mkdir(parents=True, exist_ok=True)
      wav = from_int16(record["wav"])
      soundfile.write(path.with_suffix(".wav"), wav, 16_000)
      path.with_suffix(".txt").write_text(record["text"])
  (root / "bad.wav").write_text("no sound")
  (root / "bad.txt").write_text("Hello.")
  return root


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
  """The aligner's training is tested elsewhere."""
  config_of = preparing._aligner_config

  def short(out: pathlib.Path):
    config = config_of(out)
    config.model.update(dim=16, space_dim=8)
    config.train.update(num_steps=4, eval_every=2, save_every=2, batch_size=8)
    config.optim.decay_steps = 4
    config.optim.warmup_steps = 2
    return config

  monkeypatch.setattr(preparing, "_aligner_config", short)


@pytest.mark.slow
def test_prepare_then_inspect(folder, tmp_path):
  out = tmp_path / "records"
  # As many held out as there are simulated devices.
  args = (
    *("prepare", folder, "--out", out, "--pitch=dio"),
    *("--valid-speakers=low_01,low_12", "--test-speakers=high_01,high_12"),
  )
  one = [f"--beam={option}" for option in beam.THIS_PROCESS]
  status, output = _run(*args, *one, "--sup-phonemes=records")
  assert status == shared.SOME_REJECTED, output
  assert "1 clips or lines were left out" in output
  count = 0
  (layer,) = sup_phonemes.layers_of(out)
  for split in ("train", "valid", "test"):
    wanted = ("durations", "sup_phonemes", "f0")
    for record in records.Records(layer, split, wanted):
      count += 1
      assert record["durations"].sum() == len(record["f0"])
      assert record["sup_lengths"].sum() == len(record["phonemes"])
  assert count == 24
  # Again: nothing is made, everything is found.
  before = {p: p.stat().st_mtime_ns for p in out.rglob("*record-*")}
  assert _run(*args, *one, "--sup-phonemes=records")[0] == shared.SOME_REJECTED
  assert before == {p: p.stat().st_mtime_ns for p in out.rglob("*record-*")}
  # Another way to treat the same clips needs another folder.
  status, output = _run(*args, "--max-sec=5")
  assert status == 2 and "made otherwise (limits is" in output

  status, output = _run("inspect", out)
  assert status == 0, output
  page = pathlib.Path(output.split("/s]")[-1].strip()).read_text()
  assert page.count("<img") == 6 and "not readable as audio" in page
  shown = re.sub("<[^>]*>", " ", page)
  assert re.search(r"train\s+8", shown) and "less than 60 s" in shown


def test_mistakes_are_one_line(folder, tmp_path):
  for args, said in (
    (("prepare", tmp_path / "none", "--out", tmp_path / "a"), "no such folder"),
    (("prepare", "ljspeech", "--out", tmp_path / "a", "--tfds-dir", tmp_path),
     "tfds build ljspeech"),
    (("prepare", folder, "--out", tmp_path / "a", "--aligner=nowhere"),
     "nowhere: holds no run"),
    (("prepare", "demo", "--out", tmp_path / "a", "--valid-speakers=x"),
     "demo is as it is"),
    (("prepare", folder, "--out", tmp_path / "a", "--evaluation-set=vctk"),
     "too small to train an aligner"),
    (("prepare", folder, "--out", tmp_path / "a", "--sup-phonemes=nowhere"),
     "nowhere: no such text file"),
    (("prepare", folder, "--out", tmp_path / "a", "--textgrids=nowhere"),
     "no such folder of TextGrids"),
    (("prepare", folder, "--out", folder), "is not empty"),
    (("inspect", tmp_path), "no finished records"),
  ):  # fmt: skip
    status, output = _run(*args)
    assert status == 2 and said in output, (args, output)
    assert output.count("\n") == 1 and "Traceback" not in output
  assert not (tmp_path / "a").exists()


def test_too_few_clips_to_learn_from(tmp_path):
  wav = np.sin(np.arange(16_000) / 20) * 0.1
  for i in range(2):
    soundfile.write(tmp_path / f"{i}.wav", wav, 16_000)
    (tmp_path / f"{i}.txt").write_text("Hello there.")
  request = preparing.Request(
    str(tmp_path),
    tmp_path / "out",
    pitch_method="dio",
    beam_options=beam.THIS_PROCESS,
  )
  with pytest.raises(UserError, match="2 clips in split 'train' are too few"):
    preparing.prepare(request)
