# SPDX-License-Identifier: Apache-2.0
"""Serves the page, and of what Gradio would serve only what the page needs."""

import contextlib
import re
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import fastapi
import gradio as gr
import uvicorn
from fastapi.responses import PlainTextResponse

from ns_jax.apps.page import looks, page
from ns_jax.apps.page.house import House
from ns_jax.errors import UserError

Application: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]  # ASGI

# Not: fetching from elsewhere for visitors, cutting films, a list of calls.
_NEEDED = re.compile(
  r"/|/(config|theme\.css|favicon\.ico|manifest\.json|robots\.txt)"
  r"|/(assets|static|svelte)/.*"
  r"|/gradio_api/(queue/(join|data)|run/predict|upload|upload_progress|cancel"
  r"|reset|startup-events|theme\.css|app_id|heartbeat/\w+|file=/.*)"
)


def application(house: House, root_path: str = "") -> Application:
  """The page as a web application; `keeping.private` must be entered.

  Args:
    house: what the page works with.
    root_path: where a proxy shows it, as "/speech".
  """
  mounted = gr.mount_gradio_app(
    fastapi.FastAPI(openapi_url=None),
    page.build(house),
    path="/",
    footer_links=[],
    show_error=False,
    max_file_size=f"{house.limits.upload_mb}mb",
    root_path=root_path or None,
    ssr_mode=False,
    pwa=False,
    mcp_server=False,
    enable_monitoring=False,
    run_history=False,
    theme=looks.theme(),
    css=looks.STYLE,
  )

  async def narrowed(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http" and not _NEEDED.fullmatch(scope["path"]):
      refusal = PlainTextResponse("Not found", status_code=404)
      await refusal(scope, receive, send)
    else:
      await mounted(scope, receive, send)

  return narrowed


def listen(host: str, port: int) -> socket.socket:
  """A socket that is bound; whether the port is free shows before the work.

  Raises:
    UserError: it is not.
  """
  family = socket.AF_INET6 if ":" in host else socket.AF_INET
  bound = socket.socket(family)
  bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
  try:
    bound.bind((host, port))
  except OSError as error:
    bound.close()
    raise UserError(
      f"{host}:{port}: cannot be served on ({error.strerror}); "
      "give another --port or --host"
    ) from error
  return bound


def server(app: Application) -> uvicorn.Server:
  """The server; tests run it beside themselves."""
  return uvicorn.Server(
    uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5)
  )


def run(app: Application, bound: socket.socket) -> None:
  """Serves until Ctrl-C or SIGTERM, and then returns."""

  def end(*_: object) -> None:
    raise KeyboardInterrupt

  # The server stops first, and then gives itself the signal once more.
  signal.signal(signal.SIGTERM, end)
  with contextlib.suppress(KeyboardInterrupt):
    server(app).run(sockets=[bound])
