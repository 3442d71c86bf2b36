# SPDX-License-Identifier: Apache-2.0
"""The one description of our audio, and waves as it has them."""

import dataclasses
import io

import numpy as np
import soundfile
import soxr

from ns_jax import files, paths

SPEECH_RMS = 0.07  # -23 dBFS, the level of records and prompts
_PEAK = 0.95


@dataclasses.dataclass(frozen=True)
class AudioSpec:
  """Sample rate, hop and what follows from them (NaturalSpeech 2, Sec. 3.1)."""

  sample_rate_hz: int = 16_000
  hop_samples: int = 200
  num_mels: int = 80

  @property
  def frame_rate_hz(self) -> float:
    """Latent frames per second: 80."""
    return self.sample_rate_hz / self.hop_samples

  @property
  def frame_period_ms(self) -> float:
    """Duration of a latent frame: 12.5 ms."""
    return 1000.0 * self.hop_samples / self.sample_rate_hz

  @property
  def grid(self) -> dict[str, int]:
    """What samples and frames stored on disk depend on."""
    return {
      "sample_rate_hz": self.sample_rate_hz,
      "hop_samples": self.hop_samples,
    }

  def num_frames(self, num_samples: int) -> int:
    """Frames that cover `num_samples`, rounded up."""
    return -(-num_samples // self.hop_samples)

  def num_samples(self, num_frames: int) -> int:
    """Samples in `num_frames` whole frames."""
    return num_frames * self.hop_samples

  def seconds_to_frames(self, seconds: float) -> int:
    """Whole frames nearest to `seconds`."""
    return round(seconds * self.frame_rate_hz)


def to_mono(samples: np.ndarray, rate_hz: int, spec: AudioSpec) -> np.ndarray:
  """Averages channels of [S, channels], resamples; [S'] in [-1, 1]."""
  mono = samples.mean(axis=1)
  if rate_hz != spec.sample_rate_hz:
    mono = soxr.resample(mono, rate_hz, spec.sample_rate_hz, quality="HQ")
  return np.clip(mono, -1.0, 1.0).astype(np.float32)


def level(wav: np.ndarray) -> np.ndarray:
  """Scales speech [S] float32, not silent, to the level models are used to.

  Its peak stays below full scale, at the cost of the level where needed.
  """
  rms = np.sqrt(np.mean(np.square(wav)))
  return wav * min(SPEECH_RMS / rms, _PEAK / np.abs(wav).max())


def write_wav(path: str | paths.Path, wav: np.ndarray, spec: AudioSpec) -> None:
  """Writes [S] float samples in [-1, 1] as a 16-bit mono wave file.

  The file appears, or replaces an older one, when it is whole.

  Raises:
    OSError: it cannot be written there.
  """
  # By way of memory: libsndfile does not say what was wrong with a disk.
  content = io.BytesIO()
  soundfile.write(
    content,
    np.clip(wav, -1.0, 1.0),
    spec.sample_rate_hz,
    subtype="PCM_16",
    format="WAV",
  )
  files.write(paths.as_path(path), content.getvalue())


def to_int16(wav: np.ndarray) -> np.ndarray:
  """Maps [S] float samples in [-1, 1] to int16, as records store them."""
  return np.round(np.clip(wav, -1.0, 1.0) * 32767.0).astype(np.int16)


def from_int16(samples: np.ndarray) -> np.ndarray:
  """Maps int16 samples to [S] float32 in [-1, 1]."""
  return samples.astype(np.float32) / 32767.0
