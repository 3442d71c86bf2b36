# SPDX-License-Identifier: Apache-2.0
"""Pictures of speech: spectrograms with pitch and phonemes. No device code."""

import io
from collections.abc import Mapping, Sequence

import matplotlib.figure
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from ns_jax import files, paths
from ns_jax.audio import AudioSpec

_INCHES_PER_SEC = 2.5  # in which the phonemes of fast speech can be read
_WIDTHS_IN = (8.0, 60.0)


def speech_figure(
  log_mels: Mapping[str, np.ndarray],
  spec: AudioSpec,
  *,
  f0_hz: Mapping[str, np.ndarray] | None = None,
  phonemes: Mapping[str, tuple[Sequence[str], np.ndarray]] | None = None,
) -> matplotlib.figure.Figure:
  """Draws log-mel spectrograms under each other, each with what is known of it.

  Args:
    log_mels: title -> [T, M] log-mel spectrogram.
    spec: gives seconds per frame.
    f0_hz: title -> [T] pitch in Hz, 0 where unvoiced.
    phonemes: title -> (symbols, [N] durations in frames).

  Returns:
    A figure; save it with `save_figure` or render it with `to_rgb`.
  """
  figure = matplotlib.figure.Figure(figsize=(10, 2.6 * len(log_mels)))
  FigureCanvasAgg(figure)
  axes = figure.subplots(len(log_mels), 1, squeeze=False)[:, 0]
  low = min(float(np.min(mel)) for mel in log_mels.values())
  high = max(float(np.max(mel)) for mel in log_mels.values())
  for axis, (title, mel) in zip(axes, log_mels.items(), strict=True):
    end_sec = mel.shape[0] / spec.frame_rate_hz
    axis.imshow(
      mel.T,
      origin="lower",
      aspect="auto",
      cmap="magma",
      extent=(0.0, end_sec, 0.0, mel.shape[1]),
      vmin=max(low, high - 12.0),
      vmax=high,
    )
    axis.set_title(title, fontsize=9, loc="left", parse_math=False)
    axis.set_ylabel("mel band")
    if phonemes and title in phonemes:
      _draw_phonemes(axis, *phonemes[title], mel.shape[1], spec)
    if f0_hz and title in f0_hz:
      _draw_pitch(axis.twinx(), f0_hz[title], spec)
    axis.set_xlim(0.0, end_sec)
  axes[-1].set_xlabel("seconds")
  figure.tight_layout()
  return figure


def wave_figure(
  wav: np.ndarray,
  log_mel: np.ndarray,
  spec: AudioSpec,
  *,
  f0_hz: np.ndarray | None = None,
  phonemes: tuple[Sequence[str], np.ndarray] | None = None,
  width_in: float | None = None,
) -> matplotlib.figure.Figure:
  """Draws one wave above its spectrogram.

  Args:
    wav: [S] in [-1, 1].
    log_mel: [T, M] log-mel spectrogram.
    spec: gives seconds per sample and frame.
    f0_hz: [T] pitch in Hz, 0 where unvoiced.
    phonemes: (symbols, [N] durations in frames).
    width_in: inches; None: wide enough to read the phonemes.

  Returns:
    A figure; save it with `save_figure` or render it with `to_rgb`.
  """
  end_sec = len(wav) / spec.sample_rate_hz
  if width_in is None:
    width_in = float(np.clip(_INCHES_PER_SEC * end_sec, *_WIDTHS_IN))
  figure = matplotlib.figure.Figure(
    figsize=(width_in, 4.0), layout="constrained"
  )
  FigureCanvasAgg(figure)
  wave, mel = figure.subplots(2, 1, sharex=True, height_ratios=(1, 3))
  seconds = np.arange(len(wav)) / spec.sample_rate_hz
  wave.plot(seconds, wav, linewidth=0.4, color="#33508a")
  loudest = max(float(np.abs(wav).max(initial=0.0)), 1e-3)
  wave.set_ylim(-loudest, loudest)
  wave.set_yticks([])
  high = float(log_mel.max())
  mel.imshow(
    log_mel.T,
    origin="lower",
    aspect="auto",
    cmap="magma",
    extent=(0.0, log_mel.shape[0] / spec.frame_rate_hz, 0.0, log_mel.shape[1]),
    vmin=high - 12.0,
    vmax=high,
  )
  mel.set_ylabel("mel band")
  mel.set_xlabel("seconds")
  if phonemes:
    _draw_phonemes(mel, *phonemes, log_mel.shape[1], spec)
  if f0_hz is not None:
    _draw_pitch(mel.twinx(), f0_hz, spec)
  mel.set_xlim(0.0, end_sec)
  return figure


def _draw_phonemes(axis, symbols, durations, top: int, spec: AudioSpec) -> None:
  ends_sec = np.cumsum(durations) / spec.frame_rate_hz
  starts_sec = ends_sec - np.asarray(durations) / spec.frame_rate_hz
  for symbol, start, end in zip(symbols, starts_sec, ends_sec, strict=True):
    if start == end:  # a pause that is none
      continue
    axis.axvline(end, color="white", linewidth=0.4, alpha=0.6)
    axis.text(
      (start + end) / 2,
      top - 1,
      symbol,
      color="white",
      fontsize=7,
      ha="center",
      va="top",
    )


def _draw_pitch(axis, f0_hz: np.ndarray, spec: AudioSpec) -> None:
  voiced = np.where(f0_hz > 0, f0_hz, np.nan)
  seconds = (np.arange(len(f0_hz)) + 0.5) / spec.frame_rate_hz
  axis.plot(seconds, voiced, color="cyan", linewidth=1.0)
  axis.set_ylabel("f0 [Hz]")
  axis.set_ylim(50, 400)


def save_figure(
  path: str | paths.Path, figure: matplotlib.figure.Figure
) -> None:
  """Writes a figure as PNG."""
  files.write(paths.as_path(path), to_png(figure))


def to_png(figure: matplotlib.figure.Figure) -> bytes:
  """Renders a figure to the bytes of a PNG file."""
  content = io.BytesIO()
  figure.savefig(content, dpi=90, format="png")
  return content.getvalue()


def to_rgb(figure: matplotlib.figure.Figure) -> np.ndarray:
  """Renders a figure to [H, W, 3] uint8."""
  canvas = FigureCanvasAgg(figure)
  canvas.draw()
  return np.asarray(canvas.buffer_rgba())[..., :3].copy()
