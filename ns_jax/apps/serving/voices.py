# SPDX-License-Identifier: Apache-2.0
"""The voices of a server, by name.

Those that were uploaded may be kept in a folder, one wave file each. A name
never becomes a path: a file is called by its name's bytes in hexadecimal.
"""

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import fcntl
import logging
import pathlib
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ns_jax.apps.serving import uploads
from ns_jax.apps.serving.failures import Failure
from ns_jax.apps.serving.settings import Limits
from ns_jax.audio import AudioSpec
from ns_jax.errors import UnreachableError, UserError

_logger = logging.getLogger(__name__)
NAME = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
_LOCK = ".lock"  # in a folder of voices
_MOST_COMING = 4  # uploads that are decoded or wait for it

# Hears a wave [S] on the model's thread.
Listen = Callable[[np.ndarray], concurrent.futures.Future[Any]]


@dataclasses.dataclass(frozen=True)
class Entry:
  """A voice, heard already or kept in a file."""

  created_sec: int  # since 1970
  voice: Any | None = None
  file: pathlib.Path | None = None
  is_fixed: bool = False  # given when the server was started


def check_name(name: str) -> str:
  """Returns what may be a name.

  Raises:
    UserError: it may not.
  """
  if not re.fullmatch(NAME.strip("^$"), name):
    raise UserError(
      "a voice's name has 1 to 64 of the letters a-z and A-Z, digits, - and _, "
      "and begins with a letter or digit"
    )
  return name


@contextlib.contextmanager
def held(folder: pathlib.Path) -> Iterator[None]:
  """Has a folder of voices for one server: others would not see it change.

  Raises:
    UserError: it cannot be had.
  """
  if not folder.is_dir():
    raise UserError(f"{folder}: no such folder; make it first")
  try:
    file = (folder / _LOCK).open("a")
  except OSError as error:
    raise UserError(
      f"{folder}: cannot be written ({error.strerror})"
    ) from error
  with file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise UserError(
        f"{folder}: another server keeps its voices there; give this one "
        "another folder"
      ) from error
    yield


class Voices:
  """Names and what the model heard of them; used on the event loop alone."""

  def __init__(
    self,
    spec: AudioSpec,
    limits: Limits,
    listen: Listen,
    folder: pathlib.Path | None = None,
  ):
    """Finds the voices that were kept.

    Args:
      spec: of the model's audio.
      limits: of number and length.
      listen: hears a wave on the model's thread.
      folder: where uploads are kept; None: they end with the server.
    """
    self._spec, self._limits, self._listen = spec, limits, listen
    self._folder = folder
    self._entries: dict[str, Entry] = {}
    self._coming: set[str] = set()
    self._hearing = asyncio.Lock()  # else each who waits would do it
    self._decoder = concurrent.futures.ThreadPoolExecutor(1, "decoder")
    for file in sorted(folder.glob("*.wav")) if folder else ():
      name = _name_of(file)
      if name:
        self._entries[name] = Entry(int(file.stat().st_mtime), file=file)

  def __len__(self) -> int:
    """How many there are."""
    return len(self._entries)

  def all(self) -> dict[str, Entry]:
    """All of them, by name."""
    return dict(sorted(self._entries.items()))

  def fix(self, name: str, voice: Any) -> None:
    """Adds what the server was started with; it cannot be deleted."""
    self._entries[name] = Entry(int(time.time()), voice, is_fixed=True)

  async def heard(self, name: str) -> Any:
    """What the model hears of a voice.

    Raises:
      Failure: there is none of this name, or its file is gone or damaged.
    """
    entry = self._entry(name)
    if entry.voice is None:
      async with self._hearing:
        entry = await self._hear(name)
    return entry.voice

  async def create(self, name: str, content: bytes) -> Entry:
    """Hears an uploaded recording, and keeps it.

    Raises:
      Failure: the name is taken, there are too many, or the disk is full.
      UserError: it is no name, or no voice can be heard.
    """
    self._check_new(check_name(name))
    self._coming.add(name)
    try:
      with _storing():
        wav = await self._read(uploads.decode, content)
      voice = await asyncio.wrap_future(self._listen(wav))
      file = self._folder and self._folder / f"{name.encode().hex()}.wav"
      if file:
        with _storing():
          await asyncio.to_thread(uploads.write, file, wav, self._spec)
      self._entries[name] = Entry(int(time.time()), voice, file)
      return self._entries[name]
    finally:
      self._coming.discard(name)

  def delete(self, name: str) -> None:
    """Forgets an uploaded voice.

    Raises:
      Failure: there is none, it came with the server, or its file stays.
    """
    entry = self._entry(name)
    if entry.is_fixed:
      raise Failure(
        403,
        "this voice was given when the server was started, and stays",
        "voice_is_fixed",
        param="voice_id",
      )
    if entry.file:
      with _storing():
        entry.file.unlink(missing_ok=True)
    del self._entries[name]

  def close(self) -> None:
    """Ends the thread that decodes."""
    self._decoder.shutdown(cancel_futures=True)

  async def _hear(self, name: str) -> Entry:
    entry = self._entry(name)
    if entry.voice is not None:
      return entry
    assert entry.file
    try:
      wav = await self._read(uploads.read, entry.file)
      voice = await asyncio.wrap_future(self._listen(wav))
    except UserError as error:  # tells of our files
      raise Failure(
        404,
        "the recording of this voice is gone or damaged; delete the voice "
        "and upload it again",
        "voice_unusable",
        param="voice",
      ) from error
    heard = dataclasses.replace(entry, voice=voice)
    if self._entries.get(name) is entry:
      self._entries[name] = heard
    return heard

  async def _read(self, read: Callable[..., np.ndarray], what: Any) -> Any:
    loop, max_sec = asyncio.get_running_loop(), self._limits.max_prompt_sec
    return await loop.run_in_executor(
      self._decoder, read, what, self._spec, max_sec
    )

  def _entry(self, name: str) -> Entry:
    if name not in self._entries:
      raise Failure(
        404,
        "there is no voice of this name; GET /v1/audio/voices lists them",
        "voice_not_found",
        param="voice",
      )
    return self._entries[name]

  def _check_new(self, name: str) -> None:
    if name in self._entries or name in self._coming:
      raise Failure(
        409,
        "there is a voice of this name; delete it first",
        "voice_exists",
        param="name",
      )
    if len(self._entries) >= self._limits.max_voices:
      raise Failure(
        409, "there are too many voices; delete some first", "too_many_voices"
      )
    if len(self._coming) >= _MOST_COMING:
      raise Failure(
        429,
        "too many recordings come at once; try again soon",
        "rate_limit_exceeded",
        headers={"Retry-After": "1"},
      )


@contextlib.contextmanager
def _storing() -> Iterator[None]:
  """Tells the log why a disk fails, and the client only that it does.

  Raises:
    Failure: it does.
  """
  try:
    yield
  except (OSError, UnreachableError) as error:
    reason = getattr(error, "strerror", None) or type(error).__name__
    _logger.error("a voice cannot be stored", extra={"facts": {"why": reason}})
    raise Failure(
      503, "the server cannot store voices now", "storage_failed"
    ) from error


def _name_of(file: pathlib.Path) -> str | None:
  """Whose file it is; None: nobody's."""
  try:
    return check_name(bytes.fromhex(file.stem).decode())
  except (UserError, ValueError):
    return None
