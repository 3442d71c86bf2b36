# SPDX-License-Identifier: Apache-2.0
"""What goes into a bundle comes out of it; anything else is one clear line."""

import dataclasses
import functools
import json
import shutil
import subprocess

import jax
import numpy as np
import pytest
import safetensors.numpy
import yaml

from ns_jax.errors import UserError
from ns_jax.inference import bundle, cards, export, restore, sums
from ns_jax.inference.codec import SpeechCodec
from tests import codecs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return codecs.bundle(tmp_path_factory.mktemp("bundle") / "codec")


def test_a_codec_survives(folder):
  restored = SpeechCodec.load(folder)
  assert restored.codec_id == codecs.codec().codec_id
  assert restore.restore(folder).step == 7
  assert (folder / "README.md").read_text().endswith(codecs.CARD)
  config = json.loads((folder / "config.json").read_text())
  assert set(config["model"]) == {"codec", "quantizer"}
  assert "data" not in config  # nobody's folders are told
  wav = np.random.default_rng(0).normal(size=900).astype(np.float32)
  np.testing.assert_array_equal(
    restored.reconstruct(wav), codecs.codec().reconstruct(wav)
  )


def test_weights_are_in_half_precision(folder):
  tensors = safetensors.numpy.load_file(folder / bundle.WEIGHTS_FILE)
  assert {tensor.dtype for tensor in tensors.values()} == {np.dtype("float16")}
  assert "params/gen/encoder/trunk/stem/kernel" in tensors


def _copied(folder, copy):
  """Copies a bundle without its sums, which would tell of any change."""
  shutil.copytree(folder, copy)
  (copy / sums.SUMS_FILE).unlink()


def _changed(folder, tmp_path, change):
  """A copy whose tensors `change` has had its way with."""
  copy = tmp_path / "copy"
  _copied(folder, copy)
  file = copy / bundle.WEIGHTS_FILE
  tensors = safetensors.numpy.load_file(file)
  change(tensors)
  safetensors.numpy.save_file(tensors, file)
  return copy


NAME = "params/gen/encoder/trunk/stem/kernel"


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda t: t.update({NAME: t[NAME] * np.float16(np.nan)}), "not finite"),
    (lambda t: t.update({NAME: t[NAME].astype(np.int8)}), "of type I8"),
    (lambda t: t.update({NAME: t[NAME][..., :-1].copy()}), "do not fit"),
    (lambda t: t.pop(NAME), "do not fit"),
    (lambda t: t.update({f"{NAME}/more": t[NAME]}), "do not fit"),
    (lambda t: t.update(more=t[NAME]), "do not fit"),
    (lambda t: t.update(params=t[NAME]), "do not fit"),
    (lambda t: t.update({"params/gen/more": t[NAME]}), "do not fit"),
    (lambda t: t.pop("model_state/codebook/embeddings"), "do not fit"),
  ],
)
def test_wrong_weights_are_refused(folder, tmp_path, change, message):
  with pytest.raises(UserError, match=message):
    SpeechCodec.load(_changed(folder, tmp_path, change))


def test_damaged_files_are_refused(folder, tmp_path):
  copy = tmp_path / "copy"
  _copied(folder, copy)
  content = (copy / bundle.WEIGHTS_FILE).read_bytes()
  for damaged in (b"", content[:-9], b"\xff" * 8 + content[8:]):
    (copy / bundle.WEIGHTS_FILE).write_bytes(damaged)
    with pytest.raises(UserError, match="is damaged"):
      SpeechCodec.load(copy)
  (copy / bundle.WEIGHTS_FILE).write_bytes(content)
  (copy / "config.json").write_text("{")
  with pytest.raises(UserError, match="is damaged"):
    SpeechCodec.load(copy)


@pytest.mark.parametrize(
  "change",
  [
    {"stage": 5},
    {"audio": {"sample_rate_hz": 16_000, "hop_samples": 0, "num_mels": 80}},
    {"audio": {"rate": 16_000}},
    {"dtype": "float31"},
    {"model": {}},
    {"model.codec.encoder_layers": 100_000},
    {"model.codec.activation": "tanhh"},
    {"model.codec.colour": "red"},
    {"model.quantizer.code_dim": -1},
  ],
)
def test_strange_configs_are_refused(folder, tmp_path, change):
  copy = tmp_path / "copy"
  _copied(folder, copy)
  config = json.loads((copy / "config.json").read_text())
  for path, value in change.items():
    *sections, name = path.split(".")
    functools.reduce(dict.__getitem__, sections, config)[name] = value
  (copy / "config.json").write_text(json.dumps(config))
  with pytest.raises(UserError):
    SpeechCodec.load(copy)


def test_a_run_and_its_bundle_are_one_codec(tmp_path):
  """Whatever half precision rounds away."""
  weights = codecs.weights()
  weights = dataclasses.replace(
    weights,
    params=jax.tree.map(lambda x: x * np.float32(1.0001), weights.params),
  )
  export.export(weights, tmp_path / "bundle", codecs.CARD)
  ours, theirs = SpeechCodec.of(weights), SpeechCodec.load(tmp_path / "bundle")
  assert ours.codec_id == theirs.codec_id
  assert codecs.codec(seed=1).codec_id != ours.codec_id


