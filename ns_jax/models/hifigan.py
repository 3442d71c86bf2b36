# SPDX-License-Identifier: Apache-2.0
"""HiFi-GAN's generator: latents to a wave (arXiv 2010.05646).

The decoder of NaturalSpeech and of VITS.
"""

import functools
import math
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from ns_jax.array_types import Array
from ns_jax.nn import conv

_SLOPE = 0.1


class ResidualUnit(nn.Module):
  """Dilated convolutions, each with a plain one after it and a residual."""

  kernel_size: int
  dilations: tuple[int, ...]
  dtype: Any

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps [B, T, C] to [B, T, C]."""

    def convolve(y: Array, dilation: int, name: str) -> Array:
      return conv.Conv1d(
        x.shape[-1],
        self.kernel_size,
        dilation=dilation,
        weight_norm=True,
        dtype=self.dtype,
        name=name,
      )(nn.leaky_relu(y, _SLOPE))

    for i, dilation in enumerate(self.dilations):
      y = convolve(x, dilation, f"dilated_{i}")
      x = x + convolve(y, 1, f"plain_{i}")
    return x


class HifiGan(nn.Module):
  """Transposed convolutions, after each the mean of units of several sizes."""

  strides: tuple[int, ...]  # their product is the hop
  upsample_kernels: tuple[int, ...]
  dim: int  # channels before the first; half as many after each
  unit_kernels: tuple[int, ...]
  unit_dilations: tuple[int, ...]
  dtype: Any = jnp.float32

  @property
  def hop_samples(self) -> int:
    """Samples made of one frame."""
    return math.prod(self.strides)

  @nn.compact
  def __call__(self, latents: Array) -> Array:
    """Maps [B, T, D] to [B, T · hop] float32 in [-1, 1]."""
    x = conv.Conv1d(self.dim, 7, dtype=self.dtype, name="in")(latents)
    plan = zip(self.strides, self.upsample_kernels, strict=True)
    for i, (stride, kernel_size) in enumerate(plan):
      x = conv.ConvTranspose1d(
        self.dim >> (i + 1),
        kernel_size,
        stride,
        weight_norm=True,
        dtype=self.dtype,
        name=f"up_{i}",
      )(nn.leaky_relu(x, _SLOPE))
      units = [
        ResidualUnit(
          size, self.unit_dilations, self.dtype, name=f"unit_{i}_{j}"
        )
        for j, size in enumerate(self.unit_kernels)
      ]
      x = functools.reduce(jnp.add, [unit(x) for unit in units]) / len(units)
    x = conv.Conv1d(1, 7, use_bias=False, dtype=self.dtype, name="out")(
      nn.leaky_relu(x, 0.01)
    )
    return jnp.tanh(x[..., 0].astype(jnp.float32))
