# SPDX-License-Identifier: Apache-2.0
"""Sinusoids of positions and times."""

import jax
import jax.numpy as jnp
import numpy as np

from ns_jax.nn import embeddings


def _cosine(a, b):
  return float(a @ b / (jnp.linalg.norm(a) * jnp.linalg.norm(b)))


def test_sinusoids_run_from_one_radian_to_the_longest_period():
  x = embeddings.sinusoidal(jnp.arange(7), 6)
  position = np.arange(7)
  np.testing.assert_allclose(x[:, 0], np.sin(position), atol=1e-5)
  np.testing.assert_allclose(x[:, 3], np.cos(position), atol=1e-5)
  np.testing.assert_allclose(x[:, 2], np.sin(position / 1e4), atol=1e-6)


def test_sinusoids_tell_positions_apart():
  x = embeddings.sinusoidal(jnp.arange(50), 64)
  distance = jnp.linalg.norm(x[:, None] - x[None], axis=-1)
  assert float(jnp.min(distance + 9.0 * jnp.eye(50))) > 0.5


def test_times_are_scaled_to_be_told_apart():
  times = jnp.array([0.1, 0.2])
  scaled = embeddings.sinusoidal(embeddings.TIME_SCALE * times, 512)
  plain = embeddings.sinusoidal(times, 512)
  assert _cosine(*scaled) < 0.99 < _cosine(*plain)


def test_time_embedding_depends_on_time():
  layer = embeddings.TimeEmbedding(16)
  y, params = layer.init_with_output(jax.random.key(0), jnp.array([0.1, 0.2]))
  assert y.shape == (2, 16)
  assert float(jnp.abs(y[0] - y[1]).max()) > 0.01
  assert params["params"]["hidden"]["kernel"].shape == (16, 64)
