# SPDX-License-Identifier: Apache-2.0
"""A run takes over the encoder of a language model, once and for all."""

import json
import shutil

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from ml_collections import ConfigDict

from configs import phoneme_lm as phoneme_lm_config
from data_pipelines.features.sup_phonemes import learn
from ns_jax.apps import starting
from ns_jax.errors import UserError
from ns_jax.text import sup_phonemes
from ns_jax.training.workdir import CONFIG_FILE


def save_checkpoint(folder, value):
  """A state as far as it is read here; averages are twice the parameters."""
  leaf = lambda scale: {"encoder": {"table": np.full(3, scale * value)}}
  state = dict(
    step=np.array(1),
    params={"gen": leaf(1.0)},
    ema_params={"gen": leaf(2.0)},
    model_state={},
    frozen={},
  )
  with ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(folder / "checkpoints" / "1" / "state", state)


@pytest.fixture
def lm(tmp_path):
  """The workdir of a language model."""
  folder = tmp_path / "lm"
  folder.mkdir()
  config = phoneme_lm_config.get_config("tiny")
  (folder / CONFIG_FILE).write_text(json.dumps(config.to_dict()))
  words = [["".join(sup_phonemes.ALPHABET[20:23])]] * 9
  sup_phonemes.save(learn(words, 200), folder / sup_phonemes.TOKENIZER_FILE)
  save_checkpoint(folder, 1.0)
  return folder


def make_config(lm):
  """What ns1 has of it."""
  config = ConfigDict(dict(phoneme_lm=str(lm), model=dict(dim=16)))
  config.model.encoder = dict(num_sup_phonemes=5, num_layers=1)
  return config.lock()


def test_the_encoder_is_that_of_the_language_model(lm, tmp_path):
  config = make_config(lm)
  starting.adopt_encoder(config, tmp_path / "run")
  expected = phoneme_lm_config.get_config("tiny").model.encoder
  assert config.model.encoder.to_dict() == expected.to_dict()


def test_tokenizer_and_weights_are_taken_over(lm, tmp_path):
  config, run_dir = make_config(lm), tmp_path / "run"
  run_dir.mkdir()
  starting.take_tokenizer(config, run_dir)
  digests = [
    sup_phonemes.digest(sup_phonemes.load(folder)) for folder in (lm, run_dir)
  ]
  assert digests[0] == digests[1]
  start = starting.encoder(config, run_dir)
  assert list(start) == ["gen"] and list(start["gen"]) == ["encoder"]
  np.testing.assert_array_equal(
    jax.device_get(start["gen"]["encoder"]["table"]), np.full(3, 2.0)
  )


def test_a_run_that_has_begun_needs_it_no_more(lm, tmp_path):
  run_dir = tmp_path / "run"
  run_dir.mkdir()
  config = make_config(lm)
  starting.adopt_encoder(config, run_dir)
  starting.take_tokenizer(config, run_dir)
  (run_dir / CONFIG_FILE).write_text(json.dumps(config.to_dict()))
  save_checkpoint(run_dir, 5.0)
  shutil.rmtree(lm)
  again = make_config(lm)
  starting.adopt_encoder(again, run_dir)
  assert again.to_dict() == config.to_dict()
  starting.take_tokenizer(again, run_dir)
  assert starting.encoder(again, run_dir) == {}


def test_without_a_language_model_nothing_happens(lm, tmp_path):
  config = make_config(lm).unlock()
  config.phoneme_lm = None
  before = config.to_dict()
  starting.adopt_encoder(config, tmp_path)
  starting.take_tokenizer(config, tmp_path)
  assert config.to_dict() == before
  assert starting.encoder(config, tmp_path) == {}


def test_mistakes_are_one_line(lm, tmp_path):
  config = make_config(lm)
  config.model.dim = 32
  with pytest.raises(UserError, match="its vectors have 16 numbers"):
    starting.adopt_encoder(config, tmp_path / "run")
  with pytest.raises(UserError, match="holds no run"):
    starting.adopt_encoder(make_config(tmp_path / "none"), tmp_path / "run")
  saved = json.loads((lm / CONFIG_FILE).read_text()) | {"stage": "ns2"}
  (lm / CONFIG_FILE).write_text(json.dumps(saved))
  with pytest.raises(UserError, match="is a run of ns2; give one of"):
    starting.adopt_encoder(make_config(lm), tmp_path / "run")
