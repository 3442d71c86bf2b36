# SPDX-License-Identifier: Apache-2.0
"""What an evaluator is given, and what it returns."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.figure import Figure

from ns_jax import audio, figures, paths
from ns_jax.audio import AudioSpec
from ns_jax.inference.restore import Weights

SAMPLES_DIR = "samples"


@dataclasses.dataclass(frozen=True)
class Context:
  """A trained run and the test records it has never seen."""

  weights: Weights
  spec: AudioSpec
  run_dir: paths.Path
  test_records: Iterable[Mapping[str, Any]]  # schema: data_pipelines/schema.py
  test_batches: Callable[[], Iterator[Mapping[str, np.ndarray]]]

  def save_wav(self, name: str, wav: np.ndarray) -> str:
    """Writes [S] float32 as a sample; returns its path in the workdir."""
    path = self._sample(f"{name}.wav")
    audio.write_wav(self.run_dir / path, wav, self.spec)
    return path

  def save_figure(self, name: str, figure: Figure) -> str:
    """Writes a picture among the samples; returns its path in the workdir."""
    path = self._sample(f"{name}.png")
    figures.save_figure(self.run_dir / path, figure)
    return path

  def _sample(self, name: str) -> str:
    (self.run_dir / SAMPLES_DIR).mkdir(exist_ok=True)
    return f"{SAMPLES_DIR}/{name}"


@dataclasses.dataclass(frozen=True)
class Section:
  """What one evaluator found."""

  title: str
  explanation: str
  summary: Mapping[str, float]
  # quantity -> system -> value: the same of several, side by side
  comparison: Mapping[str, Mapping[str, float]] = dataclasses.field(
    default_factory=dict
  )
  rows: Sequence[Mapping[str, Any]] = ()  # one per clip
  details: Sequence[Mapping[str, Any]] = ()  # for report.json alone
  pictures: Sequence[str] = ()  # relative to the workdir
  captions: Mapping[str, str] = dataclasses.field(  # of pictures that need one
    default_factory=dict
  )


class Evaluator(Protocol):
  """Measures one thing about a run."""

  def __call__(self, context: Context) -> Section:
    """Returns the section of the report."""
    ...


def mean(rows: Sequence[Mapping[str, Any]], name: str) -> float:
  """Mean over the rows where it could be measured; NaN if it never could."""
  values = [row[name] for row in rows if not math.isnan(row[name])]
  return float(np.mean(values)) if values else float("nan")
