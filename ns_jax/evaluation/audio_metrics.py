# SPDX-License-Identifier: Apache-2.0
"""Distances between speech and a reference of the same words. NumPy only."""

import librosa
import numpy as np
import scipy.fft

NATS_TO_DB = 20.0 / np.log(10.0)  # log-mels are natural logs of magnitudes


def log_mel_distance_db(log_mel: np.ndarray, reference: np.ndarray) -> float:
  """Mean absolute difference of two aligned log-mel spectrograms.

  Args:
    log_mel: [T, M] float, natural log of mel magnitudes.
    reference: [T', M] likewise; the longer one is cut.

  Returns:
    dB, mean over frames and bands.
  """
  frames = min(len(log_mel), len(reference))
  difference = np.abs(log_mel[:frames] - reference[:frames])
  return float(difference.mean() * NATS_TO_DB)


def mel_cepstral_distortion_db(
  log_mel: np.ndarray, reference: np.ndarray
) -> float:
  """Mel-cepstral distortion over cepstral coefficients 1 to 13.

  Args:
    log_mel: [T, M] float, natural log of mel magnitudes.
    reference: [T', M] likewise; the longer one is cut.

  Returns:
    dB, 10 / ln 10 · sqrt(2 Σ (c - c')²), mean over frames.
  """
  frames = min(len(log_mel), len(reference))
  # c_k = 1/M Σ_m cos(πk (m + 1/2) / M) log S_m, the coefficients of log S as a
  # cosine series; SciPy's sum has a factor of two.
  transformed = scipy.fft.dct(log_mel[:frames] - reference[:frames], axis=1)
  difference = np.asarray(transformed)[:, 1:14] / (2 * log_mel.shape[1])
  distances = np.sqrt(2.0 * np.sum(difference**2, axis=1))
  return float(10.0 / np.log(10.0) * distances.mean())


def warped_log_mel_distance_db(
  log_mel: np.ndarray, reference: np.ndarray
) -> float:
  """Like `log_mel_distance_db` along the best dynamic time warping path.

  Args:
    log_mel: [T, M] float, natural log of mel magnitudes.
    reference: [T', M] likewise, of any length.

  Returns:
    dB, mean over the path and bands.
  """
  _, path = librosa.sequence.dtw(log_mel.T, reference.T, metric="cityblock")
  difference = np.abs(log_mel[path[:, 0]] - reference[path[:, 1]])
  return float(difference.mean() * NATS_TO_DB)


def f0_error_cents(f0_hz: np.ndarray, reference_hz: np.ndarray) -> float:
  """Root mean square pitch error over frames voiced in both.

  Args:
    f0_hz: [T] float, Hz, 0 where unvoiced.
    reference_hz: [T'] likewise; the longer one is cut.

  Returns:
    Cents (1200 to the octave); NaN where no frame is voiced in both.
  """
  frames = min(len(f0_hz), len(reference_hz))
  f0_hz, reference_hz = f0_hz[:frames], reference_hz[:frames]
  voiced = (f0_hz > 0) & (reference_hz > 0)
  if not voiced.any():
    return float("nan")
  cents = 1200.0 * np.log2(f0_hz[voiced] / reference_hz[voiced])
  return float(np.sqrt(np.mean(cents**2)))


def si_sdr_db(wav: np.ndarray, reference: np.ndarray) -> float:
  """Scale-invariant signal-to-distortion ratio.

  Args:
    wav: [S] float.
    reference: [S'] float; the longer one is cut.

  Returns:
    dB.
  """
  samples = min(len(wav), len(reference))
  wav = wav[:samples].astype(np.float64)
  reference = reference[:samples].astype(np.float64)
  scale = wav @ reference / max(reference @ reference, 1e-12)
  target = scale * reference
  noise = wav - target
  return float(
    10.0 * np.log10(max(target @ target, 1e-12) / max(noise @ noise, 1e-12))
  )
