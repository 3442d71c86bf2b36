# SPDX-License-Identifier: Apache-2.0
"""The words of a score as phones, each syllable with the notes it is sung on.

Words are read clause by clause, as in speech, so that weak forms and the sounds
between words are those of fluent English. A clause ends at a punctuation mark
or a rest.
"""

import dataclasses
import re
from collections.abc import Sequence

import numpy as np

from ns_jax.errors import UserError
from ns_jax.singing.score import Note, Score
from ns_jax.text import syllables, symbols
from ns_jax.text.frontend import Frontend
from ns_jax.text.syllables import Syllable

MIN_REST_SEC = 0.08  # a shorter gap is how a key is let go, not a rest
_MARKS = re.compile(r"([,.;:!?])\W*$")


@dataclasses.dataclass(frozen=True)
class SungSyllable:
  """A syllable and the notes its vowel is held on."""

  phones: Syllable
  notes: tuple[int, ...]  # indices, ascending, without a rest between them
  mark: str  # the pause symbol for a rest after it


@dataclasses.dataclass
class _Word:
  text: str
  pieces: list[tuple[int, str]]  # (note, what of the word begins there)


@dataclasses.dataclass
class _Unit:
  """A word, or several that have only one vowel together."""

  phones: list[str]
  pieces: list[tuple[int, str]]


def rests_after(notes: Sequence[Note]) -> list[bool]:
  """Whether a rest follows each note; the end counts as one."""
  gaps = [
    after.onset_sec - before.end_sec
    for before, after in zip(notes, notes[1:], strict=False)
  ]
  return [*(gap >= MIN_REST_SEC for gap in gaps), True]


def syllabify(score: Score) -> list[SungSyllable]:
  """Reads the lyrics and lays them on the notes.

  Where a word has more syllables than notes, notes are shared; where it has
  fewer, as "every" on three, its first vowel is held.

  Raises:
    UserError: a word cannot be read.
  """
  rests = rests_after(score.notes)
  frontend = Frontend()
  sung = []
  for clause in _clauses(score.notes, rests):
    mark = _MARKS.search(clause[-1].text)
    for unit in _merge_vowelless(_read(frontend, clause)):
      sung += [
        SungSyllable(phones, held, symbols.SILENCE)
        for phones, held in _lay(unit)
      ]
    if mark:
      sung[-1] = dataclasses.replace(sung[-1], mark=mark[1])
  return _divide_at_rests(_hold(sung, score.notes), rests)


def _clauses(notes: Sequence[Note], rests: Sequence[bool]) -> list[list[_Word]]:
  """Joins syllables to words, and words to what is said in one breath."""
  words: list[_Word] = []
  last_notes: list[int] = []  # of each word, held notes included
  for index, note in enumerate(notes):
    for i, text in enumerate(note.syllable.split()):
      if not re.search(r"\w", text):
        continue  # a dash or quotation mark of its own
      if i == 0 and note.continues_word and words:
        words[-1].text += text
        words[-1].pieces.append((index, text))
      else:
        words.append(_Word(text, [(index, text)]))
        last_notes.append(index)
    if words:
      last_notes[-1] = index
  if not words:
    raise UserError("the score's lyrics have no words; write words to sing")
  clauses: list[list[_Word]] = [[]]
  for word, last in zip(words, last_notes, strict=True):
    clauses[-1].append(word)
    if rests[last] or _MARKS.search(word.text):
      clauses.append([])
  return [clause for clause in clauses if clause]


def _read(frontend: Frontend, clause: Sequence[_Word]) -> list[_Unit]:
  """The phones of each word of a clause, none for some perhaps."""
  texts = [word.text for word in clause]
  reading = frontend.read(" ".join(texts))
  is_phone = ~symbols.is_pause(reading.phonemes)
  phones = symbols.from_ids(reading.phonemes[is_phone])
  begins = reading.word_starts[is_phone]
  if begins.sum() == len(texts):
    owners = np.cumsum(begins) - 1
  else:  # "in the" is read as one word, and "1984" as several
    owners = _align(phones, [_phones_alone(frontend, text) for text in texts])
  units = [_Unit([], word.pieces) for word in clause]
  for phone, owner in zip(phones, owners, strict=True):
    units[max(int(owner), 0)].phones.append(phone)
  return units


def _phones_alone(frontend: Frontend, text: str) -> list[str]:
  ids = frontend.ids(text)
  return symbols.from_ids(ids[~symbols.is_pause(ids)])


