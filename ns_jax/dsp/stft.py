# SPDX-License-Identifier: Apache-2.0
"""Short-time Fourier transform. Frames are centred on their hop."""

import jax.numpy as jnp
import numpy as np

from ns_jax.array_types import Array


def hann_window(size: int) -> np.ndarray:
  """Periodic Hann window, [size] float32."""
  return (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(size) / size)).astype(
    np.float32
  )


def frame(
  wav: Array, frame_samples: int, hop_samples: int, *, causal: bool = False
) -> Array:
  """Cuts overlapping frames out of a zero-padded signal.

  Frame m covers the samples around the centre of hop m, so frames line up with
  codec frames, f0 and durations of the same hop.

  Args:
    wav: [B, S] float.
    frame_samples: length of a frame.
    hop_samples: distance between frames.
    causal: frame m ends with hop m instead.

  Returns:
    [B, M, frame_samples], M = ceil(S / hop_samples).
  """
  num_frames = -(-wav.shape[-1] // hop_samples)
  hops_per_frame = -(-frame_samples // hop_samples)
  overlap = frame_samples - hop_samples
  left = overlap if causal else overlap // 2
  size = (num_frames + hops_per_frame - 1) * hop_samples
  # A hop wider than the frame crops instead of padding.
  wav = wav[:, max(0, -left) :]
  left = max(0, left)
  wav = wav[:, : size - left]
  padded = jnp.pad(wav, ((0, 0), (left, size - left - wav.shape[-1])))
  hops = padded.reshape(wav.shape[0], -1, hop_samples)
  # Shifted slices: a gather has a slow scatter as its gradient.
  shifted = [hops[:, i : i + num_frames] for i in range(hops_per_frame)]
  return jnp.concatenate(shifted, axis=-1)[..., :frame_samples]


def overlap_add(frames: Array, hop_samples: int) -> Array:
  """Adds up frames of which frame m begins with hop m.

  Args:
    frames: [B, M, frame_samples]; frame_samples a multiple of hop_samples.
    hop_samples: distance between frames.

  Returns:
    [B, M * hop_samples]; what lies beyond is cut off.
  """
  batch, num_frames, frame_samples = frames.shape
  hops = frames.reshape(batch, num_frames, -1, hop_samples)
  delayed = [
    jnp.pad(hops[:, :, i], ((0, 0), (i, 0), (0, 0)))[:, :num_frames]
    for i in range(frame_samples // hop_samples)
  ]
  return jnp.stack(delayed).sum(axis=0).reshape(batch, -1)


def stft(
  wav: Array, *, window_samples: int, hop_samples: int, fft_size: int
) -> Array:
  """Complex spectrogram with a Hann window.

  Args:
    wav: [B, S] float.
    window_samples: length of the window.
    hop_samples: distance between frames.
    fft_size: length of the transform, at least `window_samples`.

  Returns:
    [B, M, fft_size / 2 + 1] complex64 (complex128 for float64 input).
  """
  frames = frame(wav, window_samples, hop_samples)
  window = jnp.asarray(hann_window(window_samples), frames.dtype)
  return jnp.fft.rfft(frames * window[None, None, :], fft_size)


def magnitude(spectrum: Array) -> Array:
  """|spectrum| with a finite gradient at zero; real, same shape."""
  return jnp.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-12)
