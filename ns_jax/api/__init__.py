# SPDX-License-Identifier: Apache-2.0
"""Speech from Python: docs/python.md."""

from ns_jax.api.audio import Audio
from ns_jax.api.speech import TextToSpeech, load
from ns_jax.errors import UserError
from ns_jax.inference.narrate import Line
from ns_jax.inference.sampling import Sampling
from ns_jax.inference.utterance import Manner, Voice
from ns_jax.singing.plan import Rendition

__all__ = [
  "Audio",
  "Line",
  "Manner",
  "Rendition",
  "Sampling",
  "TextToSpeech",
  "UserError",
  "Voice",
  "load",
]
