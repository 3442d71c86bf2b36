# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from ns_jax.errors import UserError
from ns_jax.text import symbols


def test_ids_and_symbols_are_one_to_one():
  assert len(set(symbols.SYMBOLS)) == symbols.VOCABULARY_SIZE
  ids = symbols.to_ids(symbols.SYMBOLS[1:])
  assert ids.dtype == np.int32
  np.testing.assert_array_equal(ids, np.arange(1, symbols.VOCABULARY_SIZE))
  assert symbols.from_ids(ids) == list(symbols.SYMBOLS[1:])


def test_padding_is_id_0_and_left_out():
  assert symbols.SYMBOLS[symbols.PADDING_ID] == symbols.PADDING
  assert symbols.from_ids([0, symbols.IDS["t"], 0]) == ["t"]


@pytest.mark.parametrize("bad", ["q", "ˈt", "<pad>"])
def test_unknown_symbol_is_named(bad):
  with pytest.raises(UserError, match=f"'{bad}'"):
    symbols.to_ids(["t", bad])


def test_pauses_are_silence_and_punctuation_only():
  ids = np.arange(symbols.VOCABULARY_SIZE)
  pauses = symbols.from_ids(ids[symbols.is_pause(ids)])
  assert sorted(pauses) == sorted("_,.?!;:")
