# SPDX-License-Identifier: Apache-2.0
"""Losses on latents against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from ns_jax.losses import latent

B, T, Q, V, D = 2, 3, 4, 6, 5


def _inputs(dtype=jnp.float64):
  keys = jax.random.split(jax.random.key(0), 3)
  codebooks = jax.random.normal(keys[0], (Q, V, D), dtype)
  codes = jax.random.randint(keys[1], (B, T, Q), 0, V)
  z_hat = jax.random.normal(keys[2], (B, T, D), dtype)
  return z_hat, codes, codebooks


def _closed_form(z_hat, codes, codebooks, temperature):
  """Values, and gradient 2 / Q Σ_j (Σ_k p_jk c_jk - c_j,true) / temperature."""
  z_hat, codes, codebooks = map(np.asarray, (z_hat, codes, codebooks))
  losses, gradient = np.zeros((B, T)), np.zeros((B, T, D))
  residual = z_hat.copy()
  for j in range(Q):
    distance = ((residual[:, :, None] - codebooks[j]) ** 2).sum(-1)
    log_p = scipy.special.log_softmax(-distance / temperature, axis=-1)
    true = codes[..., j]
    losses -= np.take_along_axis(log_p, true[..., None], -1)[..., 0] / Q
    gradient += 2.0 / Q * (np.exp(log_p) @ codebooks[j] - codebooks[j][true])
    residual = residual - codebooks[j][true]
  return losses, gradient / temperature


def test_cross_entropy_and_its_gradient_have_the_closed_form():
  with jax.enable_x64(True):
    inputs = _inputs()
    for temperature in (1.0, 3.0):
      losses, gradient = _closed_form(*inputs, temperature)
      loss_fn = lambda z, t=temperature: latent.code_cross_entropy(
        z, *inputs[1:], temperature=t
      )
      np.testing.assert_allclose(loss_fn(inputs[0]), losses, atol=1e-6)
      got = jax.grad(lambda z, f=loss_fn: f(z).sum())(inputs[0])
      np.testing.assert_allclose(got, gradient, atol=1e-6)


def test_the_last_code_is_certain_for_the_exact_latent():
  _, codes, codebooks = _inputs(jnp.float32)
  z = codebooks[jnp.arange(Q), codes].sum(axis=2)
  last = latent.code_cross_entropy(
    z - codebooks[jnp.arange(Q - 1), codes[..., :-1]].sum(axis=2),
    codes[..., -1:],
    codebooks[-1:],
    temperature=1e-3,
  )
  np.testing.assert_allclose(last, 0.0, atol=1e-4)


def test_residuals_follow_the_true_codes_not_the_predicted_ones():
  z_hat, codes, codebooks = _inputs(jnp.float32)
  far = codebooks.at[0].set(10.0 * codebooks[0])
  whole = latent.code_cross_entropy(z_hat, codes, far)
  first = latent.code_cross_entropy(z_hat, codes[..., :1], far[:1])
  rest = latent.code_cross_entropy(
    z_hat - far[0][codes[..., 0]], codes[..., 1:], far[1:]
  )
  np.testing.assert_allclose(whole, (first + 3.0 * rest) / 4.0, rtol=1e-4)


def test_squared_error_is_the_mean_over_channels_in_float32():
  x = jax.random.normal(jax.random.key(0), (B, T, D))
  error = latent.squared_error((x + 2.0).astype(jnp.bfloat16), x)
  assert error.dtype == jnp.float32
  np.testing.assert_allclose(error, 4.0, rtol=0.02)
