# SPDX-License-Identifier: Apache-2.0
"""What a server needs of a model, and how ours give it."""

import copy
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import jax
import numpy as np

from ns_jax.apps.serving.jobs import Part
from ns_jax.audio import AudioSpec
from ns_jax.inference import batching, narrate, restore, sampling
from ns_jax.inference.single_voice import SingleVoice
from ns_jax.inference.synthesize import Synthesizer
from ns_jax.inference.utterance import Manner, Speaker, Voice
from ns_jax.text import sentences
from ns_jax.text.frontend import Frontend, Reading
from ns_jax.text.sentences import Piece
from ns_jax.training import workdir

# Few sizes: a program takes seconds to compile, and 60 MB to keep.
_PHONEMES, _FRAMES = 64, (320, 640, 1280)
_FRAMES_EACH = (5, 10)  # of a phoneme, in speech at any usual speed
_BATCH_ON_CPU, _BATCH = 1, 8
_SOMETHING = "The kettle is on, come and sit down."
_PROMPT_SEC, _PROMPT_HZ = 5.0, 140.0


class Engine(Protocol):
  """A model that speaks; `say` and `listen` on the model's thread alone."""

  @property
  def model_id(self) -> str:
    """Its name for clients."""
    ...

  @property
  def spec(self) -> AudioSpec:
    """Of its waves."""
    ...

  @property
  def own_voice(self) -> Any | None:
    """Where it has one, and hears no other."""
    ...

  def read(
    self, text: str, voice: Any, manner: Manner, seed: int
  ) -> Sequence[Part]:
    """Cuts a text into what is said at once; on any one thread.

    Raises:
      UserError: there is nothing to say.
    """
    ...

  def listen(self, wav: np.ndarray) -> Any:
    """What it hears of a voice [S] float32.

    Raises:
      UserError: nothing.
    """
    ...

  def most_at_once(self, part: Any) -> int:
    """Parts of this shape that can be said at once by now."""
    ...

  def say(self, parts: Sequence[Any]) -> list[np.ndarray]:
    """Waves [S] float32 of parts of one shape, with the pauses after them."""
    ...

  def preparations(self) -> Iterable[Callable[[], None]]:
    """Steps to be able to say something; on the model's thread."""
    ...

  def further_preparations(self) -> Iterable[Callable[[], None]]:
    """Steps to say more, sooner; on any thread, while it speaks."""
    ...


@dataclasses.dataclass(frozen=True)
class Sentence:
  """A piece of a text, as a model reads it."""

  piece: Piece
  utterance: Any  # what the model is given
  shape: int  # phonemes that it is padded to


class Talker:
  """One of our models, as an `Engine`."""

  def __init__(self, model: sampling.Model, model_id: str, max_batch: int):
    """Compiles nothing yet.

    Args:
      model: that speaks.
      model_id: its name for clients.
      max_batch: sentences that are said at once.
    """
    self._model, self.model_id = copy.copy(model), model_id
    self._max_batch = max_batch
    most = model.max_phonemes
    phonemes = (_PHONEMES, most) if most > _PHONEMES else (most,)
    self._sizes = batching.Sizes((1, max_batch), phonemes, _FRAMES)
    self._model.sizes = self._sizes
    self._most_at_once = dict.fromkeys(phonemes, 1)

  @property
  def spec(self) -> AudioSpec:
    """Of its waves."""
    return self._model.spec

  @property
  def own_voice(self) -> SingleVoice | None:
    """A model of ns1 is a voice, others hear one."""
    return self._model if isinstance(self._model, SingleVoice) else None

  def read(
    self, text: str, voice: Any, manner: Manner, seed: int
  ) -> list[Sentence]:
    """Cuts a text as `narrate` does."""
    found = sentences.pieces(text, self._model.max_phonemes)
    return [
      Sentence(
        piece,
        self.speaker(voice).utterance(piece.reading, seed + number, manner),
        batching.phonemes(len(piece.reading.phonemes), self._sizes),
      )
      for number, piece in enumerate(found)
    ]

  def listen(self, wav: np.ndarray) -> Voice:
    """Hears a prompt."""
    assert isinstance(self._model, Synthesizer)
    return self._model.encode_prompt(wav)

  def speaker(self, voice: Any) -> Speaker:
    """The model with a voice that it heard."""
    if isinstance(self._model, Synthesizer):
      return self._model.in_voice(voice)
    return self._model

  def most_at_once(self, part: Sentence) -> int:
    """One, until the programs for more are there."""
    return self._most_at_once[part.shape]

  def say(self, parts: Sequence[Sentence]) -> list[np.ndarray]:
    """Says sentences, each with its pause."""
    said = self._model.speak([part.utterance for part in parts])
    return [
      narrate.with_pause(self.spec, part.piece, speech.wav)
      for part, speech in zip(parts, said, strict=True)
    ]

  def preparations(self) -> Iterator[Callable[[], None]]:
    """For one short sentence."""
    yield from self._programs(self._sizes.phonemes[0], 1)

  def further_preparations(self) -> Iterator[Callable[[], None]]:
    """For one long sentence, then for several at once."""
    for size in self._sizes.phonemes[1:]:
      yield from self._programs(size, 1)
    if self._max_batch > 1:
      for size in self._sizes.phonemes:
        yield from self._programs(size, self._max_batch)
        yield functools.partial(self._allow, size)

  def _allow(self, num_phonemes: int) -> None:
    self._most_at_once[num_phonemes] = self._max_batch

  def _programs(
    self, num_phonemes: int, rows: int
  ) -> Iterator[Callable[[], None]]:
    """Steps that say something of every size that so many phonemes take."""
    below = [n for n in self._sizes.phonemes if n < num_phonemes]
    least, most = _FRAMES_EACH
    yield functools.partial(self._try, num_phonemes, None, rows)
    for num_frames in _FRAMES:
      if least * max(below, default=0) < num_frames <= most * num_phonemes:
        yield functools.partial(self._try, num_phonemes, num_frames, rows)

  def _try(self, num_phonemes: int, num_frames: int | None, rows: int) -> None:
    """Says nonsense of these sizes, which compiles what is needed to say it."""
    read = Frontend().read(_SOMETHING)
    reading = Reading(
      np.resize(read.phonemes, num_phonemes),
      np.resize(read.word_starts, num_phonemes),
    )
    utterance = self.speaker(self._some_voice).utterance(reading, 0, Manner())
    if num_frames:
      durations = np.diff(np.linspace(0, num_frames, num_phonemes + 1).round())
      utterance = dataclasses.replace(
        utterance, durations=durations.astype(np.int32)
      )
    self._model.speak([utterance] * rows)

  @functools.cached_property
  def _some_voice(self) -> Any:
    """To say nonsense in: a buzz."""
    if self.own_voice:
      return self.own_voice
    rate_hz = self.spec.sample_rate_hz
    turns = _PROMPT_HZ * np.arange(round(_PROMPT_SEC * rate_hz)) / rate_hz
    return self.listen((0.2 * (turns % 1.0 - 0.5)).astype(np.float32))


def load(model: str, max_batch: int | None) -> Talker:
  """Loads a model to serve.

  Args:
    model: bundle or workdir; "shipped": the one that comes along.
    max_batch: sentences that are said at once; None: what suits the device.

  Raises:
    UserError: there is none that can speak.
  """
  if max_batch is None:
    is_cpu = jax.default_backend() == "cpu"
    max_batch = _BATCH_ON_CPU if is_cpu else _BATCH
  stage = workdir.read_config(restore.weights_folder(model, "ns2")).stage
  return Talker(sampling.load(model), stage, max_batch)
