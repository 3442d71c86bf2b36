# SPDX-License-Identifier: Apache-2.0
"""Zero-shot speech from a trained model: phonemes and a prompt to a wave."""

import copy
import dataclasses
import functools
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ns_jax import paths
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError
from ns_jax.inference import batching, restore, streams
from ns_jax.inference.codec import SpeechCodec
from ns_jax.inference.listening import Listener
from ns_jax.inference.restore import Weights
from ns_jax.inference.timing import Planner
from ns_jax.inference.utterance import (
  InVoice,
  PitchedSpeech,
  Utterance,
  Voice,
  seeds,
)
from ns_jax.models import ns2_sampling
from ns_jax.models.ns2_sampling import SampleOptions
from ns_jax.stages import ns2 as ns2_stage
from ns_jax.text import symbols

STAGES = ("ns2", "ns2_distilled")  # whose models speak
CHUNK_FRAMES = 40  # that a stream decodes at a time: 0.5 s
_MISFIT = "the weights of this model do not fit its config"
_DIVERGED = "what came out is no sound: the model's weights diverged"


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
    self.sizes = batching.Sizes()
    self.max_phonemes: int = config.data.max_phonemes
    self.codec = SpeechCodec.of(weights)
    self._params = weights.params["gen"]
    self._frozen = weights.frozen
    self._listener = Listener(
      self.codec, self._frozen, ns2_stage.max_prompt_frames(config)
    )
    self._model = model = ns2_stage.make_model(config)
    self._planner = Planner(model, self._params, self.spec)
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

  def with_options(self, options: SampleOptions) -> "Synthesizer":
    """The same model, with the same compiled programs, sampling otherwise."""
    other = copy.copy(self)
    other.options = options
    return other

  def encode_prompt(self, *wavs: np.ndarray) -> Voice:
    """Turns a few seconds of a voice into what the model listens to.

    Args:
      *wavs: see `Listener.hear`.
    """
    return self._listener.hear(*wavs)

  def encode(self, wav: np.ndarray) -> np.ndarray:
    """Normalised latents [T, D] of a wave [S], T = ceil(S / hop)."""
    return self._listener.encode(wav)

  def in_voice(self, voice: Voice) -> InVoice:
    """This model as a speaker with that voice."""
    return InVoice(self, voice)

  def speak(self, utterances: Sequence[Utterance], /) -> list[PitchedSpeech]:
    """Speaks a batch.

    Args:
      utterances: what to say; each as if it were alone.

    Returns:
      One `PitchedSpeech` for each utterance.
    """
    planned, latents = self._say(utterances)
    return self._decode(latents, planned, utterances)

  def stream(self, utterance: Utterance, /) -> Iterator[np.ndarray]:
    """Speaks one utterance: all its latents, then its wave in small pieces.

    Args:
      utterance: what to say.

    Yields:
      Pieces [S] float32 that together are what `speak` gives.
    """
    planned, latents = self._say([utterance])
    frames = int(planned.durations.sum())
    pieces = streams.decode(self.codec, latents[0, :frames], CHUNK_FRAMES)
    if utterance.manner.energy_db > 0.0:  # how much is up to the peak of all
      pieces = iter([np.concatenate(list(pieces))])
    for wav in pieces:
      yield utterance.manner.amplify(_checked(wav))

  def warm_up(self, rows: int, frames: int, /) -> None:
    """Compiles what `speak`, and for one row `stream`, need for a size.

    Args:
      rows: utterances in a batch.
      frames: of the longest.
    """
    latents = np.zeros((1, self._model.denoiser.latent_dim), np.float32)
    nobody = Voice(latents, 0.0, np.zeros(0, np.float32))
    for durations in batching.spoken_in(
      batching.frames(frames, self.sizes), self.sizes
    ):
      ids = np.full(len(durations), symbols.IDS["ə"], np.int32)
      utterances = [Utterance(ids, nobody, durations)] * batching.rows(rows)
      self._planner.predict_durations(self._request(utterances))
      self.speak(utterances)
      if rows == 1:
        list(self.stream(utterances[0]))

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
    options = dataclasses.replace(self.options, solver="jump", steps=steps)
    request = self._request([source])
    planned = self._planner.plan(request, [source], self.sizes)
    size = planned.f0_hz.shape[1]
    start = self._carry(
      self._params,
      request,
      planned,
      jnp.asarray(batching.pad(latents, size))[None],
      steps=steps,
    )
    # Where the pitch is kept, so is every turn of the recording's phase.
    ahead = self._planner.advance(f0_hz - source.f0_hz)
    target = dataclasses.replace(
      source, voice=voice, f0_hz=f0_hz, f0_phase=source.f0_phase + ahead
    )
    request = self._request([target])
    planned = self._planner.plan(request, [target], self.sizes)
    spoken = self._generate(
      self._params,
      request,
      planned,
      jax.random.key(0),  # neither the start nor the ODE draws anything
      start,
      options=options,
    )
    latents = np.asarray(ns2_stage.denormalise(self._frozen, spoken))
    return self._decode(latents, planned, [target])[0]

  def _say(
    self, utterances: Sequence[Utterance]
  ) -> tuple[ns2_sampling.Prosody, np.ndarray]:
    """Plans and speaks; latents [B, T, D] that the codec decodes."""
    idle = batching.rows(len(utterances), self.sizes) - len(utterances)
    rows = [*utterances, *[utterances[-1]] * idle]
    request = self._request(rows)
    planned = self._planner.plan(request, rows, self.sizes)
    keys = jax.vmap(jax.random.key)(seeds(rows))
    spoken = self._generate(
      self._params, request, planned, keys, options=self.options
    )
    return planned, np.asarray(ns2_stage.denormalise(self._frozen, spoken))

  def _request(self, utterances: Sequence[Utterance]) -> ns2_sampling.Request:
    return batching.request(utterances, self._listener.max_frames, self.sizes)

  def _decode(
    self,
    latents: np.ndarray,
    planned: ns2_sampling.Prosody,
    utterances: Sequence[Utterance],
  ) -> list[PitchedSpeech]:
    """Waves of latents [B, T, D], each as long as its durations."""
    wavs = _checked(self.codec.decode(latents))
    durations, f0_hz = np.asarray(planned.durations), np.asarray(planned.f0_hz)
    speeches = []
    for i, utterance in enumerate(utterances):
      frames = int(durations[i].sum())
      wav = wavs[i, : self.spec.num_samples(frames)]
      speeches.append(
        PitchedSpeech(
          wav=utterance.manner.amplify(wav),
          durations=durations[i, : len(utterance.phonemes)],
          f0_hz=f0_hz[i, :frames],
        )
      )
    return speeches


def _checked(wavs: np.ndarray) -> np.ndarray:
  """Waves [..., S] that are some."""
  if not np.isfinite(wavs).all():
    raise UserError(_DIVERGED)
  return wavs
