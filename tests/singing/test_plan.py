# SPDX-License-Identifier: Apache-2.0
"""A plan has the score's time and pitch, and vowels on the beat."""

import numpy as np
import pytest

from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError
from ns_jax.singing import plan as singing
from ns_jax.singing.plan import Rendition
from ns_jax.singing.score import Note, Score, read_score
from ns_jax.text import symbols
from tests import scores

PLAIN = Rendition(glide_sec=0.0)
RATE = AudioSpec().frame_rate_hz


def _score(*notes):
  """Notes given as (lyric, quarters of 0.5 s, pitch); no lyric "R": a rest."""
  sung, at = [], 0.0
  for lyric, quarters, pitch in notes:
    if lyric != "R":
      text = lyric.strip("-")
      sung.append(Note(at, 0.5 * quarters, pitch, text, lyric[:1] == "-"))
    at += 0.5 * quarters
  return Score(tuple(sung))


def _spans(plan):
  """(symbol without stress, first frame, end) of everything that sounds."""
  ends = np.cumsum(plan.durations)
  return [
    (symbol.strip("ˈˌ"), int(end - frames), int(end))
    for symbol, frames, end in zip(
      symbols.from_ids(plan.phonemes), plan.durations, ends, strict=True
    )
    if frames
  ]


def _vowels(plan):
  vowels = set(symbols.from_ids(plan.phonemes[symbols.is_vowel(plan.phonemes)]))
  plain = {vowel.strip("ˈˌ") for vowel in vowels}
  return [span for span in _spans(plan) if span[0] in plain]


def test_example_is_planned_with_every_vowel_on_its_beat():
  score = read_score(scores.TWINKLE)
  plan = singing.plan(score, rendition=Rendition(margin_sec=0.25))
  assert plan.phonemes.dtype == plan.durations.dtype == np.int32
  assert plan.f0_hz.dtype == np.float32
  assert plan.durations.sum() == len(plan.f0_hz) == round(29.3 * RATE)
  vowels = _vowels(plan)
  beats = [round((n.onset_sec + 0.25) * RATE) for n in score.notes]
  # "dia" has two syllables' letters but one vowel, "aɪə".
  assert [start for _, start, _ in vowels] == beats
  assert symbols.is_pause(plan.phonemes)[[0, -1]].all()
  assert plan.durations[[0, -1]].min() > 0
  assert (plan.durations[~symbols.is_pause(plan.phonemes)] >= 1).all()


def test_consonants_take_from_the_note_before_with_their_own_pitch():
  plan = singing.plan(_score(("low", 2, 57), ("now", 2, 69)), rendition=PLAIN)
  (_, l_start, l_end), low, n, now = _spans(plan)
  assert (l_start, now[0], now[1:]) == (0, "aʊ", (80, 160))
  assert low == ("oʊ", l_end, n[1]) and n == ("n", n[1], 80)
  assert 3 <= 80 - n[1] <= 7
  np.testing.assert_allclose(plan.f0_hz[: n[1]], 220.0, rtol=1e-6)
  np.testing.assert_allclose(plan.f0_hz[n[1] :], 440.0, rtol=1e-6)


def test_voiceless_consonants_and_rests_have_no_pitch():
  score = _score(
    ("tea", 2, 69), ("R", 2, 0), ("see,", 2, 71), ("R", 1, 0), ("me", 1, 69)
  )
  plan = singing.plan(score, rendition=PLAIN)
  assert [s for s, *_ in _spans(plan)] == [
    *("t", "iː", "_", "s", "iː", ",", "m", "iː"),
  ]
  for symbol, start, end in _spans(plan):
    is_voiced = plan.f0_hz[start:end] > 0
    assert is_voiced.all() if symbol in ("iː", "m") else not is_voiced.any()
  rest = next(span for span in _spans(plan) if span[0] == "_")
  # The rest is 80 frames; the consonant after it takes its time from there.
  assert rest[1] == 80 and 148 <= rest[2] <= 155


def test_a_melisma_holds_the_vowel_and_moves_the_pitch():
  score = _score(("glo-", 2, 69), ("", 1, 71), ("", 1, 72), ("-ry", 2, 69))
  plan = singing.plan(score, rendition=PLAIN)
  held = next(span for span in _spans(plan) if span[0] in ("oʊ", "ɔː", "ɔːɹ"))
  for onset, end, pitch in (
    (held[1], 80, 69),
    (80, 120, 71),
    (120, held[2], 72),
  ):
    hz = 440.0 * 2 ** ((pitch - 69) / 12)
    np.testing.assert_allclose(plan.f0_hz[onset:end], hz, rtol=1e-6)
  assert len(_vowels(plan)) == 2


