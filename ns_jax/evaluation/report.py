# SPDX-License-Identifier: Apache-2.0
"""report.json and report.md: what a run learned, and where to hear it."""

import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.figure

from ns_jax import figures
from ns_jax.evaluation.contract import Section
from ns_jax.training import workdir, writers

REPORT_MARKDOWN = "report.md"


def learning_section(stage_dir: pathlib.Path, run_dir: pathlib.Path) -> Section:
  """Held-out losses of a stage before and after training, and their curves.

  Args:
    stage_dir: workdir of the stage.
    run_dir: workdir of the report, which gets the picture.
  """
  held_out = [
    {k: v for k, v in record.items() if k.startswith("valid/")}
    | {"step": record["step"]}
    for record in writers.read_metrics(stage_dir)
    if any(name.startswith("valid/") for name in record)
  ]
  first, last = held_out[0], held_out[-1]
  stage = workdir.read_config(stage_dir).stage
  picture = f"learning_{stage}.png"
  _save_curves(run_dir / picture, held_out)
  return Section(
    title=f"Learning: {stage}",
    explanation=(
      f"Means over held-out speakers, untrained (step {first['step']}) and "
      f"trained (step {last['step']})."
    ),
    summary={},
    rows=[
      {
        "quantity": name.removeprefix("valid/"),
        "untrained": first[name],
        "trained": last[name],
      }
      for name in last
      if name != "step"
    ],
    pictures=[picture],
  )


def _save_curves(path: pathlib.Path, held_out: Sequence[Mapping]) -> None:
  names = [name for name in held_out[-1] if name != "step"]
  columns = 3
  lines = math.ceil(len(names) / columns)
  figure = matplotlib.figure.Figure(figsize=(4 * columns, 2.4 * lines))
  axes = figure.subplots(lines, columns, squeeze=False).ravel()
  for axis, name in zip(axes, names, strict=False):
    points = [(r["step"], r[name]) for r in held_out if name in r]
    axis.plot(*zip(*points, strict=True), marker=".")
    axis.set_title(name.removeprefix("valid/"), fontsize=9)
  for axis in axes[len(names) :]:
    axis.set_axis_off()
  figure.tight_layout()
  figures.save_figure(path, figure)


def reported_step(run_dir: pathlib.Path) -> int | None:
  """The step a run's report is of; None without a report."""
  path = run_dir / workdir.REPORT_FILE
  return json.loads(path.read_text())["step"] if path.exists() else None


def write_report(
  run_dir: pathlib.Path,
  title: str,
  step: int,
  sections: Mapping[str, Section],
  timing: Mapping[str, float],
) -> pathlib.Path:
  """Writes report.md, then report.json, whose presence says "finished".

  Args:
    run_dir: the run's folder.
    title: what was trained.
    step: how far.
    sections: name -> what was found.
    timing: name -> seconds; differs from run to run.

  Returns:
    Path of report.md.
  """
  lines = [f"# {title}, step {step}", ""]
  for section in sections.values():
    lines += _markdown(section)
  lines += ["## Time", "", "| part | seconds |", "|---|--:|"]
  lines += [f"| {name} | {seconds:.0f} |" for name, seconds in timing.items()]
  path = run_dir / REPORT_MARKDOWN
  path.write_text("\n".join(lines) + "\n", encoding="utf8")
  report = {
    name: {"summary": dict(section.summary), "rows": list(section.rows)}
    for name, section in sections.items()
  }
  workdir.write_json(
    run_dir / workdir.REPORT_FILE,
    {"step": step, **report, "timing": dict(timing)},
  )
  return path


def _markdown(section: Section) -> list[str]:
  lines = [f"## {section.title}", "", section.explanation, ""]
  if section.summary:
    lines += ["| quantity | value |", "|---|--:|"]
    lines += [f"| {k} | {_cell(v)} |" for k, v in section.summary.items()]
    lines += [""]
  if section.rows:
    names = list(section.rows[0])
    lines += [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    lines += [
      f"| {' | '.join(_cell(row[name]) for name in names)} |"
      for row in section.rows
    ]
    lines += [""]
  for picture in section.pictures:
    lines += [f"![{picture}]({picture})", ""]
  return lines


def _cell(value: Any) -> str:
  if isinstance(value, float):
    return f"{value:.4g}"
  text = str(value).replace("|", "\\|")
  return f"[{text}]({text})" if text.endswith(".wav") else text
