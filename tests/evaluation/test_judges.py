# SPDX-License-Identifier: Apache-2.0
"""Judges are asked for by name, and heard as they were made to listen."""

import json
import types

import numpy as np
import pytest

from ns_jax import audio_files, evaluation
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError
from ns_jax.evaluation import hugging_face, judges, moonshine

PACKAGES = (
  *("jiwer", "whisper_normalizer", "speechmos", "onnxruntime", "torch"),
  *("moonshine_voice", "resemblyzer"),
)


def make_options(recogniser="moonshine", speaker_model="resemblyzer"):
  return types.SimpleNamespace(
    evaluators=("zero_shot",),
    prompt_sec=3.0,
    recogniser=recogniser,
    speaker_model=speaker_model,
  )


def make_config(stage="ns2", **options):
  return types.SimpleNamespace(stage=stage, eval=make_options(**options))


@pytest.fixture
def installed(monkeypatch):
  """Names of the packages that are found."""
  names = set(PACKAGES)
  monkeypatch.setattr(
    judges.util, "find_spec", lambda name: name if name in names else None
  )
  return names


def test_missing_packages_are_one_line_with_the_remedy(installed):
  evaluation.check(make_config())
  installed -= {"jiwer", "resemblyzer"}
  with pytest.raises(UserError) as error:
    evaluation.check(make_config())
  assert str(error.value) == (
    "config.eval.evaluators: 'zero_shot' needs more packages "
    "(jiwer, resemblyzer); pip install 'ns_jax[judges]'"
  )


def test_models_by_name_need_transformers_alone(installed):
  installed -= {"moonshine_voice", "resemblyzer"}
  chosen = dict(recogniser="a/b", speaker_model="c/d")
  with pytest.raises(UserError, match=r"\(transformers\)"):
    evaluation.check(make_config(**chosen))
  installed.add("transformers")
  evaluation.check(make_config(**chosen))


def test_only_what_speaks_is_judged(installed):
  with pytest.raises(UserError, match="not the stage codec"):
    evaluation.check(make_config(stage="codec"))
  config = make_config()
  config.eval.prompt_sec = 0.2
  with pytest.raises(UserError, match=r"prompt_sec=0\.2 is too short"):
    evaluation.check(config)


def test_judges_hear_16_khz_at_full_scale(monkeypatch):
  heard = []

  def load(name):
    assert name == "some/model"
    return lambda wav: heard.append(wav) or "yes"

  monkeypatch.setattr(hugging_face, "load_recogniser", load)
  spec = AudioSpec(sample_rate_hz=8_000, hop_samples=100)
  transcribe = judges.load_recogniser("some/model", spec)
  tone = 0.1 * np.sin(np.arange(8_000) * 0.3, dtype=np.float32)
  assert transcribe(tone) == transcribe(tone[:10]) == "yes"
  whole, short = heard
  assert whole.dtype == np.float32 and whole.shape == (16_000,)
  assert np.abs(whole).max() == pytest.approx(0.9)
  assert len(short) == 3_200  # padded


def test_voices_are_directions(monkeypatch):
  monkeypatch.setattr(
    hugging_face, "load_speaker_judge", lambda name: lambda wav: wav[:2]
  )
  embed = judges.load_speaker_judge("some/model", AudioSpec())
  one, other = (embed(np.array(v, np.float32)) for v in ((0.3, 0.4), (0.4, 0)))
  np.testing.assert_allclose(one, [0.6, 0.8], rtol=1e-6)
  assert judges.similarity(one, other) == pytest.approx(0.6)


def test_moonshine_tokens_are_read():
  long = "é" * 100  # 200 bytes: the length takes two
  content = b"\x05<unk>\x00\x01\x80\xc8\x01" + long.encode()
  tokens = [b"<unk>", b"", b"\x80", long.encode()]
  assert moonshine.read_tokens(content) == tokens


@pytest.mark.slow
def test_default_judges_hear_and_tell_apart():
  for package in PACKAGES:
    pytest.importorskip(package)
  spec = AudioSpec()
  wav = audio_files.read(moonshine.example(), spec)
  listeners = judges.Judges.load(make_options(), spec)
  heard = listeners.transcribe(wav)
  assert heard.startswith("Ever tried, ever failed") and "fail better" in heard
  rng = np.random.default_rng(0)
  noisy = wav + rng.normal(0.0, 0.1, len(wav)).astype(np.float32)
  assert 1.0 < listeners.dnsmos(noisy) < listeners.dnsmos(wav) < 5.0
  halves = [listeners.embed_voice(half) for half in np.array_split(wav, 2)]
  assert judges.similarity(*halves) > 0.75
  for silence in (np.zeros(100, np.float32), np.zeros(16_000, np.float32)):
    assert np.isnan(listeners.embed_voice(silence)).all()
    assert len(listeners.transcribe(silence)) < 10


@pytest.mark.slow
def test_models_of_hugging_face_are_loaded_by_name(tmp_path):
  transformers = pytest.importorskip("transformers")
  pytest.importorskip("torch")
  small = dict(
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    num_conv_pos_embeddings=4,
    num_conv_pos_embedding_groups=2,
    vocab_size=5,
  )
  letters = {"<pad>": 0, "<unk>": 1, "|": 2, "A": 3, "B": 4}
  extractor = transformers.Wav2Vec2FeatureExtractor()
  folders = {name: tmp_path / name for name in ("ctc", "xvector", "plain")}
  for folder in folders.values():
    extractor.save_pretrained(folder)
  (folders["ctc"] / "vocab.json").write_text(json.dumps(letters))
  transformers.Wav2Vec2CTCTokenizer(
    str(folders["ctc"] / "vocab.json"), bos_token=None, eos_token=None
  ).save_pretrained(folders["ctc"])
  config = transformers.Wav2Vec2Config(**small)
  transformers.Wav2Vec2ForCTC(config).save_pretrained(folders["ctc"])
  wavlm = transformers.WavLMConfig(
    **small, tdnn_dim=(8, 8, 24), tdnn_kernel=(5, 1, 1), tdnn_dilation=(1, 1, 1)
  )
  transformers.WavLMForXVector(wavlm).save_pretrained(folders["xvector"])
  transformers.Wav2Vec2Model(config).save_pretrained(folders["plain"])
  spec = AudioSpec()
  wav = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
  transcribe = judges.load_recogniser(str(folders["ctc"]), spec)
  assert set(transcribe(wav)) <= set("AB <unk>")
  assert transcribe(wav) == transcribe(wav)
  for name, size in (("xvector", 512), ("plain", 16)):
    embed = judges.load_speaker_judge(str(folders[name]), spec)
    voice = embed(wav)
    assert voice.shape == (size,)
    assert np.linalg.norm(voice) == pytest.approx(1.0, abs=1e-5)
  with pytest.raises(UserError, match="'.*none' cannot be loaded") as error:
    judges.load_speaker_judge(str(tmp_path / "none"), spec)
  assert "\n" not in str(error.value)
