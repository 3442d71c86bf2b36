# SPDX-License-Identifier: Apache-2.0
"""Zero-shot speech from a trained model: phonemes and a prompt to a wave."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import librosa
import numpy as np

from ns_jax import audio, paths
from ns_jax.audio import AudioSpec
from ns_jax.dsp import pitch
from ns_jax.errors import UserError
from ns_jax.inference import restore
from ns_jax.inference.codec import SpeechCodec
from ns_jax.inference.restore import Weights
from ns_jax.inference.utterance import Manner, PitchedSpeech, Utterance, Voice
from ns_jax.models import ns2_sampling, prosody
from ns_jax.models.ns2_sampling import SampleOptions
from ns_jax.stages import ns2 as ns2_stage
from ns_jax.text import symbols
from ns_jax.text.frontend import Reading

STAGES = ("ns2", "ns2_distilled")  # whose models speak
MIN_PROMPT_SEC = 0.5
MIN_SHARE_SEC = 0.2  # of each of several prompts
SILENCE_DBFS = -50.0
_MISFIT = "the weights of this model do not fit its config"
_PHONEME_BLOCK = 32  # sizes are rounded up, so that few shapes are compiled
_FRAME_BLOCK = 160


class Synthesizer:
  """A trained model, ready to speak."""

  def __init__(self, weights: Weights, options: SampleOptions | None = None):
    """Takes the weights of an ns2 run or bundle.

    Args:
      weights: from `restore.restore`.
      options: of the diffusion; None: as the config says.

    Raises:
      UserError: the weights are of another stage.
    """
    self.weights = weights
    config = weights.config
    if config.get("stage") not in STAGES:
      raise UserError(
        f"a model of the stage {config.get('stage')} cannot speak "
        "in the voice of a prompt; give a bundle or workdir of ns2"
      )
    self.spec = AudioSpec(**config.audio)
    self._path = SampleOptions(**config.sample)  # a distilled model's only one
    self._is_distilled = config.stage == "ns2_distilled"
    self.options = options or self._path
    self.max_phonemes: int = config.data.max_phonemes
    self.codec = SpeechCodec.of(weights)
    self._params = weights.params["gen"]
    self._frozen = weights.frozen
    self._max_prompt_frames = ns2_stage.max_prompt_frames(config)
    self._model = model = ns2_stage.make_model(config)
    self._predict_durations = jax.jit(
      functools.partial(ns2_sampling.predict_durations, model)
    )
    self._predict_f0 = jax.jit(
      functools.partial(ns2_sampling.predict_f0, model),
      static_argnames="num_frames",
    )
    self._generate = jax.jit(
      functools.partial(ns2_sampling.generate, model),
      static_argnames="options",
    )
    self._carry = jax.jit(
      functools.partial(ns2_sampling.carry_to_noise, model),
      static_argnames="steps",
    )

  @classmethod
  def load(
    cls,
    path: str | paths.Path = restore.SHIPPED,
    options: SampleOptions | None = None,
  ) -> "Synthesizer":
    """Reads a bundle or workdir, or the model that comes along.

    Raises:
      UserError: there is none, or its parts do not fit one another.
    """
    folder = restore.weights_folder(path, "ns2")
    try:
      synthesizer = cls(restore.restore(folder), options)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
      raise UserError(f"{folder}: {_MISFIT} ({error})") from error
    if synthesizer.codec.spec != synthesizer.spec:
      raise UserError(f"{folder}: {_MISFIT} (its codec hears other audio)")
    return synthesizer

  @property
  def options(self) -> SampleOptions:
    """Of the diffusion.

    Raises:
      UserError: set to what this model was not made for.
    """
    return self._options

  @options.setter
  def options(self, options: SampleOptions) -> None:
    if self._is_distilled and options != self._path:
      raise UserError(
        f"this model was distilled for solver={self._path.solver}, "
        f"steps={self._path.steps} and temperature={self._path.temperature}; "
        "take others with the model that it was distilled from"
      )
    self._options = options

  def encode_prompt(self, *wavs: np.ndarray) -> Voice:
    """Turns a few seconds of a voice into what the model listens to.

    Silence around the speech is cut off, and so is what goes beyond the
    longest prompt the model was trained with; its level is that of records.

    Args:
      *wavs: [S] float32 each, in [-1, 1], at the model's sample rate, all of
        one speaker; they share the length that the model can hear.

    Raises:
      UserError: a prompt is silent or too short.
    """
    share = self._max_prompt_frames // len(wavs)
    if share < self.spec.seconds_to_frames(MIN_SHARE_SEC):
      raise UserError(
        f"{len(wavs)} prompts are too many for the "
        f"{self._max_prompt_frames / self.spec.frame_rate_hz:.1f} s that the "
        "model hears; give fewer"
      )
    pieces = [self._speech_of(wav, share) for wav in wavs]
    f0_hz = np.concatenate(
      [pitch.f0(piece, self.spec, "harvest") for piece in pieces]
    )
    mean_hz = prosody.mean_f0(jnp.asarray(f0_hz)[None], jnp.array(True))
    return Voice(
      np.concatenate([self.encode(piece) for piece in pieces]),
      float(mean_hz[0]),
    )

  def _speech_of(self, wav: np.ndarray, max_frames: int) -> np.ndarray:
    """The beginning of what is said in a prompt, at the level of records."""
    level_dbfs = 20.0 * np.log10(max(float(np.sqrt(np.mean(wav**2))), 1e-9))
    if level_dbfs < SILENCE_DBFS:
      raise UserError(
        f"the prompt is silent ({level_dbfs:.0f} dBFS); "
        "give a recording of someone speaking"
      )
    speech, _ = librosa.effects.trim(wav, top_db=40)
    seconds = len(speech) / self.spec.sample_rate_hz
    if seconds < MIN_PROMPT_SEC:
      raise UserError(
        f"the prompt holds only {seconds:.2f} s of speech; "
        f"give at least {MIN_PROMPT_SEC} s, better 3 s"
      )
    return audio.level(speech[: self.spec.num_samples(max_frames)])

  def encode(self, wav: np.ndarray) -> np.ndarray:
    """Normalised latents [T, D] of a wave [S], T = ceil(S / hop)."""
    _, latents = self.codec.encode(wav[None, :])
    return np.asarray(ns2_stage.normalise(self._frozen, jnp.asarray(latents)))[
      0
    ]

  def speak(
    self,
    utterances: Sequence[Utterance],
    *,
    seed: int = 0,
    manner: Manner | None = None,
  ) -> list[PitchedSpeech]:
    """Speaks a batch.

    Args:
      utterances: what to say.
      seed: of the diffusion's noise.
      manner: how; None: as the model would.

    Returns:
      One `PitchedSpeech` for each utterance.
    """
    manner = manner or Manner()
    request = self._request(utterances)
    planned = self._plan(request, utterances, manner)
    spoken = self._generate(
      self._params, request, planned, jax.random.key(seed), options=self.options
    )
    return self._decode(spoken, planned, utterances, manner)

  def in_voice(self, voice: Voice) -> "InVoice":
    """This model as a speaker with that voice."""
    return InVoice(self, voice)

  def retell(
    self,
    source: Utterance,
    latents: np.ndarray,
    voice: Voice,
    f0_hz: np.ndarray,
    *,
    steps: int,
  ) -> PitchedSpeech:
    """Says what was said once more, after another prompt (Sec. 5).

    The recording is carried along the ODE to noise, hearing its own voice, and
    from there back again, hearing the other.

    Args:
      source: what was said, with its durations, pitch, phase and voice.
      latents: [T, D] float32, normalised, of the recording.
      voice: to say it in.
      f0_hz: [T] float32, its pitch.
      steps: of the solver in each direction.

    Returns:
      The speech, as long as the recording.

    Raises:
      UserError: the model is a distilled one.
    """
    if self._is_distilled:
      raise UserError(
        "a distilled model cannot retell a recording; "
        "give the model that it was distilled from"
      )
    request = self._request([source])
    planned = self._plan(request, [source], Manner())
    size = planned.f0_hz.shape[1]
    start = self._carry(
      self._params,
      request,
      planned,
      jnp.asarray(_pad(latents, size))[None],
      steps=steps,
    )
    # Where the pitch is kept, so is every turn of the recording's phase.
    ahead = self._advance(f0_hz - source.f0_hz)
    target = dataclasses.replace(
      source, voice=voice, f0_hz=f0_hz, f0_phase=source.f0_phase + ahead
    )
    request = self._request([target])
    planned = self._plan(request, [target], Manner())
    options = dataclasses.replace(self.options, solver="jump", steps=steps)
    spoken = self._generate(
      self._params,
      request,
      planned,
      jax.random.key(0),  # neither the start nor the ODE draws anything
      start,
      options=options,
    )
    return self._decode(spoken, planned, [target], Manner())[0]

  def _request(self, utterances: Sequence[Utterance]) -> ns2_sampling.Request:
    """Pads a batch to shapes of a few fixed sizes."""
    size = _rounded(max(len(u.phonemes) for u in utterances), _PHONEME_BLOCK)
    phonemes = np.stack([_pad(u.phonemes, size) for u in utterances])
    voices = [u.voice for u in utterances]
    prompts = [voice.latents[: self._max_prompt_frames] for voice in voices]
    padded = [_pad(prompt, self._max_prompt_frames) for prompt in prompts]
    return ns2_sampling.Request(
      phonemes=jnp.asarray(phonemes),
      num_phonemes=jnp.asarray([len(u.phonemes) for u in utterances]),
      is_pause=jnp.asarray(symbols.is_pause(phonemes)),
      prompt=jnp.asarray(np.stack(padded)),
      prompt_frames=jnp.asarray([len(prompt) for prompt in prompts]),
      prompt_f0_hz=jnp.asarray([voice.f0_hz for voice in voices]),
    )

  def _plan(
    self,
    request: ns2_sampling.Request,
    utterances: Sequence[Utterance],
    manner: Manner,
  ) -> ns2_sampling.Prosody:
    """Predicts timing and pitch where they are not given."""
    if all(utterance.durations is not None for utterance in utterances):
      durations = np.zeros(request.phonemes.shape, np.int32)
    else:
      durations = np.array(self._predict_durations(self._params, request))
    for row, utterance in zip(durations, utterances, strict=True):
      count = len(utterance.phonemes)
      if utterance.durations is None:
        row[:count] = manner.pace(row[:count], utterance.phonemes)
      else:
        row[:count] = utterance.durations
    num_frames = _rounded(int(durations.sum(axis=1).max()), _FRAME_BLOCK)
    if all(utterance.f0_hz is not None for utterance in utterances):
      f0_hz = np.zeros((len(utterances), num_frames), np.float32)
    else:
      f0_hz = np.asarray(
        self._predict_f0(
          self._params, request, durations, num_frames=num_frames
        )
      )
    f0_hz = manner.bend(f0_hz)
    for row, utterance in zip(f0_hz, utterances, strict=True):
      if utterance.f0_hz is not None:
        row[:] = _pad(utterance.f0_hz[:num_frames], num_frames)
    f0_phase = np.array(self._advance(f0_hz))
    for row, utterance in zip(f0_phase, utterances, strict=True):
      if utterance.f0_phase is not None:
        row[:] = _pad(utterance.f0_phase[:num_frames], num_frames)
    return ns2_sampling.Prosody(*map(jnp.asarray, (durations, f0_hz, f0_phase)))

  def _advance(self, f0_hz: np.ndarray) -> np.ndarray:
    """Phase of a pitch [..., T] that starts at a crest, radians."""
    rows = jnp.asarray(np.atleast_2d(f0_hz))
    phase = prosody.advance_phase(rows, self.spec.frame_rate_hz)
    return np.asarray(phase).reshape(f0_hz.shape)

  def _decode(
    self,
    spoken: Any,
    planned: ns2_sampling.Prosody,
    utterances: Sequence[Utterance],
    manner: Manner,
  ) -> list[PitchedSpeech]:
    """Waves of latents [B, T, D], each as long as its durations."""
    latents = np.asarray(ns2_stage.denormalise(self._frozen, spoken))
    wavs = self.codec.decode(latents)
    if not np.isfinite(wavs).all():
      raise UserError("what came out is no sound: the model's weights diverged")
    durations, f0_hz = np.asarray(planned.durations), np.asarray(planned.f0_hz)
    speeches = []
    for i, utterance in enumerate(utterances):
      frames = int(durations[i].sum())
      wav = wavs[i, : self.spec.num_samples(frames)]
      speeches.append(
        PitchedSpeech(
          wav=manner.amplify(wav),
          durations=durations[i, : len(utterance.phonemes)],
          f0_hz=f0_hz[i, :frames],
        )
      )
    return speeches


@dataclasses.dataclass(frozen=True)
class InVoice:
  """A synthesizer that has listened to a prompt; a `Speaker`."""

  synthesizer: Synthesizer
  voice: Voice

  @property
  def spec(self) -> AudioSpec:
    """Of its waves."""
    return self.synthesizer.spec

  @property
  def max_phonemes(self) -> int:
    """That are said at once."""
    return self.synthesizer.max_phonemes

  def say(
    self,
    readings: Sequence[Reading],
    *,
    seed: int = 0,
    manner: Manner | None = None,
  ) -> list[PitchedSpeech]:
    """One `PitchedSpeech` for each reading."""
    utterances = [Utterance(r.phonemes, self.voice) for r in readings]
    return self.synthesizer.speak(utterances, seed=seed, manner=manner)


def _rounded(size: int, block: int) -> int:
  """The next multiple of `block`, at least one of it."""
  return max(size + -size % block, block)


def _pad(values: np.ndarray, size: int) -> np.ndarray:
  """Zeros after [n, ...] up to [size, ...]."""
  padded = np.zeros((size, *values.shape[1:]), values.dtype)
  padded[: len(values)] = values
  return padded
