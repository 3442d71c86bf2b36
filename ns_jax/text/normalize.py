# SPDX-License-Identifier: Apache-2.0
"""Written English to plain words: numbers, money, dates, abbreviations.

The grammar is the library wetext's (Apache-2.0). The tables here only mend what
it reads wrongly and reduce the rest to letters and the punctuation of the
phoneme inventory. Pronunciation is in `espeak`.
"""

import functools
import re
import unicodedata

import wetext

from ns_jax.errors import UserError

# Applied in order before wetext: (regex, replacement).
_BEFORE = (
  (r"[‘’`]", "'"),
  (r"[“”\"«»*_~^|\\<>{}]", " "),
  (r"[−–](?=\d)", "-"),
  (r"[—–]|\.\.\.|\s-+\s|--+", ", "),
  (r"[()\[\]]", ", "),
  (r"(?<!\w)\+(?=\d)", "plus "),
  (r"#\s*(?=\d)", "number "),
  (r"(\d)\s*([€£$])", r"\2\1"),
  (r"\b(\d)(00\d)\b(?!\.\d)", r"\1,\2"),  # 1000 is no "ten hundred"
  (r"\b(\d{4})-(\d{4})\b", r"\1 to \2"),
  (r"\b(1[1-9])00s\b", r"\1 hundreds"),
  (r"\b(1\d|20)([1-9]0)s\b", r"\1 '\2s"),  # 1990s: nineteen nineties
  (r"\b([Nn]o|[Nn]r)\.\s*(?=\d)", "number "),
  (r"([A-Z]\w+\s)St\.?(?=\s*([,;:.!?]|$)|\s[a-z])", r"\1Street"),
  (r"([A-Z]\w+\s)Dr\.?(?=\s*([,;:.!?]|$)|\s[a-z])", r"\1Drive"),
  (r"\b[Ss]t\.?(?=\s+[A-Z])", "Saint"),
  (r"\bDr\b\.?", "doctor"),
  (r"\bMs\b\.?", "Miz"),
  (r"\bMR\b\.?", "Mister"),
  (r"\bMRS\b\.?", "Misses"),
  (r"\bProf\b\.?", "professor"),
  (r"\bSen\.(?=\s[A-Z])", "senator"),
  (r"\bGov\.(?=\s[A-Z])", "governor"),
  (r"\bAve\b\.?", "avenue"),
  (r"\bRd\.", "road"),
  (r"\b[Ii]nc\.", "incorporated"),
  (r"\b[Ff]ig\.", "figure"),
  (r"\b[Vv]ol\.", "volume"),
  (r"\b[Dd]ept\.", "department"),
  (r"\b[Aa]pprox\.", "approximately"),
  (r"\betc\.(?=\s+[A-Z]|\s*$)", "et cetera."),
  (r"\betc\b\.?", "et cetera"),
  (r"\bvs\b\.?", "versus"),
  (r"\be\.\s?g\.", "for example"),
  (r"\bi\.\s?e\.", "that is"),
  (r"\b([AaPp])\.\s?[Mm]\.(?=\s+[A-Z]|\s*$)", r"\1 m."),
  (r"\b([AaPp])\.\s?[Mm]\.", r"\1 m"),
)
_AFTER = (
  (r"\b([AP])M\b", r"\1 M"),
  (r"['\s]*[^A-Za-z0-9',.?!;:]+['\s]*", " "),
  (r"(?<![A-Za-z0-9])'+|'+(?![A-Za-z0-9])", ""),
  (r"\s*([,.?!;:])[,.?!;:\s]*", r"\1 "),
  (r"^[,.?!;:\s]+", ""),
)
_NUMBER_WORD = re.compile(
  r"(one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen"
  r"|\w+ty|hundred|oh|zero)"
)


def normalize(text: str) -> str:
  """Spells out text and leaves words and pause marks.

  Args:
    text: English, any Unicode.

  Returns:
    Words of a-z letters and apostrophes, separated by one space, with
    `, . ? ! ; :` directly after a word; the last character is one of `. ? !`.

  Raises:
    UserError: nothing to speak, letters of another script, or something the
      number grammar cannot read.
  """
  plain = _to_ascii(text)
  if not re.search(r"[A-Za-z0-9]", plain):
    raise UserError(
      f"text {_quote(text)} has nothing to speak; give at least one word"
    )
  words = _spell_numbers(_substitute(plain, _BEFORE))
  words = _substitute(words, _AFTER)
  return words if words[-1] in ".?!" else words.rstrip(",;:") + "."


def _to_ascii(text: str) -> str:
  """Takes accents off letters, drops emoji; keeps marks the tables know."""
  kept = []
  for char in unicodedata.normalize("NFKD", text.replace("½", " 1/2")):
    category = unicodedata.category(char)
    if category[0] == "L" and not char.isascii():
      raise UserError(
        f"text {_quote(text)}: cannot read the letter '{char}'; "
        "only English is spoken"
      )
    if category not in ("Mn", "So", "Sk", "Cs", "Co", "Cn", "Cf"):
      kept.append(" " if category in ("Cc", "Zs") else char)
  return " ".join("".join(kept).split())


def _substitute(text: str, table: tuple[tuple[str, str], ...]) -> str:
  for pattern, replacement in table:
    text = re.sub(pattern, replacement, text)
  return " ".join(text.split())


def _spell_numbers(text: str) -> str:
  try:
    words = str(_grammar().normalize(text))
  except AssertionError as error:
    # wetext asserts where no path of its grammar covers the text.
    raise UserError(
      f"cannot read text {_quote(text)}; spell out its numbers and signs"
    ) from error
  if "thousand" in text.lower():
    return words
  # wetext says "thousand two hundred" for 1,200.
  return re.sub(r"(\w+ )?\bthousand\b", _count_thousands, words)


def _count_thousands(match: re.Match[str]) -> str:
  before = match[1] or ""
  if _NUMBER_WORD.fullmatch(before.strip()):
    return match[0]
  return f"{before}one thousand"


@functools.cache
def _grammar() -> wetext.Normalizer:
  return wetext.Normalizer(lang="en", operator="tn")


def _quote(text: str) -> str:
  text = " ".join(text.split())
  return f"'{text if len(text) <= 40 else text[:37] + '...'}'"
