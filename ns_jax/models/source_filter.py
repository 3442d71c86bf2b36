# SPDX-License-Identifier: Apache-2.0
"""A decoder that knows how speech comes about: pulses and noise, filtered.

Frames tell a pitch and two filters. The pulses have that pitch and all
harmonics up to half the sample rate, so that a phase which runs on through a
vowel need not be learned (after DDSP, arXiv 2001.04643). Not in the paper:
where HiFi-GAN wants days, this wants minutes.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from ns_jax.array_types import Array
from ns_jax.dsp import stft
from ns_jax.models import prosody
from ns_jax.models.spectral_codec import Trunk
from ns_jax.nn import conv

_PARTS = 2  # of a frame, each with filters of its own: bursts are short
HOP_FACTOR = 2 * _PARTS  # what a hop is a multiple of
_FIRST_LOG_GAIN = -4.0  # of both filters, about speech's level
_MOST_LOG_GAIN = 5.0
_FIRST_LOG_F0 = math.log(prosody.MIDDLE_F0_HZ)


class SourceFilterDecoder(nn.Module):
  """Frames to waveform."""

  hop_samples: int  # a multiple of HOP_FACTOR
  sample_rate_hz: int
  trunk: Any  # keyword arguments of Trunk without `features`
  dtype: Any = jnp.float32

  def setup(self):
    """Makes the nets of the filters and of the pitch."""
    bins = self.hop_samples // _PARTS + 1
    self.filters = Trunk(
      features=_PARTS * 2 * bins, causal=False, dtype=self.dtype, **self.trunk
    )
    self.pitch_in = conv.Conv1d(self.trunk["dim"], 7, dtype=self.dtype)
    self.pitch_out = nn.Dense(
      1, bias_init=nn.initializers.constant(_FIRST_LOG_F0)
    )

  @classmethod
  def of(
    cls, hop_samples: int, sample_rate_hz: int, dtype: Any, **trunk: Any
  ) -> "SourceFilterDecoder":
    """Makes one; a TypeError names an option that no trunk has."""
    Trunk(features=1, causal=False, dtype=dtype, **trunk)
    return cls(hop_samples, sample_rate_hz, trunk, dtype)

  def log_f0(self, latents: Array) -> Array:
    """Logarithm of the pitch in Hz, [B, T] float32, of latents [B, T, D].

    It has a value in every frame; where nothing is voiced it has no meaning.
    """
    hidden = nn.gelu(self.pitch_in(latents))
    log_f0 = self.pitch_out(hidden.astype(jnp.float32))[..., 0]
    low, high = math.log(prosody.MIN_F0_HZ), math.log(prosody.MAX_F0_HZ)
    return jnp.clip(log_f0, low, high)

  def __call__(self, latents: Array) -> Array:
    """Maps [B, T, D] to [B, T · hop] float32."""
    # How pulses move with the pitch teaches nothing: it is told its mistakes.
    f0_hz = jnp.exp(jax.lax.stop_gradient(self.log_f0(latents)))
    source = pulses(f0_hz, self.hop_samples, self.sample_rate_hz)
    noise = jax.random.normal(jax.random.key(0), source.shape[1:])
    log_gains = _FIRST_LOG_GAIN + self.filters(latents)
    gains = jnp.exp(jnp.minimum(log_gains, _MOST_LOG_GAIN))
    batch, frames, _ = latents.shape
    of_pulses, of_noise = jnp.split(
      gains.reshape(batch, _PARTS * frames, -1), 2, axis=-1
    )
    hop = self.hop_samples // _PARTS
    spectrum = of_pulses * _analyse(source, hop)
    return _synthesise(spectrum + of_noise * _analyse(noise[None], hop), hop)


def pulses(f0_hz: Array, hop_samples: int, sample_rate_hz: int) -> Array:
  """Pulse trains of unit power: all harmonics below half the sample rate.

  Args:
    f0_hz: [B, T] float32, above 0, at the frames' middles.
    hop_samples: samples of a frame.
    sample_rate_hz: of the wave.

  Returns:
    [B, T · hop] float32.
  """
  middle = ((np.arange(hop_samples) + 0.5) / hop_samples - 0.5)[None, None]
  before, after = (
    jnp.concatenate([f0_hz[:, :1], f0_hz[:, :-1]], axis=1)[..., None],
    jnp.concatenate([f0_hz[:, 1:], f0_hz[:, -1:]], axis=1)[..., None],
  )
  here = f0_hz[..., None]
  hz = here + jnp.where(
    middle < 0.0, (here - before) * middle, (after - here) * middle
  )
  # In cycles; whole ones are left out frame by frame, or float32 would not do.
  cycles = jnp.cumsum(hz / sample_rate_hz, axis=-1)
  starts = jnp.cumsum(cycles[..., -1], axis=1) - cycles[..., -1]
  phase = jnp.mod(cycles + jnp.mod(starts, 1.0)[..., None], 1.0)
  harmonics = jnp.floor(0.5 * sample_rate_hz / hz)
  # 2 (cos x + cos 2x + ... + cos Kx) + 1 is Dirichlet's kernel.
  half = jnp.pi * phase
  low = jnp.sin(half)
  is_peak = jnp.abs(low) < 1e-4
  kernel = jnp.sin((2.0 * harmonics + 1.0) * half) / jnp.where(
    is_peak, 1.0, low
  )
  kernel = jnp.where(is_peak, 2.0 * harmonics + 1.0, kernel)
  wave = (kernel - 1.0) / jnp.sqrt(2.0 * harmonics)
  return wave.reshape(f0_hz.shape[0], -1)


def _analyse(wav: Array, hop_samples: int) -> Array:
  """Spectra [B, T, hop + 1] of waves [B, T · hop]: frame t spans t and t + 1.

  The root of Hann's window over two hops, here and in `_synthesise`: what is
  not filtered comes out as it went in.
  """
  padded = jnp.pad(wav, ((0, 0), (hop_samples // 2, hop_samples // 2)))
  halves = padded.reshape(wav.shape[0], -1, hop_samples)
  frames = jnp.concatenate([halves[:, :-1], halves[:, 1:]], axis=-1)
  return jnp.fft.rfft(frames * _window(hop_samples))


def _synthesise(spectrum: Array, hop_samples: int) -> Array:
  """Waves [B, T · hop] of spectra [B, T, hop + 1]."""
  frames = jnp.fft.irfft(spectrum, 2 * hop_samples) * _window(hop_samples)
  first, second = jnp.split(frames, 2, axis=-1)
  hops = jnp.pad(first, ((0, 0), (0, 1), (0, 0))) + jnp.pad(
    second, ((0, 0), (1, 0), (0, 0))
  )
  wav = hops.reshape(spectrum.shape[0], -1)
  return wav[:, hop_samples // 2 : -(hop_samples // 2)]


def _window(hop_samples: int) -> np.ndarray:
  return np.sqrt(stft.hann_window(2 * hop_samples))[None, None]
