# SPDX-License-Identifier: Apache-2.0
"""Weights that come along are small, and their cards say what they are of."""

import pytest

from ns_jax.inference import bundle, restore

_MOST_BYTES = {"aligner": 300_000, "codec": 21_000_000, "ns2": 25_000_000}
_NAMED = ("LibriSpeech", "CC BY 4.0", "LJSpeech", "public domain", "Apache-2.0")


def test_these_come_along():
  found = {folder.name for folder in restore.BUNDLES.iterdir()}
  assert found == set(_MOST_BYTES)


@pytest.mark.parametrize("name", _MOST_BYTES)
def test_it_is_small_and_has_a_card(name):
  folder = restore.BUNDLES / name
  size = (folder / bundle.WEIGHTS_FILE).stat().st_size
  assert size < _MOST_BYTES[name]
  card = (folder / bundle.CARD_FILE).read_text()
  assert [name for name in _NAMED if name not in card] == []
