# SPDX-License-Identifier: Apache-2.0
"""How long something takes, and on what."""

import os
import pathlib
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
  """Result and seconds of one call."""
  start = time.perf_counter()
  result = work()
  return result, time.perf_counter() - start


def in_turn(
  works: Mapping[str, Callable[[], Any]], *, rounds: int
) -> dict[str, float]:
  """Seconds of each work: the median over rounds that take turns.

  So a slow moment of the machine hits all alike, and nobody always comes after
  the same one. The first call of each, which compiles, does not count.
  """
  for work in works.values():
    work()
  seconds: dict[str, list[float]] = {name: [] for name in works}
  order = list(works.items())
  for _ in range(rounds):
    for name, work in order:
      seconds[name].append(timed(work)[1])
    order.reverse()
  return {name: sorted(s)[len(s) // 2] for name, s in seconds.items()}


def print_table(
  title: str,
  rows: Sequence[tuple[str, float, Mapping[str, float]]],
  figure: Callable[[float, float], float],
) -> None:
  """Prints what `in_turn` gave.

  Args:
    title: of the first column.
    rows: label, size of the work, and seconds of each name.
    figure: what to print, of size and seconds.
  """
  names = list(rows[0][2])
  print(f"| {title} | {' | '.join(names)} |")
  print("|---|" + "--:|" * len(names))
  for label, size, times in rows:
    cells = [f"{figure(size, times[name]):.4g}" for name in names]
    print(f"| {label} | {' | '.join(cells)} |", flush=True)
  print()


def machine() -> str:
  """Processor and number of cores this process may use."""
  lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
  names = [
    line.split(":")[1] for line in lines if line.startswith("model name")
  ]
  name = names[0].strip() if names else platform.processor()
  cores = len(os.sched_getaffinity(0))
  return f"{platform.machine()}, {cores} cores, {name}"
