# SPDX-License-Identifier: Apache-2.0
"""Phones to syllables: one vowel each, as many consonants before it as fit."""

import dataclasses
from collections.abc import Sequence

from ns_jax.text import symbols

# Clusters that begin English words. Any single consonant but "ŋ" may as well.
_ONSETS = frozenset(
  "pl pɹ pj pw bl bɹ bj tɹ tw tj dɹ dw dj kl kɹ kw kj ɡl ɡɹ ɡw ɡj "
  "fl fɹ fj vj vɹ θɹ θw sl sw sp st sk sf sm sn ʃɹ hj hw mj nj lj "
  "spl spɹ spj stɹ stj skl skɹ skw skj".split()
)


@dataclasses.dataclass(frozen=True)
class Syllable:
  """Symbols of the inventory, in order."""

  onset: tuple[str, ...]
  nucleus: str
  coda: tuple[str, ...]


def is_vowel(symbol: str) -> bool:
  """Whether a syllable can be built on one symbol of the inventory."""
  return bool(symbols.is_vowel(symbols.to_ids([symbol]))[0])


def split(phones: Sequence[str]) -> list[Syllable]:
  """Divides a word.

  Args:
    phones: symbols without pauses; at least one.

  Returns:
    As many syllables as there are vowels; one where there is none ("mm"),
    on the last voiced consonant, or else on the last consonant.
  """
  nuclei = [i for i, phone in enumerate(phones) if is_vowel(phone)]
  if not nuclei:
    voiced = symbols.is_voiced(symbols.to_ids(phones)).nonzero()[0]
    nuclei = [int(voiced[-1]) if len(voiced) else len(phones) - 1]
  # The first phone of each syllable, and the end of the last one.
  starts = [0]
  for before, nucleus in zip(nuclei, nuclei[1:], strict=False):
    starts.append(nucleus - _onset_length(phones[before + 1 : nucleus]))
  starts.append(len(phones))
  return [
    Syllable(
      tuple(phones[start:nucleus]),
      phones[nucleus],
      tuple(phones[nucleus + 1 : end]),
    )
    for start, nucleus, end in zip(starts, nuclei, starts[1:], strict=False)
  ]


def _onset_length(cluster: Sequence[str]) -> int:
  """How many of the consonants between two vowels begin a syllable."""
  for length in (3, 2):
    if "".join(cluster[-length:]) in _ONSETS and len(cluster) >= length:
      return length
  return 1 if cluster and cluster[-1] != "ŋ" else 0
