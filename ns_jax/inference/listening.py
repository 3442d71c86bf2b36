# SPDX-License-Identifier: Apache-2.0
"""A few seconds of somebody's voice to what a model listens to."""

import warnings

import jax.numpy as jnp
import librosa
import numpy as np

from ns_jax import audio
from ns_jax.dsp import pitch
from ns_jax.errors import UserError
from ns_jax.inference.codec import SpeechCodec
from ns_jax.inference.utterance import Voice
from ns_jax.models import prosody
from ns_jax.stages import ns2 as ns2_stage

MIN_PROMPT_SEC = 0.5
MIN_SHARE_SEC = 0.2  # of each of several prompts
SILENCE_DBFS = -50.0


class Listener:
  """Hears waves as the latents that a model was trained on."""

  def __init__(
    self, codec: SpeechCodec, frozen: ns2_stage.Frozen, max_frames: int
  ):
    """Begins to listen.

    Args:
      codec: makes the latents.
      frozen: of the model's weights, with the statistics of its latents.
      max_frames: of all prompts together.
    """
    self._codec, self._frozen = codec, frozen
    self.max_frames = max_frames

  def hear(self, *wavs: np.ndarray) -> Voice:
    """Turns prompts into a voice.

    Silence around the speech is cut off, and so is what goes beyond the
    longest prompt the model was trained with; its level is that of records.

    Args:
      *wavs: [S] float32 each, in [-1, 1], at the model's sample rate, all of
        one speaker; they share the length that the model can hear.

    Raises:
      UserError: a prompt is silent or too short.
    """
    spec = self._codec.spec
    share = self.max_frames // len(wavs)
    if share < spec.seconds_to_frames(MIN_SHARE_SEC):
      raise UserError(
        f"{len(wavs)} prompts are too many for the "
        f"{self.max_frames / spec.frame_rate_hz:.1f} s that the "
        "model hears; give fewer"
      )
    pieces = [self._speech_of(wav, share) for wav in wavs]
    f0_hz = np.concatenate(
      [pitch.f0(piece, spec, "harvest") for piece in pieces]
    )
    mean_hz = prosody.mean_f0(jnp.asarray(f0_hz)[None], jnp.array(True))
    return Voice(
      np.concatenate([self.encode(piece) for piece in pieces]),
      float(mean_hz[0]),
      np.concatenate(pieces),
    )

  def encode(self, wav: np.ndarray) -> np.ndarray:
    """Normalised latents [T, D] of a wave [S], T = ceil(S / hop)."""
    _, latents = self._codec.encode(wav[None, :])
    return np.asarray(ns2_stage.normalise(self._frozen, jnp.asarray(latents)))[
      0
    ]

  def _speech_of(self, wav: np.ndarray, max_frames: int) -> np.ndarray:
    """The beginning of what is said in a prompt, at the level of records."""
    spec = self._codec.spec
    level_dbfs = 20.0 * np.log10(max(float(np.sqrt(np.mean(wav**2))), 1e-9))
    if level_dbfs < SILENCE_DBFS:
      raise UserError(
        f"the prompt is silent ({level_dbfs:.0f} dBFS); "
        "give a recording of someone speaking"
      )
    with warnings.catch_warnings():
      # What librosa imports here would ask for widgets in a notebook.
      warnings.filterwarnings("ignore", "IProgress not found")
      speech, _ = librosa.effects.trim(wav, top_db=40)
    seconds = len(speech) / spec.sample_rate_hz
    if seconds < MIN_PROMPT_SEC:
      raise UserError(
        f"the prompt holds only {seconds:.2f} s of speech; "
        f"give at least {MIN_PROMPT_SEC} s, better 3 s"
      )
    return audio.level(speech[: spec.num_samples(max_frames)])
