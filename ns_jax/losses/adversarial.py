# SPDX-License-Identifier: Apache-2.0
"""Losses over several discriminators.

Hinge and features (SoundStream, Sec. III-E); least squares (HiFi-GAN, VITS).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp

from ns_jax.array_types import Array


def hinge_discriminator(
  real_logits: Sequence[Array], fake_logits: Sequence[Array]
) -> Array:
  """max(0, 1 - D(x)) + max(0, 1 + D(G(x))), averaged over time and judges.

  Args:
    real_logits: per discriminator [B, T_k], on originals.
    fake_logits: the same on reconstructions.

  Returns:
    [B] float32.
  """
  real = [jnp.mean(jnp.maximum(0.0, 1.0 - x), axis=-1) for x in real_logits]
  fake = [jnp.mean(jnp.maximum(0.0, 1.0 + x), axis=-1) for x in fake_logits]
  return jnp.mean(jnp.stack(real), 0) + jnp.mean(jnp.stack(fake), 0)


def hinge_generator(fake_logits: Sequence[Array]) -> Array:
  """max(0, 1 - D(G(x))), averaged over time and discriminators.

  Args:
    fake_logits: per discriminator [B, T_k], on reconstructions.

  Returns:
    [B] float32.
  """
  fake = [jnp.mean(jnp.maximum(0.0, 1.0 - x), axis=-1) for x in fake_logits]
  return jnp.mean(jnp.stack(fake), axis=0)


def least_squares_discriminator(
  real_logits: Sequence[Array], fake_logits: Sequence[Array]
) -> Array:
  """(1 - D(x))² + D(G(x))², averaged over time and judges (1611.04076).

  Args:
    real_logits: per discriminator [B, T_k], on originals.
    fake_logits: the same on what is generated, of lengths of its own.

  Returns:
    [B] float32.
  """
  real = [jnp.mean((1.0 - x) ** 2, axis=-1) for x in real_logits]
  fake = [jnp.mean(x**2, axis=-1) for x in fake_logits]
  return jnp.mean(jnp.stack(real), 0) + jnp.mean(jnp.stack(fake), 0)


def least_squares_generator(fake_logits: Sequence[Array]) -> Array:
  """(1 - D(G(x)))², averaged over time and discriminators.

  Args:
    fake_logits: per discriminator [B, T_k], on what is generated.

  Returns:
    [B] float32.
  """
  fake = [jnp.mean((1.0 - x) ** 2, axis=-1) for x in fake_logits]
  return jnp.mean(jnp.stack(fake), axis=0)


def feature_matching(
  real_features: Sequence[Sequence[Array]],
  fake_features: Sequence[Sequence[Array]],
) -> Array:
  """Mean absolute difference of feature maps, averaged over layers and judges.

  Args:
    real_features: per discriminator and layer [B, ...], on originals.
    fake_features: the same on reconstructions.

  Returns:
    [B] float32.
  """
  distances = [
    jnp.mean(
      jnp.abs(real.astype(jnp.float32) - fake.astype(jnp.float32)),
      axis=tuple(range(1, real.ndim)),
    )
    for reals, fakes in zip(real_features, fake_features, strict=True)
    for real, fake in zip(reals, fakes, strict=True)
  ]
  return jnp.mean(jnp.stack(distances), axis=0)


class Kind(NamedTuple):
  """What the two players are taught by."""

  discriminator: Callable[[Sequence[Array], Sequence[Array]], Array]
  generator: Callable[[Sequence[Array]], Array]


KINDS = {
  "hinge": Kind(hinge_discriminator, hinge_generator),
  "least_squares": Kind(least_squares_discriminator, least_squares_generator),
}
