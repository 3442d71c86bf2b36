# SPDX-License-Identifier: Apache-2.0
"""Products counted before compiling."""

import jax
import jax.numpy as jnp
import pytest

from ns_jax.nn import convolving
from ns_jax.planning import convolutions, jaxprs


def counted(function, *arguments):
  return jaxprs.flops(jax.jit(function).trace(*arguments).jaxpr)


def brute_force(axis):
  return sum(
    0 <= place <= (axis.size - 1) * axis.in_dilation
    and place % axis.in_dilation == 0
    for output in range(axis.out_size)
    for tap in range(axis.taps)
    for place in [output * axis.stride + tap * axis.tap_dilation - axis.pad]
  )


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("pad", [-2, 0, 5])
@pytest.mark.parametrize("in_dilation", [1, 2, 3, 4])
@pytest.mark.parametrize("tap_dilation", [1, 2])
def test_taps_that_meet_inputs(stride, pad, in_dilation, tap_dilation):
  for size in range(1, 8):
    for taps in range(1, 5):
      axis = convolutions.Axis(
        size, 9, taps, stride, pad, in_dilation, tap_dilation
      )
      assert convolutions.pairs(axis) == brute_force(axis)


def test_batched_products():
  a, b = jnp.zeros((3, 4, 5)), jnp.zeros((3, 5, 6))
  product = lambda a, b: jnp.einsum("bij,bjk->bik", a, b)
  assert counted(product, a, b) == 2 * 3 * 4 * 5 * 6


@pytest.mark.parametrize(("remat", "times"), [(False, 3), (True, 4)])
def test_what_is_computed_again_counts_again(remat, times):
  def loss(weights, x):
    step = lambda x, w: (jnp.tanh(x @ w), None)
    if remat:
      step = jax.checkpoint(step)
    return jax.lax.scan(step, x, weights)[0].sum()

  weights, x = jnp.zeros((10, 16, 16)), jnp.zeros((8, 16))
  found = counted(jax.value_and_grad(loss), weights, x)
  assert found == times * 10 * 2 * 8 * 16 * 16


def test_custom_derivatives():
  x, kernel = jnp.zeros((2, 16, 4)), jnp.zeros((3, 4, 8))
  loss = lambda x, kernel: convolving.tapped(x, kernel, (1, 1), 1).sum()
  inside = 2 * 2 * (3 * 16 - 2) * 4 * 8
  assert counted(loss, x, kernel) == inside
  # Of the kernel's gradient the products are of padded inputs.
  both = counted(jax.grad(loss, argnums=(0, 1)), x, kernel)
  assert inside < both <= inside * 2 + 2 * 2 * 3 * 16 * 4 * 8


def test_the_larger_branch_counts():
  a = jnp.zeros((4, 4))
  function = lambda a, flag: jax.lax.cond(flag, lambda a: a @ a, lambda a: a, a)
  assert counted(function, a, True) == 2 * 4**3


def test_a_loop_without_a_length_is_told():
  a = jnp.zeros((4, 4))
  function = lambda a: jax.lax.while_loop(
    lambda a: a.sum() < 9.0, lambda a: a @ a, a
  )
  with pytest.raises(jaxprs.UnknownLengthError):
    counted(function, a)
  counting = lambda a: jax.lax.while_loop(
    lambda a: a.sum() < 9.0, lambda a: a + 1.0, a
  )
  assert counted(counting, a) == 0
