# SPDX-License-Identifier: Apache-2.0
"""Recordings said or sung again, and scores sung."""

import functools
import os

import numpy as np

from ns_jax.api import prompts
from ns_jax.api.audio import Audio
from ns_jax.api.model import Loaded
from ns_jax.api.prompts import Prompt, Recording
from ns_jax.dsp import pitch
from ns_jax.errors import UserError
from ns_jax.inference import convert, narrate
from ns_jax.inference.align import SpeechAligner
from ns_jax.inference.convert import STEPS, Heard
from ns_jax.inference.narrate import Narration
from ns_jax.inference.sampling import Sampling
from ns_jax.inference.synthesize import Synthesizer
from ns_jax.inference.utterance import PitchedSpeech, Utterance
from ns_jax.models import prosody
from ns_jax.singing import plan
from ns_jax.singing import score as scores
from ns_jax.singing.plan import Plan, Rendition


class Retelling(Loaded):
  """What a model does with recordings and scores."""

  def convert(
    self, source: Recording, text: str, prompt: Prompt, *, steps: int = STEPS
  ) -> Audio:
    """Says a recording again in another voice, with its timing.

    Args:
      source: a file or (wave, sample rate), three minutes at most.
      text: what is said in it.
      prompt: who is to say it.
      steps: of the solver, each way.

    Raises:
      UserError: something cannot be used.
    """
    model = self.synthesizer("cannot convert")
    heard = _listen(model, prompts.read(source, self.spec), text)
    voice = prompts.wave(prompt, model)
    said = convert.convert(model, heard, voice, steps=steps)
    return self._retold(heard.phonemes, said)

  def enhance(
    self,
    source: Recording,
    text: str,
    prompt: Prompt,
    noise: Recording | None = None,
    *,
    steps: int = STEPS,
  ) -> Audio:
    """Says a noisy recording again without the noise.

    Args:
      source: a file or (wave, sample rate), three minutes at most.
      text: what is said in it.
      prompt: the speaker without noise.
      noise: the noise alone, as loud as in `source`; None: what is heard in
        its pauses.
      steps: of the solver, each way.

    Raises:
      UserError: something cannot be used.
    """
    model = self.synthesizer("cannot enhance")
    recording = prompts.read(source, self.spec)
    heard = _listen(model, recording, text)
    alone = None
    if noise is not None:
      # As loud as in the recording, which was brought to the level of records.
      gain = _rms(heard.wav) / _rms(recording)
      alone = (gain * prompts.read(noise, self.spec)).astype(np.float32)
    voice = prompts.wave(prompt, model)
    said = convert.enhance(model, heard, voice, alone, steps=steps)
    return self._retold(heard.phonemes, said)

  def sing(
    self,
    score: str | os.PathLike[str],
    prompt: Prompt,
    *,
    rendition: Rendition | None = None,
    seed: int = 0,
    sampling: Sampling | None = None,
  ) -> Audio:
    """Sings a score with lyrics.

    Args:
      score: MusicXML or MIDI.
      prompt: who is to sing it, speaking or singing.
      rendition: transposition, and what a score does not say.
      seed: another one is another rendition.
      sampling: solver, steps and so on.

    Raises:
      UserError: something cannot be used.
    """
    written = scores.read_score(os.path.expanduser(score))
    song = plan.plan(written, self.spec, rendition or Rendition())
    return self._sung(song, prompt, seed, sampling)

  def sing_like(
    self,
    recording: Recording,
    text: str,
    prompt: Prompt,
    *,
    transpose_semitones: float = 0.0,
    seed: int = 0,
    sampling: Sampling | None = None,
  ) -> Audio:
    """Sings as another recording does, with its timing and pitch.

    Args:
      recording: a file or (wave, sample rate), three minutes at most.
      text: what is sung in it.
      prompt: who is to sing it, speaking or singing.
      transpose_semitones: up or down.
      seed: another one is another rendition.
      sampling: solver, steps and so on.

    Raises:
      UserError: something cannot be used.
    """
    model = self.synthesizer("cannot sing")
    wav = prompts.read(recording, self.spec)
    heard = _listen(model, wav, text, pitch.CEIL_SUNG_HZ)
    f0_hz = _transposed(heard.f0_hz, transpose_semitones)
    song = Plan(heard.phonemes, heard.durations, f0_hz)
    return self._sung(song, prompt, seed, sampling)

  def _sung(
    self, song: Plan, prompt: Prompt, seed: int, sampling: Sampling | None
  ) -> Audio:
    model = self.synthesizer("cannot sing", sampling)
    voice = prompts.listen(prompt, model)
    planned = Utterance(
      song.phonemes, voice, song.durations, song.f0_hz, seed=seed
    )
    return self._retold(song.phonemes, narrate.perform(model, planned))

  def _retold(self, phonemes: np.ndarray, said: PitchedSpeech) -> Audio:
    return self.audio(Narration(said.wav, said.durations, phonemes, said.f0_hz))


def _listen(
  model: Synthesizer,
  wav: np.ndarray,
  text: str,
  ceil_hz: float = pitch.CEIL_HZ,
) -> Heard:
  return convert.listen(wav, text, _aligner(), model.spec, ceil_hz)


@functools.cache
def _aligner() -> SpeechAligner:
  """The one that comes along."""
  return SpeechAligner.load()


def _transposed(f0_hz: np.ndarray, semitones: float) -> np.ndarray:
  """Pitch [T] float32, moved.

  Raises:
    UserError: nobody sings that high or low.
  """
  moved_hz = np.where(f0_hz > 0.0, f0_hz * 2.0 ** (semitones / 12.0), 0.0)
  sounding_hz = moved_hz[f0_hz > 0.0]
  low_hz, high_hz = prosody.MIN_F0_HZ, prosody.MAX_F0_HZ
  if not ((low_hz <= sounding_hz) & (sounding_hz <= high_hz)).all():
    raise UserError(
      f"the song reaches from {sounding_hz.min():.0f} to "
      f"{sounding_hz.max():.0f} Hz; {low_hz:.0f} to "
      f"{high_hz:.0f} Hz can be sung: transpose it"
    )
  return moved_hz.astype(np.float32)


def _rms(wav: np.ndarray) -> float:
  return float(np.sqrt(np.mean(np.square(wav)))) or 1.0
