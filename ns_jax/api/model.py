# SPDX-License-Identifier: Apache-2.0
"""A model, sampling in several ways; what it says becomes `Audio`."""

import functools

from ns_jax.api.audio import Audio
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError
from ns_jax.inference import sampling as sampling_lib
from ns_jax.inference.narrate import Narration
from ns_jax.inference.sampling import Model, Sampling
from ns_jax.inference.single_voice import SingleVoice
from ns_jax.inference.synthesize import Synthesizer
from ns_jax.text import symbols

_SAMPLINGS = 32  # that are remembered


class Loaded:
  """A model that is ready to speak."""

  def __init__(self, model: Model):
    """Takes it."""
    self.model = model
    # One object for the same choices: only what one model says goes together.
    self.sampled = functools.lru_cache(_SAMPLINGS)(
      functools.partial(sampling_lib.sampled, model)
    )

  @property
  def spec(self) -> AudioSpec:
    """Of the waves."""
    return self.model.spec

  @property
  def sample_rate_hz(self) -> int:
    """Of the waves."""
    return self.spec.sample_rate_hz

  def synthesizer(
    self, why: str, sampling: Sampling | None = None
  ) -> Synthesizer:
    """The model, where it is one of ns2.

    Args:
      why: what another one cannot do.
      sampling: choices.

    Raises:
      UserError: it is another one.
    """
    model = self.sampled(sampling)
    if isinstance(model, SingleVoice):
      raise UserError(
        f"a model of ns1, with a voice of its own, {why}; give one of ns2"
      )
    return model

  def audio(self, speech: Narration) -> Audio:
    """What was said, with what is known of it."""
    return Audio(
      wav=speech.wav,
      spec=self.spec,
      phonemes=tuple(symbols.from_ids(speech.phonemes)),
      durations=speech.durations,
      f0_hz=speech.f0_hz,
    )
