# SPDX-License-Identifier: Apache-2.0
"""Any model that speaks, sampling as it is asked to."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeAlias

from ns_jax import paths
from ns_jax.errors import UserError
from ns_jax.inference import restore, single_voice
from ns_jax.inference.single_voice import SingleVoice
from ns_jax.inference.synthesize import Synthesizer
from ns_jax.training import workdir

_OF_DIFFUSION = ("solver", "steps", "guidance")
Model: TypeAlias = Synthesizer | SingleVoice


@dataclasses.dataclass(frozen=True)
class Sampling:
  """Choices of how to sample; None: as the model's config says."""

  solver: str | None = None
  steps: int | None = None
  temperature: float | None = None
  guidance: float | None = None
  max_phonemes: int | None = None  # that a model of ns1 says at once

  @classmethod
  def of(cls, sample: Mapping[str, Any]) -> "Sampling":
    """What a config's section `sample` says of them."""
    names = [field.name for field in dataclasses.fields(cls)]
    return cls(**{name: sample[name] for name in names if name in sample})

  def given(self) -> dict[str, Any]:
    """Those that were chosen."""
    chosen = dataclasses.asdict(self)
    return {name: value for name, value in chosen.items() if value is not None}


def load(model: str | paths.Path = restore.SHIPPED) -> Model:
  """The model of a bundle or workdir, or the one that comes along.

  Raises:
    UserError: there is none that can speak.
  """
  folder = restore.weights_folder(model, "ns2")
  if workdir.read_config(folder).get("stage") in single_voice.STAGES:
    return SingleVoice.load(folder)
  return Synthesizer.load(folder)


def sampled(model: Model, sampling: Sampling | None) -> Model:
  """The model with those choices.

  Raises:
    UserError: it does not know one of them.
  """
  chosen = (sampling or Sampling()).given()
  if isinstance(model, SingleVoice):
    unknown, why = _OF_DIFFUSION, "this model has no diffusion"
  else:
    unknown, why = ("max_phonemes",), "this model has no such choice"
  for name in unknown:
    if name in chosen:
      raise UserError(f"{why}; leave out {name}")
  options: Any = dataclasses.replace(model.options, **chosen)
  return model.with_options(options)
