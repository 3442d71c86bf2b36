# SPDX-License-Identifier: Apache-2.0
import concurrent.futures

import numpy as np
import pytest

from ns_jax.errors import UserError
from ns_jax.text import espeak

_TEXT = "Well, the tree is green. Is it?"


def _speak(voice, text=_TEXT):
  return espeak.Engine().synthesize(text, voice)


def test_fresh_engines_speak_alike_in_parallel_and_whatever_was_said_before():
  # Breath (f2) and flutter (grandma) are the library's hidden states.
  voices = [espeak.Voice(v) for v in ("f2", "grandma", "", "Alicia")] * 3
  with concurrent.futures.ThreadPoolExecutor(4) as pool:
    parallel = list(pool.map(_speak, voices))
  for voice, speech in zip(voices, parallel, strict=True):
    again = _speak(voice)
    np.testing.assert_array_equal(speech.wav, again.wav)
    assert speech.starts_samples == again.starts_samples


def test_events_name_phones_and_pauses():
  speech = _speak(espeak.Voice())
  assert speech.phonemes == tuple(
    "_ w ˈɛ l , ð ə t ɹ ˈiː ɪ z ɡ ɹ ˈiː n . ɪ z ˈɪ t ?".split()
  )
  starts = np.array(speech.starts_samples)
  assert starts[0] == 0 and starts[-1] < len(speech.wav)
  assert (np.diff(starts) >= 0).all()


def test_pauses_are_silent_and_vowels_are_not():
  speech = _speak(espeak.Voice())
  ends = [*speech.starts_samples[1:], len(speech.wav)]
  level = {}
  for name, start, end in zip(
    speech.phonemes, speech.starts_samples, ends, strict=True
  ):
    middle = speech.wav[start + (end - start) // 4 : end].astype(float)
    level[name] = np.sqrt(np.mean(middle**2)) if middle.size else 0.0
  assert max(level[","], level["."]) < 0.05 * min(level["ˈiː"], level["ˈɛ"])


def test_voices_differ_in_sound_and_not_in_phonemes():
  base = _speak(espeak.Voice())
  for voice in (
    espeak.Voice("f3"),
    espeak.Voice("m7", rate_wpm=300),
    espeak.Voice(pitch=90, pitch_range=10),
  ):
    speech = _speak(voice)
    assert speech.phonemes == base.phonemes
    assert not np.array_equal(speech.wav, base.wav)


def test_unknown_voice_is_named():
  with pytest.raises(UserError, match="nobody"):
    _speak(espeak.Voice("nobody"))
