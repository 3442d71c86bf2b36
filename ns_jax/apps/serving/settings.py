# SPDX-License-Identifier: Apache-2.0
"""What one server may be asked for, and by whom."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Limits:
  """Bounds on requests; what is beyond is refused, not cut off."""

  max_requests: int = 64  # that are spoken or wait for it
  max_characters: int = 4096  # of a text, as OpenAI's
  max_upload_bytes: int = 10 * 2**20
  max_prompt_sec: float = 60.0
  max_voices: int = 1000
  timeout_sec: float = 120.0  # from a request's arrival to its last byte

  @property
  def max_request_bytes(self) -> int:
    """Of a request to speak: JSON writes a character in 12 bytes at most."""
    return 12 * self.max_characters + 2**16

  @property
  def max_connections(self) -> int:
    """Beyond them all requests are answered with 503."""
    return 4 * self.max_requests + 64


@dataclasses.dataclass(frozen=True)
class Access:
  """Who may ask."""

  key: str | None = None  # what every client must show; None: nothing
  is_local: bool = True  # only this machine can reach the server
