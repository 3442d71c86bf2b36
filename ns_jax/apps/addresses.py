# SPDX-License-Identifier: Apache-2.0
"""Where the page and the server are found, and by whom."""

import ipaddress
import socket


def url(bound: socket.socket) -> str:
  """What to open in a browser on this machine."""
  host, port = bound.getsockname()[:2]
  return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_own(host: str) -> bool:
  """Whether a name or an address is one that only this machine can reach."""
  try:
    return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
  except ValueError:
    return False
