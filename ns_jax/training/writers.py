# SPDX-License-Identifier: Apache-2.0
"""Metrics as JSON lines and TensorBoard events, with audio and pictures."""

import json
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from tensorboardX import record_writer, summary
from tensorboardX.proto.event_pb2 import (
  Event,  # pyright: ignore[reportAttributeAccessIssue]  (made at run time)
  SessionLog,  # pyright: ignore[reportAttributeAccessIssue]
)

from ns_jax import figures, files, paths
from ns_jax.audio import AudioSpec

METRICS_FILE = "metrics.jsonl"
TENSORBOARD_DIR = "tensorboard"
# Of events in a bucket, where each flush puts a file whole.
_MOST_BYTES = 4 << 20
MAX_SAMPLES = 2  # of each kind and evaluation


class MetricWriter:
  """Writes from process 0; on the others every call does nothing."""

  def __init__(
    self, workdir: str | paths.Path, spec: AudioSpec, *, start_step: int
  ):
    """Opens the files of a run, dropping what lies after `start_step`.

    A killed run may have logged steps beyond its last checkpoint; they will
    be done, and logged, again.
    """
    self._spec = spec
    self._active = jax.process_index() == 0
    if not self._active:
      return
    workdir = paths.as_path(workdir)
    kept = [r for r in read_metrics(workdir) if r["step"] <= start_step]
    self._metrics = files.Growing(
      workdir / METRICS_FILE, b"".join(map(_line, kept))
    )
    self._events = _EventFile(workdir / TENSORBOARD_DIR, start_step + 1)

  def scalars(
    self, step: int, values: Mapping[str, float], **timing: float
  ) -> None:
    """Logs named scalars; `timing` (speeds) differs from run to run."""
    if not self._active:
      return
    self._metrics.append(_line({"step": step, **values, "timing": timing}))
    for name, value in {**values, **timing}.items():
      self._events.add(step, summary.scalar(name, value))
    self._events.flush()

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
        clip, rate_hz = np.clip(wav, -1.0, 1.0), self._spec.sample_rate_hz
        sound = summary.audio(f"{name}/{i}", clip[:, None], rate_hz)
        self._events.add(step, sound)
    for i in range(min(map(len, panels.values()), default=0)):
      rows = {title: value[i].T for title, value in panels.items()}
      figure = figures.speech_figure(rows, self._spec)
      rgb = figures.to_rgb(figure)
      self._events.add(
        step, summary.image(f"spectrogram/{i}", rgb, dataformats="HWC")
      )
    self._events.flush()


class _EventFile:
  """TensorBoard events, written at once by the caller's thread.

  tensorboardX's own writer has a thread whose death, on a full disk, it does
  not notice: it waits for it for ever.
  """

  def __init__(self, directory: paths.Path, first_step: int):
    """Opens a new file; earlier events from `first_step` on are hidden."""
    self._directory = directory
    self._pending: list[bytes] = []
    self._file = self._begin()
    start = SessionLog(status=SessionLog.START)
    self._write(Event(step=first_step, session_log=start))

  def _begin(self) -> files.Growing:
    """A new file, which TensorBoard reads after those that are there."""
    self._write(Event(file_version="brain.Event:2"))
    name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}"
    return files.Growing(self._directory / name)

  def add(self, step: int, what: Any) -> None:
    """Adds a summary, one of those `tensorboardX.summary` makes."""
    self._write(Event(step=step, summary=what))

  def flush(self) -> None:
    """Makes what was added visible to TensorBoard."""
    self._file.append(b"".join(self._pending))
    self._pending.clear()
    if paths.is_remote(self._directory) and self._file.size > _MOST_BYTES:
      self._file = self._begin()

  def _write(self, event: Any) -> None:
    event.wall_time = time.time()
    content = event.SerializeToString()
    # TFRecord: length, its checksum, content, its checksum.
    header = struct.pack("<Q", len(content))
    self._pending += [header, _checksum(header), content, _checksum(content)]


def _checksum(content: bytes) -> bytes:
  return struct.pack("<I", record_writer.masked_crc32c(content))


def _line(record: Mapping[str, Any]) -> bytes:
  return (json.dumps(record) + "\n").encode()


def read_metrics(workdir: str | paths.Path) -> list[dict]:
  """Reads a run's metrics; a last line cut off by a kill is dropped."""
  path = paths.as_path(workdir) / METRICS_FILE
  if not path.exists():
    return []
  records = []
  for line in files.read_text(path).splitlines():
    try:
      records.append(json.loads(line))
    except json.JSONDecodeError:
      break
  return records
