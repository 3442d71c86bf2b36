# SPDX-License-Identifier: Apache-2.0
"""Text and songs of any length in one voice."""

from collections.abc import Sequence

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

_BATCH_SIZE = 4  # pieces that are spoken at once
_SILENT = 1e-3  # of full scale, -60 dBFS


def narrate(
  speaker: Speaker,
  text: str,
  *,
  seed: int = 0,
  manner: Manner | None = None,
) -> Speech:
  """Says a text, sentence after sentence, with a pause after each.

  Args:
    speaker: who says it: `Synthesizer.in_voice(...)` or a `SingleVoice`.
    text: American English; empty lines part paragraphs.
    seed: of what is drawn.
    manner: how.

  Returns:
    All of it; durations are those of the pieces in order.

  Raises:
    UserError: there is nothing to say.
  """
  found = sentences.pieces(text, speaker.max_phonemes)
  spoken: list[Speech] = []
  for first in range(0, len(found), _BATCH_SIZE):
    batch = [piece.reading for piece in found[first : first + _BATCH_SIZE]]
    spoken += speaker.say(batch, seed=seed + first, manner=manner)
  return _joined(speaker.spec, found, spoken)


def perform(
  synthesizer: Synthesizer,
  planned: Utterance,
  *,
  seed: int = 0,
  energy_db: float = 0.0,
) -> PitchedSpeech:
  """Says or sings what is planned to the frame, part after part where long.

  Args:
    synthesizer: the model.
    planned: with durations and f0_hz.
    seed: of the diffusion's noise.
    energy_db: gain of the wave.
  """
  durations, f0_hz = planned.durations, planned.f0_hz
  assert durations is not None and f0_hz is not None
  told: list[PitchedSpeech] = []
  for phonemes, frames in parts(
    planned.phonemes, durations, synthesizer.max_phonemes
  ):
    part = Utterance(
      planned.phonemes[phonemes],
      planned.voice,
      durations[phonemes],
      f0_hz[frames],
    )
    manner = Manner(energy_db=energy_db)
    told += synthesizer.speak([part], seed=seed + len(told), manner=manner)
  wav = np.concatenate([speech.wav for speech in told])
  return PitchedSpeech(wav, durations, f0_hz)


def _joined(
  spec: AudioSpec, found: Sequence[Piece], spoken: Sequence[Speech]
) -> Speech:
  """The pieces in a row; silence makes up where a pause came out short."""
  waves = []
  for piece, speech in zip(found, spoken, strict=True):
    loud = np.flatnonzero(np.abs(speech.wav) > _SILENT)
    quiet = len(speech.wav) - 1 - (loud[-1] if loud.size else -1)
    wanted = round(piece.pause_sec * spec.sample_rate_hz)
    frames = spec.num_frames(max(wanted - int(quiet), 0))
    waves += [speech.wav, np.zeros(spec.num_samples(frames), np.float32)]
  return Speech(
    wav=np.concatenate(waves),
    durations=np.concatenate([speech.durations for speech in spoken]),
  )
