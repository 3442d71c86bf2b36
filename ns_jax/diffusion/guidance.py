# SPDX-License-Identifier: Apache-2.0
"""Maps from denoisers to denoisers."""

from ns_jax.array_types import Array
from ns_jax.diffusion.samplers import DenoiseFn


def classifier_free(
  conditional: DenoiseFn, unconditional: DenoiseFn, weight: float
) -> DenoiseFn:
  """Pushes away from the unconditional prediction: (1 + w) c - w u.

  Args:
    conditional: denoiser that hears the prompt.
    unconditional: the same with the null prompt.
    weight: w; 0 is the conditional denoiser, at its cost.

  Returns:
    A denoiser.
  """
  if weight == 0.0:
    return conditional

  def denoise(x: Array, t: Array) -> Array:
    c, u = conditional(x, t), unconditional(x, t)
    return c + weight * (c - u)

  return denoise
