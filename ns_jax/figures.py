# SPDX-License-Identifier: Apache-2.0
"""Pictures of speech and of what models make of it. No device code."""

import io
import itertools
from collections.abc import Mapping, Sequence

import matplotlib
import matplotlib.axes
import matplotlib.figure
import numpy as np
from matplotlib import patheffects, textpath, ticker
from matplotlib.backends.backend_agg import FigureCanvasAgg

from ns_jax import files, paths
from ns_jax.audio import AudioSpec

_INCHES_PER_SEC = 2.5  # in which the phonemes of fast speech can be read
_WIDTHS_IN = (8.0, 60.0)
_NAME_POINTS, _GAP_IN = 8, 0.015  # of phonemes; on each side of a name
_PITCH = "#0e7490"  # of the axis; the curve is lighter, on a dark ground
_PITCHES_HZ = (50.0, 400.0)  # of speech; songs go higher


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
    A figure; save it with `save_figure` or render it with `to_png`.
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
    is_labelled = phonemes and title in phonemes
    pad = 22 if is_labelled else 6  # points, above the labels
    axis.set_title(title, fontsize=9, loc="left", pad=pad, parse_math=False)
    axis.set_ylabel("mel band")
    if phonemes and title in phonemes:
      _draw_phonemes(axis, *phonemes[title], spec)
    if f0_hz and title in f0_hz:
      _draw_pitch(axis.twinx(), f0_hz[title], spec)
    axis.set_xlim(0.0, end_sec)
  axes[-1].set_xlabel("seconds")
  figure.tight_layout()
  return figure


