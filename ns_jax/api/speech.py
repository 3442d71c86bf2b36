# SPDX-License-Identifier: Apache-2.0
"""Text to speech, from import to audio in three lines."""

import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ns_jax import compiled
from ns_jax.api import prompts
from ns_jax.api.audio import Audio
from ns_jax.api.prompts import Prompt
from ns_jax.api.retelling import Retelling
from ns_jax.errors import UserError
from ns_jax.inference import batching, narrate, restore
from ns_jax.inference import sampling as sampling_lib
from ns_jax.inference.narrate import Line
from ns_jax.inference.sampling import Sampling
from ns_jax.inference.single_voice import SingleVoice
from ns_jax.inference.synthesize import Synthesizer
from ns_jax.inference.utterance import Manner, Speaker, Voice

WARM_SEC = (2.0, 3.0, 4.0, 6.0, 8.0, 12.0)  # lengths that `warm_up` knows


def load(model: str | os.PathLike[str] = restore.SHIPPED) -> "TextToSpeech":
  """Loads a model that speaks.

  Args:
    model: bundle or workdir of ns2, ns2_distilled or ns1; "shipped": the one
      that comes along.

  Raises:
    UserError: there is none that can speak.
  """
  compiled.keep()
  return TextToSpeech(sampling_lib.load(os.fspath(model)))


class TextToSpeech(Retelling):
  """A model that says what it is given, in the voice of a prompt."""

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
    return self.audio(narrate.narrate_all([line])[0])

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
    if isinstance(texts, str):
      raise UserError("one text is no batch of texts; give a list of them")
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
    return [self.audio(speech) for speech in said]

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
    """Hears a prompt once, to be used many times, by this model alone.

    Raises:
      UserError: it cannot be used, or the model has a voice of its own.
    """
    return prompts.listen(prompt, self.synthesizer("hears no prompt"))

  def warm_up(
    self,
    batch_sizes: Iterable[int] = (1,),
    seconds: Iterable[float] = WARM_SEC,
    sampling: Sampling | None = None,
  ) -> None:
    """Compiles what will be needed, so that nobody has to wait for it.

    Sizes are rounded up: batches to 1, 2, 4, 8 and so on, pieces of speech to
    `WARM_SEC` or, beyond, half as long again and twice as long. A text is said
    in pieces of at most `model.max_phonemes`, most of them 2 to 8 seconds.

    Args:
      batch_sizes: pieces of speech at once; 1 serves `stream`, too.
      seconds: of the longest in a batch.
      sampling: that will be asked for.
    """
    model = self.sampled(sampling)
    frames = {batching.frames(self.spec.seconds_to_frames(s)) for s in seconds}
    for rows in sorted({batching.rows(size) for size in batch_sizes}):
      for length in sorted(frames):
        model.warm_up(rows, length)

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
