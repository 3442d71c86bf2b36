# SPDX-License-Identifier: Apache-2.0
"""Orbax checkpoints that are verified before they are read.

Once Orbax has committed a checkpoint, its files are sealed by their digests.
A checkpoint whose files no longer match, or that cannot be read, is set aside
(never deleted) and the one before it is used. A save that fails is made again;
it leaves the older ones as they were, and nothing that Orbax takes for one.
"""

import contextlib
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import orbax.checkpoint as ocp

from ns_jax import files, paths
from ns_jax.errors import UnreachableError, UserError
from ns_jax.training import seals

_logger = logging.getLogger(__name__)

CHECKPOINTS_DIR = "checkpoints"
SET_ASIDE_DIR = "corrupt_checkpoints"
_FALLBACK = "checkpoint %d of %s is corrupt (%s); using the one before it"
# What Orbax and TensorStore raise where they cannot write.
_WRITE_ERRORS = (ValueError, OSError, RuntimeError)
# Before the third try to save; the second follows the first at once.
PAUSES_SEC = (30.0,)

_Read = TypeVar("_Read")


class Checkpointer:
  """Saves and restores the state of one workdir. Every process calls it."""

  def __init__(self, workdir: str | paths.Path, *, keep: int):
    """Opens (and makes) `<workdir>/checkpoints`, keeping the last `keep`."""
    self._workdir = paths.resolve(workdir)
    self._dir = self._workdir / CHECKPOINTS_DIR
    self._options = ocp.CheckpointManagerOptions(
      max_to_keep=keep, create=True, cleanup_tmp_directories=True
    )
    self._manager = self._open()
    self._failure: Exception | None = None  # of the last save
    self._what = f"{self._dir}: a checkpoint cannot be saved"

  def save(self, step: int, state: Any, *, wait: bool = False) -> None:
    """Saves a state, at the third try at the latest.

    Args:
      step: of the state.
      state: may be changed when this returns.
      wait: until it is on disk. Else the first try goes on in the background,
        and how it ended is known later; see `has_failed`.

    Raises:
      UnreachableError: it failed three times in a row.
      OSError, ValueError, RuntimeError: the disk is full.
    """
    try:
      if self._failure is not None:
        raise self._failure
      self._start(step, state)  # raises what an earlier save has come to
      if wait:
        self._manager.wait_until_finished()
    except _WRITE_ERRORS as error:
      self._failure = error
      if files.is_disk_full(error):
        raise
      reason = files.first_line(error)
      if jax.process_count() > 1:  # each may be at another point of saving
        raise UnreachableError(
          f"{self._what} ({reason}); run the same command to go on"
        ) from error
      _logger.warning("%s (%s); again at once", self._what, reason)
      files.retried(
        self._what,
        lambda: self._save_now(step, state),
        is_worth=_is_worth_saving_again,
        pauses_sec=PAUSES_SEC,
      )

  def has_failed(self) -> bool:
    """Whether the last save has, as far as is known; waits for nothing.

    Several processes find out together, in their next save.
    """
    if jax.process_count() == 1 and not self._manager.is_saving_in_progress():
      self._look()
    return self._failure is not None

  def _open(self) -> ocp.CheckpointManager:
    return ocp.CheckpointManager(self._dir, options=self._options)

  def _reopen(self) -> None:
    """Forgets saves that failed; what they left is cleaned up."""
    with contextlib.suppress(*_WRITE_ERRORS):  # they are known
      self._manager.close()
    self._manager = self._open()

  def _start(self, step: int, state: Any) -> None:
    if step not in self._manager.all_steps():
      args = ocp.args.Composite(state=ocp.args.StandardSave(state))
      self._manager.save(step, args=args, force=True)

  def _save_now(self, step: int, state: Any) -> None:
    self._reopen()
    self._start(step, state)
    self._manager.wait_until_finished()
    self._failure = None

  def _look(self) -> None:
    """Waits for the last save, and remembers if it failed."""
    try:
      self._manager.wait_until_finished()
    except _WRITE_ERRORS as error:
      self._failure = error

  def seal_finished(self) -> None:
    """Seals what has been committed since the last call; cheap otherwise."""
    if self._manager.is_saving_in_progress() or jax.process_index() != 0:
      return
    for step in seals.finished_steps(self._dir):
      seals.seal(self._dir / str(step))

  def newest_step(self) -> int:
    """Of the newest checkpoint, once all are on disk; 0 if there is none."""
    self.wait()
    return self._manager.latest_step() or 0

  def wait(self) -> None:
    """Blocks until each started save is on disk and sealed, or has failed."""
    self._look()
    self.seal_finished()

  def close(self) -> None:
    """Waits for saves and releases Orbax's threads."""
    self.wait()
    if self._failure is not None:
      reason = files.first_line(self._failure)
      _logger.warning("%s (%s)", self._what, reason)
    with contextlib.suppress(*_WRITE_ERRORS):  # as above
      self._manager.close()

  def restore_latest(self, abstract_state: Any) -> Any | None:
    """Restores the newest checkpoint that is whole.

    Args:
      abstract_state: pytree of jax.ShapeDtypeStruct with shardings; the saved
        arrays are laid out by it, whatever mesh wrote them.

    Returns:
      The state, or None where the workdir has no checkpoint.

    Raises:
      UserError: there are checkpoints but none can be read, or the newest is
      whole but not of this state.
    """
    steps = sorted(self._manager.all_steps(), reverse=True)
    args = ocp.args.Composite(state=ocp.args.StandardRestore(abstract_state))
    for step in steps:
      read = lambda step=step: self._manager.restore(step, args=args)["state"]
      try:
        return _read_whole(self._dir / str(step), read)
      except seals.CorruptCheckpointError as error:
        self._set_aside(step, error)
    if steps:
      raise UserError(
        f"{self._dir}: none of its {len(steps)} checkpoint(s) can be read; "
        f"they are kept in {SET_ASIDE_DIR}; run the command again to start over"
      )
    return None

  def _set_aside(self, step: int, error: Exception) -> None:
    _logger.warning(_FALLBACK, step, self._workdir, files.first_line(error))
    self._manager.close()
    if jax.process_index() == 0:
      target = self._workdir / SET_ASIDE_DIR
      target.mkdir(exist_ok=True)
      number = len(paths.names(target))
      paths.move(self._dir / str(step), target / f"{step}-{number}")
    self._manager = self._open()


