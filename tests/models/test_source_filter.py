# SPDX-License-Identifier: Apache-2.0
"""Pulses with all their harmonics, and filters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ns_jax.models import source_filter

HOP, RATE_HZ = 200, 16_000


@pytest.mark.parametrize("f0_hz", [80.0, 200.0, 450.0])
def test_pulses_are_the_sum_of_their_harmonics(f0_hz):
  frames = jnp.full((1, 40), f0_hz)
  wave = np.asarray(jax.jit(source_filter.pulses, static_argnums=(1, 2))(
    frames, HOP, RATE_HZ
  ))[0]  # fmt: skip
  count = int(RATE_HZ / 2 / f0_hz)
  turns = f0_hz / RATE_HZ * np.arange(1, 40 * HOP + 1)
  harmonics = np.arange(1, count + 1)[:, None]
  expected = 2.0 * np.cos(2 * np.pi * harmonics * turns).sum(0)
  expected /= np.sqrt(2.0 * count)
  np.testing.assert_allclose(wave, expected, atol=2e-2 * np.sqrt(count))
  assert np.mean(wave**2) == pytest.approx(1.0, abs=0.05)


def test_a_gliding_pitch_has_no_jumps():
  """The phase runs on over the borders of frames."""
  hz = jnp.linspace(100.0, 200.0, 50)[None]
  wave = np.asarray(source_filter.pulses(hz, HOP, RATE_HZ))[0]
  peaks = np.flatnonzero(
    (wave[1:-1] > wave[:-2]) & (wave[1:-1] > wave[2:]) & (wave[1:-1] > 5)
  )
  periods = np.diff(peaks)
  expected = RATE_HZ / np.interp(
    peaks[:-1] / HOP - 0.5, np.arange(50), np.asarray(hz[0])
  )
  assert np.abs(periods - expected).max() <= 2.0


def test_filters_that_are_open_change_nothing():
  wav = jax.random.normal(jax.random.key(0), (2, 12 * HOP))
  spectra = source_filter._analyse(wav, HOP)
  assert spectra.shape == (2, 12, HOP + 1)
  back = source_filter._synthesise(spectra, HOP)
  middle = slice(HOP, -HOP)  # the ends lack a neighbour
  np.testing.assert_allclose(back[:, middle], wav[:, middle], atol=1e-5)


def test_what_is_told_is_what_sounds():
  """Gradients reach filters and pitch, the pitch only through `log_f0`."""
  decoder = source_filter.SourceFilterDecoder(
    HOP,
    RATE_HZ,
    dict(dim=8, num_layers=1, kernel_size=3, expansion=2, activation="gelu"),
  )
  latents = jax.random.normal(jax.random.key(1), (2, 9, 4))

  def both(module, latents):
    return module(latents), module.log_f0(latents)

  (wav, log_f0), variables = decoder.init_with_output(
    jax.random.key(2), latents, method=both
  )
  assert wav.shape == (2, 9 * HOP) and log_f0.shape == (2, 9)
  assert np.isfinite(wav).all() and 1e-3 < np.std(wav) < 1.0
  gradient = jax.grad(
    lambda params: jnp.abs(decoder.apply({"params": params}, latents)).mean()
  )(variables["params"])
  size = lambda tree: sum(
    float(jnp.abs(g).sum()) for g in jax.tree.leaves(tree)
  )
  assert size(gradient["filters"]) > 0.0
  assert size(gradient["pitch_in"]) == size(gradient["pitch_out"]) == 0.0
