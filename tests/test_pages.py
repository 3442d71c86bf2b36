# SPDX-License-Identifier: Apache-2.0
"""Pages say what they are given, and nothing of it is taken for HTML."""

import html.parser

from ns_jax import pages


class Reader(html.parser.HTMLParser):
  """Tags in order, each one closed, and the text between them."""

  EMPTY = ("meta", "img", "wbr")

  def __init__(self, page):
    super().__init__()
    self.tags, self.text, self.open = [], [], []
    self.feed(page)
    assert not self.open

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))
    if tag not in self.EMPTY:
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    self.text.append(data)


NASTY = "<script>alert('1')</script> & \"two\""


def test_text_is_escaped_wherever_it_stands():
  page = pages.document(
    NASTY,
    [
      pages.heading(NASTY),
      pages.paragraph(NASTY),
      pages.bullets([NASTY]),
      pages.code(NASTY),
      pages.table((NASTY, "b"), [(NASTY, pages.player('a"/ö#1.wav'))]),
      pages.picture("samples/<1>.png"),
    ],
  )
  reader = Reader(page)
  assert "script" not in [tag for tag, _ in reader.tags]
  assert "".join(reader.text).count(NASTY) == 8
  sources = [attrs["src"] for _, attrs in reader.tags if "src" in attrs]
  assert sources == ["a%22/%C3%B6%231.wav", "samples/%3C1%3E.png"]


def test_data_is_an_address_as_it_is():
  ((_, _), (_, attributes)) = Reader(
    pages.picture("data:image/png;x,a+/=")
  ).tags
  assert attributes["src"] == "data:image/png;x,a+/="


def test_beginnings_that_repeat_stand_once_and_numbers_right():
  rows = [
    ("one", "x", "7.5", "same"),
    ("one", "y", "7.5", "same"),
    ("one", "y", "7.5", "same"),
    ("two", "y", "-1e3", "same"),
  ]
  reader = Reader(pages.table(("a", "b", "c", "d"), rows))
  cells = [attributes for tag, attributes in reader.tags if tag == "td"]
  assert [cell.get("rowspan") for cell in cells] == [
    *("3", None, None, None),
    *("2", None, None),
    *(None, None),
    *(None, None, None, None),
  ]
  assert sum(cell.get("class") == "number" for cell in cells) == 4
  heads = [attributes for tag, attributes in reader.tags if tag == "th"]
  assert [head.get("class") for head in heads] == [None, None, "number", None]


def test_a_table_may_be_empty():
  assert "<td" not in pages.table(("a", "b"), [])


def test_names_may_be_broken_and_missing_numbers_stand_with_numbers():
  table = pages.table(("clip", "wer_percent"), [("a", pages.NOTHING)])
  assert '<th class="number">wer_<wbr>percent</th>' in table
  assert f'<td class="number">{pages.NOTHING}</td>' in table
  words = "as many words as a column would squeeze"
  assert f'<td class="long">{words}</td>' in pages.table(("a",), [(words,)])


def test_contents_lead_to_headings():
  titles = ["Learning: ns2", "Zero-shot <synthesis>, unseen"]
  parts = [pages.contents(titles), *map(pages.heading, titles)]
  reader = Reader(pages.document("run", parts))
  links = [attrs["href"] for tag, attrs in reader.tags if tag == "a"]
  places = [attrs["id"] for tag, attrs in reader.tags if tag == "h2"]
  assert links == [f"#{place}" for place in places] and len({*places}) == 2


def test_a_picture_may_say_what_it_shows():
  reader = Reader(pages.picture("a.png", NASTY))
  assert reader.tags[1] == ("img", {"alt": NASTY, "src": "a.png"})
  assert reader.text == [NASTY]
