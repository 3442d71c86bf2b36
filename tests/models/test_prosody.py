# SPDX-License-Identifier: Apache-2.0
"""Durations, pitch and the predictors of both."""

import functools
import math

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest

from ns_jax.audio import AudioSpec
from ns_jax.dsp import pitch
from ns_jax.models import prosody
from ns_jax.models.prompt import Prompt

SPEC = AudioSpec()
PREDICTOR = prosody.Predictor(
  num_layers=4,
  kernel_size=3,
  num_heads=2,
  conv_dropout_rate=0.5,
  attention_dropout_rate=0.2,
  bias=(1.5, -2.0),
  hears_prompt=True,
)
MASK = jnp.arange(6)[None, :] < jnp.array([6, 4])[:, None]
predict = jax.jit(functools.partial(PREDICTOR.apply, train=False))


@functools.cache
def _inputs():
  keys = jax.random.split(jax.random.key(0))
  x = jax.random.normal(keys[0], (2, 6, 8))
  hidden = jax.random.normal(keys[1], (2, 5, 8))
  mask = jnp.arange(5)[None, :] < jnp.array([5, 3])[:, None]
  prompt = Prompt(hidden, mask, jnp.zeros(2))
  init = jax.jit(functools.partial(PREDICTOR.init, train=False))
  return init(jax.random.key(1), x, MASK, prompt), x, prompt


def test_mean_f0_is_geometric_and_of_voiced_frames():
  f0_hz = jnp.array([[100.0, 0.0, 400.0, 900.0], [0.0, 0.0, 80.0, 80.0]])
  mask = jnp.array([[True, True, True, False], [True, True, False, False]])
  np.testing.assert_allclose(prosody.mean_f0(f0_hz, mask), [200.0, 0.0], 1e-6)


def test_expansion_is_numpys_repeat():
  rng = np.random.default_rng(0)
  durations = rng.integers(0, 5, (3, 7))
  hidden = rng.normal(size=(3, 7, 4)).astype(np.float32)
  got = prosody.expand(jnp.asarray(hidden), jnp.asarray(durations), 30)
  for row in range(3):
    want = np.repeat(hidden[row], durations[row], axis=0)
    assert len(want) == durations[row].sum()
    np.testing.assert_array_equal(got[row, : len(want)], want)


def test_excerpts_of_an_expansion_are_slices_of_it():
  rng = np.random.default_rng(0)
  durations = rng.integers(0, 5, (4, 9))
  hidden = rng.normal(size=(4, 9, 3)).astype(np.float32)
  first_frame = np.array([0, 3, 6, 2])
  num_frames = np.array([durations[0].sum(), 5, 1, durations[3].sum() - 2])
  within = prosody.durations_within(
    *map(jnp.asarray, (durations, first_frame, num_frames))
  )
  np.testing.assert_array_equal(within.sum(axis=1), num_frames)
  got = prosody.expand(jnp.asarray(hidden), within, 40)
  for row, (first, count) in enumerate(
    zip(first_frame, num_frames, strict=True)
  ):
    whole = np.repeat(hidden[row], durations[row], axis=0)
    np.testing.assert_array_equal(
      got[row, :count], whole[first : first + count]
    )


def test_expansions_gradient_counts_frames():
  durations = jnp.array([[2, 0, 3]])
  loss = lambda h: prosody.expand(h, durations, 5).sum()
  gradient = jax.grad(loss)(jnp.ones((1, 3, 2)))
  np.testing.assert_array_equal(gradient[0, :, 0], [2.0, 0.0, 3.0])


def test_durations_round_and_respect_their_minimum():
  log_durations = jnp.log1p(jnp.array([[3.4, 0.2, 0.2, 7.0, 5.0]]))
  got = prosody.round_durations(
    log_durations,
    mask=jnp.array([[True, True, True, True, False]]),
    is_silence=jnp.array([[False, False, True, True, False]]),
  )
  np.testing.assert_array_equal(got, [[3, 1, 0, 7, 0]])


def test_no_prediction_asks_for_endless_speech():
  got = prosody.round_durations(
    jnp.array([[50.0, -50.0, jnp.inf]]),
    mask=jnp.ones((1, 3), bool),
    is_silence=jnp.zeros((1, 3), bool),
  )
  longest = prosody.MAX_DURATION_FRAMES
  np.testing.assert_array_equal(got, [[longest, 1, longest]])


def test_pitch_bins_are_log_spaced_edges():
  edges = np.geomspace(50.0, 1100.0, 510)
  f0_hz = np.concatenate([[20.0, 49.0, 440.0, 1099.0, 1500.0], edges * 1.001])
  want = 1 + np.searchsorted(edges, f0_hz, side="right")
  got = prosody.pitch_bins(jnp.asarray(f0_hz, jnp.float32), 512)
  np.testing.assert_array_equal(got, want)


