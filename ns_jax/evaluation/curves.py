# SPDX-License-Identifier: Apache-2.0
"""What a run logged while it learned, as charts."""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib.axes
import matplotlib.figure
import matplotlib.ticker
import numpy as np

from ns_jax import figures

_COLUMNS = 3
_SMOOTHED_FROM = 40  # points; a line through the mean of neighbours is added
_TRAINING, _HELD_OUT = "tab:blue", "tab:orange"
# Of several lines that belong together: `used_01`, `diffusion_t0.25-0.50`.
_MEMBER = re.compile(r"(.+)_(\d+|t\d\.\d+-\d\.\d+)")
_OPTIMISER = ("learning_rate", "grad_norm")
_ORDER = ("training", "held out", "optimiser")  # of pictures, before others
_HELD_OUT_PREFIX = "valid/"

Points = list[tuple[int, float]]  # step, value


@dataclasses.dataclass
class Panel:
  """One chart: what training logged, what was held out, or both."""

  training: dict[str, Points] = dataclasses.field(default_factory=dict)
  held_out: dict[str, Points] = dataclasses.field(default_factory=dict)


Panels = dict[str, Panel]  # title -> chart


def panels(records: Sequence[Mapping[str, Any]]) -> dict[str, Panels]:
  """Sorts a run's metrics: training, what is held out alone, optimiser, …

  Args:
    records: lines of `metrics.jsonl`.

  Returns:
    Name of the picture -> its charts; empty ones are left out.
  """
  found: dict[str, Panels] = {}
  points = _points(records)
  players = {name.split("/")[0] for name in points} - {"valid"}
  quantities = {
    name.split("/", 1)[1]
    for name in points
    if not name.startswith(_HELD_OUT_PREFIX)
  }
  for name, values in points.items():
    origin, *group, quantity = name.split("/")
    is_held_out = origin == "valid"
    title, line, picture = quantity, "", "held out"
    if group:
      (picture,) = group
    elif quantity in _OPTIMISER:
      picture = "optimiser"
    elif not is_held_out or quantity in quantities:
      picture = "training"
    if member := _MEMBER.fullmatch(quantity):
      base, line = member.groups()
      title = f"{base}, by time" if line.startswith("t") else base
    # Of several players what both have is told apart.
    if len(players) > 1 and (quantity == "loss" or quantity in _OPTIMISER):
      title = f"{title}, {origin}"
    panel = found.setdefault(picture, {}).setdefault(title, Panel())
    (panel.held_out if is_held_out else panel.training)[line] = values
  order = [name for name in _ORDER if name in found]
  return {name: found[name] for name in dict.fromkeys([*order, *found])}


def _points(records: Sequence[Mapping[str, Any]]) -> dict[str, Points]:
  """Finite values of each metric; what is learned from comes first."""
  points: dict[str, Points] = {}
  for record in records:
    for name, value in record.items():
      if "/" in name and math.isfinite(value):
        points.setdefault(name, []).append((record["step"], value))

  def place(name: str) -> tuple[int, str]:
    """Sums, terms, lines that belong together; each by name."""
    is_sum, is_member = name.endswith("/loss"), _MEMBER.fullmatch(name)
    return 0 if is_sum else 2 if is_member else 1, name

  return {name: points[name] for name in sorted(points, key=place)}


def draw(charts: Panels) -> matplotlib.figure.Figure:
  """Draws charts in columns: training as lines, what is held out as dots."""
  rows = math.ceil(len(charts) / _COLUMNS)
  figure = matplotlib.figure.Figure(figsize=(4.2 * _COLUMNS, 2.5 * rows))
  axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
  for axis, (title, panel) in zip(axes, charts.items(), strict=False):
    _draw_panel(axis, panel)
    axis.set_title(title.replace("_", " "), fontsize=10, loc="left")
  for axis in axes[len(charts) :]:
    axis.set_axis_off()
  figure.tight_layout()
  return figure


def _draw_panel(axis: matplotlib.axes.Axes, panel: Panel) -> None:
  lines = [*panel.training, *panel.held_out]
  is_family = any(lines)
  colours = dict(
    zip(dict.fromkeys(lines), figures.sequence(len({*lines})), strict=True)
  )
  # Of lines that belong together one kind is enough.
  training = {} if is_family and panel.held_out else panel.training
  for name, points in training.items():
    _draw_training(axis, points, colours[name] if is_family else _TRAINING)
  for name, points in panel.held_out.items():
    colour = colours[name] if is_family else _HELD_OUT
    axis.plot(*_xy(points), marker="o", markersize=3, color=colour)
  figures.tidy(axis)
  axis.xaxis.set_major_locator(
    matplotlib.ticker.MaxNLocator(5, integer=True, steps=[1, 2, 5, 10])
  )
  axis.xaxis.set_major_formatter(matplotlib.ticker.EngFormatter(sep=""))
  axis.ticklabel_format(axis="y", useOffset=False)
  if is_family:
    _name_lines(axis, list(colours.items()))


def _draw_training(
  axis: matplotlib.axes.Axes, points: Points, colour: Any
) -> None:
  steps, values = _xy(points)
  if len(values) < _SMOOTHED_FROM:
    axis.plot(steps, values, color=colour, linewidth=1.2)
    return
  axis.plot(steps, values, color=colour, linewidth=0.6, alpha=0.35)
  width = len(values) // 20 | 1
  padded = np.pad(values, width // 2, mode="edge")
  means = np.convolve(padded, np.full(width, 1.0 / width), mode="valid")
  axis.plot(steps, means, color=colour, linewidth=1.6)


def _name_lines(
  axis: matplotlib.axes.Axes, lines: Sequence[tuple[str, Any]]
) -> None:
  """A legend; of many lines the first and the last are enough."""
  shown = lines if len(lines) <= 4 else [lines[0], lines[-1]]
  for name, colour in shown:
    axis.plot([], [], color=colour, label=name)
  axis.legend(fontsize=7, frameon=False, handlelength=1.2)


def _xy(points: Points) -> tuple[np.ndarray, np.ndarray]:
  steps, values = zip(*points, strict=True)
  return np.array(steps), np.array(values)


def pictures(
  records: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[str, matplotlib.figure.Figure]]:
  """Yields name and figure of each group of charts."""
  for name, charts in panels(records).items():
    yield name, draw(charts)
