# SPDX-License-Identifier: Apache-2.0
"""Several processes that meet, each running the same script."""

import os
import pathlib
import socket
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
_MEET = """
import sys
from ns_jax.apps import processes
index, address, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
sys.argv[1:] = sys.argv[4:]
"""
JOIN = "processes.join(address, count, index)\n"


def start(
  script: str,
  count: int,
  *args: object,
  logs: pathlib.Path,
  devices: int = 1,
  prelude: str = JOIN,
) -> list[subprocess.Popen]:
  """Starts processes that have met before the script begins.

  Args:
    script: Python; `index` and `count` say which process it is, of how many.
    count: processes.
    *args: their sys.argv[1:].
    logs: folder for <index>.log, what each of them prints.
    devices: simulated ones, of each.
    prelude: what comes before it.
  """
  with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{probe.getsockname()[1]}"
  environment = os.environ | {
    "JAX_PLATFORMS": "cpu",
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests/training")]),
    "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} "
    f"--xla_force_host_platform_device_count={devices}",
  }
  return [
    subprocess.Popen(
      [sys.executable, "-c", _MEET + prelude + script]
      + [str(arg) for arg in (index, address, count, *args)],
      cwd=ROOT,
      env=environment,
      stdout=(logs / f"{index}.log").open("w"),
      stderr=subprocess.STDOUT,
    )
    for index in range(count)
  ]


def succeed(fleet: list[subprocess.Popen], logs: pathlib.Path) -> list[str]:
  """What processes that must not fail have printed, once they are done."""
  statuses = [process.wait(timeout=300) for process in fleet]
  texts = [(logs / f"{i}.log").read_text() for i in range(len(fleet))]
  assert statuses == [0] * len(fleet), "\n".join(t[-3000:] for t in texts)
  return texts
