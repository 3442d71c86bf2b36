# SPDX-License-Identifier: Apache-2.0
"""A server as a process: its socket and its signals."""

import asyncio
import contextlib
import logging
import math
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http import h11_impl

from ns_jax.apps import addresses
from ns_jax.apps.serving import app
from ns_jax.apps.serving.service import Service, Settings
from ns_jax.errors import UserError

_logger = logging.getLogger(__name__)
_IDLE_SEC = 5  # of a connection on which nothing is asked


def listen(host: str, port: int) -> socket.socket:
  """Takes a port of this machine.

  Args:
    host: name or address.
    port: 0: any that is free.

  Raises:
    UserError: it cannot be had.
  """
  try:
    found = socket.getaddrinfo(
      host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, _, _, _, address = found[0]
    return socket.create_server(address[:2], family=family, backlog=512)
  except (OSError, OverflowError, UnicodeError) as error:
    raise UserError(
      f"cannot listen at {host}, port {port} ({error}); choose others with "
      "--host and --port"
    ) from error


class _Connection(h11_impl.H11Protocol):
  """One that ends where nobody asks for anything, the first time as well."""

  def connection_made(self, transport: Any) -> None:
    """Begins to wait."""
    super().connection_made(transport)
    self.timeout_keep_alive_task = self.loop.call_later(
      self.timeout_keep_alive, self.timeout_keep_alive_handler
    )


class Running(uvicorn.Server):
  """A server that takes a signal as a wish to end, and ends well."""

  def __init__(self, settings: Settings, listening: socket.socket):
    """Serves nothing yet.

    Args:
      settings: how the server is started.
      listening: where.
    """
    self._service, self._listening = Service(settings), listening
    limits = settings.limits
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # of Linux
      # Else a client that reads nothing more keeps its connection for ever.
      listening.setsockopt(
        socket.IPPROTO_TCP,
        socket.TCP_USER_TIMEOUT,
        round(1000 * limits.timeout_sec),
      )
    config = uvicorn.Config(
      app.make_app(self._service),
      http=_Connection,
      loop="asyncio",
      ws="none",
      lifespan="off",
      access_log=False,
      log_config=None,
      server_header=False,
      proxy_headers=False,
      timeout_keep_alive=min(_IDLE_SEC, math.ceil(limits.timeout_sec)),
      limit_concurrency=limits.max_connections,
      timeout_graceful_shutdown=round(limits.timeout_sec) + 1,
    )
    super().__init__(config)

  def run(self) -> None:
    """Serves until SIGTERM, Ctrl-C or `stop`, and finishes what it has begun.

    Raises:
      UserError: the model or a voice cannot be used.
    """
    asyncio.run(self._serve_all())

  def stop(self) -> None:
    """The first call lets what was begun be finished, a second does not."""
    self.force_exit = self.should_exit
    self.should_exit = self._service.is_stopping = True

  async def _serve_all(self) -> None:
    facts = {"url": addresses.url(self._listening)}
    _logger.info("listening", extra={"facts": facts})
    starting = asyncio.create_task(self._service.start())
    starting.add_done_callback(self._end_if_failed)
    try:
      await self.serve(sockets=[self._listening])
    finally:
      starting.cancel()
      await asyncio.wait([starting])
      await self._service.stop()
      _logger.info("stopped")
    if not starting.cancelled():
      starting.result()

  def _end_if_failed(self, starting: asyncio.Task[None]) -> None:
    if not starting.cancelled() and starting.exception() is not None:
      self.should_exit = True

  @contextlib.contextmanager
  def capture_signals(self) -> Iterator[None]:
    """While it serves; uvicorn would afterwards raise them once more."""
    if threading.current_thread() is not threading.main_thread():
      yield
      return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {n: signal.signal(n, lambda *_: self.stop()) for n in signals}
    try:
      yield
    finally:
      for number, handler in before.items():
        signal.signal(number, handler)
