# SPDX-License-Identifier: Apache-2.0
"""What a run learned and how it sounds: as JSON, as Markdown, as a page."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import matplotlib.figure

from ns_jax import figures, files, pages, paths
from ns_jax.evaluation.contract import SAMPLES_DIR, Section
from ns_jax.training import workdir, writers

REPORT_MARKDOWN, REPORT_PAGE = "report.md", "report.html"


def learning_section(stage_dir: paths.Path, run_dir: paths.Path) -> Section:
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
      f"Means over the held-out split, untrained (step {first['step']}) and "
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


def _save_curves(path: paths.Path, held_out: Sequence[Mapping]) -> None:
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


def reported_step(run_dir: paths.Path) -> int | None:
  """The step a run's report is of; None without a report."""
  exists = (run_dir / workdir.REPORT_FILE).exists()
  return read_report(run_dir)["step"] if exists else None


def read_report(run_dir: paths.Path) -> dict[str, Any]:
  """The step, what was found by section, and the seconds it took."""
  return json.loads(files.read_text(run_dir / workdir.REPORT_FILE))


def write_report(
  run_dir: paths.Path,
  title: str,
  step: int,
  sections: Mapping[str, Section],
  timing: Mapping[str, float],
) -> paths.Path:
  """Writes the report; report.json last, whose presence says "finished".

  Args:
    run_dir: the run's folder.
    title: what was trained.
    step: how far.
    sections: name -> what was found.
    timing: name -> seconds; differs from run to run.

  Returns:
    Path of report.md.
  """
  title = f"{title}, step {step}"
  lines = [f"# {title}", ""]
  for section in sections.values():
    lines += _markdown(section)
  lines += ["## Time", "", "| part | seconds |", "|---|--:|"]
  lines += [f"| {name} | {seconds:.0f} |" for name, seconds in timing.items()]
  path = run_dir / REPORT_MARKDOWN
  files.write(path, ("\n".join(lines) + "\n").encode())
  page = _page(title, sections.values(), timing)
  files.write(run_dir / REPORT_PAGE, page.encode())
  report = {name: _plain(section) for name, section in sections.items()}
  workdir.write_json(
    run_dir / workdir.REPORT_FILE,
    {"step": step, **report, "timing": dict(timing)},
  )
  return path


def _plain(section: Section) -> dict[str, Any]:
  """A section as JSON has it."""
  plain: dict[str, Any] = {
    "summary": dict(section.summary),
    "rows": list(section.rows),
  }
  if section.comparison:
    plain["comparison"] = dict(section.comparison)
  if section.details:
    plain["details"] = list(section.details)
  return plain


def _tables(section: Section) -> Iterator[tuple[list[str], list[list[Any]]]]:
  """Header and rows of each table of a section."""
  if section.summary:
    yield (
      ["quantity", "value"],
      [list(item) for item in section.summary.items()],
    )
  if section.comparison:
    systems = list(next(iter(section.comparison.values())))
    yield (
      ["quantity", *systems],
      [
        [quantity, *(values[name] for name in systems)]
        for quantity, values in section.comparison.items()
      ],
    )
  if section.rows:
    names = list(section.rows[0])
    yield names, [[row[name] for name in names] for row in section.rows]


def _is_sample(value: Any) -> bool:
  return (
    isinstance(value, str)
    and value.startswith(f"{SAMPLES_DIR}/")
    and value.endswith(".wav")
  )


def _markdown(section: Section) -> list[str]:
  lines = [f"## {section.title}", "", section.explanation, ""]
  for header, rows in _tables(section):
    marks = [
      "--:" if isinstance(value, int | float) else "---" for value in rows[0]
    ]
    lines += [f"| {' | '.join(header)} |", f"|{'|'.join(marks)}|"]
    lines += [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    lines += [""]
  for picture in section.pictures:
    lines += [f"![{picture}]({picture})", ""]
  return lines


def _cell(value: Any) -> str:
  if isinstance(value, float):
    return f"{value:.4g}"
  text = str(value).replace("|", "\\|")
  return f"[{text}]({text})" if _is_sample(value) else text


def _page(
  title: str, sections: Iterable[Section], timing: Mapping[str, float]
) -> str:
  parts = []
  for section in sections:
    parts += [
      pages.heading(section.title),
      pages.paragraph(section.explanation),
    ]
    parts += [
      pages.table(header, [map(_shown, row) for row in rows])
      for header, rows in _tables(section)
    ]
    parts += map(pages.picture, section.pictures)
  parts += [
    pages.heading("Time"),
    pages.table(
      ("part", "seconds"),
      [(name, f"{seconds:.0f}") for name, seconds in timing.items()],
    ),
  ]
  return pages.document(title, parts)


def _shown(value: Any) -> object:
  """A value as the page shows it: samples get a player."""
  if isinstance(value, float):
    return pages.NOTHING if math.isnan(value) else f"{value:.4g}"
  return pages.player(value) if _is_sample(value) else value
