# SPDX-License-Identifier: Apache-2.0
"""PESQ and ESTOI are asked for the right way round."""

import types

import librosa
import numpy as np
import pytest

from ns_jax import audio
from ns_jax.errors import UserError
from ns_jax.evaluation import perceptual

pytest.importorskip("pesq")
pytest.importorskip("pystoi")


def make_context(rate_hz=16_000):
  """Two seconds of something as loud and broken up as speech."""
  rng = np.random.default_rng(0)
  seconds = np.arange(2 * 16_000) / 16_000
  tone = sum(np.sin(2 * np.pi * 120 * k * seconds) / k for k in range(1, 30))
  wav = 0.1 * tone * (np.sin(2 * np.pi * 3 * seconds) > -0.3)
  wav += 1e-3 * rng.normal(size=len(wav))
  record = {"id": "a", "speaker": "s", "wav": audio.to_int16(wav)}
  return types.SimpleNamespace(
    spec=audio.AudioSpec(sample_rate_hz=rate_hz),
    weights=types.SimpleNamespace(
      config=types.SimpleNamespace(eval=types.SimpleNamespace(num_clips=1))
    ),
    test_records=[record],
  )


def judge(monkeypatch, reconstruct):
  monkeypatch.setattr(
    perceptual.SpeechCodec,
    "of",
    lambda weights: types.SimpleNamespace(reconstruct=reconstruct),
  )
  return perceptual.evaluate(make_context()).summary


def test_worse_codecs_are_judged_worse(monkeypatch):
  same = judge(monkeypatch, lambda wav: wav)
  assert same["pesq_wb"] == pytest.approx(4.644, abs=0.01)
  assert same["estoi"] == pytest.approx(1.0, abs=1e-3)
  dull = judge(monkeypatch, lambda wav: librosa.effects.preemphasis(wav))
  noisy = judge(
    monkeypatch,
    lambda wav: wav + np.random.default_rng(1).normal(0, 0.1, wav.shape),
  )
  assert noisy["pesq_wb"] < dull["pesq_wb"] < same["pesq_wb"]
  assert noisy["estoi"] < 0.9


def test_silence_is_not_measured(monkeypatch):
  silent = judge(monkeypatch, np.zeros_like)
  assert np.isnan(silent["pesq_wb"])


def test_other_rates_are_one_line():
  with pytest.raises(UserError, match="needs 16000 Hz"):
    perceptual.evaluate(make_context(rate_hz=24_000))
