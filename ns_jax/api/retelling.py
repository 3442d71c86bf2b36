# SPDX-License-Identifier: Apache-2.0
"""Recordings said or sung again, and scores sung."""

import functools
import os

import numpy as np

from ns_jax.api import prompts
from ns_jax.api.prompts import Prompt, Recording
from ns_jax.dsp import pitch
from ns_jax.errors import UserError
from ns_jax.inference import convert as conversion
from ns_jax.inference import narrate
from ns_jax.inference.align import SpeechAligner
from ns_jax.inference.narrate import Narration
from ns_jax.inference.synthesize import Synthesizer
from ns_jax.inference.utterance import PitchedSpeech, Utterance
from ns_jax.models import prosody
from ns_jax.singing import plan, score
from ns_jax.singing.plan import Rendition


def convert(
  model: Synthesizer, source: Recording, text: str, prompt: Prompt, steps: int
) -> Narration:
  """Says a recording again in another voice."""
  heard = _listen(model, source, text)
  voice = prompts.wave(prompt, model)
  said = conversion.convert(model, heard, voice, steps=steps)
  return _of(heard.phonemes, said)


def enhance(
  model: Synthesizer,
  source: Recording,
  text: str,
  prompt: Prompt,
  noise: Recording | None,
  steps: int,
) -> Narration:
  """Says a noisy recording again without the noise."""
  heard = _listen(model, source, text)
  alone = None
  if noise is not None:
    # As loud as in the recording, which was brought to the level of records.
    gain = _rms(heard.wav) / _rms(prompts.read(source, model.spec))
    alone = (gain * prompts.read(noise, model.spec)).astype(np.float32)
  voice = prompts.wave(prompt, model)
  said = conversion.enhance(model, heard, voice, alone, steps=steps)
  return _of(heard.phonemes, said)


def read_score(
  model: Synthesizer, song: str | os.PathLike[str], rendition: Rendition
) -> plan.Plan:
  """What a score says is to be sung."""
  return plan.plan(score.read_score(os.fspath(song)), model.spec, rendition)


def hear_song(
  model: Synthesizer, recording: Recording, text: str, semitones: float
) -> plan.Plan:
  """What is sung in a recording, so many semitones higher.

  Raises:
    UserError: the recording cannot be used, or nobody sings that high or low.
  """
  heard = _listen(model, recording, text, pitch.CEIL_SUNG_HZ)
  f0_hz = heard.f0_hz * 2.0 ** (semitones / 12.0)
  sounding_hz = f0_hz[f0_hz > 0.0]
  low_hz, high_hz = prosody.MIN_F0_HZ, prosody.MAX_F0_HZ
  if ((sounding_hz < low_hz) | (sounding_hz > high_hz)).any():
    raise UserError(
      f"the song reaches from {sounding_hz.min():.0f} to "
      f"{sounding_hz.max():.0f} Hz; {low_hz:.0f} to "
      f"{high_hz:.0f} Hz can be sung: transpose it"
    )
  return plan.Plan(heard.phonemes, heard.durations, f0_hz.astype(np.float32))


def sing(
  model: Synthesizer, song: plan.Plan, prompt: Prompt, seed: int
) -> Narration:
  """Sings in the voice of the prompt."""
  voice = prompts.listen(prompt, model)
  planned = Utterance(
    song.phonemes, voice, song.durations, song.f0_hz, seed=seed
  )
  return _of(song.phonemes, narrate.perform(model, planned))


def _of(phonemes: np.ndarray, said: PitchedSpeech) -> Narration:
  return Narration(said.wav, said.durations, phonemes, said.f0_hz)


def _listen(
  model: Synthesizer,
  source: Recording,
  text: str,
  ceil_hz: float = pitch.CEIL_HZ,
) -> conversion.Heard:
  recording = prompts.read(source, model.spec)
  return conversion.listen(recording, text, _aligner(), model.spec, ceil_hz)


@functools.cache
def _aligner() -> SpeechAligner:
  """The one that comes along."""
  return SpeechAligner.load()


def _rms(wav: np.ndarray) -> float:
  return float(np.sqrt(np.mean(np.square(wav)))) or 1.0
