# SPDX-License-Identifier: Apache-2.0
"""Speech of the one speaker that a NaturalSpeech was trained on."""

import copy
import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tokenizers

from ns_jax import paths
from ns_jax.array_types import Params
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError
from ns_jax.inference import batching, fitting, restore
from ns_jax.inference.restore import Weights
from ns_jax.inference.utterance import Manner, Speech, seeds
from ns_jax.models import ns1, ns1_sampling
from ns_jax.models.mixed_phonemes import Mixed
from ns_jax.models.ns1_sampling import SampleOptions
from ns_jax.text import sup_phonemes, symbols
from ns_jax.text.frontend import Reading

STAGES = ("ns1",)
_MISFIT = "the weights of this model do not fit its config"
_DIVERGED = "what came out is no sound: the model's weights diverged"


@dataclasses.dataclass(frozen=True)
class Sentence:
  """What to say, and how."""

  reading: Reading
  durations: np.ndarray | None = None  # [N] float, frames; None: predict
  seed: int = 0  # of what is drawn, whoever else is in the batch
  manner: Manner = Manner()


@dataclasses.dataclass(frozen=True)
class Said(Speech):
  """Speech, and what it was made of."""

  weights: np.ndarray  # [T, N] float32, how much each frame heeds each phoneme


def spoken(params: Params) -> Params:
  """Those parts of the model that speaking needs."""
  return {
    name: part for name, part in params.items() if name != fitting.HEARING
  }


def tokenizer_of(weights: Weights) -> tokenizers.Tokenizer | None:
  """The tokenizer of sup-phonemes beside a model that reads them, else None.

  Raises:
    UserError: it is missing.
  """
  config = weights.config
  if config.stage not in STAGES or not config.model.encoder.num_sup_phonemes:
    return None
  if weights.folder is None:
    raise UserError("a model that reads sup-phonemes needs its folder")
  return sup_phonemes.load(weights.folder)


