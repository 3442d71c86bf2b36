# SPDX-License-Identifier: Apache-2.0
"""Speech as a response: sent piece by piece, ended when nobody listens."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ns_jax import audio_formats, watermark
from ns_jax.apps.serving.failures import Failure
from ns_jax.apps.serving.jobs import Job
from ns_jax.errors import UserError

EVENT_STREAM = "text/event-stream"
Begin = Callable[[], contextlib.AbstractAsyncContextManager[Job]]


class SpeechResponse(Response):
  """Says something to whoever asked for it."""

  def __init__(
    self,
    begin: Begin,
    form: str,
    rate_hz: int,
    *,
    as_events: bool = False,
    mark_key: str | None = None,
  ):
    """Says nothing yet.

    Args:
      begin: gives what is to be said, and hears when nobody listens any more.
      form: one of `audio_formats.FORMATS`.
      rate_hz: of the waves.
      as_events: as OpenAI's server-sent events, in base64.
      mark_key: of a mark that `ns-jax detect` finds; None: there is none.
    """
    media_type = EVENT_STREAM if as_events else audio_formats.FORMATS[form]
    super().__init__(media_type=media_type)
    del self.headers["content-length"]
    self.headers["x-sample-rate"] = str(rate_hz)
    self.headers["cache-control"] = "no-store"
    self._begin, self._form, self._rate_hz = begin, form, rate_hz
    self._mark_key = mark_key
    self._encode = self._events if as_events else self._file

  async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
    """Sends the first piece as soon as it is there.

    Raises:
      Failure: there was none.
    """
    work = asyncio.create_task(self._say(scope, send))
    leaving = asyncio.create_task(_leaving(receive))
    try:
      await asyncio.wait((work, leaving), return_when=asyncio.FIRST_COMPLETED)
      if work.done():
        await work
    finally:
      for task in (work, leaving):
        task.cancel()
      await asyncio.gather(work, leaving, return_exceptions=True)

  async def _say(self, scope: Scope, send: Send) -> None:
    facts = scope["ns_jax.facts"]
    try:
      async with self._begin() as job:
        is_begun = False
        waves = _counted(job, facts, self._rate_hz)
        if self._mark_key is not None:
          waves = _marked(waves, self._rate_hz, self._mark_key)
        async for part in self._encode(waves):
          if not is_begun:
            await self._send_start(send)
            is_begun = True
          await _send_body(send, part)
        await _send_body(send, b"", is_last=True)
    except UserError as error:
      raise Failure(
        400, str(error), "invalid_request", param="input"
      ) from error

  async def _send_start(self, send: Send) -> None:
    message = {"type": "http.response.start", "status": self.status_code}
    await send({**message, "headers": self.raw_headers})

  async def _file(
    self, waves: AsyncIterator[np.ndarray]
  ) -> AsyncIterator[bytes]:
    """Yields a file of the format, as it grows."""
    encoder = audio_formats.Encoder(self._form, self._rate_hz)
    async for wav in waves:
      # In a thread: coding one answer holds up no other.
      part = await asyncio.to_thread(encoder.push, wav)
      if part:
        yield part
    yield await asyncio.to_thread(encoder.finish)

  async def _events(
    self, waves: AsyncIterator[np.ndarray]
  ) -> AsyncIterator[bytes]:
    """Yields events with pieces of the same file."""
    async for part in self._file(waves):
      words = base64.b64encode(part).decode()
      yield _event({"type": "speech.audio.delta", "audio": words})
    yield _event({"type": "speech.audio.done"})


async def _counted(
  job: Job, facts: dict[str, Any], rate_hz: int
) -> AsyncIterator[np.ndarray]:
  """Yields the waves, and notes their length."""
  async for wav in job.waves():
    seconds = facts.get("audio_sec", 0.0) + len(wav) / rate_hz
    facts["audio_sec"] = round(seconds, 4)
    yield wav


async def _marked(
  waves: AsyncIterator[np.ndarray], rate_hz: int, key: str
) -> AsyncIterator[np.ndarray]:
  """Yields the waves with a mark, as much as comes in, a little later."""
  marker = watermark.Marker(rate_hz, key)
  async for wav in waves:
    yield await asyncio.to_thread(marker.push, wav)
  yield marker.finish()


def _event(content: dict[str, Any]) -> bytes:
  return f"data: {json.dumps(content)}\n\n".encode()


async def _send_body(send: Send, body: bytes, *, is_last: bool = False) -> None:
  message = {"type": "http.response.body", "body": body}
  await send({**message, "more_body": not is_last})


async def _leaving(receive: Receive) -> None:
  """Waits until the client has left."""
  while (await receive())["type"] != "http.disconnect":
    pass
