# SPDX-License-Identifier: Apache-2.0
"""Whatever comes in and goes out passes here: who may, how long, and a log.

One line of JSON for each request, with neither text nor key.
"""

import asyncio
import hmac
import logging
import re
import secrets
import time
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ns_jax.apps import addresses
from ns_jax.apps.serving import failures, logs
from ns_jax.apps.serving.failures import Failure
from ns_jax.apps.serving.metrics import Metrics
from ns_jax.apps.serving.settings import Access, Limits

_logger = logging.getLogger(__name__)
_OPEN = ("/healthz", "/readyz", "/docs", "/openapi.json")  # to anybody
_PROBES = ("/healthz", "/readyz", "/metrics")  # asked for all the time
_LEFT = 499  # as other servers log a client that did not wait
_ID = re.compile("[A-Za-z0-9._-]{1,64}")


class Gate:
  """An ASGI app around another."""

  def __init__(
    self,
    app: ASGIApp,
    access: Access,
    limits: Limits,
    metrics: Metrics,
    max_bytes: Mapping[str, int],
  ):
    """Guards an app.

    Args:
      app: what is guarded.
      access: who may ask.
      limits: for how long.
      metrics: counts requests.
      max_bytes: path -> longest body; elsewhere nobody reads one.
    """
    self._app, self._access, self._metrics = app, access, metrics
    self._timeout_sec, self._max_bytes = limits.timeout_sec, max_bytes

  async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
    """Serves a request."""
    if scope["type"] != "http":
      return await self._app(scope, receive, send)
    most = self._max_bytes.get(scope["path"], 0)
    visit = _Visit(scope, receive, send, most)
    try:
      async with asyncio.timeout(self._timeout_sec):
        self._check(Headers(scope=scope), scope)
        await self._app(scope, visit.receive, visit.send)
    except TimeoutError:
      late = Failure(504, "this took too long; try again later", "timeout")
      await visit.fail(late)
    except Failure as failure:
      await visit.fail(failure)
    except Exception as error:
      visit.facts["error"] = logs.whereabouts(error)
      broken = Failure(500, "the server failed", "internal_error")
      await visit.fail(broken)
    finally:
      self._note(visit, scope)

  def _check(self, headers: Headers, scope: Scope) -> None:
    """Refuses whoever may not ask.

    Raises:
      Failure: that is so.
    """
    if self._access.is_local and not self._access.key:
      _refuse_other_sites(headers)
    key = self._access.key
    if key is None or scope["path"] in _OPEN:
      return
    scheme, _, given = headers.get("authorization", "").partition(" ")
    # Latin-1 is how headers are decoded; as bytes they are as they came.
    is_right = hmac.compare_digest(given.encode("latin-1"), key.encode())
    if scheme.lower() != "bearer" or not is_right:
      raise Failure(
        401,
        "the API key is missing or wrong; send Authorization: Bearer <key>",
        "invalid_api_key",
        headers={"WWW-Authenticate": "Bearer"},
      )

  def _note(self, visit: "_Visit", scope: Scope) -> None:
    """Counts and logs a request that is over."""
    route = getattr(scope.get("route"), "path", "other")
    status, facts = visit.status or _LEFT, visit.facts
    self._metrics.requests.labels(route, status).inc()
    self._metrics.seconds.labels(route).observe(visit.seconds)
    self._metrics.characters.inc(facts.get("characters", 0))
    self._metrics.audio.inc(facts.get("audio_sec", 0.0))
    if "first_audio_sec" in facts:
      self._metrics.first_audio.observe(facts["first_audio_sec"])
    told = {
      "request_id": visit.request_id,
      "method": scope["method"],
      "route": route,
      "status": status,
      "whole": visit.is_complete,
      "seconds": visit.seconds,
    }
    level = logging.DEBUG if route in _PROBES else logging.INFO
    _logger.log(level, "request", extra={"facts": {**told, **facts}})


class _Visit:
  """One request: what was read of it, and sent of its answer."""

  def __init__(
    self, scope: Scope, receive: Receive, send: Send, max_bytes: int
  ):
    headers = Headers(scope=scope)
    given = headers.get("x-request-id", "")
    self.request_id = given if _ID.fullmatch(given) else secrets.token_hex(8)
    self.begun_sec = time.monotonic()
    self.status: int | None = None
    self.is_complete = False
    self.facts: dict[str, Any] = scope.setdefault("ns_jax.facts", {})
    self._scope, self._receive, self._send = scope, receive, send
    promised = int(headers.get("content-length", "0"))
    self._bytes_left, self._is_too_long = max_bytes, promised > max_bytes
    self._is_read = not promised and "transfer-encoding" not in headers

  @property
  def seconds(self) -> float:
    """Since it began."""
    return round(time.monotonic() - self.begun_sec, 4)

  async def receive(self) -> Message:
    """Receives as much as is allowed.

    Raises:
      Failure: there is more, or it was said that there will be.
    """
    if not self._is_too_long:
      message = await self._receive()
      self._bytes_left -= len(message.get("body", b""))
      if self._bytes_left >= 0:
        self._is_read = not message.get("more_body", False)
        return message
    raise failures.too_large("the request is too large")

  async def send(self, message: Message) -> None:
    """Sends on, and keeps in mind what."""
    if message["type"] == "http.response.start":
      self.status = message["status"]
      headers = MutableHeaders(scope=message)
      if not self._is_read:  # and will not be
        headers["connection"] = "close"
      headers["x-request-id"] = self.request_id
      headers["x-content-type-options"] = "nosniff"
    elif message["type"] == "http.response.body":
      if self.status == 200 and "audio_sec" in self.facts:
        self.facts.setdefault("first_audio_sec", self.seconds)
      self.is_complete = not message.get("more_body", False)
    await self._send(message)

  async def fail(self, failure: Failure) -> None:
    """Refuses; where the answer has begun, it only ends early."""
    self.facts.setdefault("code", failure.code)
    if self.status is None:
      respond = failures.respond(failure)
      await respond(self._scope, self._receive, self.send)


def _refuse_other_sites(headers: Headers) -> None:
  """Keeps pages of other sites from asking with this machine's browser.

  Raises:
    Failure: one of them does.
  """
  host = headers.get("host", "")
  origin = headers.get("origin", host).rpartition("//")[2]
  if not (_is_local(host) and _is_local(origin)):
    raise Failure(
      403,
      "this server answers to localhost alone; to reach it by another name, "
      "or from a web page, start it with a key",
      "forbidden",
    )


def _is_local(host: str) -> bool:
  """Whether a name, with or without a port, is of this machine."""
  match = re.fullmatch(r"\[?(.*?)\]?(?::\d+)?", host)
  return addresses.is_own(match[1] if match else "")
