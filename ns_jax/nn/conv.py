# SPDX-License-Identifier: Apache-2.0
"""One-dimensional convolutions over [B, T, C], causal or centred.

They know no masks: zero the padding of the input where that matters.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ns_jax.array_types import Array
from ns_jax.nn import convolving, streaming


def lecun_normal(
  key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32
) -> Array:
  """LeCun's normal initialiser for kernels of any rank, output axis last.

  Drawn flat and in a few sizes: on CPU, XLA takes about a second to compile
  the generator for each new shape.
  """
  size = math.prod(shape)
  drawn = 1 << (size - 1).bit_length()
  unit = jax.random.truncated_normal(key, -2.0, 2.0, (drawn,), dtype)
  stddev = (shape[-1] / size) ** 0.5 / 0.87962566  # of the truncated normal
  return unit[:size].reshape(shape) * stddev


def _weight_normed(module: nn.Module, kernel: Array) -> Array:
  """Scales each output channel of a kernel to a learned norm."""
  norm = jnp.sqrt(jnp.sum(kernel**2, axis=(0, 1)) + 1e-12)
  scale = module.param("scale", lambda _: norm)
  return kernel * (scale / norm)[None, None, :]


def _fold_stride(
  x: Array, kernel: Array, stride: int, pads: tuple[int, int]
) -> Array:
  """A strided convolution as a plain one over `stride` times the channels.

  The result is the same; its gradient is several times faster on CPU.
  """
  size, in_features, features = kernel.shape
  taps = -(-size // stride)
  extra = taps * stride - size
  kernel = jnp.pad(kernel, ((0, extra), (0, 0), (0, 0)))
  x = jnp.pad(x, ((0, 0), (pads[0], pads[1] + extra), (0, 0)))
  length = x.shape[1] // stride
  x = x[:, : length * stride].reshape(x.shape[0], length, -1)
  kernel = kernel.reshape(taps, stride * in_features, features)
  return convolving.plain(x, kernel, (0, 0), window_strides=(1,))


def _depthwise(
  x: Array, kernel: Array, dilation: int, pads: tuple[int, int]
) -> Array:
  """Each channel by itself, as a sum of shifted products.

  One pass over memory; XLA's grouped convolution is far slower on CPU.
  """
  x = jnp.pad(x, ((0, 0), pads, (0, 0)))
  length = x.shape[1] - (kernel.shape[0] - 1) * dilation
  taps = [
    jax.lax.slice_in_dim(x, i * dilation, i * dilation + length, axis=1)
    * tap[None]
    for i, tap in enumerate(kernel)
  ]
  return functools.reduce(jnp.add, taps)


class Conv1d(nn.Module):
  """Convolution that maps T steps to ceil(T / stride).

  Causal: output t sees inputs up to (t + 1) · stride - 1 only, by zeros on the
  left (SoundStream, Sec. III-A). Otherwise zeros on both sides ("SAME").
  """

  features: int
  kernel_size: int
  stride: int = 1
  dilation: int = 1
  groups: int = 1
  causal: bool = False
  weight_norm: bool = False
  use_bias: bool = True
  scanned: bool = False  # in a layer of nn.scan; stride 1 and one group only
  kernel_init: Callable[..., Array] = lecun_normal
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps [B, T, C] to [B, ceil(T / stride), features] of `dtype`."""
    shape = (self.kernel_size, x.shape[-1] // self.groups, self.features)
    kernel = self.param("kernel", self.kernel_init, shape)
    if self.weight_norm:
      kernel = _weight_normed(self, kernel)
    kernel, x = kernel.astype(self.dtype), x.astype(self.dtype)
    pads = self._pads(x.shape[1])
    if self.causal and pads[0] and streaming.is_streaming(self):
      x, pads = streaming.with_past(self, x, pads[0]), (0, pads[1])
    if self.scanned:
      y: Array = convolving.tapped(x, kernel, pads, self.dilation)  # pyright: ignore
    elif self.stride > 1 and self.groups == 1 and self.dilation == 1:
      y = _fold_stride(x, kernel, self.stride, pads)
    elif self.groups == x.shape[-1] == self.features and self.stride == 1:
      y = _depthwise(x, kernel, self.dilation, pads)
    elif self.groups > 1 and self.dilation == 1:
      y = convolving.grouped(  # pyright: ignore
        x, kernel, self.stride, self.groups, pads
      )
    else:
      y = convolving.plain(
        x,
        kernel,
        pads,
        window_strides=(self.stride,),
        rhs_dilation=(self.dilation,),
        feature_group_count=self.groups,
      )
    if self.use_bias:
      bias = self.param("bias", nn.initializers.zeros, (self.features,))
      y = y + bias.astype(self.dtype)[None, None, :]
    return y

  def _pads(self, length: int) -> tuple[int, int]:
    span = (self.kernel_size - 1) * self.dilation + 1
    pads = _same_pads(length, span, self.stride)
    if not self.causal:
      return pads
    left = max(0, span - self.stride)
    return left, max(0, sum(pads) - left)


class ConvTranspose1d(nn.Module):
  """Transposed convolution that maps T steps to T · stride.

  Causal: input t reaches outputs from t · stride on only; the last
  kernel_size - stride outputs are dropped. Otherwise as many are dropped on
  both sides.
  """

  features: int
  kernel_size: int
  stride: int
  causal: bool = False
  weight_norm: bool = False
  use_bias: bool = True
  kernel_init: Callable[..., Array] = lecun_normal
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps [B, T, C] to [B, T · stride, features] of `dtype`."""
    batch, length, in_features = x.shape
    shape = (self.kernel_size, in_features, self.features)
    # An output sees 1 / stride of the taps, so each may be larger.
    gain = self.stride**0.5
    kernel = self.param(
      "kernel", lambda key: gain * self.kernel_init(key, shape)
    )
    if self.weight_norm:
      kernel = _weight_normed(self, kernel)
    # One plain convolution that makes all `stride` outputs of a step at once:
    # the same sum, without the zeros between inputs.
    taps = -(-self.kernel_size // self.stride)
    extra = taps * self.stride - self.kernel_size
    kernel = jnp.pad(kernel, ((0, extra), (0, 0), (0, 0)))
    kernel = kernel.reshape(taps, self.stride, in_features, self.features)
    kernel = kernel[::-1].swapaxes(1, 2).reshape(taps, in_features, -1)
    offset = 0 if self.causal else max(0, self.kernel_size - self.stride) // 2
    x, pads = x.astype(self.dtype), (taps - 1, taps - 1 if offset else 0)
    if self.causal and streaming.is_streaming(self):
      x, pads = streaming.with_past(self, x, pads[0]), (0, 0)
    y = convolving.plain(
      x, kernel.astype(self.dtype), pads, window_strides=(1,)
    )
    y = y.reshape(batch, -1, self.features)
    y = y[:, offset : offset + length * self.stride]
    if self.use_bias:
      bias = self.param("bias", nn.initializers.zeros, (self.features,))
      y = y + bias.astype(self.dtype)[None, None, :]
    return y


class Conv2d(nn.Module):
  """Convolution that maps M x F positions to ceil(M / s_t) x ceil(F / s_f).

  With zeros on both sides ("SAME"), or without ("VALID", strides of 1).
  """

  features: int
  kernel_size: tuple[int, int]
  strides: tuple[int, int] = (1, 1)
  padding: str = "SAME"
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps [B, M, F, C] to [B, M', F', features] of `dtype`."""
    shape = (*self.kernel_size, x.shape[-1], self.features)
    kernel = self.param("kernel", lecun_normal, shape).astype(self.dtype)
    bias = self.param("bias", nn.initializers.zeros, (self.features,))
    x = x.astype(self.dtype)
    if self.padding == "SAME":
      pads = [
        _same_pads(length, size, stride)
        for length, size, stride in zip(
          x.shape[1:3], self.kernel_size, self.strides, strict=True
        )
      ]
      x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    # As in one dimension: the gradient of a strided convolution is slow on CPU.
    x, kernel = _fold_strides(x, kernel, self.strides)
    y = jax.lax.conv_general_dilated(
      x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return y + bias.astype(self.dtype)[None, None, None, :]


def _same_pads(length: int, size: int, stride: int) -> tuple[int, int]:
  """Zeros before and after, for ceil(length / stride) outputs."""
  total = max(0, (-(-length // stride) - 1) * stride + size - length)
  return total // 2, total - total // 2


def _fold_strides(
  x: Array, kernel: Array, strides: tuple[int, int]
) -> tuple[Array, Array]:
  """Input and kernel of a plain convolution that equals the strided one.

  Every `stride` neighbours become channels of one position.
  """
  for axis, stride in enumerate(strides):
    if stride == 1:
      continue
    size, length = kernel.shape[axis], x.shape[axis + 1]
    taps = -(-size // stride)
    count = (length - size) // stride + 1 + taps - 1  # folded positions
    x = _resized(x, axis + 1, count * stride)
    kernel = _resized(kernel, axis, taps * stride)
    x = x.reshape(*x.shape[: axis + 1], count, stride, *x.shape[axis + 2 :])
    x = jnp.moveaxis(x, axis + 2, -2)
    x = x.reshape(*x.shape[:-2], -1)
    kernel = kernel.reshape(
      *kernel.shape[:axis], taps, stride, *kernel.shape[axis + 1 :]
    )
    kernel = jnp.moveaxis(kernel, axis + 1, -3)
    kernel = kernel.reshape(*kernel.shape[:-3], -1, kernel.shape[-1])
  return x, kernel


def _resized(x: Array, axis: int, size: int) -> Array:
  """Cut, or padded with zeros at the end, to `size` along an axis."""
  x = jax.lax.slice_in_dim(x, 0, min(size, x.shape[axis]), axis=axis)
  pads = [(0, 0)] * x.ndim
  pads[axis] = (0, size - x.shape[axis])
  return jnp.pad(x, pads)