def test_a_sine_falls_in_its_bin_and_rises_with_its_pitch():
  bins = []
  for hz in (110.0, 220.0, 440.0, 880.0):
    wav = librosa.tone(hz, sr=SPEC.sample_rate_hz, duration=0.5)
    f0_hz = np.median(pitch.f0(wav, SPEC, "dio", pitch.CEIL_SUNG_HZ))
    bins.append(int(prosody.pitch_bins(jnp.float32(f0_hz), 512)))
    assert abs(bins[-1] - int(prosody.pitch_bins(jnp.float32(hz), 512))) <= 1
  assert bins == sorted(set(bins))


def test_unvoiced_and_broken_f0_fall_in_bin_zero():
  f0_hz = jnp.array([0.0, -1.0, jnp.nan])
  np.testing.assert_array_equal(prosody.pitch_bins(f0_hz, 64), [0, 0, 0])


def test_phase_advances_by_the_pitch():
  rate_hz = 80.0
  f0_hz = np.linspace(90.0, 400.0, 2000)[None].astype(np.float32)
  phase = prosody.advance_phase(jnp.asarray(f0_hz), rate_hz)
  middle_hz = 0.5 * (f0_hz[:, 1:] + f0_hz[:, :-1]).astype(np.float64)
  cycles = 0.5 * f0_hz[0, 0] / rate_hz + np.cumsum(middle_hz / rate_hz, axis=1)
  error = np.angle(np.exp(1j * (phase[:, 1:] - 2 * np.pi * cycles)))
  assert np.abs(error).max() < 0.02


def _pitch_embedding(hears_phase):
  layer = prosody.PitchEmbedding(
    num_bins=16, dim=4, embedding_std=1.0, hears_phase=hears_phase
  )
  f0_hz = jnp.array([[0.0, 60.0, 2000.0]])
  params = layer.init(jax.random.key(0), f0_hz, f0_hz)["params"]
  return params, lambda phase: layer.apply({"params": params}, f0_hz, phase)


@pytest.mark.parametrize("hears_phase", [True, False])
def test_pitch_embedding_is_its_table_and_finite_where_unvoiced(hears_phase):
  params, embed = _pitch_embedding(hears_phase)
  table = params["embedding"]["embedding"]
  turned = [embed(jnp.full((1, 3), phase)) for phase in (0.3, 0.3 - math.pi)]
  for y in turned:
    np.testing.assert_array_equal(y[0, 0], table[0])
  # Opposite phases lie opposite each other about the table's vector.
  middle = (turned[0] + turned[1])[0, 1:] / 2
  np.testing.assert_allclose(middle, table[jnp.array([2, 15])], atol=1e-6)
  assert np.allclose(*turned) != hears_phase


def test_predicted_f0_is_zero_where_unvoiced_or_padding():
  pitch = prosody.Pitch(
    log_f0=jnp.log(jnp.array([[120.0, 120.0, 9000.0, 120.0]])),
    voiced_logit=jnp.array([[1.0, -1.0, 1.0, 1.0]]),
  )
  f0_hz = prosody.f0_of(pitch, jnp.array([[True, True, True, False]]))
  np.testing.assert_allclose(f0_hz, [[120.0, 0.0, 1100.0, 0.0]], rtol=1e-5)


def test_a_predictor_may_be_deaf_to_the_prompt():
  params, x, prompt = _inputs()
  deaf = PREDICTOR.clone(hears_prompt=False)
  params = jax.jit(functools.partial(deaf.init, train=False))(
    jax.random.key(0), x, MASK, prompt
  )
  run = jax.jit(functools.partial(deaf.apply, train=False))
  other = prompt._replace(hidden=-prompt.hidden)
  np.testing.assert_array_equal(
    run(params, x, MASK, prompt), run(params, x, MASK, other)
  )


def test_predictor_ignores_padding_of_sequence_and_prompt():
  params, x, prompt = _inputs()
  noisy_x = jnp.where(MASK[..., None], x, 50.0)
  noisy = prompt._replace(
    hidden=jnp.where(prompt.mask[..., None], prompt.hidden, 50.0)
  )
  np.testing.assert_allclose(
    predict(params, x, MASK, prompt)[MASK],
    predict(params, noisy_x, MASK, noisy)[MASK],
    atol=1e-5,
  )


def test_predictor_hears_the_prompt_and_starts_near_its_bias():
  params, x, prompt = _inputs()
  y = predict(params, x, MASK, prompt)
  assert y.shape == (2, 6, 2) and y.dtype == jnp.float32
  other = predict(params, x, MASK, prompt._replace(hidden=-prompt.hidden))
  assert float(jnp.abs(y - other)[MASK].max()) > 1e-2
  np.testing.assert_allclose(params["params"]["out"]["bias"], [1.5, -2.0])


def test_every_third_predictor_layer_attends():
  params, _, _ = _inputs()
  blocks = params["params"]["blocks"]
  attending = [name for name in sorted(blocks) if "attention" in blocks[name]]
  assert attending == ["layer_2"]
  assert "attention" not in params["params"]["rest"]["layer_0"]