def test_a_bundle_replaces_nothing_but_a_bundle(folder, tmp_path):
  with pytest.raises(UserError, match="is a file"):
    codecs.bundle(folder / "config.json")
  run = tmp_path / "run"
  (run / "checkpoints").mkdir(parents=True)
  (run / "config.json").write_text("of a run")
  with pytest.raises(UserError, match="not empty and holds no bundle"):
    codecs.bundle(run)
  assert (run / "config.json").read_text() == "of a run"
  copy = tmp_path / "copy"
  shutil.copytree(folder, copy)
  codecs.bundle(copy, seed=1)
  assert SpeechCodec.load(copy).codec_id == codecs.codec(seed=1).codec_id


def test_a_bundle_whose_writing_was_killed_is_written_again(tmp_path):
  for name in ("config.json", "model.safetensors.00c0ffee.part"):
    (tmp_path / name).write_bytes(b"half")
  codecs.bundle(tmp_path)
  assert SpeechCodec.load(tmp_path).codec_id == codecs.codec().codec_id
  assert not list(tmp_path.glob("*.part"))


def test_only_codecs_are_codecs(folder, tmp_path):
  copy = tmp_path / "copy"
  _copied(folder, copy)
  config = json.loads((copy / "config.json").read_text())
  (copy / "config.json").write_text(
    json.dumps({**config, "stage": "phoneme_lm"})
  )
  with pytest.raises(UserError, match="stage is none of"):
    SpeechCodec.load(copy)
  weights = codecs.weights()
  weights.config.stage = "phoneme_lm"
  with pytest.raises(UserError, match="is no codec"):
    SpeechCodec.of(weights)
  with pytest.raises(UserError, match="cannot be exported"):
    export.export(weights, tmp_path / "out")


def test_sums_are_those_of_sha256sum(folder):
  result = subprocess.run(
    ["sha256sum", "-c", "--strict", sums.SUMS_FILE],
    cwd=folder,
    capture_output=True,
    text=True,
    check=True,
  )
  assert result.stdout == "config.json: OK\nmodel.safetensors: OK\n"


def _front_matter(card):
  _, front, body = card.split("---\n", 2)
  return yaml.safe_load(front), body


def test_a_card_that_nobody_wrote_says_what_is_known(tmp_path):
  report = {
    "step": 7,
    "reconstruction": {"summary": {"pesq": 1.2345, "estoi": None}, "rows": []},
    "timing": {"corpus": 1.0},
  }
  run = tmp_path / "run"
  run.mkdir()
  (run / "report.json").write_text(json.dumps(report))
  weights = dataclasses.replace(codecs.weights(), folder=run)
  export.export(
    weights,
    tmp_path / "out",
    licence="cc-by-4.0",
    datasets=["keithito/lj_speech"],
  )
  front, body = _front_matter((tmp_path / "out" / "README.md").read_text())
  assert front == {
    "license": "cc-by-4.0",
    "language": ["en"],
    "library_name": "ns_jax",
    "pipeline_tag": "audio-to-audio",
    "tags": ["jax", "speech", "audio-codec", "soundstream"],
    "datasets": ["keithito/lj_speech"],
  }
  assert "| reconstruction | pesq | 1.234 |" in body
  count = sum(np.size(x) for x in jax.tree.leaves(weights.params["gen"]))
  assert f"| Parameters | {count:,} |" in body
  assert str(tmp_path) not in body  # nobody's folders are told


def test_a_bundle_keeps_its_card(folder, tmp_path):
  export.export(restore.restore(folder), tmp_path / "again")
  card = (folder / "README.md").read_text()
  assert (tmp_path / "again" / "README.md").read_text() == card


def test_a_card_that_is_no_text(folder, tmp_path):
  copy = tmp_path / "copy"
  shutil.copytree(folder, copy)
  (copy / bundle.CARD_FILE).write_bytes(b"\xff\xfe")
  with pytest.raises(UserError, match="README.md: is no UTF-8"):
    export.export(restore.restore(copy), tmp_path / "again")
  assert not (tmp_path / "again").exists()


def test_a_report_of_another_step_is_not_this_model(tmp_path):
  (tmp_path / "report.json").write_text(
    '{"step": 8, "a": {"summary": {"b":1}}}'
  )
  weights = dataclasses.replace(codecs.weights(), folder=tmp_path)
  assert "| a | b |" not in cards.template(weights)
  assert "is of step 8" in cards.template(weights)
  (tmp_path / "report.json").write_text("[]")
  with pytest.raises(UserError, match="no report"):
    cards.template(weights)


def test_front_matter_that_is_there_is_kept():
  card = "---\nlicense: mit\n---\n# A\n"
  assert cards.with_front_matter(card, "codec", None, []) == card
  with pytest.raises(UserError, match="front matter of its own"):
    cards.with_front_matter(card, "codec", "mit", [])
  front, body = _front_matter(cards.with_front_matter("# B\n", "ns2", None, []))
  assert front["license"] == "unknown" and "datasets" not in front
  assert front["pipeline_tag"] == "text-to-speech" and body == "\n# B\n"
