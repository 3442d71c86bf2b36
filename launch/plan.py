# SPDX-License-Identifier: Apache-2.0
"""What training every stage takes on TPUs: the table of docs/plan.md.

  pip install -e '.[plan]'
  python launch/plan.py --out=runs/plans

Compiles each step for slices that are not there, with `ns-jax plan`; minutes
each. What is in the folder already is kept, so it can be stopped at any time.
--stage=ns2 --topology=v5e-16 plans a part.
"""

import argparse
import dataclasses
import datetime
import json
import pathlib
import subprocess
import sys
from typing import Any

import jax
import tqdm

from ns_jax.apps import terminal
from ns_jax.planning import table

DOC = pathlib.Path(__file__).parents[1] / "docs" / "plan.md"
_BEGIN, _END = "<!-- table -->\n", "<!-- end of table -->\n"


@dataclasses.dataclass(frozen=True)
class Job:
  """One command."""

  config: str
  topology: str
  rows: int  # of the global batch
  options: tuple[str, ...] = ()
  is_quick: bool = False

  @property
  def name(self) -> str:
    """Of its file."""
    stage = self.config.removeprefix("configs/").replace(".py:", "-")
    options = [f"-{option.split('.')[-1]}" for option in self.options]
    return f"{stage}-{self.topology}-{self.rows}" + "".join(options)

  @property
  def command(self) -> list[str]:
    """To be given to Python."""
    options = [f"--config.{option}" for option in self.options]
    return [
      *("-m", "ns_jax.apps.cli", "plan", "--config", self.config),
      *("--topology", self.topology, "--rows", str(self.rows)),
      *("--no-search", "--json", *["--quick"] * self.is_quick, *options),
    ]


_NS2, _NS1 = "configs/ns2.py:paper", "configs/ns1.py:paper"
_CODEC, _LM = "configs/codec.py:paper", "configs/phoneme_lm.py:paper"
_ALIGNER = "configs/aligner.py:corpus"
# Of hundreds of convolutions each, a step with discriminators was not compiled
# in 30 minutes, nor in 12 GB of memory.
# Global batches are the configs' own, and then as many times as large as the
# slice is larger than v5e-16.
JOBS = (
  Job(_NS2, "v5e-16", 64),
  Job(_NS2, "v5e-256", 1024),
  Job(_NS2, "v5e-16", 64, ("mesh.fsdp=8",)),
  Job(_NS2, "v5e-256", 1024, ("mesh.fsdp=8",)),
  Job(_NS2, "v5e-256", 64, ("mesh.tensor=4",)),
  Job(_NS2, "v4-8", 64, ("train.micro_batches=2",)),
  Job(_NS2, "v4-8", 64, ("train.micro_batches=2", "mesh.fsdp=4")),
  Job(_CODEC, "v5e-16", 1600, ("train.micro_batches=4",), is_quick=True),
  Job(_CODEC, "v5e-256", 25_600, ("train.micro_batches=4",), is_quick=True),
  Job(_CODEC, "v4-8", 1600, ("train.micro_batches=8",), is_quick=True),
  Job(_NS1, "v5e-16", 128, is_quick=True),
  Job(_NS1, "v5e-256", 2048, is_quick=True),
  Job(_NS1, "v4-8", 128, is_quick=True),
  Job(_LM, "v5e-16", 1024),
  Job(_LM, "v5e-256", 16_384),
  Job(_LM, "v4-8", 1024, ("train.micro_batches=2",)),
  Job(_ALIGNER, "v5e-16", 16),
  Job(_ALIGNER, "v5e-256", 256),
  Job(_ALIGNER, "v4-8", 16),
)
_COLUMNS = (
  "stage, from step",
  "slice",
  "layout",
  "rows",
  "GB of a chip",
  "TFLOP",
  "HBM GB",
  "sent GB",
  "compute, memory, exchange ms",
  "step ms",
  "expected ms",
  "MFU %",
  "expected MFU %",
  "audio h/h",
  "days",
)


def main() -> None:
  """Runs what is missing and writes the table."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--out", type=pathlib.Path, required=True)
  parser.add_argument("--stage", default="")
  parser.add_argument("--topology", default="")
  parser.add_argument("--doc", type=pathlib.Path, default=DOC)
  args = parser.parse_args()
  args.out.mkdir(parents=True, exist_ok=True)
  wanted = [
    job
    for job in JOBS
    if job.config.startswith(f"configs/{args.stage}")
    and args.topology in ("", job.topology)
  ]
  for job in tqdm.tqdm(wanted, unit="plan"):
    _run(job, args.out / f"{job.name}.json")
  _write(args.out, args.doc)


def _run(job: Job, path: pathlib.Path) -> None:
  """Plans unless it has been done."""
  if path.exists():
    return
  done = subprocess.run(
    [sys.executable, *job.command],
    cwd=DOC.parents[1],
    stdout=subprocess.PIPE,
    check=False,
  )
  if done.returncode:
    sys.exit(done.returncode)  # it said why
  part = path.with_suffix(".part")
  part.write_bytes(done.stdout)
  part.rename(path)


def _write(out: pathlib.Path, doc: pathlib.Path) -> None:
  """Puts the table of what there is into the document."""
  date = datetime.date.today().isoformat()
  lines = [
    f"| {' | '.join(_COLUMNS)} |",
    "|---|---|---|" + "--:|" * (len(_COLUMNS) - 3),
  ]
  for job in JOBS:
    path = out / f"{job.name}.json"
    if path.exists():
      for step in json.loads(path.read_text())["steps"]:
        lines.append(f"| {' | '.join(_cells(job, step))} |")
  table_text = "\n".join([*lines, "", f"jax {jax.__version__}, {date}.", ""])
  before, rest = doc.read_text(encoding="utf-8").split(_BEGIN)
  after = rest.split(_END)[1]
  whole = f"{before}{_BEGIN}\n{table_text}\n{_END}{after}"
  doc.write_text(whole, encoding="utf-8")


def _cells(job: Job, step: dict[str, Any]) -> list[str]:
  """One row: a phase of a stage on a slice."""
  bound = step["bound"]
  parts = [
    _digits(1e3 * bound[f"{name}_sec"])
    for name in ("compute", "memory", "interconnect")
  ]
  fastest, slowest = step["step_sec"]
  times = [fastest, step["expected_sec"]]
  audio_sec = step["audio_sec"]
  return [
    f"{step['stage']}, {step['first_step']:,}" + " *" * job.is_quick,
    job.topology,
    step["layout"].replace(" x fsdp 1", "").replace(" x tensor 1", ""),
    f"{step['rows']:,}",
    _digits(step["memory_bytes"] / 1e9),
    _digits(step["flops"] / 1e12),
    _digits(step["traffic_bytes"] / 1e9),
    _digits(sum(e["bytes"] for e in step["exchanges"]) / 1e9),
    ", ".join(parts),
    f"{_digits(1e3 * fastest)} to {_digits(1e3 * slowest)}",
    _digits(1e3 * step["expected_sec"]),
    table.span(step["utilisation"], ".0f", 100.0),
    table.span([step["expected_utilisation"]] * 2, ".0f", 100.0),
    table.span([audio_sec and audio_sec / t for t in times[::-1]], ",.0f"),
    table.span([step["num_steps"] * t / 86_400.0 for t in times], ".2g"),
  ]


def _digits(value: float) -> str:
  """Three of them, or all before the point."""
  return f"{value:,.0f}" if value >= 1000.0 else f"{value:.3g}"


if __name__ == "__main__":
  sys.exit(terminal.guarded(main))
