# SPDX-License-Identifier: Apache-2.0
"""NaturalSpeech's losses: where each one's gradient goes (T-C8), and values."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from ns_jax.errors import UserError
from ns_jax.models import ns1, vae
from ns_jax.models.mixed_phonemes import Mixed
from ns_jax.stages import ns1_terms
from ns_jax.stages.ns1_example import Example
from tests import codecs

HOP, FRAMES, SYMBOLS, SUPS = 16, 12, 9, 10
PARTS = ("encoder", "durator", "flow", "posterior", "memory", "decoder")


def config():
  """Sizes of a toy."""
  return ConfigDict(
    dict(
      audio=dict(hop_samples=HOP),
      dtype="float32",
      model=dict(
        dim=8,
        encoder=dict(
          num_sup_phonemes=SUPS,
          num_layers=1,
          num_heads=2,
          filter_size=12,
          kernel_size=3,
          dropout_rate=0.1,
          relative_window=2,
          embedding_std=1.0,
        ),
        durator=dict(
          predictor=dict(num_layers=1, kernel_size=3, dropout_rate=0.1),
          upsampler=dict(num_weights=2, num_coefficients=2, kernel_size=3),
        ),
        flow=dict(num_couplings=2, num_layers=2, kernel_size=3),
        posterior=dict(num_layers=2, kernel_size=3),
        memory=dict(size=6, num_heads=2),
        decoder=dict(
          architecture="hifigan",
          strides=(4, 4),
          upsample_kernels=(8, 8),
          dim=8,
          unit_kernels=(3,),
          unit_dilations=(1, 3),
        ),
      ),
    )
  )


@pytest.fixture(scope="module")
def example():
  rng = np.random.default_rng(0)
  mixed = Mixed(
    jnp.array([[1, 2, 3, 4], [5, 6, 0, 0]]),
    jnp.array([[0, 0, 1, 2], [3, 4, 0, 0]]),
    jnp.array([[0, 0, 1, 2], [0, 1, 2, 2]]),
  )
  num_frames = jnp.array([12, 9])
  wav = 0.1 * rng.normal(size=(2, FRAMES * HOP)).astype(np.float32)
  wav[1, 9 * HOP :] = 0.0
  return Example(
    mixed,
    mixed.phonemes > 0,
    jnp.array([[4.0, 2.0, 5.0, 1.0], [6.0, 3.0, 0.0, 0.0]]),
    jnp.asarray(wav),
    num_frames,
  )


@pytest.fixture(scope="module")
def params(example):
  model = ns1.make_model(config(), SYMBOLS)
  shown = vae.spectra(example.wav, HOP)
  variables = jax.jit(model.init)(
    jax.random.key(0), example.mixed, example.durations, shown
  )
  return codecs.shaken(variables["params"], np.random.default_rng(1), 0.1)


def ways(form="moment", gamma=0.01):
  return ns1_terms.Ways(
    ns1.make_model(config(), SYMBOLS),
    ns1_terms.DivergenceOptions(form, gamma, warp=0.07),
    HOP,
  )


def losses(form, aligned, example):
  """The four, as a function of the parameters."""
  path = ways(form)

  def run(params):
    keys = jax.random.split(jax.random.key(3))
    heard = path.hear(params, example, keys[0])
    expected = path.expect(
      params, example, keys[1], aligned=aligned, train=True
    )

    def voiced(latents, num_frames):
      recalled = path.recall(params, latents, num_frames, remembers=True)
      return jnp.abs(path.decode(params, recalled)).mean()

    return {
      "rec": voiced(heard.draw, heard.num_frames),
      "backward": path.backward(
        params, heard, expected, aligned=aligned
      ).mean(),
      "forward": path.forward(params, heard, expected, aligned=False).mean(),
      "e2e": voiced(path.say(params, expected), expected.num_frames),
    }

  return run


@pytest.fixture(scope="module")
def gradients(example, params):
  """Of all four, compiled once however many tests ask for them."""

  @functools.cache
  def of(form, aligned):
    return jax.jit(jax.jacrev(losses(form, aligned, example)))(params)

  return of


_BETWEEN = {"encoder", "durator", "flow", "posterior"}


@pytest.mark.parametrize(
  ("name", "reached"),
  [
    ("rec", {"posterior", "memory", "decoder"}),
    ("backward", _BETWEEN),
    ("forward", _BETWEEN),
    ("e2e", {"encoder", "durator", "flow", "memory", "decoder"}),
  ],
)
@pytest.mark.parametrize("form", ["sample", "moment"])
def test_gradients_go_where_they_should_and_nowhere_else(
  gradients, name, form, reached
):
  parts = gradients(form, False)[name]
  sizes = {
    part: sum(float(np.abs(g).sum()) for g in jax.tree.leaves(parts[part]))
    for part in PARTS
  }
  assert all(np.isfinite(size) for size in sizes.values())
  assert {part for part, size in sizes.items() if size > 0.0} == reached


def test_durations_are_learned_without_labels_once_they_are_predicted(
  gradients,
):
  size = {}
  for aligned in (False, True):
    parts = gradients("moment", aligned)["backward"]
    leaves = jax.tree.leaves(parts["durator"]["durations"])
    size[aligned] = sum(float(np.abs(leaf).sum()) for leaf in leaves)
  assert size[False] > 0.0 and size[True] == 0.0


def brute_divergence(mean, variance, log_std, other):
  """All pairs [T, M] of one utterance, mean over channels."""
  mean, variance, log_std = (x[:, None] for x in (mean, variance, log_std))
  other_mean, other_log_std = (np.asarray(x)[None] for x in other)
  squares = (mean - other_mean) ** 2 + variance
  return np.mean(
    other_log_std - log_std - 0.5 + squares / (2 * np.exp(2 * other_log_std)),
    axis=-1,
  )


def brute_dtw(costs, warp):
  """Least cost of a path through [T, M]."""
  rows, columns = costs.shape
  best = np.full((rows + 1, columns + 1), np.inf)
  best[0, 0] = 0.0
  for i in range(rows):
    for j in range(columns):
      before = min(best[i, j], best[i, j + 1] + warp, best[i + 1, j] + warp)
      best[i + 1, j + 1] = costs[i, j] + before
  return best[rows, columns]


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("form", ["sample", "moment"])
@pytest.mark.parametrize("name", ["backward", "forward"])
def test_divergences_are_what_brute_force_finds(
  example, params, name, form, aligned
):
  """The first sequence goes through the flow, the right way, to the other's."""
  path = ways(form, gamma=1e-5)

  @jax.jit
  def found(params):
    keys = jax.random.split(jax.random.key(5))
    heard = path.hear(params, example, keys[0])
    expected = path.expect(
      params, example, keys[1], aligned=aligned, train=False
    )
    measure = getattr(path, name)
    value = measure(params, heard, expected, aligned=aligned)
    return heard, expected, value

  heard, expected, value = found(params)
  if not aligned:
    assert (expected.num_frames != heard.num_frames).any()
  one, other = heard, expected
  one_of, other_of = heard.posterior, expected.prior
  method = "to_prior"
  if name == "forward":
    one, other, one_of, other_of = other, one, other_of, one_of
    method = "to_posterior"
  for b in range(2):
    rows, columns = int(one.num_frames[b]), int(other.num_frames[b])
    start = one.draw[b] if form == "sample" else one_of.mean[b]
    # Alone, and without padding that could leak in.
    carried = path.model.apply(
      {"params": params},
      *(start[None, :rows], jnp.ones((1, rows), bool)),
      method=method,
    )
    log_std = np.asarray(one_of.log_std[b, :rows])
    costs = brute_divergence(
      np.asarray(carried[0]),
      np.exp(2 * log_std) if form == "moment" else 0.0 * log_std,
      log_std,
      (other_of.mean[b, :columns], other_of.log_std[b, :columns]),
    )
    total = np.trace(costs) if aligned else brute_dtw(costs, 0.07)
    np.testing.assert_allclose(value[b], total / rows, rtol=2e-3, atol=1e-5)


