# SPDX-License-Identifier: Apache-2.0
"""The wave decoder: lengths, reach and the paper's size."""

import jax
import jax.numpy as jnp
import numpy as np

from ns_jax.models import hifigan

SMALL = hifigan.HifiGan((5, 2), (10, 4), 8, (3, 5), (1, 3))


def test_a_frame_becomes_a_hop_of_samples():
  latents = jax.random.normal(jax.random.key(0), (2, 9, 4))
  wav, _ = jax.jit(SMALL.init_with_output)(jax.random.key(1), latents)
  assert SMALL.hop_samples == 10
  assert wav.shape == (2, 90) and wav.dtype == jnp.float32
  assert np.abs(wav).max() <= 1.0 and np.std(wav) > 1e-4


def test_a_sample_hears_its_own_surroundings_only():
  latents = jax.random.normal(jax.random.key(0), (1, 41, 4))
  params = jax.jit(SMALL.init)(jax.random.key(1), latents)
  apply = jax.jit(SMALL.apply)
  moved = latents.at[0, 20].add(1.0)
  change = apply(params, moved) - apply(params, latents)
  heard = np.flatnonzero(np.abs(change[0]) > 0)
  assert abs((heard[0] + heard[-1] + 1) / 2 - 205) <= 10  # around its frame
  assert len(heard) < 250


def test_the_size_of_the_paper():
  module = hifigan.HifiGan(
    (8, 8, 2, 2), (16, 16, 4, 4), 512, (3, 7, 11), (1, 3, 5)
  )
  shapes = jax.eval_shape(
    module.init, jax.random.key(0), jnp.zeros((1, 3, 192))
  )
  # Weight normalisation here has one scale for each output of a transposed
  # convolution, not for each input: 480 less than the 960 of PyTorch's.
  count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
  assert count == 14_337_024 - 480
