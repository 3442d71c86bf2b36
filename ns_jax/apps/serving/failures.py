# SPDX-License-Identifier: Apache-2.0
"""Refusals and mistakes in OpenAI's form: {"error": {"message", ...}}."""

import json
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_CODES = {
  400: "invalid_request",
  404: "not_found",
  405: "method_not_allowed",
  413: "too_large",
}


class Failure(HTTPException):
  """A request that cannot be served, and why."""

  def __init__(
    self,
    status: int,
    message: str,
    code: str,
    *,
    param: str | None = None,
    headers: dict[str, str] | None = None,
  ):
    """Says what is wrong.

    Args:
      status: of HTTP.
      message: one line for people: what is wrong, and what to do.
      code: one word for programs.
      param: the field of the request that is wrong.
      headers: of the response.
    """
    super().__init__(status, message, headers)
    self.code, self.param = code, param


def too_large(message: str, param: str | None = None) -> Failure:
  """More than this server takes."""
  return Failure(413, message, "too_large", param=param)


def body_of(failure: HTTPException) -> dict[str, Any]:
  """What clients of OpenAI read of a failure."""
  status = failure.status_code
  kind = "server_error" if status >= 500 else "invalid_request_error"
  return {
    "error": {
      "message": failure.detail,
      "type": "rate_limit_error" if status == 429 else kind,
      "param": getattr(failure, "param", None),
      "code": getattr(failure, "code", _CODES.get(status)),
    }
  }


def respond(failure: HTTPException) -> Response:
  """The response; its JSON is ASCII, whatever the request was."""
  return Response(
    json.dumps(body_of(failure)),
    failure.status_code,
    failure.headers,
    media_type="application/json",
  )


def install(app: FastAPI) -> None:
  """Has an app answer in this form, whatever goes wrong."""

  @app.exception_handler(HTTPException)
  async def refuse(_: Request, failure: HTTPException) -> Response:
    return respond(failure)

  @app.exception_handler(RequestValidationError)
  async def explain(_: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    # After the field come places in it; values are not repeated.
    where = [part for part in first["loc"][1:] if isinstance(part, str)]
    param = where[0] if where else None
    message = f"{param}: {first['msg']}" if param else first["msg"]
    return respond(Failure(400, message, "invalid_request", param=param))

  @app.exception_handler(Exception)
  async def apologise(_: Request, __: Exception) -> Response:
    return respond(Failure(500, "the server failed", "internal_error"))
