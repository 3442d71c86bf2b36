# SPDX-License-Identifier: Apache-2.0
"""What a stage shows of held-out speech, drawn by kind."""

from collections.abc import Iterator, Mapping

import matplotlib.figure
import numpy as np

from ns_jax import figures
from ns_jax.audio import AudioSpec
from ns_jax.text import symbols

MAX_EXAMPLES = 2  # of each kind and evaluation

# What was to be made; it stands first. (Compiled functions sort names.)
_TARGETS = ("original", "recording")

Figure = matplotlib.figure.Figure
Panels = dict[str, np.ndarray]  # title -> values, of a kind


def by_kind(samples: Mapping[str, np.ndarray]) -> dict[str, Panels]:
  """Sorts `kind/title` -> values, as a stage's `sample_fn` makes them."""
  kinds: dict[str, Panels] = {}
  titles = [name.split("/", 1) for name in samples]
  for kind, title in sorted(titles, key=lambda name: name[1] not in _TARGETS):
    values = np.asarray(samples[f"{kind}/{title}"])
    kinds.setdefault(kind, {})[title] = values
  return kinds


def pictures(
  kinds: Mapping[str, Panels], spec: AudioSpec
) -> Iterator[tuple[str, Figure]]:
  """Yields name and figure of all that can be seen.

  Titles of a kind share a figure, and each example has its own; codebooks are
  of no example.
  """
  for i, maps in _examples(kinds.get("figure", {})):
    end = _end(maps)
    rows = {title: log_mel[:, :end].T for title, log_mel in maps.items()}
    yield f"spectrogram/{i}", figures.speech_figure(rows, spec)
  ids = kinds.get("phonemes", {})
  for i, weights in _examples(kinds.get("alignment", {})):
    (row,) = (values[i] for values in ids.values())
    marks = symbols.from_ids(row)
    yield f"alignment/{i}", figures.alignment_figure(weights, marks, spec)
  for i, f0_hz in _examples(kinds.get("pitch", {})):
    yield f"pitch/{i}", figures.pitch_figure(f0_hz, spec)
  for title, hits in kinds.get("codebook", {}).items():
    yield f"codebook/{title}", figures.codebook_figure(hits)


def _end(maps: Panels) -> int:
  """Frames until all maps [F, T] stay as they are at their end: padding."""
  changes = [np.any(m != m[:, -1:], axis=0) for m in maps.values()]
  return int(np.max(np.nonzero(np.any(changes, axis=0))[0], initial=0)) + 1


def _examples(panels: Panels) -> Iterator[tuple[int, Panels]]:
  """The first few examples: number, and title -> values."""
  count = min(map(len, panels.values()), default=0)
  for i in range(min(count, MAX_EXAMPLES)):
    yield i, {title: values[i] for title, values in panels.items()}
