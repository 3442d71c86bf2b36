# SPDX-License-Identifier: Apache-2.0
"""Metrics as JSON lines and TensorBoard events, with audio and pictures."""

import json
import pathlib
from collections.abc import Mapping

import jax
import numpy as np
import tensorboardX

from ns_jax import figures
from ns_jax.audio import AudioSpec

METRICS_FILE = "metrics.jsonl"
TENSORBOARD_DIR = "tensorboard"
MAX_SAMPLES = 2  # of each kind and evaluation


class MetricWriter:
  """Writes from process 0; on the others every call does nothing."""

  def __init__(
    self, workdir: str | pathlib.Path, spec: AudioSpec, *, start_step: int
  ):
    """Opens the files of a run, dropping what lies after `start_step`.

    A killed run may have logged steps beyond its last checkpoint; they will
    be done, and logged, again.
    """
    self._spec = spec
    self._active = jax.process_index() == 0
    if not self._active:
      return
    workdir = pathlib.Path(workdir)
    self._path = workdir / METRICS_FILE
    kept = [r for r in read_metrics(workdir) if r["step"] <= start_step]
    unfinished = self._path.with_suffix(".tmp")
    unfinished.write_text("".join(json.dumps(record) + "\n" for record in kept))
    unfinished.rename(self._path)
    self._events = tensorboardX.SummaryWriter(
      str(workdir / TENSORBOARD_DIR), purge_step=start_step + 1
    )

  def scalars(
    self, step: int, values: Mapping[str, float], **timing: float
  ) -> None:
    """Logs named scalars; `timing` (speeds) differs from run to run."""
    if not self._active:
      return
    record = {"step": step, **values, "timing": timing}
    with self._path.open("a") as file:
      file.write(json.dumps(record) + "\n")
    for name, value in {**values, **timing}.items():
      self._events.add_scalar(name, value, step)

  def samples(self, step: int, samples: Mapping[str, np.ndarray]) -> None:
    """Logs `audio/<name>` [B, S] waves and `figure/<name>` [B, F, T] maps.

    The maps of one example are log-mels and drawn under each other.
    """
    if not self._active:
      return
    panels: dict[str, np.ndarray] = {}
    for name, value in samples.items():
      kind, title = name.split("/", 1)
      if kind == "figure":
        panels[title] = np.asarray(value)[:MAX_SAMPLES]
        continue
      for i, wav in enumerate(np.asarray(value)[:MAX_SAMPLES]):
        self._events.add_audio(
          f"{name}/{i}",
          np.clip(wav, -1.0, 1.0)[:, None],
          step,
          sample_rate=self._spec.sample_rate_hz,
        )
    for i in range(min(map(len, panels.values()), default=0)):
      rows = {title: value[i].T for title, value in panels.items()}
      figure = figures.speech_figure(rows, self._spec)
      self._events.add_image(
        f"spectrogram/{i}", figures.to_rgb(figure), step, dataformats="HWC"
      )

  def close(self) -> None:
    """Flushes and closes the event file."""
    if self._active:
      self._events.close()


def read_metrics(workdir: str | pathlib.Path) -> list[dict]:
  """Reads a run's metrics; a last line cut off by a kill is dropped."""
  path = pathlib.Path(workdir) / METRICS_FILE
  if not path.exists():
    return []
  records = []
  for line in path.read_text().splitlines():
    try:
      records.append(json.loads(line))
    except json.JSONDecodeError:
      break
  return records