def exists(workdir: str | paths.Path) -> bool:
  """True if a run has saved at least once."""
  return bool(seals.finished_steps(paths.as_path(workdir) / CHECKPOINTS_DIR))


def read_newest(workdir: str | paths.Path) -> tuple[int, dict[str, Any]]:
  """Reads the newest whole checkpoint without changing anything on disk.

  Args:
    workdir: of a run that has saved at least once.

  Returns:
    (step, state as nested dictionaries of arrays on the first local device).

  Raises:
    UserError: there is no checkpoint, or none can be read.
  """
  directory = paths.resolve(workdir) / CHECKPOINTS_DIR
  steps = seals.finished_steps(directory)
  if not steps:
    raise UserError(f"{workdir}: holds no checkpoint; train it first")
  for step in steps:
    read = lambda step=step: _read_tree(directory / str(step) / "state")
    try:
      return step, _read_whole(directory / str(step), read)
    except seals.CorruptCheckpointError as error:
      _logger.warning(_FALLBACK, step, workdir, files.first_line(error))
  raise UserError(f"{directory}: none of its checkpoints can be read")


def _read_tree(directory: paths.Path) -> dict[str, Any]:
  """Reads a saved state as nested dictionaries, whatever made it."""
  sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  this = jax.process_index()
  # Each process reads for itself: one may read alone, as process 0 does for
  # the report, and must not wait for the others.
  alone = ocp.options.MultiprocessingOptions(
    primary_host=this,
    active_processes={this},
    barrier_sync_key_prefix=f"read_{this}",
  )
  with ocp.StandardCheckpointer(multiprocessing_options=alone) as checkpointer:
    metadata = checkpointer.metadata(directory).item_metadata
    if metadata is None:
      raise seals.CorruptCheckpointError("its metadata cannot be read")
    abstract = jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct(
        leaf.shape, leaf.dtype, sharding=sharding
      ),
      metadata.tree,
    )
    return checkpointer.restore(directory, abstract)


def _read_whole(step_dir: paths.Path, read: Callable[[], _Read]) -> _Read:
  """Reads a checkpoint once its files have proved to be what was saved.

  Raises:
    seals.CorruptCheckpointError: they are not, or not sealed and not readable.
    UserError: they are, or the storage fails; to fall back on an older one
      would hide why.
  """
  sealed = seals.verify(step_dir)
  try:
    return files.retried(f"{step_dir}: cannot be read", read)
  except UserError:
    raise
  except Exception as error:  # what Orbax raises for truncated files is no less
    if not sealed:
      raise seals.CorruptCheckpointError(files.first_line(error)) from error
    raise UserError(
      f"{step_dir}: is whole but cannot be restored here "
      f"({files.first_line(error)}); free memory, or use the config and "
      "version that wrote it"
    ) from error


def _is_worth_saving_again(error: Exception) -> bool:
  return isinstance(error, _WRITE_ERRORS) and not files.is_disk_full(error)
