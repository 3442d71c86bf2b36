# SPDX-License-Identifier: Apache-2.0
"""Several processes that meet, each running the same script."""

import os
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

ROOT = pathlib.Path(__file__).parents[1]
_MEET = """
import sys
from ns_jax.apps import processes
index, address, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
sys.argv[1:] = sys.argv[4:]
"""
JOIN = "processes.join(address, count, index)\n"
# Trains the toy of tests/training: a folder (as a flag) and steps are given.
TRAIN_TOY = """
import pathlib, time
import jax, toy
from ns_jax import sharding
from ns_jax.errors import Preempted
from ns_jax.training import loop

def slowly(feeds):
  def train(first):
    for batch in feeds.train(first):
      time.sleep(0.05)
      yield batch
  return loop.Feeds(train, feeds.valid)

run_dir = pathlib.Path(sys.argv[1].removeprefix("--workdir="))
rows = slice(16 // count * index, 16 // count * (index + 1))
mesh = sharding.make_mesh(dict(data=-1, fsdp=1, tensor=1))
jax.set_mesh(mesh)
try:
  state = loop.fit(toy.make_config(int(sys.argv[2])), toy.make_stage(),
                   slowly(toy.make_feeds(rows)), run_dir, mesh=mesh,
                   frozen=toy.FROZEN)
  print("done", state.step)
except Preempted as error:
  print("stopped", error)
"""


def start(
  script: str,
  count: int,
  *args: object,
  logs: pathlib.Path,
  devices: int = 1,
  prelude: str = JOIN,
  under: Sequence[str] = (),
) -> list[subprocess.Popen]:
  """Starts processes that have met before the script begins.

  Args:
    script: Python; `index` and `count` say which process it is, of how many.
    count: processes.
    *args: their sys.argv[1:].
    logs: folder for <index>.log, what each of them prints.
    devices: simulated ones, of each.
    prelude: what comes before it.
    under: command that runs each of them.
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
      [*under, sys.executable, "-c", _MEET + prelude + script]
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


def wait_for_checkpoint(
  run_dir: pathlib.Path, step: int, fleet: list[subprocess.Popen]
) -> None:
  """Returns once it is on disk; the processes must be at work until then."""
  deadline = time.monotonic() + 120
  while not (run_dir / "checkpoints" / str(step)).exists():
    assert time.monotonic() < deadline
    assert all(process.poll() is None for process in fleet)
    time.sleep(0.05)
