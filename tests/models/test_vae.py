# SPDX-License-Identifier: Apache-2.0
"""The posterior's size, and the memory: a latent only asks (T-C7)."""

import jax
import jax.numpy as jnp
import numpy as np

from ns_jax.models import vae
from tests import codecs

SIZE, WIDTH, HEADS = 5, 8, 2
MEMORY = vae.Memory(SIZE, HEADS)  # of fewer rows than channels
init = jax.jit(MEMORY.init)
apply = jax.jit(MEMORY.apply)


def memory(seed=0):
  """Parameters of the memory."""
  variables = init(jax.random.key(seed), jnp.zeros((1, 2, WIDTH)))
  return codecs.shaken(variables, np.random.default_rng(seed), 0.5)


def latents(seed=1):
  return jax.random.normal(jax.random.key(seed), (2, 7, WIDTH))


def test_weights_add_up_to_one():
  params = memory()
  heard, weights = apply(params, latents())
  assert heard.shape == (2, 7, WIDTH)
  assert weights.shape == (2, HEADS, 7, SIZE)
  np.testing.assert_allclose(weights.sum(-1), np.ones((2, HEADS, 7)), atol=1e-6)


def test_each_head_mixes_rows_of_its_values():
  """What is heard lies in what the rows span, however large the latent."""
  params = memory()
  arrays = jax.tree.map(np.asarray, params["params"])
  values = arrays["bank"] @ arrays["value"]["kernel"]
  split = WIDTH // HEADS
  basis = []
  for head in range(HEADS):
    own = np.zeros_like(values)
    own[:, head * split : (head + 1) * split] = values[
      :, head * split : (head + 1) * split
    ]
    basis.append(own @ arrays["out"]["kernel"])
  heard, weights = apply(params, 10.0 * latents())
  want = sum(
    np.asarray(weights)[:, head] @ rows for head, rows in enumerate(basis)
  )
  np.testing.assert_allclose(heard, want, atol=1e-4)


def test_a_latent_is_a_query_and_no_more():
  """What W_Q does not see changes nothing."""
  params = memory()
  query = np.array(params["params"]["query"]["kernel"])
  query[:, 0] = query[:, 1]  # now it has a null space
  left, _, _ = np.linalg.svd(query)
  unseen = jnp.asarray(left[:, -1], jnp.float32)
  params = {"params": {**params["params"], "query": {"kernel": query}}}
  z = latents()
  got, _ = apply(params, z + 3.0 * unseen[None, None])
  want, _ = apply(params, z)
  np.testing.assert_allclose(got, want, atol=1e-4)
  slope = jax.grad(lambda z: (apply(params, z)[0] ** 2).sum())(z)
  assert np.abs(slope).max() > 1e-3


def test_at_first_a_row_gives_itself_back():
  """Where rows are as long as each other, in each head."""
  bank = latents()[0, :SIZE].reshape(SIZE, HEADS, -1)
  bank = 40.0 * bank / jnp.linalg.norm(bank, axis=-1, keepdims=True)
  bank = bank.reshape(SIZE, WIDTH)
  params = init(jax.random.key(0), bank[None])["params"]
  heard, _ = apply({"params": {**params, "bank": bank}}, bank[None])
  np.testing.assert_allclose(heard[0], bank, atol=1e-3)


def test_the_sizes_of_the_paper():
  count = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))
  spectra, mask = jnp.zeros((1, 3, 513)), jnp.ones((1, 3), bool)
  encoder = vae.PosteriorEncoder(192, 192, num_layers=16, kernel_size=5)
  shapes = jax.eval_shape(encoder.init, jax.random.key(0), spectra, mask)
  assert count(shapes) == 7_238_016
  bank = vae.Memory(1000, 2)
  shapes = jax.eval_shape(bank.init, jax.random.key(0), jnp.zeros((1, 3, 192)))
  assert count(shapes) == 339_456


def test_padding_is_not_heard():
  encoder = vae.PosteriorEncoder(4, 8, num_layers=2, kernel_size=5)
  spectra = jax.random.normal(jax.random.key(2), (1, 9, 6))
  mask = jnp.arange(9)[None, :] < 5
  variables = jax.jit(encoder.init)(jax.random.key(0), spectra, mask)
  apply = jax.jit(encoder.apply)
  noisy = jnp.where(mask[..., None], spectra, 1e3)
  got, want = (apply(variables, x, mask) for x in (noisy, spectra))
  np.testing.assert_allclose(got.mean[:, :5], want.mean[:, :5], atol=1e-5)
  assert not np.asarray(got.mean[:, 5:]).any()


def test_the_map_that_goes_on_where_learning_was():
  """Least squares, but for a small ridge."""
  rng = np.random.default_rng(5)
  inputs = rng.normal(size=(2, 400, 6)).astype(np.float32)
  true = rng.normal(size=(6, 6)).astype(np.float32)
  found = vae.linear_map(jnp.asarray(inputs), jnp.asarray(inputs @ true))
  np.testing.assert_allclose(found, true / 1.0001, atol=1e-4)


def test_a_memory_hides_little_at_first():
  """Of latents it never saw, once its last map was made from others."""
  draws = 1.5 * jax.random.normal(jax.random.key(4), (3, 4, 200, 48))
  seen, other, rows = draws
  memory = vae.Memory(size=200, num_heads=4)
  params = memory.init(jax.random.key(0), seen)["params"]
  recall = jax.jit(lambda params, z: memory.apply({"params": params}, z)[0])
  params = {**params, "bank": rows[0]}
  out = {"kernel": vae.linear_map(recall(params, seen), seen)}
  lost = recall({**params, "out": out}, other) - other
  assert (lost**2).mean() < 0.05 * other.var()  # 0.24 with sharp attention
