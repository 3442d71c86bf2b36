# SPDX-License-Identifier: Apache-2.0
"""`python -m ns_jax.main` as tests give it, and what its runs logged."""

import contextlib
import itertools
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

ROOT = pathlib.Path(__file__).parents[1]
_LIMIT_SEC = 600
# Imports once for all commands, and is a fork of itself for each of them.
_FORKS = f"""
import json, os, signal, sys
from ns_jax import main
from ns_jax.apps import jobs  # what the command imports late
for line in sys.stdin:
  sys.argv, log = json.loads(line)
  child = os.fork()
  if not child:
    file = os.open(log, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    signal.alarm({_LIMIT_SEC})
    main.main()
  print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


def command(config: str, *flags: str) -> list[str]:
  """The command with configs/<config>."""
  main = [sys.executable, "-m", "ns_jax.main"]
  return [*main, f"--config=configs/{config}", *flags]


def environment(cache: pathlib.Path) -> dict[str, str]:
  """Of one device; what is compiled is kept in `cache`."""
  one_device = "--xla_force_host_platform_device_count=1"
  return {
    **os.environ,
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} {one_device}",
    "JAX_COMPILATION_CACHE_DIR": str(cache),
  }


@contextlib.contextmanager
def forked(folder: pathlib.Path, prelude: str = "") -> Iterator[Run]:
  """Yields a function that runs a command without importing everything again.

  Args:
    folder: for the logs, and `compiled` with the compiled programs.
    prelude: Python that comes first.
  """
  numbers = itertools.count()

  def run(config: str, *flags: str) -> subprocess.CompletedProcess[str]:
    argv = command(config, *flags)[2:]
    log = folder / f"{next(numbers)}.log"
    assert process.stdin and process.stdout
    process.stdin.write(json.dumps([argv, str(log)]) + "\n")
    process.stdin.flush()
    status = int(process.stdout.readline())
    return subprocess.CompletedProcess(argv, status, stderr=log.read_text())

  with subprocess.Popen(
    [sys.executable, "-c", prelude + _FORKS],
    cwd=ROOT,
    env=environment(folder / "compiled"),
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  ) as process:
    yield run


def succeed(result: subprocess.CompletedProcess[str]) -> str:
  """What a command that must not fail has said."""
  assert result.returncode == 0, result.stderr[-3000:]
  return result.stderr


def metrics(workdir: pathlib.Path) -> list[dict[str, Any]]:
  """What a stage logged, without what depends on the clock."""
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  records = [json.loads(line) for line in lines]
  for record in records:
    del record["timing"]
  return records
