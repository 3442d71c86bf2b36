# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from ns_jax.text import syllables, symbols


@pytest.mark.parametrize(
  ("word", "divided"),
  [
    ("t w ˈɪ ŋ k əl", "tw-ˈɪ-ŋ k-əl-"),
    ("ˈæ p əl", "-ˈæ- p-əl-"),
    ("ˈɛ k s t ɹ ə", "-ˈɛ-k stɹ-ə-"),
    ("s ˈɪ ŋ ɪ ŋ", "s-ˈɪ-ŋ -ɪ-ŋ"),
    ("w ˈʌ n d ɚ", "w-ˈʌ-n d-ɚ-"),
    ("k ˈaɪ ɑː s", "k-ˈaɪ- -ɑː-s"),
    ("ˈaɪ", "-ˈaɪ-"),
    ("h m", "h-m-"),  # without a vowel
    ("ʃ", "-ʃ-"),
  ],
)
def test_words_are_divided_as_english_is(word, divided):
  found = [
    f"{''.join(s.onset)}-{s.nucleus}-{''.join(s.coda)}"
    for s in syllables.split(word.split())
  ]
  assert found == divided.split(" ")


def test_every_phone_is_vowel_or_consonant_and_vowels_are_voiced():
  ids = np.arange(symbols.VOCABULARY_SIZE)
  is_vowel, is_voiced = symbols.is_vowel(ids), symbols.is_voiced(ids)
  assert not (is_vowel & ~is_voiced).any()
  silent = symbols.from_ids(ids[~is_voiced & ~symbols.is_pause(ids)])
  assert silent == "p t k ʔ tʃ f θ s ʃ h x ɬ".split()
  vowels = set(symbols.from_ids(ids[is_vowel]))
  assert {"ˈɪ", "ɚ", "əl", "n̩", "aɪɚ"} < vowels
  assert not {"l", "ɹ", "j", "_", ",", symbols.PADDING} & vowels
