# SPDX-License-Identifier: Apache-2.0
"""What was said: to keep, to look at, to listen to in a notebook."""

import base64
import dataclasses
import os
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ns_jax import audio_formats, files, watermark
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError

if TYPE_CHECKING:
  from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True, eq=False)
class Audio:
  """A wave and what is known of it; `wav, sample_rate_hz = audio`."""

  wav: np.ndarray  # [S] float32, in [-1, 1]
  spec: AudioSpec
  phonemes: tuple[str, ...] = ()  # N symbols
  durations: np.ndarray | None = None  # [N] int32, frames; None: not known
  f0_hz: np.ndarray | None = None  # [T] float32, 0 where unvoiced; or not known

  @property
  def sample_rate_hz(self) -> int:
    """Of the wave."""
    return self.spec.sample_rate_hz

  @property
  def seconds(self) -> float:
    """How long it is."""
    return len(self.wav) / self.sample_rate_hz

  def __iter__(self) -> Iterator[Any]:
    """Gives the wave and its sample rate."""
    return iter((self.wav, self.sample_rate_hz))

  def marked(self, key: str = watermark.PUBLIC_KEY) -> "Audio":
    """The same with an inaudible mark that `ns-jax detect` finds.

    Args:
      key: whoever has it can find the mark, and put it on other audio.
    """
    wav = watermark.mark(self.wav, self.sample_rate_hz, key)
    return dataclasses.replace(self, wav=np.clip(wav, -1.0, 1.0))

  def encode(self, format: str = "wav") -> bytes:
    """The bytes of a file.

    Args:
      format: "wav", "flac", "mp3", "opus" (in Ogg), or "pcm", 16 bits without
        header.

    Raises:
      UserError: there is no such format.
    """
    return audio_formats.encode(self.wav, self.sample_rate_hz, format)

  def save(self, path: str | os.PathLike[str]) -> None:
    """Writes or replaces a file, in the format that its suffix names.

    Raises:
      UserError: there is no such format, or it cannot be written.
    """
    target = pathlib.Path(path).expanduser()
    content = self.encode(audio_formats.format_of(target.suffix))
    try:
      files.write(target, content)
    except OSError as error:
      raise UserError(
        f"{target}: cannot be written ({error.strerror})"
      ) from error

  def figure(self, width_in: float | None = None) -> "Figure":
    """Draws wave, spectrogram, pitch and phonemes.

    Args:
      width_in: inches; None: wide enough to read the phonemes.
    """
    from ns_jax import figures  # matplotlib takes its time
    from ns_jax.dsp import mel

    labels = None
    if self.durations is not None:
      labels = (self.phonemes, self.durations)
    return figures.wave_figure(
      self.wav,
      mel.clip_log_mel(self.wav, self.spec),
      self.spec,
      f0_hz=self.f0_hz,
      phonemes=labels,
      width_in=width_in,
    )

  def _repr_html_(self) -> str:
    """A player above the picture, for notebooks."""
    from ns_jax import figures

    wav, png = (
      base64.b64encode(content).decode()
      for content in (self.encode("wav"), figures.to_png(self.figure()))
    )
    return (
      f'<audio controls src="data:audio/wav;base64,{wav}"></audio><br>'
      f'<img alt="wave, spectrogram, pitch and phonemes" '
      f'style="max-width: 100%" src="data:image/png;base64,{png}">'
    )

  def __repr__(self) -> str:
    """One line."""
    return f"Audio({self.seconds:.2f} s at {self.sample_rate_hz} Hz)"
