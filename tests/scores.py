# SPDX-License-Identifier: Apache-2.0
"""Small scores for tests, as MusicXML and as MIDI."""

import pathlib
import zipfile

import mido

from ns_jax import paths

_DIVISIONS = 4  # of a quarter
TICKS = 480  # of a quarter, in MIDI

TWINKLE = paths.EXAMPLES / "twinkle.musicxml"


def note(pitch: str, quarters: float, *lyrics: str, extra: str = "") -> str:
  """A `note` element.

  Args:
    pitch: step and octave, "C#4"; "" for a rest.
    quarters: its length.
    *lyrics: one for each verse: "-kle" ends a word, "Twin-" begins one, "-a-"
      is within one; empty: none.
    extra: elements between `pitch` and `duration`, such as a tie.
  """
  sounds = "<rest/>"
  if pitch:
    alter = "<alter>1</alter>" if "#" in pitch else ""
    sounds = (
      f"<pitch><step>{pitch[0]}</step>{alter}"
      f"<octave>{pitch[-1]}</octave></pitch>"
    )
  words = ""
  for number, text in enumerate(lyrics, 1):
    if text:
      syllabic = {
        (False, False): "single",
        (False, True): "begin",
        (True, True): "middle",
        (True, False): "end",
      }[text.startswith("-"), text.endswith("-")]
      words += (
        f'<lyric number="{number}"><syllabic>{syllabic}</syllabic>'
        f"<text>{text.strip('-')}</text></lyric>"
      )
  chord = "<chord/>" if "chord" in extra else ""
  extra = extra.replace("chord", "")
  duration = f"<duration>{round(quarters * _DIVISIONS)}</duration>"
  voice = "<voice>1</voice>"
  return f"<note>{chord}{sounds}{duration}{extra}{voice}{words}</note>"


def tempo(bpm: float) -> str:
  """A `direction` element, in quarters per minute."""
  return (
    "<direction><direction-type><words>x</words></direction-type>"
    f'<sound tempo="{bpm}"/></direction>'
  )


def musicxml(*measures: str, before: str = "") -> str:
  """A document of one part; `before` is an accompaniment's measure."""
  accompaniment = (
    f'<part id="P0">{_measures([before])}</part>' if before else ""
  )
  listed = '<score-part id="P0"><part-name>Piano</part-name></score-part>'
  return (
    '<?xml version="1.0" encoding="UTF-8"?><score-partwise version="4.0">'
    f"<part-list>{listed if before else ''}"
    '<score-part id="P1"><part-name>Voice</part-name></score-part></part-list>'
    f'{accompaniment}<part id="P1">{_measures(measures)}</part>'
    "</score-partwise>"
  )


def _measures(measures) -> str:
  attributes = (
    f"<attributes><divisions>{_DIVISIONS}</divisions>"
    "<time><beats>4</beats><beat-type>4</beat-type></time></attributes>"
  )
  return "".join(
    f'<measure number="{i + 1}">{attributes if i == 0 else ""}{m}</measure>'
    for i, m in enumerate(measures)
  )


def write(path: pathlib.Path, document: str) -> pathlib.Path:
  """Writes a document, zipped if the path ends in .mxl."""
  if path.suffix != ".mxl":
    path.write_text(document, encoding="utf-8")
    return path
  rootfile = '<rootfile full-path="a.xml"/>'
  container = f"<container><rootfiles>{rootfile}</rootfiles></container>"
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("META-INF/container.xml", container)
    archive.writestr("a.xml", document)
  return path


def write_midi(
  path: pathlib.Path,
  notes: list[tuple[int, float, float, str]],
  *,
  tempi: tuple[tuple[float, float], ...] = (),
  kind: str = "lyrics",
) -> pathlib.Path:
  """Writes a melody in one track and its words in another.

  Args:
    path: of the file.
    notes: (MIDI number, onset and length in quarters, lyric).
    tempi: (quarter, quarters per minute).
    kind: of the words' events, "lyrics" or "text".
  """
  events = [
    (onset, mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(bpm)))
    for onset, bpm in tempi
  ]
  words = []
  for pitch, onset, length, lyric in notes:
    events.append((onset, mido.Message("note_on", note=pitch, velocity=80)))
    events.append((onset + length, mido.Message("note_off", note=pitch)))
    if lyric:
      text = lyric.encode("utf-8").decode("latin-1")
      words.append((onset, mido.MetaMessage(kind, text=text)))
  file = mido.MidiFile(ticks_per_beat=TICKS)
  for messages in (events, words):
    track = mido.MidiTrack()
    last = 0
    # What ends does so before what begins at the same time.
    for quarter, message in sorted(
      messages, key=lambda e: (e[0], e[1].type != "note_off")
    ):
      tick = round(quarter * TICKS)
      track.append(message.copy(time=tick - last))
      last = tick
    file.tracks.append(track)
  file.save(path)
  return path
