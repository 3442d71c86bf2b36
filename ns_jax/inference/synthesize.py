# SPDX-License-Identifier: Apache-2.0
"""Zero-shot speech from a trained ns2 run: phonemes and a prompt to a wave."""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import librosa
import numpy as np

from ns_jax import audio
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError
from ns_jax.inference.codec import SpeechCodec
from ns_jax.inference.restore import Weights
from ns_jax.models import ns2_sampling
from ns_jax.stages import ns2 as ns2_stage
from ns_jax.text import symbols

MIN_PROMPT_SEC = 0.5
SILENCE_DBFS = -50.0
_PHONEME_BLOCK = 32  # sizes are rounded up, so that few shapes are compiled
_FRAME_BLOCK = 160


@dataclasses.dataclass(frozen=True)
class Utterance:
  """What to say and in whose voice."""

  phonemes: np.ndarray  # [N] int32 ids
  prompt: np.ndarray  # [P, D] float32, from `Synthesizer.encode_prompt`
  durations: np.ndarray | None = None  # [N] int32 frames; None: predict


@dataclasses.dataclass(frozen=True)
class Speech:
  """What was said."""

  wav: np.ndarray  # [S] float32, in [-1, 1]
  durations: np.ndarray  # [N] int32, frames
  f0_hz: np.ndarray  # [T] float32, 0 where unvoiced


class Synthesizer:
  """A trained model, ready to speak."""

  def __init__(self, weights: Weights):
    """Takes the weights of an ns2 run."""
    config = weights.config
    self._spec = AudioSpec(**config.audio)
    self._params = weights.params["gen"]
    self._frozen = weights.frozen
    self._codec = SpeechCodec.of(weights)
    self._options = ns2_sampling.SampleOptions(**config.sample)
    self._max_prompt_frames = ns2_stage.max_prompt_frames(config)
    model = ns2_stage.make_model(config)
    self._predict_durations = jax.jit(
      functools.partial(ns2_sampling.predict_durations, model)
    )
    self._generate = jax.jit(
      functools.partial(
        ns2_sampling.generate, model, frame_rate_hz=self._spec.frame_rate_hz
      ),
      static_argnames=("num_frames", "options"),
    )

  def encode_prompt(self, wav: np.ndarray) -> np.ndarray:
    """Turns a few seconds of a voice into what the model listens to.

    Silence around the speech is cut off, and so is what goes beyond the
    longest prompt the model was trained with; its level is that of records.

    Args:
      wav: [S] float32, in [-1, 1], at the model's sample rate.

    Returns:
      [P, D] float32, normalised latents.

    Raises:
      UserError: the prompt is silent or too short.
    """
    level_dbfs = 20.0 * np.log10(max(float(np.sqrt(np.mean(wav**2))), 1e-9))
    if level_dbfs < SILENCE_DBFS:
      raise UserError(
        f"the prompt is silent ({level_dbfs:.0f} dBFS); "
        "give a recording of someone speaking"
      )
    speech, _ = librosa.effects.trim(wav, top_db=40)
    seconds = len(speech) / self._spec.sample_rate_hz
    if seconds < MIN_PROMPT_SEC:
      raise UserError(
        f"the prompt holds only {seconds:.2f} s of speech; "
        f"give at least {MIN_PROMPT_SEC} s, better 3 s"
      )
    speech = speech[: self._spec.num_samples(self._max_prompt_frames)]
    _, latents = self._codec.encode(audio.level(speech)[None, :])
    x = ns2_stage.normalise(self._frozen, jnp.asarray(latents))
    return np.asarray(x)[0]

  def speak(
    self, utterances: Sequence[Utterance], *, seed: int = 0
  ) -> list[Speech]:
    """Speaks a batch.

    Args:
      utterances: what to say.
      seed: of the diffusion's noise.

    Returns:
      One `Speech` for each utterance.
    """
    request = self._request(utterances)
    durations = np.array(self._predict_durations(self._params, request))
    for row, utterance in zip(durations, utterances, strict=True):
      if utterance.durations is not None:
        row[: len(utterance.durations)] = utterance.durations
    num_frames = int(durations.sum(axis=1).max())
    spoken = self._generate(
      self._params,
      dataclasses.replace(request, durations=jnp.asarray(durations)),
      jax.random.key(seed),
      num_frames=num_frames + -num_frames % _FRAME_BLOCK,
      options=self._options,
    )
    latents = np.asarray(ns2_stage.denormalise(self._frozen, spoken.latents))
    wavs = self._codec.decode(latents)
    f0_hz = np.asarray(spoken.f0_hz)
    speeches = []
    for i, utterance in enumerate(utterances):
      frames = int(durations[i].sum())
      speeches.append(
        Speech(
          wav=wavs[i, : self._spec.num_samples(frames)],
          durations=durations[i, : len(utterance.phonemes)],
          f0_hz=f0_hz[i, :frames],
        )
      )
    return speeches

  def _request(self, utterances: Sequence[Utterance]) -> ns2_sampling.Request:
    """Pads a batch to shapes of a few fixed sizes."""
    longest = max(len(u.phonemes) for u in utterances)
    size = longest + -longest % _PHONEME_BLOCK
    phonemes = np.stack(
      [np.pad(u.phonemes, (0, size - len(u.phonemes))) for u in utterances]
    )
    prompts = [u.prompt[: self._max_prompt_frames] for u in utterances]
    frames = [len(prompt) for prompt in prompts]
    padded = [
      np.pad(prompt, ((0, self._max_prompt_frames - len(prompt)), (0, 0)))
      for prompt in prompts
    ]
    return ns2_sampling.Request(
      phonemes=jnp.asarray(phonemes),
      num_phonemes=jnp.asarray([len(u.phonemes) for u in utterances]),
      is_pause=jnp.asarray(symbols.is_pause(phonemes)),
      prompt=jnp.asarray(np.stack(padded)),
      prompt_frames=jnp.asarray(frames),
    )
