# SPDX-License-Identifier: Apache-2.0
"""Text to speech, from import to audio in three lines."""

import functools
import os
from collections.abc import Iterator, Sequence

import numpy as np

from ns_jax.api import prompts, retelling
from ns_jax.api.audio import Audio
from ns_jax.api.prompts import Prompt, Recording
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError
from ns_jax.inference import narrate, restore
from ns_jax.inference import sampling as sampling_lib
from ns_jax.inference.convert import STEPS
from ns_jax.inference.narrate import Line, Narration
from ns_jax.inference.sampling import Sampling
from ns_jax.inference.single_voice import SingleVoice
from ns_jax.inference.synthesize import Synthesizer
from ns_jax.inference.utterance import Manner, Speaker, Voice
from ns_jax.singing.plan import Rendition
from ns_jax.text import symbols

_SAMPLINGS = 32  # that are remembered


def load(model: str | os.PathLike[str] = restore.SHIPPED) -> "TextToSpeech":
  """Loads a model that speaks.

  Args:
    model: bundle or workdir of ns2, ns2_distilled or ns1; "shipped": the one
      that comes along.

  Raises:
    UserError: there is none that can speak.
  """
  return TextToSpeech(sampling_lib.load(os.fspath(model)))


class TextToSpeech:
  """A model that says what it is given, in the voice of a prompt."""

  def __init__(self, model: Synthesizer | SingleVoice):
    """Takes a model that is ready to speak."""
    self.model = model
    self.sampled = functools.lru_cache(_SAMPLINGS)(self._sampled)

  @property
  def spec(self) -> AudioSpec:
    """Of the waves."""
    return self.model.spec

  @property
  def sample_rate_hz(self) -> int:
    """Of the waves."""
    return self.spec.sample_rate_hz

  @property
  def needs_prompt(self) -> bool:
    """Whether it speaks in the voice of a prompt; else it has its own."""
    return isinstance(self.model, Synthesizer)

  def __call__(
    self,
    text: str,
    prompt: Prompt | None = None,
    *,
    seed: int = 0,
    manner: Manner | None = None,
    sampling: Sampling | None = None,
  ) -> Audio:
    """Says a text of any length.

    Args:
      text: American English; empty lines part paragraphs.
      prompt: a few seconds of the voice: a file, (wave, sample rate), several
        of one speaker, or a `Voice`; none for a model with its own voice.
      seed: another one is another rendition.
      manner: speed, pitch, loudness; None: as the model would.
      sampling: solver, steps and so on; None: as its config says.

    Raises:
      UserError: something cannot be used; it says what, and what to do.
    """
    line = self.line(text, prompt, seed=seed, manner=manner, sampling=sampling)
    return self._audio(narrate.narrate_all([line])[0])

  def batch(
    self,
    texts: Sequence[str],
    prompt: Prompt | None = None,
    *,
    seeds: Sequence[int] | None = None,
    manner: Manner | None = None,
    sampling: Sampling | None = None,
    batch_size: int = narrate.BATCH_SIZE,
  ) -> list[Audio]:
    """Says several texts, faster than one by one; none is heard in another.

    Args:
      texts: what to say.
      prompt: of all; for texts in several voices, see `say`.
      seeds: one for each text; None: 0.
      manner: of all.
      sampling: of all.
      batch_size: sentences at once.

    Raises:
      UserError: something cannot be used.
    """
    seeds = [0] * len(texts) if seeds is None else seeds
    if len(seeds) != len(texts):
      raise UserError(
        f"{len(seeds)} seeds for {len(texts)} texts: give as many"
      )
    speaker = self.speaker(prompt, sampling)
    return self.say(
      [
        Line(text, speaker, seed, manner or Manner())
        for text, seed in zip(texts, seeds, strict=True)
      ],
      batch_size=batch_size,
    )

  def say(
    self, lines: Sequence[Line], *, batch_size: int = narrate.BATCH_SIZE
  ) -> list[Audio]:
    """Says lines, each in its voice; see `line`."""
    said = narrate.narrate_all(lines, batch_size=batch_size)
    return [self._audio(speech) for speech in said]

  def stream(
    self,
    text: str,
    prompt: Prompt | None = None,
    *,
    seed: int = 0,
    manner: Manner | None = None,
    sampling: Sampling | None = None,
  ) -> Iterator[np.ndarray]:
    """Says a text piece by piece, the first as soon as can be.

    Arguments as for a call.

    Returns:
      Pieces [S] float32 at `sample_rate_hz`, in constant memory.

    Raises:
      UserError: something cannot be used.
    """
    line = self.line(text, prompt, seed=seed, manner=manner, sampling=sampling)
    return narrate.stream(line)

  def listen(self, prompt: Prompt) -> Voice:
    """Hears a prompt once, to be used many times.

    Raises:
      UserError: it cannot be used, or the model has a voice of its own.
    """
    return prompts.listen(prompt, self._synthesizer("hears no prompt"))

  def convert(
    self,
    source: Recording,
    text: str,
    prompt: Prompt,
    *,
    steps: int = STEPS,
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
    model = self._synthesizer("cannot convert")
    return self._audio(retelling.convert(model, source, text, prompt, steps))

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
    model = self._synthesizer("cannot enhance")
    return self._audio(
      retelling.enhance(model, source, text, prompt, noise, steps)
    )

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
    model = self._synthesizer("cannot sing", sampling)
    song = retelling.read_score(model, score, rendition or Rendition())
    return self._audio(retelling.sing(model, song, prompt, seed))

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
    model = self._synthesizer("cannot sing", sampling)
    song = retelling.hear_song(model, recording, text, transpose_semitones)
    return self._audio(retelling.sing(model, song, prompt, seed))

  def line(
    self,
    text: str,
    prompt: Prompt | None = None,
    *,
    seed: int = 0,
    manner: Manner | None = None,
    sampling: Sampling | None = None,
  ) -> Line:
    """What is to be said, for `say`; arguments as for a call."""
    speaker = self.speaker(prompt, sampling)
    return Line(text, speaker, seed, manner or Manner())

  def speaker(
    self, prompt: Prompt | None = None, sampling: Sampling | None = None
  ) -> Speaker:
    """Somebody who says lines: this model in the voice of a prompt.

    Raises:
      UserError: the prompt is missing, too much, or cannot be used.
    """
    model = self.sampled(sampling)
    if isinstance(model, SingleVoice):
      if prompt is not None:
        raise UserError(
          "this model speaks in a voice of its own; leave out the prompt"
        )
      return model
    if prompt is None:
      raise UserError(
        "the prompt is missing: this model speaks in any voice; "
        "give a few seconds of one"
      )
    return model.in_voice(prompts.listen(prompt, model))

  def _sampled(self, choices: Sampling | None) -> Synthesizer | SingleVoice:
    """The model with some choices; one object for the same ones."""
    return sampling_lib.sampled(self.model, choices)

  def _synthesizer(
    self, why_not: str, sampling: Sampling | None = None
  ) -> Synthesizer:
    model = self.sampled(sampling)
    if isinstance(model, SingleVoice):
      raise UserError(
        f"a model of ns1, with a voice of its own, {why_not}; give one of ns2"
      )
    return model

  def _audio(self, speech: Narration) -> Audio:
    return Audio(
      wav=speech.wav,
      spec=self.spec,
      phonemes=tuple(symbols.from_ids(speech.phonemes)),
      durations=speech.durations,
      f0_hz=speech.f0_hz,
    )
