# SPDX-License-Identifier: Apache-2.0
"""Web pages without scripts: text, tables, pictures, players."""

import html
import re
import urllib.parse
from collections.abc import Iterable, Sequence

_STYLE = """
body { font: 16px/1.55 system-ui, sans-serif; max-width: 84rem;
  margin: 2rem auto 4rem; padding: 0 1rem; color: #1d2530; background: #fff }
h1, h2 { line-height: 1.2; letter-spacing: -.01em }
h1 { margin-bottom: .5rem }
h2 { margin-top: 3rem; padding-top: 1.2rem; border-top: 1px solid #dde2e8 }
a { color: #2460a7 } nav { margin: 0 0 1rem; line-height: 1.9 }
p, ul { max-width: 50rem; color: #465160 } li { margin: .4rem 0 }
.wide { overflow-x: auto }
table { border-collapse: collapse; margin: 1rem 0; font-size: .94rem }
td, th { padding: .25rem 1rem .25rem 0; text-align: left;
  vertical-align: top }
thead th { border-bottom: 1px solid #8c97a5; vertical-align: bottom }
tbody tr { border-bottom: 1px solid #edf0f3 }
.long { min-width: 11rem; overflow-wrap: anywhere }
.number { text-align: right; font-variant-numeric: tabular-nums }
audio { width: 11rem; height: 2rem; display: block }
figure { margin: 1.4rem 0 } img { max-width: 100% }
figcaption { font-size: .88rem; color: #66717f }
code { overflow-wrap: anywhere }
"""

NOTHING = "–"  # where a number is missing
_LONG = 24  # characters of text that want a column of some width


class Html(str):
  """Text that is HTML already; any other text is escaped."""


def text(value: object) -> Html:
  """Escapes text, unless it is HTML."""
  return value if isinstance(value, Html) else Html(html.escape(str(value)))


def document(title: str, parts: Iterable[Html]) -> str:
  """A whole page under a heading.

  Args:
    title: plain text.
    parts: what follows, in order.
  """
  return (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width">'
    f"<title>{text(title)}</title><style>{_STYLE}</style></head>\n"
    f"<body><h1>{text(title)}</h1>\n" + "\n".join(parts) + "</body></html>\n"
  )


def heading(title: str) -> Html:
  """A heading of the second level."""
  return Html(f'<h2 id="{_anchor(title)}">{text(title)}</h2>')


def paragraph(content: str) -> Html:
  """A paragraph of text."""
  return Html(f"<p>{text(content)}</p>")


def bullets(items: Iterable[str]) -> Html:
  """A list of texts."""
  return Html(f"<ul>{''.join(f'<li>{text(i)}</li>' for i in items)}</ul>")


def code(content: str) -> Html:
  """Text in type of one width."""
  return Html(f"<code>{text(content)}</code>")


def table(header: Sequence[str], rows: Iterable[Iterable[object]]) -> Html:
  """A table; numbers stand right, beginnings of rows that repeat stand once.

  Args:
    header: names of the columns.
    rows: a value for each column.
  """
  content = [[text(value) for value in row] for row in rows]
  lines = []
  for row, spans in zip(content, _spans(content), strict=True):
    cells = [
      f"<td{_attributes(i, value, span)}>{value}</td>"
      for i, (value, span) in enumerate(zip(row, spans, strict=True))
      if span
    ]
    lines.append(f"<tr>{''.join(cells)}</tr>")
  first = content[0] if content else [Html()] * len(header)
  heads = [  # each stands as the values under it do
    f"<th{_attributes(i, value, 1)}>{_breakable(name)}</th>"
    for i, (name, value) in enumerate(zip(header, first, strict=True))
  ]
  return Html(
    f'<div class="wide"><table><thead><tr>{"".join(heads)}</tr></thead><tbody>'
    + "\n".join(lines)
    + "</tbody></table></div>"
  )


def picture(source: str, caption: str = "") -> Html:
  """A picture: a path relative to the page, or data; and what it shows."""
  under = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
  return Html(
    f'<figure><img alt="{text(caption)}" src="{_address(source)}">'
    f"{under}</figure>"
  )


def contents(titles: Iterable[str]) -> Html:
  """Links to headings."""
  links = (f'<a href="#{_anchor(title)}">{text(title)}</a>' for title in titles)
  return Html(f"<nav>{' · '.join(links)}</nav>")


def _anchor(title: str) -> str:
  return re.sub(r"\W+", "-", title.lower()).strip("-")


def player(path: str) -> Html:
  """A player for a wave file; its path is relative to the page."""
  return Html(f'<audio controls preload="none" src="{_address(path)}"></audio>')


def _address(source: str) -> str:
  if not source.startswith("data:"):
    source = urllib.parse.quote(source)
  return html.escape(source)


def _spans(rows: Sequence[Sequence[Html]]) -> list[list[int]]:
  """How many rows each cell covers; 0 where one above does.

  Only the first cells of a row join those above, the last never does.
  """
  spans = [[1] * len(row) for row in rows]
  for column in range(len(rows[0]) - 1 if rows else 0):
    first = 0
    for i in range(1, len(rows)):
      is_same = rows[i][: column + 1] == rows[first][: column + 1]
      if is_same and not _is_number(rows[i][column]):
        spans[first][column] += 1
        spans[i][column] = 0
      else:
        first = i
  return spans


def _is_number(value: str) -> bool:
  try:
    float(value)
  except ValueError:
    return value == NOTHING
  return True


def _breakable(name: str) -> Html:
  """A name of a column that may go over several lines."""
  return Html(text(name).replace("_", "_<wbr>"))


def _attributes(column: int, value: str, span: int) -> str:
  attributes = f' rowspan="{span}"' if span > 1 else ""
  if column and _is_number(value):
    attributes += ' class="number"'
  elif len(value) > _LONG and "<" not in value:
    attributes += ' class="long"'
  return attributes
