# SPDX-License-Identifier: Apache-2.0
"""Every mistake in a config is one line, before anything is done."""

import dataclasses
import json
from importlib import util

import pytest

from configs import codec as codec_config
from configs import ns1 as ns1_config
from configs import ns2 as ns2_config
from data_pipelines import beam, builder
from data_pipelines.corpora import demo
from ns_jax.apps import checks
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError


@pytest.mark.parametrize("preset", ["", "small", "paper"])
@pytest.mark.parametrize("module", [codec_config, ns2_config])
def test_presets_pass_on_eight_devices(module, preset):
  checks.check(module.get_config(preset))


@pytest.mark.parametrize(
  ("field", "value", "message"),
  [
    ("dtype", "float31", "config.dtype='float31' is unknown; use float32 or"),
    ("data.corpus", "ljspeach", "config.data.corpus='ljspeach' is neither"),
    ("data.corpus_size", "ful", "no size 'ful'"),
    ("data.reader", "csv", "config.data.reader='csv' is unknown; use tf_data"),
    ("mesh.fsdp", 3, "does not fit 8 device"),
    ("train.batch_size", 12, "config.train.batch_size=12 does not divide"),
    ("codec.train.batch_size", 9, "config.codec.train.batch_size=9 does not"),
    ("eval.batch_size", 64, "more than the 60 held-out records"),
    ("eval.num_batches", 0, "config.eval.num_batches must be at least 1"),
    ("eval.evaluators", ("sound",), "'sound' is unknown"),
    ("optim.schedule", "cosin", "config.optim.schedule='cosin' is unknown"),
    ("optim.name", "lamb", "config.optim.name='lamb' is unknown"),
    ("objective.score_weight", "none", "score_weight='none' is unknown"),
    ("model.prediction", "noise", "prediction='noise' is unknown"),
    ("sample.solver", "eular", "solver='eular' is unknown"),
    ("sample.steps", 0, "steps=0 must be 1 to 10000"),
    ("sample.temperature", float("nan"), "must be above 0 and finite"),
    ("sample.guidance", float("inf"), "must be 0 to 20"),
    ("sample.guidance", -1.0, "must be 0 to 20"),
    ("codec.stage", "ns2", "give that of a codec"),
    ("frozen.num_codebooks", 9, "=9: the codec has 1 to 8"),
    ("audio.hop_samples", 320, "hop_samples=320"),
  ],
)
def test_mistakes_are_one_line(field, value, message):
  config = ns2_config.get_config()
  config.frozen.codec = "train"
  if field == "audio.hop_samples":
    config.codec.model.codec = codec_config.get_config("tiny").model.codec
  config.update_from_flattened_dict({field: value})
  with pytest.raises(UserError) as caught:
    checks.check(config)
  assert message in str(caught.value) and "\n" not in str(caught.value)


def test_without_tensorflow_the_other_reader_is_named(monkeypatch):
  monkeypatch.setattr(util, "find_spec", lambda name: None)
  config = ns2_config.get_config()
  with pytest.raises(UserError, match="use --config.data.reader=array_record"):
    checks.check(config)
  config.data.reader = "array_record"
  checks.check(config)


def test_a_given_codec_must_hear_the_same_audio():
  config = ns2_config.get_config()
  config.codec = codec_config.get_config()
  config.codec.audio.hop_samples = 320
  config.frozen.codec = "somewhere"
  with pytest.raises(UserError, match="make config.audio the same"):
    checks.check(config)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
  """The built-in corpus as a folder of records."""
  return _build("tiny", tmp_path_factory.mktemp("data") / "records")


def _build(size, folder):
  corpus = demo.DemoCorpus(size, AudioSpec())
  return builder.build(
    corpus, folder, label="demo", beam_options=beam.THIS_PROCESS
  )


def _tiny_on(corpus):
  config = codec_config.get_config("tiny")
  config.data.corpus = str(corpus)
  config.train.batch_size = 8
  config.eval.batch_size = 4
  config.mesh.update(data=1, fsdp=1, tensor=-1)
  return config


def test_a_folder_of_records_is_a_corpus(prepared, tmp_path):
  checks.check(_tiny_on(prepared))
  with pytest.raises(UserError, match="is neither 'demo' nor a .txt file"):
    checks.check(_tiny_on(tmp_path / "none"))
  with pytest.raises(UserError, match="holds no finished records"):
    checks.check(_tiny_on(tmp_path))
  other_rate = _tiny_on(prepared)
  other_rate.audio.hop_samples = 160
  with pytest.raises(UserError, match="its records are of .*200.*make config"):
    checks.check(other_rate)


def test_one_voice_is_not_learned_from_several(prepared, tmp_path, monkeypatch):
  config = ns1_config.get_config("tiny")
  config.eval.batch_size = 2
  config.mesh.update(data=1, fsdp=1, tensor=-1)
  config.data.corpus = str(prepared)
  with pytest.raises(UserError, match="has several speakers.*ns1 learns one"):
    checks.check(config)
  checks.check(config, splits=("test",))
  tiny = demo.SIZES["tiny"]
  solo = dataclasses.replace(tiny, voices=dict.fromkeys(tiny.voices, 1))
  monkeypatch.setitem(demo.SIZES, "solo", solo)
  config.data.corpus = str(_build("solo", tmp_path / "solo"))
  checks.check(config)


def test_a_corpus_without_a_held_out_split(prepared, tmp_path):
  copy = tmp_path / "copy"
  copy.mkdir()
  facts = json.loads((prepared / "records.json").read_text())
  del facts["splits"]["valid"]
  (copy / "records.json").write_text(json.dumps(facts))
  with pytest.raises(UserError, match="no record in split 'valid'"):
    checks.check(_tiny_on(copy))


def test_an_evaluation_set_needs_a_test_split_alone(prepared, tmp_path):
  facts = json.loads((prepared / "records.json").read_text())
  facts["splits"] = {"test": facts["splits"]["test"]}
  (tmp_path / "records.json").write_text(json.dumps(facts))
  checks.check(_tiny_on(tmp_path), splits=("test",))
  with pytest.raises(UserError, match="no record in split 'train'"):
    checks.check(_tiny_on(tmp_path))
