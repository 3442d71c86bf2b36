# SPDX-License-Identifier: Apache-2.0
"""The durator: what it adds up to, and where its gradients go (T-C1)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ns_jax.models import durator
from tests import codecs

DIM, FRAMES = 16, 12
DURATIONS = jnp.array([[2.625, 3.25, 4.125, 0.75], [5.0, 1.5, 0.0, 0.0]])
MASK = jnp.array([[True] * 4, [True, True, False, False]])


@pytest.fixture(scope="module")
def hidden():
  return jax.random.normal(jax.random.key(0), (2, 4, DIM))


@pytest.fixture(scope="module")
def model():
  """A durator and its parameters."""
  module = durator.Durator(
    predictor=dict(num_layers=2, kernel_size=3, dropout_rate=0.5),
    upsampler=dict(num_weights=4, num_coefficients=2, kernel_size=3),
    latent_dim=6,
  )
  hidden = jnp.zeros((2, 4, DIM))

  def both(module):
    module.predict(hidden, MASK, train=False)
    return module(hidden, DURATIONS, MASK, FRAMES)

  init = functools.partial(module.init, method=both)
  params = jax.jit(init)(jax.random.key(1))
  return module, codecs.shaken(params, np.random.default_rng(0), 0.2)


@pytest.fixture(scope="module")
def upsample(model):
  module, params = model

  @jax.jit
  def upsample(hidden, durations=DURATIONS):
    return module.apply(params, hidden, durations, MASK, FRAMES)

  return upsample


def test_distances_add_up_to_the_duration():
  since, until = durator.boundaries(DURATIONS, FRAMES)
  assert since.shape == until.shape == (2, FRAMES, 4)
  np.testing.assert_array_equal(
    since + until, jnp.broadcast_to(DURATIONS[:, None], since.shape)
  )
  np.testing.assert_array_equal(
    since[0, :, 1], np.arange(1, 13) - DURATIONS[0, 0]
  )


def test_weights_are_of_real_phonemes_and_add_up_to_one(upsample, hidden):
  prior, upsampled = upsample(hidden)
  assert upsampled.frames.shape == (2, FRAMES, DIM)
  assert upsampled.weights.shape == (2, FRAMES, 4, 4)
  assert upsampled.coefficients.shape == (2, FRAMES, 4, 2)
  assert prior.mean.shape == prior.log_std.shape == (2, FRAMES, 6)
  sums = upsampled.weights.sum(axis=2)
  np.testing.assert_allclose(sums, np.ones_like(sums), atol=1e-6)
  assert not upsampled.weights[1, :, 2:].any()


def test_plain_weights_repeat_each_phoneme(hidden):
  durations = jnp.array([[3.0, 1.0, 4.0, 2.0], [6.0, 4.0, 0.0, 0.0]])
  since, until = durator.boundaries(durations, 10)
  inside = (since > 0) & (until >= 0)
  logits = jnp.where(inside, 0.0, -1e3)[..., None]
  _, weighted = durator.attend(logits, hidden, MASK)
  for i in range(2):
    want = np.repeat(hidden[i], np.asarray(durations[i], int), axis=0)
    np.testing.assert_allclose(weighted[i, :, 0], want, atol=1e-6)


def test_at_first_a_frame_hears_its_phoneme_most(hidden):
  module = durator.Upsampler(num_weights=4, num_coefficients=2, kernel_size=3)
  durations = jnp.full((2, 4), 3.0)
  args = hidden, durations, jnp.ones((2, 4), bool)

  @jax.jit
  def heard(key):
    return module.init_with_output(key, *args, 12)[0].weights

  weights = heard(jax.random.key(3))
  own = np.repeat(np.arange(4), 3)
  picked = np.asarray(weights)[:, np.arange(12), own]
  assert picked[..., 0].mean() > 0.5 and picked.mean() > 0.35


def test_padding_is_not_heard(upsample, hidden):
  noisy = jnp.where(MASK[..., None], hidden, 50.0)
  got, want = (upsample(one)[0].mean for one in (noisy, hidden))
  np.testing.assert_allclose(got[1], want[1], atol=1e-4)


def test_frames_vary_smoothly_with_durations(upsample, hidden):
  loss = lambda durations: (upsample(hidden, durations)[0].mean ** 2).sum()
  gradient = jax.jit(jax.grad(loss))(DURATIONS)
  assert np.isfinite(gradient).all()
  assert (np.abs(np.asarray(gradient))[np.asarray(MASK)] > 1e-4).all()
  shift = jnp.zeros_like(DURATIONS).at[0, 1].set(3e-3)
  slope = (loss(DURATIONS + shift) - loss(DURATIONS - shift)) / 6e-3
  assert gradient[0, 1] == pytest.approx(float(slope), rel=0.05)


def test_predicted_durations_teach_the_encoder(model, hidden):
  module, params = model

  @jax.jit
  def predict(hidden):
    return module.apply(params, hidden, MASK, train=False, method="predict")

  durations = predict(hidden)
  assert durations.shape == (2, 4)
  assert (durations[np.asarray(MASK)] > 0).all() and not durations[1, 2:].any()
  gradient = jax.grad(lambda h: predict(h).sum())(hidden)
  assert (np.abs(gradient).sum(-1)[np.asarray(MASK)] > 0).all()


def test_frames_are_counted():
  counts = durator.frame_counts(jnp.array([[2.4, 1.2], [0.1, 0.2], [3.0, 0.5]]))
  np.testing.assert_array_equal(counts, [4, 1, 4])


def test_the_size_of_the_paper():
  module = durator.Durator(
    predictor=dict(num_layers=3, kernel_size=3, dropout_rate=0.5),
    upsampler=dict(num_weights=4, num_coefficients=2, kernel_size=3),
    latent_dim=192,
  )
  hidden, mask = jnp.zeros((1, 4, 192)), jnp.ones((1, 4), bool)

  def both(module):
    module.predict(hidden, mask, train=False)
    return module(hidden, jnp.ones((1, 4)), mask, 8)

  shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), method=both))[
    "params"
  ]
  count = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))
  assert count(shapes["durations"]) == 333_697
  rest = count(shapes) - count(shapes["durations"])
  assert rest == pytest.approx(307_000, rel=0.002)
