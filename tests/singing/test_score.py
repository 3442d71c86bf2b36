# SPDX-License-Identifier: Apache-2.0
"""Scores are read as they are meant; what cannot be sung is one clear line."""

import mido
import numpy as np
import pytest

from ns_jax.errors import UserError
from ns_jax.singing import score as scores_module
from ns_jax.singing.score import read_score
from tests import scores
from tests.scores import musicxml, note, tempo

SOUND = note("C4", 1, "la")


@pytest.fixture
def read(tmp_path):
  """Reads a document of measures."""

  def read(*measures, before="", suffix=".musicxml", **kwargs):
    document = musicxml(*measures, before=before)
    path = scores.write(tmp_path / f"song{suffix}", document)
    return read_score(path, **kwargs)

  return read


def _times(score):
  return [(n.onset_sec, n.end_sec) for n in score.notes]


def _words(score):
  return [("-" if n.continues_word else "") + n.syllable for n in score.notes]


def test_example_has_the_length_and_words_of_the_song():
  score = read_score(scores.TWINKLE)
  assert len(score.notes) == 42
  # 12 bars of 4 quarters at 100 a minute.
  assert score.duration_sec == pytest.approx(12 * 4 * 0.6)
  assert _words(score)[:7] == [
    *("Twin", "-kle,", "twin", "-kle,", "lit", "-tle", "star,"),
  ]
  assert [n.pitch for n in score.notes[:7]] == [60, 60, 67, 67, 69, 69, 67]


def test_tempo_changes_and_rests_are_honoured(read):
  score = read(
    tempo(60) + note("C4", 1, "one") + note("", 1) + note("D4", 2, "two"),
    tempo(120) + note("E4", 3, "three") + tempo(240) + note("C5", 1, "four"),
  )
  np.testing.assert_allclose(
    _times(score), [(0, 1), (2, 4), (4, 5.5), (5.5, 5.75)]
  )


def test_tempo_of_another_part_and_printed_marks_count(read):
  piano = (
    "<direction><direction-type><metronome><beat-unit>half</beat-unit>"
    "<per-minute>ca. 90</per-minute></metronome></direction-type></direction>"
    + note("C3", 4)
  )
  score = read(note("", 3) + note("C4", 1, "la"), before=piano)
  np.testing.assert_allclose(_times(score), [(1.0, 4 / 3)], rtol=1e-5)
  assert score.notes[0].pitch == 60


def test_a_piece_without_tempo_is_at_120(read):
  assert _times(read(SOUND)) == [(0.0, 0.5)]


def test_tied_notes_are_one(read):
  score = read(
    note("C4", 4, "long", extra='<tie type="start"/>'),
    note("C4", 2, extra='<tie type="stop"/>') + note("D4", 2, "short"),
  )
  np.testing.assert_allclose(_times(score), [(0, 3), (3, 4)])


def test_a_note_without_lyric_holds_the_vowel(read):
  score = read(note("C4", 1, "glo-") + note("D4", 1) + note("E4", 2, "-ry"))
  assert _words(score) == ["glo", "", "-ry"]


def test_of_a_chord_the_top_note_is_sung(read):
  chord = note("C4", 2, "la") + note("G4", 2, extra="chord")
  assert [(n.pitch, n.syllable) for n in read(chord).notes] == [(67, "la")]


def test_repeats_take_the_next_verse(read):
  repeat = '<barline location="right"><repeat direction="backward"/></barline>'
  score = read(note("C4", 4, "one", "two") + repeat, note("D4", 4, "both"))
  assert _words(score) == ["one", "two", "both"]
  np.testing.assert_allclose(_times(score), [(0, 2), (2, 4), (4, 6)])


def test_second_endings_have_the_second_verse(read):
  def bar(where, inside):
    return f'<barline location="{where}">{inside}</barline>'

  backward = '<repeat direction="backward"/>'
  score = read(
    note("C4", 4, "one", "two"),
    bar("left", '<ending number="1" type="start"/>')
    + note("D4", 4, "first")
    + bar("right", f'<ending number="1" type="stop"/>{backward}'),
    bar("left", '<ending number="2" type="start"/>')
    + note("E4", 4, "", "last")
    + bar("right", '<ending number="2" type="stop"/>'),
  )
  assert _words(score) == ["one", "first", "two", "last"]


def test_a_syllable_of_another_verse_is_no_syllable_of_this_one(read):
  measure = (
    note("C4", 1, "one", "yes-")
    + note("D4", 1, "", "-ter-")
    + note("E4", 2, "two", "-day")
  )
  assert _words(read(measure)) == ["one", "", "two"]
  assert _words(read(measure, verse=2)) == ["yes", "-ter", "-day"]
  measure = note("C4", 1, "yes-", "one") + note("D4", 1, "-ter-")
  measure += note("E4", 2, "-day", "two")
  assert _words(read(measure, verse=2)) == ["one", "", "two"]