class SingleVoice:
  """A trained model, ready to speak."""

  def __init__(self, weights: Weights, options: SampleOptions | None = None):
    """Takes the weights of an ns1 run or bundle.

    Args:
      weights: from `restore.restore`.
      options: of the draw; None: as the config says.

    Raises:
      UserError: the weights are of another stage.
    """
    config = weights.config
    if config.get("stage") not in STAGES:
      raise UserError(
        f"a model of the stage {config.get('stage')} has no voice of its own; "
        "give a bundle or workdir of ns1"
      )
    self.weights = weights
    self.sizes = batching.Sizes()
    self.spec = AudioSpec(**config.audio)
    self.options = options or SampleOptions(**config.sample)
    self._params = weights.params["gen"]
    self._tokenizer = tokenizer_of(weights)
    self._remembers = jnp.asarray(weights.model_state["remembers"])
    self._model = model = ns1.make_model(config, symbols.VOCABULARY_SIZE)
    self._read = jax.jit(functools.partial(ns1_sampling.read, model))
    self._speak = jax.jit(
      functools.partial(ns1_sampling.speak, model),
      static_argnames=("num_frames", "options"),
    )
    self._revoice = jax.jit(
      functools.partial(ns1_sampling.revoice, model), static_argnames="hop"
    )

  @property
  def max_phonemes(self) -> int:
    """That are said at once."""
    return self.options.max_phonemes

  @classmethod
  def load(
    cls, path: str | paths.Path, options: SampleOptions | None = None
  ) -> "SingleVoice":
    """Reads a bundle or workdir.

    Raises:
      UserError: there is none, or its parts do not fit one another.
    """
    folder = restore.weights_folder(path, "ns1")
    try:
      return cls(restore.restore(folder), options)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
      raise UserError(f"{folder}: {_MISFIT} ({error})") from error

  def with_options(self, options: SampleOptions) -> "SingleVoice":
    """The same model, with the same compiled programs, sampling otherwise."""
    other = copy.copy(self)
    other.options = options
    return other

  @property
  def model(self) -> "SingleVoice":
    """Itself, as a speaker."""
    return self

  def utterance(
    self, reading: Reading, seed: int, manner: Manner, /
  ) -> Sentence:
    """What it is to be given."""
    return Sentence(reading, seed=seed, manner=manner)

  def speak(self, utterances: Sequence[Sentence], /) -> list[Said]:
    """Speaks a batch.

    Args:
      utterances: what to say; each as if it were alone.

    Returns:
      One for each sentence.

    Raises:
      UserError: another pitch is asked for, or the weights diverged.
    """
    if any(sentence.manner.pitch_semitones for sentence in utterances):
      raise UserError(
        "this model has no pitch to move; leave it out, or take one of ns2"
      )
    idle = batching.rows(len(utterances), self.sizes) - len(utterances)
    rows = [*utterances, *[utterances[-1]] * idle]
    mixed = self._mixed([row.reading for row in rows])
    hidden, predicted = self._read(self._params, mixed)
    frames = _paced(np.array(predicted), rows)
    counts = np.maximum(np.rint(frames.sum(axis=1)), 1).astype(int)
    wavs, weights = self._speak(
      self._params,
      self._remembers,
      hidden,
      jnp.asarray(frames),
      mixed.phonemes > 0,
      jax.vmap(jax.random.key)(seeds(rows)),
      num_frames=batching.frames(int(counts.max()), self.sizes),
      options=self.options,
    )
    wavs, weights = np.asarray(wavs), np.asarray(weights.mean(axis=-1))
    if not np.isfinite(wavs).all():
      raise UserError(_DIVERGED)
    said = []
    for i, sentence in enumerate(utterances):
      number = len(sentence.reading.phonemes)
      ends = np.minimum(np.rint(np.cumsum(frames[i, :number])), counts[i])
      wav = wavs[i, : self.spec.num_samples(int(counts[i]))]
      said.append(
        Said(
          wav=sentence.manner.amplify(wav),
          durations=np.diff(ends, prepend=0).astype(np.int32),
          weights=weights[i, : counts[i], :number],
        )
      )
    return said

  def stream(self, utterance: Sentence, /) -> Iterator[np.ndarray]:
    """Speaks one sentence.

    Args:
      utterance: what to say.

    Yields:
      All of it at once [S] float32: its decoder hears what comes next.
    """
    (said,) = self.speak([utterance])
    yield said.wav

  def warm_up(self, rows: int, frames: int, /) -> None:
    """Compiles what `speak` needs for a size.

    Args:
      rows: sentences in a batch.
      frames: of the longest.
    """
    for durations in batching.spoken_in(
      batching.frames(frames, self.sizes), self.sizes
    ):
      ids = np.full(len(durations), symbols.IDS["ə"], np.int32)
      starts = np.zeros(len(ids), np.uint8)
      self.speak([Sentence(Reading(ids, starts), durations)] * rows)

  def revoice(self, wav: np.ndarray) -> np.ndarray:
    """What the decoder makes of what is heard in a wave [S] float32.

    Raises:
      UserError: the model is a bundle, which cannot hear.
    """
    if fitting.HEARING not in self._params:
      raise UserError("a bundle of ns1 cannot hear; give its workdir")
    size = self.spec.num_samples(
      batching.frames(self.spec.num_frames(len(wav)), self.sizes)
    )
    padded = np.pad(wav, (0, size - len(wav)))[None]
    voiced = self._revoice(
      self._params, self._remembers, padded, hop=self.spec.hop_samples
    )
    return np.asarray(voiced)[0, : len(wav)]

  def _mixed(self, readings: Sequence[Reading]) -> Mixed:
    """Pads a batch to shapes of a few fixed sizes."""
    longest = max(len(reading.phonemes) for reading in readings)
    size = batching.phonemes(longest, self.sizes)
    rows = np.zeros((3, len(readings), size), np.int32)
    for i, reading in enumerate(readings):
      number = len(reading.phonemes)
      rows[0, i, :number] = reading.phonemes
      if self._tokenizer:
        found = sup_phonemes.encode(
          self._tokenizer, reading.phonemes, reading.word_starts
        )
        lengths = found["sup_lengths"]
        rows[1, i, :number] = np.repeat(found["sup_phonemes"], lengths)
        rows[2, i, :number] = np.repeat(np.arange(len(lengths)), lengths)
    fields: Any = map(jnp.asarray, rows)
    return Mixed(*fields)


def _paced(frames: np.ndarray, sentences: Sequence[Sentence]) -> np.ndarray:
  """Durations [B, N] float, as they are given or at the speed asked for.

  Raises:
    UserError: they are no numbers.
  """
  if not np.isfinite(frames).all():
    raise UserError(_DIVERGED)
  for row, sentence in zip(frames, sentences, strict=True):
    if sentence.durations is None:
      row /= sentence.manner.speed
    else:
      row[:] = batching.pad(np.asarray(sentence.durations), len(row))
  return frames