def _align(phones: Sequence[str], alone: Sequence[Sequence[str]]) -> list[int]:
  """Which word each phone of a clause is of.

  Args:
    phones: N symbols of the clause.
    alone: the symbols of each word by itself; vowels and some consonants
      differ.

  Returns:
    N ascending indices of words, by the cheapest edits.
  """
  known = [(phone, i) for i, word in enumerate(alone) for phone in word]
  cost = np.zeros((len(phones) + 1, len(known) + 1))
  cost[:, 0] = np.arange(len(phones) + 1)
  cost[0] = np.arange(len(known) + 1)
  for n, phone in enumerate(phones, 1):
    for k, (other, _) in enumerate(known, 1):
      cost[n, k] = min(
        cost[n - 1, k - 1] + _difference(phone, other),
        cost[n - 1, k] + 1.0,
        cost[n, k - 1] + 1.0,
      )
  owners = [0] * len(phones)
  n, k = len(phones), len(known)
  while n:
    word = known[max(k - 1, 0)][1]
    owners[n - 1] = word
    if k and cost[n, k] == cost[n - 1, k - 1] + _difference(
      phones[n - 1], known[k - 1][0]
    ):
      n, k = n - 1, k - 1
    elif k and cost[n, k] == cost[n, k - 1] + 1.0:
      k -= 1
    else:
      n -= 1
  return owners


def _difference(phone: str, other: str) -> float:
  """Cost of taking one for the other; below that of leaving both out."""
  if phone.strip("ˈˌ") == other.strip("ˈˌ"):
    return 0.0
  alike = syllables.is_vowel(phone) == syllables.is_vowel(other)
  return 0.5 if alike else 2.5


def _merge_vowelless(units: Sequence[_Unit]) -> list[_Unit]:
  """Joins words that have no vowel to the next one, or to the one before."""
  merged: list[_Unit] = []
  waiting = _Unit([], [])
  for unit in units:
    waiting = _Unit(waiting.phones + unit.phones, waiting.pieces + unit.pieces)
    if any(syllables.is_vowel(phone) for phone in waiting.phones):
      merged.append(waiting)
      waiting = _Unit([], [])
  if waiting.pieces and merged:
    last = merged.pop()
    waiting = _Unit(last.phones + waiting.phones, last.pieces + waiting.pieces)
  return [*merged, waiting] if waiting.phones else merged


def _lay(unit: _Unit) -> list[tuple[Syllable, tuple[int, ...]]]:
  """Gives each syllable of a word its notes."""
  spoken = syllables.split(unit.phones)
  notes = [note for note, _ in unit.pieces]
  missing = len(notes) - len(spoken)
  if missing >= 0:
    # What English swallows comes after the first vowel: "ev(e)ry".
    held = notes[: missing + 1]
    rest = [(note,) for note in notes[missing + 1 :]]
    return list(zip(spoken, [tuple(held), *rest], strict=True))
  # As many syllables to each note as its letters suggest, but at least one.
  sizes = [max(1, _count_vowels(text)) for _, text in unit.pieces]
  while sum(sizes) > len(spoken):
    sizes[int(np.argmax(sizes))] -= 1
  sizes[-1] += len(spoken) - sum(sizes)
  owners = np.repeat(notes, sizes)
  return [(s, (int(note),)) for s, note in zip(spoken, owners, strict=True)]


def _count_vowels(text: str) -> int:
  """Groups of vowels in written English, a silent "e" at the end left out."""
  letters = re.sub(r"[^a-z]", "", text.lower())
  return len(re.findall(r"[aeiouy]+", re.sub(r"(?<=[^l])e$", "", letters)))


def _hold(
  sung: Sequence[SungSyllable], notes: Sequence[Note]
) -> list[SungSyllable]:
  """Adds the notes without lyrics to the syllable before them."""
  held: list[SungSyllable] = []
  begun = {note for syllable in sung for note in syllable.notes}
  for index, syllable in enumerate(sung):
    after = sung[index + 1].notes[0] if index + 1 < len(sung) else len(notes)
    last = syllable.notes[-1]
    more = [note for note in range(last + 1, after) if note not in begun]
    held.append(dataclasses.replace(syllable, notes=(*syllable.notes, *more)))
  return held


def _divide_at_rests(
  sung: Sequence[SungSyllable], rests: Sequence[bool]
) -> list[SungSyllable]:
  """A vowel that is held beyond a rest begins again after it."""
  divided: list[SungSyllable] = []
  for syllable in sung:
    runs: list[list[int]] = [[]]
    for note in syllable.notes:
      runs[-1].append(note)
      if rests[note] and note != syllable.notes[-1]:
        runs.append([])
    phones = syllable.phones
    for i, run in enumerate(runs):
      is_last = i == len(runs) - 1
      part = Syllable(
        phones.onset if i == 0 else (),
        phones.nucleus,
        phones.coda if is_last else (),
      )
      mark = syllable.mark if is_last else symbols.SILENCE
      divided.append(SungSyllable(part, tuple(run), mark))
  return divided
