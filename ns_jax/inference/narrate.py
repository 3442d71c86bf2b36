# SPDX-License-Identifier: Apache-2.0
"""Text and songs of any length, in one voice or many at once."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ns_jax.audio import AudioSpec
from ns_jax.inference.synthesize import Synthesizer
from ns_jax.inference.utterance import (
  Manner,
  PitchedSpeech,
  Speaker,
  Speech,
  Utterance,
  parts,
)
from ns_jax.text import sentences
from ns_jax.text.sentences import Piece

BATCH_SIZE = 4  # pieces that are spoken at once
OPENING_PHONEMES = 28  # of the first piece of a stream: six words, two seconds
_SILENT = 1e-3  # of full scale, -60 dBFS


@dataclasses.dataclass(frozen=True)
class Line:
  """What somebody is to say."""

  text: str  # American English; empty lines part paragraphs
  speaker: Speaker  # `Synthesizer.in_voice(...)` or a `SingleVoice`
  seed: int = 0  # of what is drawn
  manner: Manner = Manner()


@dataclasses.dataclass(frozen=True)
class Narration(Speech):
  """A text that was said; its durations add up to its wave."""

  phonemes: np.ndarray  # [N] int32 ids
  f0_hz: np.ndarray | None  # [T] float32, 0 where unvoiced; None: not known


def narrate(
  speaker: Speaker,
  text: str,
  *,
  seed: int = 0,
  manner: Manner | None = None,
) -> Narration:
  """Says one text; see `narrate_all`."""
  return narrate_all([Line(text, speaker, seed, manner or Manner())])[0]


def narrate_all(
  lines: Sequence[Line],
  *,
  batch_size: int = BATCH_SIZE,
  opening_phonemes: int | None = None,
) -> list[Narration]:
  """Says texts, sentence after sentence, with a pause after each.

  Pieces of all texts go through their models together; what is said of one
  text depends on no other.

  Args:
    lines: what is to be said.
    batch_size: pieces at once.
    opening_phonemes: of the first piece of a text, see `sentences`.

  Returns:
    One for each line.

  Raises:
    UserError: there is nothing to say.
  """
  found = [
    sentences.pieces(
      line.text, line.speaker.model.max_phonemes, opening_phonemes
    )
    for line in lines
  ]
  said: dict[tuple[int, int], Speech] = {}
  for batch in _batches(lines, found, batch_size):
    model = lines[batch[0][0]].speaker.model
    utterances = [_utterance(lines[i], found[i][k], k) for i, k in batch]
    said.update(zip(batch, model.speak(utterances), strict=True))
  return [
    _joined(
      line.speaker.model.spec,
      pieces,
      [said[i, k] for k in range(len(pieces))],
    )
    for i, (line, pieces) in enumerate(zip(lines, found, strict=True))
  ]


def stream(
  line: Line, *, opening_phonemes: int | None = OPENING_PHONEMES
) -> Iterator[np.ndarray]:
  """Says a text piece by piece, each as soon as it is known.

  The next piece is read and spoken when it is asked for, and what has been
  given is forgotten, so that a text of any length takes the same memory.

  Args:
    line: what is to be said.
    opening_phonemes: of the first piece, see `sentences`.

  Returns:
    Pieces [S] float32 of what `narrate_all` says.

  Raises:
    UserError: there is nothing to say.
  """
  longest = line.speaker.model.max_phonemes
  found = sentences.read_pieces(line.text, longest, opening_phonemes)
  first = next(found)  # complains before anything is asked for
  return _stream(line, itertools.chain([first], found))


def _stream(line: Line, found: Iterable[Piece]) -> Iterator[np.ndarray]:
  model = line.speaker.model
  for k, piece in enumerate(found):
    quiet = 0
    for wav in model.stream(_utterance(line, piece, k)):
      quiet = _quiet_after(wav, quiet)
      yield wav
    silence = _silence(model.spec, piece, quiet)
    if silence.size:
      yield silence


def perform(synthesizer: Synthesizer, planned: Utterance) -> PitchedSpeech:
  """Says or sings what is planned to the frame, part after part where long.

  Args:
    synthesizer: the model.
    planned: with durations and f0_hz.
  """
  durations, f0_hz = planned.durations, planned.f0_hz
  assert durations is not None and f0_hz is not None
  told: list[PitchedSpeech] = []
  for phonemes, frames in parts(
    planned.phonemes, durations, synthesizer.max_phonemes
  ):
    part = dataclasses.replace(
      planned,
      phonemes=planned.phonemes[phonemes],
      durations=durations[phonemes],
      f0_hz=f0_hz[frames],
      seed=planned.seed + len(told),
    )
    told += synthesizer.speak([part])
  wav = np.concatenate([speech.wav for speech in told])
  return PitchedSpeech(wav, durations, f0_hz)


def _batches(
  lines: Sequence[Line], found: Sequence[Sequence[Piece]], batch_size: int
) -> Iterator[list[tuple[int, int]]]:
  """Which (line, piece) go together: of one model, and alike in length."""
  models: dict[int, list[tuple[int, int]]] = {}
  for i, line in enumerate(lines):
    own = models.setdefault(id(line.speaker.model), [])
    own += [(i, k) for k in range(len(found[i]))]
  for own in models.values():
    own.sort(key=lambda place: len(found[place[0]][place[1]].reading.phonemes))
    for first in range(0, len(own), batch_size):
      yield own[first : first + batch_size]


def _utterance(line: Line, piece: Piece, number: int) -> object:
  """What the model is given for a piece of a line."""
  return line.speaker.utterance(piece.reading, line.seed + number, line.manner)


def _quiet_after(wav: np.ndarray, before: int) -> int:
  """Samples of silence at the end of a wave that follows `before` others."""
  loud = np.flatnonzero(np.abs(wav) > _SILENT)
  return len(wav) - 1 - int(loud[-1]) if loud.size else before + len(wav)


def with_pause(spec: AudioSpec, piece: Piece, wav: np.ndarray) -> np.ndarray:
  """What was said of a piece [S], and the silence that it wants after it."""
  return np.concatenate([wav, _silence(spec, piece, _quiet_after(wav, 0))])


def _silence(spec: AudioSpec, piece: Piece, quiet: int) -> np.ndarray:
  """What makes up for a pause that came out short, in whole frames."""
  wanted = round(piece.pause_sec * spec.sample_rate_hz)
  frames = spec.num_frames(max(wanted - quiet, 0))
  return np.zeros(spec.num_samples(frames), np.float32)


def _joined(
  spec: AudioSpec, found: Sequence[Piece], spoken: Sequence[Speech]
) -> Narration:
  """The pieces in a row; the last phoneme of each, a pause, is lengthened."""
  waves, durations, f0_hz = [], [], []
  for piece, speech in zip(found, spoken, strict=True):
    silence = _silence(spec, piece, _quiet_after(speech.wav, 0))
    frames = spec.num_frames(len(silence))
    waves += [speech.wav, silence]
    durations.append(speech.durations.copy())
    durations[-1][-1] += frames
    if isinstance(speech, PitchedSpeech):
      f0_hz += [speech.f0_hz, np.zeros(frames, np.float32)]
  return Narration(
    wav=np.concatenate(waves),
    durations=np.concatenate(durations),
    phonemes=np.concatenate([piece.reading.phonemes for piece in found]),
    f0_hz=np.concatenate(f0_hz) if f0_hz else None,
  )
