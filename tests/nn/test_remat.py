# SPDX-License-Identifier: Apache-2.0
"""What is computed twice by each policy, and that gradients do not change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ns_jax.errors import UserError
from ns_jax.nn import remat, transformer, wavenet

LENGTH, WIDTH = 9, 8
MASK = jnp.arange(LENGTH)[None, :] < jnp.array([9, 5])[:, None]
X = jax.random.normal(jax.random.key(0), (2, LENGTH, WIDTH))


def encode(policy):
  stack = transformer.Transformer(
    num_layers=2,
    num_heads=2,
    filter_size=12,
    kernel_size=3,
    dropout_rate=0.5,
    remat=policy,
  )
  return stack, (X, MASK)


def denoise(policy):
  stack = wavenet.WaveNet(
    num_layers=4,  # a block, which is scanned, and one that is left over
    kernel_size=3,
    dilation=2,
    cond_kernel_size=1,
    num_heads=2,
    dropout_rate=0.5,
    remat=policy,
  )
  time, prompt = X[:, 0], X[:, :4]
  return stack, (X, X, time, prompt, MASK[:, :4], MASK)


@pytest.mark.parametrize("make", [encode, denoise])
def test_policies_differ_in_what_is_done_twice_alone(make):
  stack, args = make("none")
  params = stack.init(jax.random.key(1), *args, train=False)

  def loss(params, policy):
    stack, args = make(policy)
    rngs = {"dropout": jax.random.key(2)}
    return jnp.sum(stack.apply(params, *args, train=True, rngs=rngs) ** 2)

  grads, products, nonlinear = {}, {}, {}
  for policy in remat.POLICIES:
    grad = jax.grad(lambda p, policy=policy: loss(p, policy))
    grads[policy] = jax.jit(grad)(params)
    program = str(jax.make_jaxpr(grad)(params))
    products[policy] = sum(
      program.count(f"= {name}[")
      for name in ("dot_general", "conv_general_dilated")
    )
    nonlinear[policy] = program.count("= exp ") + program.count("= tanh ")
  assert products["none"] == products["dots"] < products["full"]
  assert nonlinear["none"] < nonlinear["dots"] == nonlinear["full"]
  for policy in ("dots", "full"):
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
      grads[policy],
      grads["none"],
    )


def test_unknown_policies_are_one_line():
  with pytest.raises(UserError, match="x.remat=True is unknown; use one of"):
    remat.check(True, "x.remat")
