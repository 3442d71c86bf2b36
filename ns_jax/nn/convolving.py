# SPDX-License-Identifier: Apache-2.0
"""Convolutions over [B, T, C] whose gradients are fast on CPU, too."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import ad_checkpoint

from ns_jax.array_types import Array
from ns_jax.nn import remat, winograd

DIMENSION_NUMBERS = ("NWC", "WIO", "NWC")


def plain(
  x: Array, kernel: Array, pads: tuple[int, int], **options: Any
) -> Array:
  """Convolves [B, T, C] with [K, C, F]; `options` are those of lax."""
  return jax.lax.conv_general_dilated(
    x, kernel, padding=[pads], dimension_numbers=DIMENSION_NUMBERS, **options
  )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def tapped(
  x: Array, kernel: Array, pads: tuple[int, int], dilation: int
) -> Array:
  """A convolution whose kernel's gradient, on CPU, is a matrix product per tap.

  XLA's own gradient is some thirty times slower there inside a loop, which is
  where the layers of a scanned stack are. Three taps are Winograd's.
  """
  options = dict(pads=pads, dilation=dilation)
  dilated = functools.partial(_dilated, **options)
  if not winograd.suits(x, kernel):
    return dilated(x, kernel)
  convolve = functools.partial(winograd.convolve, **options)
  y = jax.lax.platform_dependent(x, kernel, cpu=convolve, default=dilated)
  return ad_checkpoint.checkpoint_name(y, remat.PRODUCT)


def _dilated(
  x: Array, kernel: Array, pads: tuple[int, int], dilation: int
) -> Array:
  return plain(x, kernel, pads, window_strides=(1,), rhs_dilation=(dilation,))


def _tapped_forward(
  x: Array, kernel: Array, pads: tuple[int, int], dilation: int
) -> tuple[Array, tuple[Array, Array]]:
  # Not `tapped`, whose product a policy of rematerialisation would not see.
  y = plain(x, kernel, pads, window_strides=(1,), rhs_dilation=(dilation,))
  return y, (x, kernel)


def _tapped_backward(
  pads: tuple[int, int],
  dilation: int,
  residuals: tuple[Array, Array],
  gradient: Array,
) -> tuple[Array, Array]:
  options = dict(pads=pads, dilation=dilation)
  by_taps = functools.partial(_gradients_by_taps, **options)
  if winograd.suits(*residuals):
    by_taps = _gradients_of(functools.partial(winograd.convolve, **options))
  return jax.lax.platform_dependent(
    *residuals,
    gradient,
    cpu=by_taps,
    default=_gradients_of(functools.partial(_dilated, **options)),
  )


def _gradients_of(
  convolve: Callable[[Array, Array], Array],
) -> Callable[[Array, Array, Array], tuple[Array, Array]]:
  """Those of input and kernel, as JAX finds them."""

  def gradients(x: Array, kernel: Array, y: Array) -> tuple[Array, Array]:
    of_x = jax.linear_transpose(lambda x: convolve(x, kernel), x)
    of_kernel = jax.linear_transpose(lambda kernel: convolve(x, kernel), kernel)
    return *of_x(y), *of_kernel(y)

  return gradients


def _gradients_by_taps(
  x: Array,
  kernel: Array,
  gradient: Array,
  pads: tuple[int, int],
  dilation: int,
) -> tuple[Array, Array]:
  """Of input and kernel."""
  x_gradient = _dilated(
    gradient, kernel[::-1].swapaxes(1, 2), (pads[1], pads[0]), dilation
  )
  padded = jnp.pad(x, ((0, 0), pads, (0, 0)))
  length = gradient.shape[1]
  taps = [
    jnp.einsum(
      "btc,btf->cf",
      jax.lax.slice_in_dim(padded, start, start + length, axis=1),
      gradient,
      preferred_element_type=jnp.float32,
    )
    for start in range(0, kernel.shape[0] * dilation, dilation)
  ]
  return x_gradient, jnp.stack(taps).astype(kernel.dtype)


tapped.defvjp(_tapped_forward, _tapped_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def grouped(
  x: Array, kernel: Array, stride: int, groups: int, pads: tuple[int, int]
) -> Array:
  """A grouped convolution whose gradient is matrix products.

  XLA's own gradient is tens of times slower on CPU where groups are many.
  """
  return plain(
    x, kernel, pads, window_strides=(stride,), feature_group_count=groups
  )


def _grouped_products(
  x: Array, kernel: Array, stride: int, groups: int, pads: tuple[int, int]
) -> Array:
  """The same, as a product for each group of what its outputs see."""
  size, width, features = kernel.shape
  batch, taps = x.shape[0], -(-size // stride)
  extra = taps * stride - size
  kernel = jnp.pad(kernel, ((0, extra), (0, 0), (0, 0)))
  x = jnp.pad(x, ((0, 0), (pads[0], pads[1] + extra), (0, 0)))
  count = x.shape[1] // stride
  x = x[:, : count * stride].reshape(batch, count, stride, groups, width)
  x = jnp.moveaxis(x, 3, 0).reshape(groups, batch, count, stride * width)
  length = count - taps + 1
  seen = jnp.concatenate([x[:, :, i : i + length] for i in range(taps)], -1)
  kernel = kernel.reshape(taps * stride * width, groups, features // groups)
  y = jnp.einsum("gbti,igo->gbto", seen, kernel)
  return jnp.moveaxis(y, 0, 2).reshape(batch, length, features)


def _grouped_forward(
  x: Array, kernel: Array, stride: int, groups: int, pads: tuple[int, int]
) -> tuple[Array, tuple[Array, Array]]:
  return grouped(x, kernel, stride, groups, pads), (x, kernel)


def _grouped_backward(
  stride: int,
  groups: int,
  pads: tuple[int, int],
  residuals: tuple[Array, Array],
  gradient: Array,
) -> tuple[Array, Array]:
  products = functools.partial(
    _grouped_products, stride=stride, groups=groups, pads=pads
  )
  return jax.vjp(products, *residuals)[1](gradient)


grouped.defvjp(_grouped_forward, _grouped_backward)
