# SPDX-License-Identifier: Apache-2.0
"""Multi-scale mel reconstruction loss (SoundStream, Sec. III-E)."""

import jax.numpy as jnp

from ns_jax.array_types import Array
from ns_jax.dsp import mel

SCALES = (64, 128, 256, 512, 1024, 2048)
_MIN_FFT_SIZE = 512  # below it, most of 64 mel filters would hold no bin


def mel_distances(
  reference: Array,
  estimate: Array,
  *,
  sample_rate_hz: int,
  scales: tuple[int, ...] = SCALES,
  num_mels: int = 64,
  sum_over_time: bool = False,
  log_floor: float = mel.LOG_FLOOR,
) -> tuple[Array, Array]:
  """Distances of mel spectrograms, summed over window lengths.

  With S^s the spectrogram of window s and hop s / 4: the L1 distance of S^s,
  and sqrt(s / 2) times the L2 distance of log S^s, per frame.

  Args:
    reference: [B, S] float, the original.
    estimate: [B, S] float, the reconstruction.
    sample_rate_hz: of both.
    scales: window lengths in samples.
    num_mels: filters per scale.
    sum_over_time: sum over frames as in the paper, which makes the loss grow
      with the length of the clip; otherwise their mean.
    log_floor: magnitude below which logarithms flatten.

  Returns:
    (L1 part, log part), each [B] float32 (float64 for float64 input).
  """
  reduce = jnp.sum if sum_over_time else jnp.mean
  linear, logarithmic = [], []
  for scale in scales:
    options = dict(
      sample_rate_hz=sample_rate_hz,
      window_samples=scale,
      hop_samples=scale // 4,
      fft_size=max(scale, _MIN_FFT_SIZE),
      num_mels=num_mels,
    )
    real = mel.mel_spectrogram(reference, **options)
    fake = mel.mel_spectrogram(estimate, **options)
    l1 = jnp.sum(jnp.abs(real - fake), axis=-1)
    log_difference = jnp.log(real + log_floor) - jnp.log(fake + log_floor)
    # sqrt has no finite gradient at 0, where both spectrograms agree.
    l2 = jnp.sqrt(jnp.sum(log_difference**2, axis=-1) + 1e-8)
    linear.append(reduce(l1, axis=-1))
    logarithmic.append((scale / 2) ** 0.5 * reduce(l2, axis=-1))
  return jnp.stack(linear).sum(0), jnp.stack(logarithmic).sum(0)