def test_a_verse_can_be_chosen(read):
  measure = note("C4", 2, "1. one", "2. two") + note("D4", 2, "all")
  assert _words(read(measure, verse=2)) == ["two", "all"]
  with pytest.raises(UserError, match="no verse 3; its verses are 1 to 2"):
    read(measure, verse=3)


def test_the_first_verse_may_have_any_number(read):
  assert _words(read(note("C4", 2, "", "one", "two"))) == ["one"]
  with pytest.raises(UserError, match="no verse 0"):
    read(SOUND, verse=0)


def test_zipped_scores_are_the_same(read):
  assert read(SOUND, suffix=".mxl") == read(SOUND)


MELODY = [
  (60, 0.0, 1.0, "Twin-"),
  (60, 1.0, 1.0, "kle,"),
  (67, 2.0, 1.0, "star"),
  (65, 3.0, 0.9, "_"),
]


def test_midi_is_read_with_its_tempo(tmp_path):
  path = scores.write_midi(
    tmp_path / "a.mid", MELODY, tempi=((0, 60), (2, 120))
  )
  score = read_score(path)
  np.testing.assert_allclose(
    _times(score), [(0, 1), (1, 2), (2, 2.5), (2.5, 2.95)]
  )
  assert _words(score) == ["Twin", "-kle,", "star", ""]


@pytest.mark.parametrize(
  ("lyrics", "words"),
  [
    (["Twin", "kle ", "lit", "tle "], ["Twin", "-kle", "lit", "-tle"]),
    (["\\Twin", "kle", " lit", "tle"], ["Twin", "-kle", "lit", "-tle"]),
    (["how", "I", "won-", "der"], ["how", "I", "won", "-der"]),
    (["don’t", "go", "", "yet"], ["don’t", "go", "", "yet"]),
  ],
)
@pytest.mark.parametrize("kind", ["lyrics", "text"])
def test_midi_words_are_joined_as_their_writers_divide_them(
  lyrics, words, kind, tmp_path
):
  notes = [(60 + i, float(i), 1.0, text) for i, text in enumerate(lyrics)]
  path = scores.write_midi(tmp_path / "a.kar", notes, kind=kind)
  assert _words(read_score(path)) == words


def test_overlapping_midi_notes_are_cut(tmp_path):
  path = scores.write_midi(
    tmp_path / "a.mid", [(60, 0, 1.5, "one"), (62, 1, 1, "two")]
  )
  np.testing.assert_allclose(_times(read_score(path)), [(0, 0.5), (0.5, 1)])


def test_what_is_no_score_is_one_line(tmp_path, read):
  path = tmp_path / "song.xml"
  with pytest.raises(UserError, match="no such score"):
    read_score(path)
  for content in (b"", b"\x00\xff", b"<score", b"<a/>", b"PK\3\4", b"MThd"):
    path.write_bytes(content)
    with pytest.raises(UserError, match=str(path)) as error:
      read_score(path)
    assert "\n" not in str(error.value)
  scores.write(tmp_path / "song.xml", musicxml(SOUND).replace("C<", "H<"))
  with pytest.raises(UserError, match="not sound MusicXML"):
    read_score(path)


def test_what_cannot_be_sung_is_one_line(tmp_path, read, monkeypatch):
  with pytest.raises(UserError, match="has no notes"):
    read(note("", 4))
  with pytest.raises(UserError, match="has no notes"):
    read(tempo(-1) + SOUND)
  with pytest.raises(UserError, match="has no lyrics"):
    read(note("C4", 4))
  with pytest.raises(UserError, match="first note, at 0.00 s, has no lyric"):
    read(note("C4", 1) + SOUND)
  with pytest.raises(UserError, match="lasts 1000 s"):
    read(tempo(0.06) + SOUND)
  path = tmp_path / "a.mid"
  with pytest.raises(UserError, match="has no notes"):
    read_score(scores.write_midi(path, []))
  with pytest.raises(UserError, match="has no lyrics"):
    read_score(scores.write_midi(path, [(60, 0, 1, "")]))
  file = mido.MidiFile(scores.write_midi(path, MELODY))
  file.tracks[1][0].time = 240
  file.save(path)
  with pytest.raises(UserError, match="'Twin-' at 0.25 s begins with no note"):
    read_score(path)
  file.tracks[0].append(mido.MetaMessage("key_signature", key="C"))
  file.save(path)
  sharps = bytes([0xFF, 0x59, 2, 0])
  assert sharps in path.read_bytes()
  path.write_bytes(path.read_bytes().replace(sharps, sharps[:3] + b"\t"))
  with pytest.raises(UserError, match="is not a sound MIDI file"):
    read_score(path)
  monkeypatch.setattr(scores_module, "MAX_NOTES", 1)
  with pytest.raises(UserError, match="has 2 notes"):
    read(SOUND + SOUND)