def test_lengths_follow_predicted_durations(example, params):
  expect = functools.partial(ways().expect, aligned=False, train=False)
  expected = jax.jit(expect)(params, example, jax.random.key(6))
  counts = np.round(np.asarray(expected.durations).sum(1)).clip(1, FRAMES)
  np.testing.assert_array_equal(expected.num_frames, counts)


def test_slices_lie_within():
  num_frames = jnp.array([12, 5, 3])
  starts = jax.vmap(lambda key: ns1_terms.draw_slices(key, num_frames, 4))(
    jax.random.split(jax.random.key(7), 200)
  )
  assert starts.min() == 0
  np.testing.assert_array_equal(starts.max(axis=0), [8, 1, 0])
  values = jnp.arange(36).reshape(3, 12)
  got = ns1_terms.slices(values, jnp.array([8, 1, 0]), 4)
  np.testing.assert_array_equal(got[:, 0], [8, 13, 24])


def test_expectations_end_where_speech_does(example, params):
  """What a prior is after the end is any number, and its square none."""
  expect = functools.partial(ways().expect, aligned=True, train=False)
  prior = jax.jit(expect)(params, example, jax.random.key(8)).prior
  for values in (prior.mean, prior.log_std):
    assert np.all(values[1, 9:] == 0.0) and np.any(values[1, :9] != 0.0)


@pytest.mark.parametrize(
  ("form", "gamma", "warp", "named"),
  [
    ("exact", 0.01, 0.07, "'exact'"),
    ("moment", 0.0, 0.07, "gamma=0"),
    ("moment", 0.01, -1.0, "warp=-1"),
  ],
)
def test_unknown_forms_and_values_are_the_users_error(form, gamma, warp, named):
  with pytest.raises(UserError, match=named):
    ns1_terms.DivergenceOptions(form, gamma, warp)
