# SPDX-License-Identifier: Apache-2.0
"""Pictures of speech: spectrograms with pitch and phonemes. No device code."""

import io
from collections.abc import Mapping, Sequence

import matplotlib.figure
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from ns_jax import files, paths
from ns_jax.audio import AudioSpec


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


def _draw_phonemes(axis, symbols, durations, top: int, spec: AudioSpec) -> None:
  ends_sec = np.cumsum(durations) / spec.frame_rate_hz
  starts_sec = ends_sec - np.asarray(durations) / spec.frame_rate_hz
  for symbol, start, end in zip(symbols, starts_sec, ends_sec, strict=True):
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
  content = io.BytesIO()
  figure.savefig(content, dpi=90, format="png")
  files.write(paths.as_path(path), content.getvalue())


def to_rgb(figure: matplotlib.figure.Figure) -> np.ndarray:
  """Renders a figure to [H, W, 3] uint8."""
  canvas = FigureCanvasAgg(figure)
  canvas.draw()
  return np.asarray(canvas.buffer_rgba())[..., :3].copy()
