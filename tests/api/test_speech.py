# SPDX-License-Identifier: Apache-2.0
"""From import to audio, with whatever people have as prompts."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest
import scipy.io.wavfile
import soundfile

import ns_jax
from ns_jax import api, audio
from ns_jax.api import prompts
from ns_jax.errors import UserError
from ns_jax.inference.utterance import Manner
from tests import commands, narrators, speakers

TEXT = "Come in."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A folder with a bundle and a voice."""
  folder = tmp_path_factory.mktemp("api")
  speakers.bundle(folder / "bundle")
  soundfile.write(folder / "voice.wav", speakers.voice(), 16_000)
  return folder


@pytest.fixture(scope="module")
def tts(folder):
  return ns_jax.load(folder / "bundle")


@pytest.fixture(scope="module")
def voice(tts, folder):
  return tts.listen(folder / "voice.wav")


def test_three_lines(folder, tmp_path):
  """In a process of its own: what it imports, and when."""
  script = """
import sys
import ns_jax
assert not {"jax", "numpy"} & set(sys.modules)
bundle, text, prompt, out = sys.argv[1:]
audio = ns_jax.load(bundle)(text, prompt)
audio.save(out)
found = {"tensorflow", "data_pipelines", "matplotlib"} & set(sys.modules)
assert not found, found
"""
  out = tmp_path / "out.flac"
  done = subprocess.run(
    [
      *(sys.executable, "-c", script),
      *(folder / "bundle", TEXT, folder / "voice.wav", out),
    ],
    cwd=commands.ROOT,
    env=os.environ,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  wav, rate_hz = soundfile.read(out, dtype="float32")
  said = ns_jax.load(folder / "bundle")(TEXT, folder / "voice.wav")
  assert rate_hz == said.sample_rate_hz
  np.testing.assert_allclose(wav, said.wav.clip(-1, 1), atol=1e-3)


def test_what_was_said_is_known_to_the_frame(tts, voice):
  said = tts(TEXT, voice)
  wav, rate_hz = said
  assert wav is said.wav and rate_hz == 16_000 == tts.sample_rate_hz
  assert said.phonemes == ("_", "k", "ˈʌ", "m", "ˈɪ", "n", ".")
  frames = said.durations.sum()
  assert len(said.phonemes) == len(said.durations)
  assert len(wav) == 200 * frames and len(said.f0_hz) == frames
  assert said.seconds == len(wav) / 16_000


def test_a_prompt_is_what_people_have(tts, voice, folder):
  wav = speakers.voice()
  path = folder / "voice.wav"
  stereo = np.round(np.stack([wav, wav], axis=1) * 32767).astype(np.int16)
  for prompt in (
    str(path),
    (stereo, 16_000),
    (wav.astype(np.float64), 16_000),
    [path],
    api.Audio(wav, audio.AudioSpec()),
  ):
    heard = tts.listen(prompt)
    np.testing.assert_allclose(heard.wav, voice.wav, atol=1e-3)
  assert tts.listen(voice) is voice
  two = [path, path]
  for prompt in (
    [path, (wav, 16_000)],
    [(wav, 16_000), path],
    [(wav, 16_000), (wav, 16_000)],
    ((wav, 16_000), (wav, 16_000)),
  ):
    np.testing.assert_allclose(
      tts.listen(prompt).wav, tts.listen(two).wav, atol=1e-3
    )


@pytest.mark.parametrize("kind", ["PCM_U8", "PCM_16", "PCM_32"])
def test_integers_are_what_wave_files_hold(tts, kind, tmp_path):
  """As SciPy reads them, against libsndfile's own scaling."""
  path = tmp_path / "voice.wav"
  soundfile.write(path, speakers.voice(), 16_000, subtype=kind)
  rate_hz, samples = scipy.io.wavfile.read(path)
  assert samples.dtype.kind in "iu"
  ours = prompts.read((samples, rate_hz), tts.spec)
  theirs, _ = soundfile.read(path, dtype="float32")
  np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_files_of_the_home_folder(tts, folder, monkeypatch):
  monkeypatch.setenv("HOME", str(folder))
  read = prompts.read("~/voice.wav", tts.spec)
  np.testing.assert_allclose(read, speakers.voice(), atol=1e-4)


def test_a_batch_is_its_texts(tts, voice):
  texts = [TEXT, "Who is it? Come in."]
  batch = tts.batch(texts, voice, seeds=[7, 8])
  alone = tts(texts[1], voice, seed=8)
  np.testing.assert_array_equal(batch[1].durations, alone.durations)
  np.testing.assert_allclose(batch[1].wav, alone.wav, atol=1e-3)
  assert tts.batch([], voice) == []
  with pytest.raises(UserError, match="1 seeds for 2 texts"):
    tts.batch(texts, voice, seeds=[7])
  with pytest.raises(UserError, match="one text is no batch"):
    tts.batch(TEXT, voice)


def test_choices_hold_for_one_call(tts, voice):
  plain = tts(TEXT, voice)
  more = tts(TEXT, voice, sampling=api.Sampling(steps=3))
  assert np.abs(more.wav - plain.wav).max() > 1e-4
  fast = tts(TEXT, voice, manner=Manner(speed=2.0))
  assert abs(2 * fast.durations.sum() - plain.durations.sum()) <= 8
  np.testing.assert_array_equal(tts(TEXT, voice).wav, plain.wav)


def test_what_is_warm_is_not_compiled_again(tts, voice):
  tts.warm_up(seconds=[2.0], sampling=api.Sampling(steps=4))
  compiled = []
  jax.monitoring.register_event_duration_secs_listener(
    lambda event, *_, **__: compiled.append("backend_compile" in event)
  )
  manner = Manner(speed=4.0)  # the random model is slow
  for wav in tts.stream(
    TEXT, voice, manner=manner, sampling=api.Sampling(steps=4)
  ):
    assert wav.dtype == np.float32
  assert not any(compiled)


def test_a_model_with_a_voice_of_its_own(tts, voice, tmp_path):
  reader = ns_jax.load(narrators.bundle(tmp_path / "reader"))
  assert tts.needs_prompt and not reader.needs_prompt
  # Both kinds at once, each by its own model.
  read, said = tts.say([reader.line(TEXT), tts.line(TEXT, voice)])
  assert read.phonemes == said.phonemes
  assert len(read.wav) == 200 * read.durations.sum()
  assert read.f0_hz is None and said.f0_hz is not None
  (whole,) = reader.stream(TEXT)
  np.testing.assert_array_equal(read.wav, whole)
  for mistake, message in {
    lambda: reader(TEXT, "voice.wav"): "leave out the prompt",
    lambda: reader.listen("voice.wav"): "hears no prompt",
    lambda: reader.convert("a.wav", TEXT, "b.wav"): "cannot convert",
    lambda: reader.sing("a.mid", "b.wav"): "a.mid",
    lambda: reader(TEXT, sampling=api.Sampling(steps=3)): "leave out steps",
  }.items():
    with pytest.raises(UserError, match=message):
      mistake()


@pytest.mark.parametrize(
  ("prompt", "message"),
  [
    (None, "the prompt is missing"),
    ([], "the prompt is missing"),
    ("none.wav", "none.wav: no such audio file"),
    (3, "a prompt is a file"),
    ([3], "a recording is a file"),
    ((np.zeros((2, 2, 2)), 16_000), "of shape"),
    ((np.zeros(0), 16_000), "of shape"),
    ((np.zeros((2, 16_000)), 16_000), "of shape"),
    ((["a", "b"], 16_000), "of shape"),
    (([[0.1, 0.2], [0.1]], 16_000), "of no shape"),
    ((np.ones(16_000, np.int64), 16_000), "int64; give samples"),
    ((np.zeros(16_000), 1), "at 1 Hz"),
    ((np.zeros(16_000), float("nan")), "at nan Hz"),
    ((np.zeros(16_000), None), "a recording is a file"),
    ((np.full(16_000, np.nan), 16_000), "NaN"),
    ((np.zeros(16_000), 16_000), "silent"),
  ],
)
def test_a_prompt_that_is_none(tts, prompt, message):
  with pytest.raises(UserError, match=message):
    tts(TEXT, prompt)


def test_mistakes_are_one_clear_line(tts, voice, tmp_path):
  with pytest.raises(UserError, match="nowhere: holds no run"):
    ns_jax.load(tmp_path / "nowhere")
  with pytest.raises(UserError, match="nothing in it"):
    tts.stream("...", voice)
  with pytest.raises(UserError, match="unknown"):
    tts(TEXT, voice, sampling=api.Sampling(solver="rk4"))
  with pytest.raises(UserError, match="leave out max_phonemes"):
    tts(TEXT, voice, sampling=api.Sampling(max_phonemes=4))
