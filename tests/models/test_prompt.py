# SPDX-License-Identifier: Apache-2.0
"""Cutting prompts out and encoding them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ns_jax.models import prompt as prompts

B, N, T = 64, 20, 100
OPTIONS = dict(min_frames=10, max_frames=30, max_fraction=0.5)
draw = jax.jit(functools.partial(prompts.draw_cut, **OPTIONS))


@functools.cache
def _durations():
  rng = np.random.default_rng(0)
  lengths = rng.integers(8, N + 1, B)
  durations = rng.integers(1, 6, (B, N))
  return np.where(np.arange(N)[None, :] < lengths[:, None], durations, 0)


def _draw(seed=0):
  durations = jnp.asarray(_durations())
  return draw(jax.random.key(seed), durations), durations


def test_cuts_lie_on_phoneme_boundaries_within_their_limits():
  cut, durations = _draw()
  bounds = np.pad(np.cumsum(durations, 1), ((0, 0), (1, 0)))
  total = bounds[:, -1]
  start, stop = np.asarray(cut.start), np.asarray(cut.start + cut.length)
  for i in range(B):
    assert start[i] in bounds[i] and stop[i] in bounds[i]
  assert (cut.length <= np.minimum(30, total // 2)).all()
  # A draw of at least 10 frames loses less than a phoneme at either end.
  assert (cut.length >= np.minimum(10, total / 2) - 2 * 4).all()
  assert len(np.unique(start)) > 5 and len(np.unique(cut.length)) > 5


def test_cuts_depend_on_the_key():
  assert not np.array_equal(_draw(0)[0].start, _draw(1)[0].start)


def test_no_boundary_inside_gives_no_prompt():
  durations = jnp.zeros((1, N), jnp.int32).at[0, 0].set(90)
  assert int(draw(jax.random.key(0), durations).length[0]) == 0


def test_prompt_and_rest_make_the_whole():
  cut, durations = _draw()
  num_frames = durations.sum(1)
  frames = jnp.broadcast_to(jnp.arange(T)[None], (B, T))
  taken = prompts.take(frames, prompts.cut_index(cut, 30))
  rest = prompts.rest_index(cut, num_frames, T, jax.random.key(1))
  left = prompts.take(frames, rest.index)
  for i in range(B):
    start, length = int(cut.start[i]), int(cut.length[i])
    middle = np.asarray(taken[i, :length])
    ends = np.asarray(left[i])[np.asarray(rest.mask[i])]
    whole = np.concatenate([ends[:start], middle, ends[start:]])
    np.testing.assert_array_equal(whole, np.arange(num_frames[i]))


def test_everything_is_cut_by_the_same_index():
  cut, durations = _draw()
  rest = prompts.rest_index(cut, durations.sum(1), T, jax.random.key(1))
  x = jax.random.normal(jax.random.key(2), (B, T, 3))
  codes = (x[..., :2] * 10).astype(jnp.int32)
  np.testing.assert_array_equal(
    prompts.take(codes, rest.index),
    (prompts.take(x, rest.index)[..., :2] * 10).astype(jnp.int32),
  )


def test_a_long_rest_shows_a_window_of_it():
  cut, durations = _draw()
  num_frames, size = durations.sum(1), 8
  seen = []
  for seed in range(4):
    rest = prompts.rest_index(cut, num_frames, size, jax.random.key(seed))
    assert bool(rest.mask.all())
    index = np.asarray(rest.index)
    step = np.diff(index, axis=1)
    gap = np.asarray(cut.length)[:, None] + 1
    assert ((step == 1) | (step == gap)).all()
    assert not np.asarray(prompts.frames_inside(cut, T))[
      np.arange(B)[:, None], index
    ].any()
    assert (index < np.asarray(num_frames)[:, None]).all()
    seen.append(index[:, 0])
  assert len(np.unique(np.stack(seen), axis=0)) == 4


def test_what_lies_inside_the_prompt_is_marked():
  durations = jnp.array([[3, 2, 4, 1, 0]])
  cut = prompts.Cut(jnp.array([3]), jnp.array([6]))
  inside = lambda first_frame: prompts.phonemes_inside(
    cut, durations, jnp.array([first_frame])
  )
  np.testing.assert_array_equal(inside(0), [[0, 1, 1, 0, 0]])
  # The frames begin with the second phoneme.
  np.testing.assert_array_equal(inside(3), [[0, 0, 0, 1, 1]])
  np.testing.assert_array_equal(
    prompts.frames_inside(cut, 11), [[0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0]]
  )


def test_shapes_do_not_depend_on_the_data():
  traces = []

  @jax.jit
  def cut(durations, key):
    traces.append(None)
    section = prompts.draw_cut(key, durations, **OPTIONS)
    return prompts.rest_index(section, durations.sum(1), 50, key).index

  key = jax.random.key(0)
  jax.config.update("jax_debug_key_reuse", False)
  for durations in (_durations(), _durations()[::-1], _durations() // 2):
    cut(jnp.asarray(durations), key)
  jax.config.update("jax_debug_key_reuse", True)
  assert len(traces) == 1


ENCODER = prompts.PromptEncoder(
  dim=8,
  num_layers=1,
  num_heads=2,
  filter_size=12,
  kernel_size=3,
  dropout_rate=0.0,
)
encode = jax.jit(functools.partial(ENCODER.apply, train=False))
F0_HZ = jnp.array([220.0, 110.0, 0.0])


@functools.cache
def _encoder_inputs():
  latents = jax.random.normal(jax.random.key(0), (3, 7, 5))
  init = jax.jit(functools.partial(ENCODER.init, train=False))
  return latents, init(jax.random.key(1), latents, jnp.array([7, 7, 7]), F0_HZ)


def test_prompt_padding_does_not_matter():
  latents, params = _encoder_inputs()
  num_frames = jnp.array([7, 4, 1])
  real = jnp.arange(7)[None, :] < num_frames[:, None]
  clean = encode(params, latents, num_frames, F0_HZ)
  soiled = jnp.where(real[..., None], latents, 99.0)
  dirty = encode(params, soiled, num_frames, F0_HZ)
  np.testing.assert_array_equal(clean.mask, real)
  np.testing.assert_allclose(clean.hidden[real], dirty.hidden[real], atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_no_prompt_is_one_learned_token(scale):
  latents, params = _encoder_inputs()
  encoded = encode(params, scale * latents, jnp.array([0, 7, 0]), F0_HZ)
  np.testing.assert_array_equal(encoded.mask.sum(1), [1, 7, 1])
  null = params["params"]["null"]
  np.testing.assert_allclose(encoded.hidden[0, 0], null)
  np.testing.assert_allclose(encoded.hidden[2, 0], null)
  np.testing.assert_array_equal(encoded.f0_hz, [0.0, 110.0, 0.0])
