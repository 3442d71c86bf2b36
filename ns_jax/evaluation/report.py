# SPDX-License-Identifier: Apache-2.0
"""What a run learned and how it sounds: as JSON, as Markdown, as a page."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ns_jax import figures, files, pages, paths
from ns_jax.evaluation import curves
from ns_jax.evaluation.contract import SAMPLES_DIR, Section
from ns_jax.training import workdir, writers

REPORT_MARKDOWN, REPORT_PAGE = "report.md", "report.html"


def learning_section(stage_dir: paths.Path, run_dir: paths.Path) -> Section:
  """How a stage learned: held-out losses before and after, curves, pictures.

  Args:
    stage_dir: workdir of the stage.
    run_dir: workdir of the report, which gets the pictures.
  """
  records = writers.read_metrics(stage_dir)
  held_out = [
    {k: v for k, v in record.items() if _is_of_the_whole(k)}
    | {"step": record["step"]}
    for record in records
    if any(map(_is_of_the_whole, record))
  ]
  first, last = held_out[0], held_out[-1]
  stage = workdir.read_config(stage_dir).stage
  captions = {}
  for name, figure in curves.pictures(records):
    picture = f"learning_{stage}_{name.replace(' ', '_')}.png"
    captions[picture] = name.capitalize()
    figures.save_figure(run_dir / picture, figure)
  for source in sorted((stage_dir / writers.PREVIEWS_DIR).glob("*.png")):
    picture = f"learning_{stage}_{source.name}"
    captions[picture] = _caption(source.stem)
    files.write(run_dir / picture, source.read_bytes())
  return Section(
    title=f"Learning: {stage}",
    explanation=(
      f"Means over the held-out split, untrained (step {first['step']}) and "
      f"trained (step {last['step']}). In the charts, by step: training blue, "
      "held out orange. Under them, held-out speech at the last evaluation."
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
    pictures=list(captions),
    captions=captions,
  )


def _caption(preview: str) -> str:
  """Of a picture that was drawn in training: `pitch_0`, `codebook_usage`."""
  kind, of = preview.split("_", 1)
  which = f", held-out example {int(of) + 1}" if of.isdigit() else f" {of}"
  return kind.capitalize() + which


def _is_of_the_whole(name: str) -> bool:
  """Whether a metric is held out and of no group, as single codebooks are."""
  return name.startswith("valid/") and name.count("/") == 1


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
    lines += [f"![{section.captions.get(picture, picture)}]({picture})", ""]
  return lines


def _cell(value: Any) -> str:
  if isinstance(value, float):
    return f"{value:.4g}"
  text = str(value).replace("|", "\\|")
  return f"[{text}]({text})" if _is_sample(value) else text


def _page(
  title: str, sections: Iterable[Section], timing: Mapping[str, float]
) -> str:
  sections = list(sections)
  parts = [pages.contents(section.title for section in sections)]
  for section in sections:
    parts += [
      pages.heading(section.title),
      pages.paragraph(section.explanation),
    ]
    parts += [
      pages.table(header, [map(_shown, row) for row in rows])
      for header, rows in _tables(section)
    ]
    parts += [
      pages.picture(name, section.captions.get(name, ""))
      for name in section.pictures
    ]
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
