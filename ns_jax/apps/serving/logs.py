# SPDX-License-Identifier: Apache-2.0
"""A log of one JSON object a line, without what users wrote."""

import datetime
import json
import logging
import sys
import traceback


class AsJson(logging.Formatter):
  """Time, level, event, and the facts that came with it."""

  def format(self, record: logging.LogRecord) -> str:
    """One line."""
    time = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
    told = {
      "time": time.isoformat(timespec="milliseconds"),
      "level": record.levelname.lower(),
      "event": record.getMessage().strip(),
      **getattr(record, "facts", {}),
    }
    if record.exc_info and record.exc_info[1]:
      told["error"] = whereabouts(record.exc_info[1])
    return json.dumps(told)


def whereabouts(error: BaseException) -> list[str]:
  """Kind and places of a mistake; its message may hold what a user wrote."""
  frames = traceback.extract_tb(error.__traceback__)[-6:]
  places = [f"{f.filename.rpartition('/')[2]}:{f.lineno}" for f in frames]
  return [type(error).__name__, *places]


def to_stderr() -> None:
  """Logs what we and the HTTP server have to say."""
  handler = logging.StreamHandler(sys.stderr)
  handler.setFormatter(AsJson())
  for name in ("ns_jax", "uvicorn"):
    logger = logging.getLogger(name)
    logger.handlers, logger.propagate = [handler], False
  logging.getLogger("uvicorn").setLevel(logging.ERROR)
  # An answer that ends early is in our own log, with its reason.
  logging.getLogger("uvicorn.error").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
  return "without completing response" not in record.getMessage()
