# SPDX-License-Identifier: Apache-2.0
"""What an evaluator is given, and what it returns."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ns_jax.audio import AudioSpec
from ns_jax.inference.restore import Weights

SAMPLES_DIR = "samples"


@dataclasses.dataclass(frozen=True)
class Context:
  """A trained run and the test records it has never seen."""

  weights: Weights
  spec: AudioSpec
  run_dir: pathlib.Path
  test_records: Iterable[Mapping[str, Any]]  # schema: data_pipelines/schema.py
  test_batches: Callable[[], Iterator[Mapping[str, np.ndarray]]]

  @property
  def samples_dir(self) -> pathlib.Path:
    """Where evaluators put waves and pictures; made on first use."""
    path = self.run_dir / SAMPLES_DIR
    path.mkdir(exist_ok=True)
    return path


@dataclasses.dataclass(frozen=True)
class Section:
  """What one evaluator found."""

  title: str
  explanation: str
  summary: Mapping[str, float]
  rows: Sequence[Mapping[str, Any]] = ()  # one per clip
  pictures: Sequence[str] = ()  # relative to the workdir


class Evaluator(Protocol):
  """Measures one thing about a run."""

  def __call__(self, context: Context) -> Section:
    """Returns the section of the report."""
    ...