class Picture(matplotlib.figure.Figure):
  """A figure that notebooks show, whether or not pyplot was imported."""

  def _repr_png_(self) -> bytes:
    return to_png(self)


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
    A figure; save it with `save_figure` or render it with `to_png`.
  """
  end_sec = len(wav) / spec.sample_rate_hz
  if width_in is None:
    width_in = float(np.clip(_INCHES_PER_SEC * end_sec, *_WIDTHS_IN))
  figure = Picture(figsize=(width_in, 4.0), layout="constrained")
  FigureCanvasAgg(figure)
  wave, mel = figure.subplots(2, 1, sharex=True, height_ratios=(1, 3))
  seconds = np.arange(len(wav)) / spec.sample_rate_hz
  wave.plot(seconds, wav, linewidth=0.4, color="#33508a")
  loudest = max(float(np.abs(wav).max(initial=0.0)), 1e-3)
  wave.set_ylim(-loudest, loudest)
  wave.set_axis_off()
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
  mel.xaxis.set_major_locator(
    ticker.MaxNLocator(round(1.5 * width_in), steps=(1, 2, 5, 10))
  )
  if phonemes:
    _draw_phonemes(mel, *phonemes, spec)
  if f0_hz is not None:
    _draw_pitch(mel.twinx(), f0_hz, spec)
  mel.set_xlim(0.0, end_sec)
  return figure


def _draw_phonemes(axis, symbols, durations, spec: AudioSpec) -> None:
  """Where each ends, and above the axis its name, in two lines where tight."""
  ends_sec = np.cumsum(durations) / spec.frame_rate_hz
  starts_sec = ends_sec - np.asarray(durations) / spec.frame_rate_hz
  # About four fifths of a picture are the axis.
  inch_sec = ends_sec[-1] / (0.8 * axis.figure.get_figwidth())
  free_sec = -np.inf  # from where on nothing stands in the lower line
  for symbol, start, end in zip(symbols, starts_sec, ends_sec, strict=True):
    if start == end:  # a pause that is none
      continue
    name = textpath.TextPath((0.0, 0.0), symbol, _NAME_POINTS)
    half_in = name.get_extents().width / 2 / 72 + _GAP_IN
    middle, half = (start + end) / 2, half_in * inch_sec
    is_free = middle - half >= free_sec
    if is_free:
      free_sec = middle + half
    axis.axvline(end, color="white", linewidth=0.4, alpha=0.6)
    axis.annotate(
      symbol,
      (middle, 1.0),
      xycoords=axis.get_xaxis_transform(),
      xytext=(0.0, 2.0 if is_free else 10.0),
      textcoords="offset points",
      fontsize=_NAME_POINTS,
      ha="center",
      va="bottom",
    )


def _draw_pitch(axis, f0_hz: np.ndarray, spec: AudioSpec) -> None:
  voiced = np.where(f0_hz > 0, f0_hz, np.nan)
  seconds = (np.arange(len(f0_hz)) + 0.5) / spec.frame_rate_hz
  edge = patheffects.withStroke(linewidth=2.6, foreground="black", alpha=0.7)
  axis.plot(seconds, voiced, color="cyan", linewidth=1.4, path_effects=[edge])
  axis.set_ylabel("pitch, Hz", color=_PITCH)
  axis.tick_params(axis="y", colors=_PITCH)
  low_hz, high_hz = _PITCHES_HZ
  axis.set_ylim(low_hz, max(high_hz, 1.1 * float(f0_hz.max(initial=0.0))))


def save_figure(
  path: str | paths.Path, figure: matplotlib.figure.Figure
) -> None:
  """Writes a figure as PNG."""
  files.write(paths.as_path(path), to_png(figure))


def to_png(figure: matplotlib.figure.Figure, dpi: int = 90) -> bytes:
  """Renders a figure to the bytes of a PNG file."""
  content = io.BytesIO()
  figure.savefig(content, dpi=dpi, format="png")
  return content.getvalue()


def alignment_figure(
  weights: Mapping[str, np.ndarray], symbols: Sequence[str], spec: AudioSpec
) -> matplotlib.figure.Figure:
  """Draws which phoneme each frame is made of, the first at the bottom.

  Args:
    weights: title -> [N, T], shares of phonemes in frames; 0 after the end.
    symbols: N phonemes.
    spec: gives seconds per frame.
  """
  figure = matplotlib.figure.Figure(figsize=(10, 3.4 * len(weights)))
  axes = figure.subplots(len(weights), 1, squeeze=False)[:, 0]
  end = max(_last_used(np.any(w > 0, axis=0)) for w in weights.values())
  for axis, (title, shares) in zip(axes, weights.items(), strict=True):
    axis.imshow(
      shares[: len(symbols), :end],
      origin="lower",
      aspect="auto",
      interpolation="nearest",
      cmap="magma",
      vmin=0.0,
      extent=(0.0, end / spec.frame_rate_hz, -0.5, len(symbols) - 0.5),
    )
    axis.set_title(title, fontsize=9, loc="left", parse_math=False)
    axis.set_yticks(range(len(symbols)), symbols)
    small = np.clip(240 / max(len(symbols), 1), 3.0, 8.0)  # they must fit
    axis.tick_params(axis="y", labelsize=small, length=0, pad=2)
    # Neighbours stand in two columns.
    for label in axis.get_yticklabels()[1::2]:
      label.set_x(-0.02)
  axes[-1].set_xlabel("seconds")
  figure.tight_layout()
  return figure


def pitch_figure(
  f0_hz: Mapping[str, np.ndarray], spec: AudioSpec
) -> matplotlib.figure.Figure:
  """Draws pitch curves over each other, the first one broad.

  Args:
    f0_hz: title -> [T] pitch in Hz, 0 where unvoiced.
    spec: gives seconds per frame.
  """
  figure = matplotlib.figure.Figure(figsize=(10, 2.8))
  axis = figure.subplots()
  end = max(_last_used(pitch > 0) for pitch in f0_hz.values())
  seconds = (np.arange(end) + 0.5) / spec.frame_rate_hz
  widths = itertools.chain([4.0], itertools.repeat(1.4))
  for (title, pitch), width in zip(f0_hz.items(), widths, strict=False):
    voiced = np.where(pitch > 0, pitch, np.nan)[:end]
    alpha = 0.35 if width > 2 else 1.0
    axis.plot(seconds, voiced, linewidth=width, alpha=alpha, label=title)
  axis.set_xlim(0.0, end / spec.frame_rate_hz)
  axis.set_xlabel("seconds")
  axis.set_ylabel("f0 [Hz]")
  tidy(axis)
  axis.legend(fontsize=8, frameon=False, ncols=len(f0_hz))
  figure.tight_layout()
  return figure


def codebook_figure(hits: np.ndarray) -> matplotlib.figure.Figure:
  """Draws how evenly the codes of each codebook are used.

  Args:
    hits: [Q, K] of each code.
  """
  shares = hits / np.maximum(hits.sum(axis=1, keepdims=True), 1e-9)
  entropy = -np.sum(shares * np.log(np.maximum(shares, 1e-12)), axis=1)
  size, numbers = hits.shape[1], np.arange(1, len(hits) + 1)
  figure = matplotlib.figure.Figure(figsize=(10, 3.2))
  left, right = figure.subplots(1, 2)
  colours = sequence(len(hits))
  left.bar(numbers, np.exp(entropy), color=colours)
  left.axhline(size, color="gray", linewidth=0.8, linestyle="--")
  left.set_title(f"perplexity, of {size} codes at most", fontsize=9, loc="left")
  for row, colour in zip(-np.sort(-shares, axis=1), colours, strict=True):
    ranks = np.arange(1, size + 1) / size
    right.plot(ranks, np.maximum(row * size, 1e-3), color=colour, linewidth=1.0)
  right.axhline(1.0, color="gray", linewidth=0.8, linestyle="--")
  right.set_yscale("log")
  right.set_title("use of the codes, most used first", fontsize=9, loc="left")
  right.set_xlabel("share of the codes")
  right.set_ylabel("times the mean")
  left.set_xlabel("codebook")
  left.xaxis.get_major_locator().set_params(integer=True)
  tidy(left)
  tidy(right)
  figure.tight_layout()
  return figure


def sequence(count: int) -> np.ndarray:
  """Colours [count, 4] of what has an order, dark to light."""
  return matplotlib.colormaps["viridis"](np.linspace(0.0, 0.9, count))


def tidy(axis: matplotlib.axes.Axes) -> None:
  """Takes from a chart what says nothing."""
  axis.spines[["top", "right"]].set_visible(False)
  axis.grid(alpha=0.25, linewidth=0.6)
  axis.set_axisbelow(True)
  axis.tick_params(labelsize=8, length=3)


def _last_used(is_used: np.ndarray) -> int:
  """Length up to the last one that is used, at least 1."""
  return int(np.max(np.nonzero(is_used)[0], initial=0)) + 1
