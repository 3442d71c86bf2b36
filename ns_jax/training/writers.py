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
from tensorboardX.proto.summary_pb2 import (
  Summary,  # pyright: ignore[reportAttributeAccessIssue]
)

from ns_jax import figures, files, paths
from ns_jax.audio import AudioSpec
from ns_jax.training import previews

METRICS_FILE = "metrics.jsonl"
TENSORBOARD_DIR = "tensorboard"
PREVIEWS_DIR = "previews"  # the newest pictures, which reports show, too
# Of events in a bucket, where each flush puts a file whole.
_MOST_BYTES = 4 << 20
# Where TensorBoard shows what is not a loss.
_GROUPS = {"grad_norm": "optim", "learning_rate": "optim"}


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
    self._previews = workdir / PREVIEWS_DIR
    self._previews.mkdir(exist_ok=True)
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
      self._events.add(step, summary.scalar(tag(name), value))
    self._events.flush()

  def samples(self, step: int, samples: Mapping[str, np.ndarray]) -> None:
    """Logs what a stage's `sample_fn` makes: waves, and the rest as pictures.

    Pictures are also files of the workdir; those of the next call replace them.
    """
    if not self._active:
      return
    kinds = previews.by_kind(samples)
    for name, waves in kinds.get("audio", {}).items():
      for i, wav in enumerate(waves[: previews.MAX_EXAMPLES]):
        clip, rate_hz = np.clip(wav, -1.0, 1.0), self._spec.sample_rate_hz
        sound = summary.audio(f"audio/{name}/{i}", clip[:, None], rate_hz)
        self._events.add(step, sound)
    for name, figure in previews.pictures(kinds, self._spec):
      png = figures.to_png(figure)
      self._events.add(step, _picture(name, png))
      files.write(self._previews / f"{name.replace('/', '_')}.png", png)
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


def tag(name: str) -> str:
  """What TensorBoard calls a metric; it groups by what stands first.

  Of a player, `gen/pitch` is `loss/gen/pitch`. A name with a group of its own,
  as `valid/codebook/used_01`, is in that group, and the rest is as it is.
  """
  if "/" not in name:
    return f"speed/{name}"
  origin, *group, quantity = name.split("/")
  if group:
    return "/".join((*group, origin, quantity))
  if origin == "valid":
    return name
  return f"{_GROUPS.get(quantity, 'loss')}/{origin}/{quantity}"


def _picture(name: str, png: bytes) -> Any:
  """A summary, as `tensorboardX.summary.image` makes, of a PNG."""
  width, height = struct.unpack(">II", png[16:24])
  image = Summary.Image(
    height=height, width=width, colorspace=4, encoded_image_string=png
  )
  return Summary(value=[Summary.Value(tag=name, image=image)])


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
