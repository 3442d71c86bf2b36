# SPDX-License-Identifier: Apache-2.0
"""The phoneme inventory: one table between symbols and ids, id 0 = padding.

American English in IPA as espeak-ng names it. Stress is part of the vowel
(`ˈoʊ`), so every symbol has a duration. Pauses are symbols too: the punctuation
mark that causes one, or SILENCE where there is none. How text becomes symbols
is not here but in `frontend`.
"""

from collections.abc import Iterable

import numpy as np

from ns_jax.errors import UserError

PADDING = "<pad>"
SILENCE = "_"
PUNCTUATION = (",", ".", "?", "!", ";", ":")
PAUSES = (SILENCE, *PUNCTUATION)

_CONSONANTS = (
  *("p", "b", "t", "d", "k", "ɡ", "ʔ", "ɾ", "tʃ", "dʒ"),
  *("f", "v", "θ", "ð", "s", "z", "ʃ", "ʒ", "h", "x", "ɬ"),
  *("m", "n", "ŋ", "l", "ɹ", "r", "j", "w", "ʲ"),
)
_SYLLABIC = (
  *("i", "iː", "ɪ", "ᵻ", "eɪ", "ɛ", "æ", "aɪ", "aʊ"),
  *("ɑː", "ɑ̃", "ɔ", "ɔː", "ɔɪ", "oʊ", "ʊ", "u", "uː"),
  *("ʌ", "ə", "ɐ", "ɚ", "ɜː", "iə", "aɪə", "aɪɚ"),
  *("ɑːɹ", "ɔːɹ", "ɛɹ", "ɪɹ", "ʊɹ", "əl", "n̩"),
)
_STRESS = ("", "ˈ", "ˌ")
_VOICELESS = ("p", "t", "k", "ʔ", "tʃ", "f", "θ", "s", "ʃ", "h", "x", "ɬ")

SYMBOLS = (
  PADDING,
  *PAUSES,
  *_CONSONANTS,
  *(stress + symbol for symbol in _SYLLABIC for stress in _STRESS),
)
PADDING_ID = 0
VOCABULARY_SIZE = len(SYMBOLS)
IDS = {symbol: index for index, symbol in enumerate(SYMBOLS)}
PAUSE_IDS = tuple(IDS[symbol] for symbol in PAUSES)
_VOWEL_IDS = tuple(IDS[a + symbol] for symbol in _SYLLABIC for a in _STRESS)
_VOICED_IDS = (
  *_VOWEL_IDS,
  *(IDS[symbol] for symbol in _CONSONANTS if symbol not in _VOICELESS),
)


def to_ids(symbols: Iterable[str]) -> np.ndarray:
  """Maps N symbols to their ids, [N] int32.

  Raises:
    UserError: a symbol is not in the inventory.
  """
  symbols = list(symbols)
  unknown = [s for s in symbols if s not in IDS or s == PADDING]
  if unknown:
    raise UserError(
      f"unknown phoneme symbol '{unknown[0]}'; the inventory is "
      "ns_jax.text.symbols.SYMBOLS"
    )
  return np.array([IDS[symbol] for symbol in symbols], np.int32)


def from_ids(ids: Iterable[int]) -> list[str]:
  """Maps ids back to symbols, padding left out."""
  return [SYMBOLS[index] for index in ids if index != PADDING_ID]


def is_pause(ids: np.ndarray) -> np.ndarray:
  """Marks pauses: they may last 0 frames, a phone lasts at least 1.

  Args:
    ids: [..., N] integers.

  Returns:
    [..., N] bool.
  """
  return np.isin(ids, PAUSE_IDS)


def is_vowel(ids: np.ndarray) -> np.ndarray:
  """Marks what a syllable is sung on: vowels and syllabic consonants.

  Args:
    ids: [..., N] integers.

  Returns:
    [..., N] bool.
  """
  return np.isin(ids, _VOWEL_IDS)


def is_voiced(ids: np.ndarray) -> np.ndarray:
  """Marks phones that have a pitch: vowels and voiced consonants.

  Args:
    ids: [..., N] integers.

  Returns:
    [..., N] bool.
  """
  return np.isin(ids, _VOICED_IDS)
