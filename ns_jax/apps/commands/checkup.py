# SPDX-License-Identifier: Apache-2.0
"""`ns-jax doctor` and `bench`: whether all works here, and how fast."""

import dataclasses

from ns_jax import compiled
from ns_jax.apps import terminal
from ns_jax.apps.commands import shared


@shared.verb()
def doctor() -> shared.Done:
  """Checks this installation and says how to mend what is wrong.

  Versions, devices, extras, what reads text and sound, the models that come
  along, room, and a second of speech. Nothing is changed. The exit status is 1
  where something is broken.

  Example: ns-jax doctor
  """
  import tqdm

  from ns_jax.apps import checkup

  found = list(tqdm.tqdm(checkup.findings(), "checked", leave=False))
  marks = {
    checkup.OK: "✓",
    checkup.ABSENT: "·",
    checkup.NOTE: "!",
    checkup.BROKEN: "✗",
  }
  width = max(len(finding.subject) for finding in found)
  lines = []
  for one in found:
    lines.append(f"{marks[one.grade]} {one.subject:{width}}  {one.what}")
    if one.remedy:
      lines.append(f"  {'':{width}}  -> {one.remedy}")
  num_broken = sum(one.grade == checkup.BROKEN for one in found)
  lines.append(
    f"\n{num_broken} found broken." if num_broken else "\nAll is well."
  )
  return shared.Done(
    "\n".join(lines),
    {"findings": [dataclasses.asdict(one) for one in found]},
    terminal.BROKEN if num_broken else 0,
  )


@shared.verb()
def bench() -> shared.Done:
  """Measures this machine: matrix products, the codec, speech.

  With what comes along, in a minute or two. The speed of training and of other
  programs beside ours is measured by launch/bench.py of the repository.

  Example: ns-jax bench
  """
  import tqdm

  from ns_jax.apps import measuring

  compiled.keep()
  machine = measuring.machine()
  figures = list(tqdm.tqdm(measuring.measure(), "measured", leave=False))
  width = max(len(figure.name) for figure in figures)
  lines = [", ".join(f"{name} {value}" for name, value in machine.items())]
  lines += [
    f"{one.name:{width}}  {one.value:8.1f} {one.unit}, "
    f"first call {one.first_sec:.1f} s"
    for one in figures
  ]
  return shared.Done(
    "\n".join(lines),
    {"machine": machine, "figures": [dataclasses.asdict(f) for f in figures]},
  )
