# SPDX-License-Identifier: Apache-2.0
"""One server's parts: model, batcher, voices, counters; start and stop."""

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import functools
import logging
import math
import pathlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeVar

from ns_jax.apps.serving import uploads
from ns_jax.apps.serving.batcher import Batcher
from ns_jax.apps.serving.engine import Engine
from ns_jax.apps.serving.failures import Failure
from ns_jax.apps.serving.jobs import Job
from ns_jax.apps.serving.metrics import Metrics
from ns_jax.apps.serving.settings import Access, Limits
from ns_jax.apps.serving.voices import Voices
from ns_jax.errors import UserError
from ns_jax.inference.utterance import Manner

_logger = logging.getLogger(__name__)
_Result = TypeVar("_Result")
OWN_VOICE = "default"  # of a model that has one voice


@dataclasses.dataclass(frozen=True)
class Settings:
  """How a server is started."""

  make_engine: Callable[[], Engine]  # on the model's thread
  prompts: Mapping[str, pathlib.Path] = dataclasses.field(default_factory=dict)
  voices_dir: pathlib.Path | None = None
  limits: Limits = Limits()
  access: Access = Access()
  mark_key: str | None = None  # of what is spoken; None: it is not marked


class Service:
  """What answers requests; used on the event loop alone."""

  def __init__(self, settings: Settings):
    """Is not ready yet.

    Args:
      settings: how it is started.
    """
    self.settings, self.limits = settings, settings.limits
    self.metrics = Metrics()
    self.created_sec = int(time.time())
    self.is_stopping = False
    self._engine: Engine | None = None
    self._voices: Voices | None = None
    self._num_admitted = 0
    self._batcher = Batcher(self.metrics.observe_batch)
    # The front end has one engine and a lock: one thread is enough for it.
    self._reader = concurrent.futures.ThreadPoolExecutor(1, "reader")
    self._watch()

  @property
  def status(self) -> str:
    """How it is: ok, starting, stopping or broken."""
    if self.is_stopping:
      return "stopping"
    if self._engine is None:
      return "starting"
    return "ok" if self._batcher.is_alive else "broken"

  @property
  def engine(self) -> Engine:
    """The model.

    Raises:
      Failure: there is none yet.
    """
    if self._engine is None:
      raise Failure(
        503,
        "the server is starting; try again soon",
        "not_ready",
        headers={"Retry-After": "5"},
      )
    return self._engine

  @property
  def voices(self) -> Voices:
    """The voices.

    Raises:
      Failure: the model is not there yet.
    """
    assert self.engine and self._voices
    return self._voices

  async def start(self) -> None:
    """Loads the model, hears the voices, is ready, and then prepares for more.

    Raises:
      UserError: one of them cannot be used.
    """
    begun_sec = time.monotonic()
    self._batcher.start()
    engine = await self._do(self.settings.make_engine)
    voices = Voices(
      engine.spec,
      self.limits,
      lambda wav: self._batcher.do(lambda: engine.listen(wav)),
      self.settings.voices_dir,
    )
    if engine.own_voice is not None:
      voices.fix(OWN_VOICE, engine.own_voice)
    for name, path in self.settings.prompts.items():
      hear = functools.partial(_hear, engine, path, self.limits.max_prompt_sec)
      voices.fix(name, await self._do(hear))
    for prepare in engine.preparations():
      await self._do(prepare)
    self._voices, self._engine = voices, engine
    self._batcher.attach(engine)
    seconds = round(time.monotonic() - begun_sec, 2)
    _logger.info("ready", extra={"facts": {"seconds": seconds}})
    for prepare in engine.further_preparations():
      await asyncio.to_thread(prepare)

  async def stop(self) -> None:
    """Ends the threads; whoever is to be served has been by now."""
    self.is_stopping = True
    if self._voices:
      self._voices.close()
    self._reader.shutdown(cancel_futures=True)
    await asyncio.to_thread(self._batcher.stop)

  @contextlib.asynccontextmanager
  async def saying(
    self, text: str, voice_name: str, manner: Manner, seed: int
  ) -> AsyncIterator[Job]:
    """Says a text while somebody listens.

    Raises:
      Failure: there are too many requests, or no such voice.
      UserError: there is nothing to say.
    """
    engine = self.engine
    self._refuse_crowds()
    self._num_admitted += 1
    try:
      voice = await self.voices.heard(voice_name)
      parts = await asyncio.get_running_loop().run_in_executor(
        self._reader, engine.read, text, voice, manner, seed
      )
      job = self._batcher.submit(parts)
      try:
        yield job
      finally:
        job.drop()
    finally:
      self._num_admitted -= 1

  def _refuse_crowds(self) -> None:
    if self._num_admitted < self.limits.max_requests:
      return
    wait_sec = math.ceil(max(1.0, min(self._batcher.wait_sec, 60.0)))
    raise Failure(
      429,
      f"too many requests wait; try again in {wait_sec} s",
      "rate_limit_exceeded",
      headers={"Retry-After": str(wait_sec)},
    )

  async def _do(self, task: Callable[[], _Result]) -> _Result:
    return await asyncio.wrap_future(self._batcher.do(task))

  def _watch(self) -> None:
    """Numbers for Prometheus that are known when asked for."""
    for name, what, value in (
      (
        "requests_here",
        "To speak, at it or waiting.",
        lambda: self._num_admitted,
      ),
      (
        "wait_seconds",
        "Until what waits is said.",
        lambda: self._batcher.wait_sec,
      ),
      ("voices", "Voices by name.", lambda: len(self._voices or ())),
      ("ready", "1: it can speak.", lambda: float(self.status == "ok")),
    ):
      self.metrics.watch(name, what, value)


def _hear(engine: Engine, path: pathlib.Path, max_sec: float) -> Any:
  """What a model hears of a file.

  Raises:
    UserError: it cannot be used.
  """
  wav = uploads.read(path, engine.spec, max_sec)
  try:
    return engine.listen(wav)
  except UserError as error:
    raise UserError(f"{path}: {error}") from error