def test_a_vowel_held_beyond_a_rest_begins_again():
  score = _score(("star", 2, 69), ("R", 1, 0), ("", 1, 71))
  plan = singing.plan(score, rendition=PLAIN)
  assert [s for s, *_ in _spans(plan)] == ["s", "t", "ɑːɹ", "_", "ɑːɹ"]


@pytest.mark.parametrize(
  ("lyrics", "num_vowels"),
  [
    (["ev-", "-er-", "-y"], 2),  # spoken "evry": the first is held
    (["beautiful"], 3),  # three share a note
    (["beau-", "-tiful"], 3),
    (["in the", "air"], 3),  # read as one word
    (["out", "of", "the", "sky"], 4),
    (["nineteen", "84"], 5),
  ],
)
def test_syllables_and_notes_need_not_be_as_many(lyrics, num_vowels):
  notes = [(text, 4, 60 + i) for i, text in enumerate(lyrics)]
  plan = singing.plan(_score(*notes), rendition=PLAIN)
  vowels = _vowels(plan)
  assert len(vowels) == num_vowels
  assert plan.durations.sum() == 160 * len(lyrics)
  starts = {start for _, start, _ in vowels}
  # The last note is begun by a vowel, unless its word holds an earlier one.
  assert 160 * (len(lyrics) - 1) in starts or len(lyrics) == 1


def test_a_glide_is_continuous_and_short():
  score = _score(("la", 2, 57), ("la", 2, 69))
  log_f0 = 12 * np.log2(singing.plan(score).f0_hz / 440.0)
  steps = np.abs(np.diff(log_f0))
  assert steps.sum() == pytest.approx(12.0, abs=1e-3)
  assert steps.max() < 12.0 / 5 + 1e-3  # an octave in 5 frames, 62 ms
  assert (steps > 1e-3).sum() == 5


def test_vibrato_is_as_deep_as_asked_and_fades():
  rendition = Rendition(vibrato_cents=50.0, vibrato_hz=5.3)
  plan = singing.plan(_score(("ah", 8, 69)), rendition=rendition)
  cents = 1200 * np.log2(plan.f0_hz / 440.0)
  assert np.abs(cents).max() == pytest.approx(50.0, abs=1.0)
  assert np.abs(cents[[0, -1]]).max() < 5.0
  assert abs(cents.mean()) < 3.0
  middle = cents[80:240]
  crossings = (np.diff(np.sign(middle)) != 0).sum()
  assert crossings == pytest.approx(2 * 5.3 * 2.0, abs=1)


def test_transposition_moves_into_range():
  score = _score(("la", 2, 93))
  with pytest.raises(UserError, match=r"A6 \(1760 Hz\).*transpose down, 12"):
    singing.plan(score)
  plan = singing.plan(score, rendition=Rendition(transpose_semitones=-12.0))
  assert plan.f0_hz.max() == pytest.approx(880.0)
  with pytest.raises(UserError, match="transpose up"):
    singing.plan(_score(("la", 2, 20)))


def test_what_is_too_fast_is_one_line():
  notes = [("strengths", 0.1, 60)] * 8
  with pytest.raises(UserError, match="too fast to be sung"):
    singing.plan(_score(*notes))


@pytest.mark.parametrize(
  "values",
  [
    {"glide_sec": -1.0},
    {"vibrato_cents": float("nan")},
    {"margin_sec": 99.0},
    {"transpose_semitones": float("inf")},
  ],
)
def test_bad_values_are_named(values):
  with pytest.raises(UserError, match=next(iter(values))):
    Rendition(**values)


def test_odd_lengths_do_not_add_up():
  # 1/3 quarters are no whole frames.
  score = _score(*[("la", 1 / 3, 60)] * 100)
  plan = singing.plan(score)
  assert abs(plan.durations.sum() - score.duration_sec * RATE) <= 1
  starts = [start for _, start, _ in _vowels(plan)]
  beats = [note.onset_sec * RATE for note in score.notes]
  assert np.abs(np.array(starts[1:]) - beats[1:]).max() <= 0.5
