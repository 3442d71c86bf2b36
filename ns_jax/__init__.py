# SPDX-License-Identifier: Apache-2.0
"""NaturalSpeech and NaturalSpeech 2 in JAX/Flax."""

from typing import Any

__version__ = "0.1.0"


def load(model: Any = "shipped"):
  """Loads a model that speaks.

  audio = ns_jax.load()("The kettle is on.", prompt="voice.wav")

  Args:
    model: bundle or workdir of ns2, ns2_distilled or ns1; "shipped": the one
      that comes along.

  Returns:
    A `ns_jax.api.TextToSpeech`.

  Raises:
    UserError: there is none that can speak.
  """
  from ns_jax import api  # with JAX: only now

  return api.load(model)
