# SPDX-License-Identifier: Apache-2.0
"""Which of our symbols is which phone of another tool, for the same words.

Tools differ in symbols (IPA, ARPAbet) and now and then in pronunciation, so
two sequences are aligned by edit distance with costs by phonetic likeness.
"""

import re
from collections.abc import Sequence

import numpy as np

from ns_jax.text import symbols

SILENCES = ("", "sp", "sil", "spn", "silence", "<eps>", "(...)")
_GAP, _UNLIKE = 0.6, 1.3  # a mismatch costs more than two gaps
_ALIKE = 0.4  # of one kind: two vowels, two stops

_SPELLINGS = {
  # ARPAbet, without stress digits.
  **dict(AA="ɑ", AE="æ", AH="ʌ", AO="ɔ", AW="aʊ", AY="aɪ", EH="ɛ", ER="ɚ"),
  **dict(EY="eɪ", IH="ɪ", IY="i", OW="oʊ", OY="ɔɪ", UH="ʊ", UW="u"),
  **dict(B="b", CH="tʃ", D="d", DH="ð", F="f", G="ɡ", HH="h", JH="dʒ"),
  **dict(K="k", L="l", M="m", N="n", NG="ŋ", P="p", R="ɹ", S="s", SH="ʃ"),
  **dict(T="t", TH="θ", V="v", W="w", Y="j", Z="z", ZH="ʒ"),
  # Montreal Forced Aligner's IPA.
  **{"aj": "aɪ", "aw": "aʊ", "ej": "eɪ", "ow": "oʊ", "ɔj": "ɔɪ", "ɝ": "ɚ"},
  **{"g": "ɡ", "ɫ": "l", "ʎ": "l", "ɲ": "n", "ʉ": "u", "c": "k", "ɟ": "ɡ"},
  # Ours.
  **{"ə": "ʌ", "ɐ": "ʌ", "ᵻ": "ɪ", "ɜ": "ɚ", "r": "ɹ"},
}
_KINDS = ("pbtdkɡʔɾ", "fvθðszʃʒhxɬç", "mnŋ", "lɹjw")
_PAUSE, _VOWEL = "pause", "vowel"
_MARKS = re.compile("[ˈˌː0-9ʲʷʰ\u0329\u0303]")


def match(ours: Sequence[str], theirs: Sequence[str]) -> list[int | None]:
  """Finds the counterpart of each of our symbols.

  Args:
    ours: N symbols of the inventory, pauses included.
    theirs: phones of another tool, one of SILENCES for a pause.

  Returns:
    N ascending indices into `theirs`; None where there is no counterpart.
  """
  a, b = [_plain(s) for s in ours], [_plain(s) for s in theirs]
  costs = np.zeros((len(a) + 1, len(b) + 1))
  costs[:, 0] = _GAP * np.arange(len(a) + 1)
  costs[0] = _GAP * np.arange(len(b) + 1)
  for i, mine in enumerate(a):
    for j, other in enumerate(b):
      costs[i + 1, j + 1] = min(
        costs[i, j] + _cost(mine, other),
        costs[i, j + 1] + _GAP,
        costs[i + 1, j] + _GAP,
      )
  found: list[int | None] = [None] * len(a)
  i, j = len(a), len(b)
  while i and j:
    if costs[i, j] == costs[i - 1, j - 1] + _cost(a[i - 1], b[j - 1]):
      i, j = i - 1, j - 1
      found[i] = j
    elif costs[i, j] == costs[i - 1, j] + _GAP:
      i -= 1
    else:
      j -= 1
  return found


def transfer_starts(
  ours: Sequence[str],
  found: Sequence[int | None],
  starts: Sequence[float],
  end: float,
) -> np.ndarray:
  """Start times of our symbols from those of their counterparts.

  Phones without one share the time between their neighbours evenly; a pause
  without one gets none.

  Args:
    ours: N symbols.
    found: from `match`.
    starts: of the other tool's phones.
    end: of the last one.

  Returns:
    [N] float, ascending, in the unit of `starts`; the first is `starts[0]`.
  """
  # Ours advance by 1 in "phones spoken" at each phone, by 0 at a pause.
  spoken = np.cumsum([0] + [_plain(s) != _PAUSE for s in ours])
  known = [i for i, j in enumerate(found) if j is not None and i > 0]
  at = np.array([0, *known, len(ours)])
  times = np.array(
    [starts[0], *(starts[j] for i in known if (j := found[i]) is not None), end]
  )
  result = np.interp(np.arange(len(ours)), at, times)
  for first, last, t0, t1 in zip(
    at[:-1], at[1:], times[:-1], times[1:], strict=True
  ):
    phones = spoken[last] - spoken[first]
    if phones:
      share = (spoken[first:last] - spoken[first]) / phones
      result[first:last] = t0 + share * (t1 - t0)
    else:
      result[first:last] = t0
  return result


def _plain(symbol: str) -> str:
  """A symbol without stress and length, in one spelling."""
  if symbol in symbols.PAUSES or symbol.lower() in SILENCES:
    return _PAUSE
  plain = _MARKS.sub("", symbol)
  return _SPELLINGS.get(plain, plain)


def _kind(plain: str) -> str:
  if plain == _PAUSE:
    return _PAUSE
  return next((kind for kind in _KINDS if plain[:1] in kind), _VOWEL)


def _cost(mine: str, other: str) -> float:
  if mine == other:
    return 0.0
  kinds = _kind(mine), _kind(other)
  if _PAUSE in kinds or kinds[0] != kinds[1]:
    return _UNLIKE
  # `ɑɹ` is one symbol of ours and two phones of others.
  return _ALIKE / 2 if mine[:1] == other[:1] else _ALIKE
