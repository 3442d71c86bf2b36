# SPDX-License-Identifier: Apache-2.0
"""Sup-phonemes: frequent runs of phonemes inside words (NaturalSpeech, 3.2).

Byte-pair merges over phoneme strings, by the library `tokenizers`. A phoneme
is one private-use character there, so that symbols of several letters stay
whole; pauses are words of their own. Merges are learned in `data_pipelines`.
"""

import hashlib

import numpy as np
import tokenizers

from ns_jax import files, paths
from ns_jax.errors import UserError
from ns_jax.text import symbols

TOKENIZER_FILE = "sup_phonemes.json"
_FIRST_CHARACTER = 0xE000  # Unicode's private use area
# The alphabet of a tokenizer, in the order of the phonemes' ids.
ALPHABET = tuple(
  chr(_FIRST_CHARACTER + i) for i in range(symbols.VOCABULARY_SIZE)
)


def words(phonemes: np.ndarray, word_starts: np.ndarray) -> list[str]:
  """Splits an utterance: a character per phoneme, a string per word or pause.

  Args:
    phonemes: [N] int32 ids.
    word_starts: [N] uint8.
  """
  is_pause = symbols.is_pause(phonemes)
  after_pause = np.append(True, is_pause[:-1])
  starts = np.flatnonzero((word_starts == 1) | is_pause | after_pause)
  text = "".join(ALPHABET[i] for i in phonemes)
  ends = [*starts[1:], len(text)]
  return [text[a:b] for a, b in zip(starts, ends, strict=True)]


def encode(
  tokenizer: tokenizers.Tokenizer,
  phonemes: np.ndarray,
  word_starts: np.ndarray,
) -> dict[str, np.ndarray]:
  """Sup-phonemes of an utterance.

  Returns:
    sup_phonemes: [K] int32 ids; sup_lengths: [K] int32 phonemes in each, sum N.
  """
  encoded = tokenizer.encode(words(phonemes, word_starts), is_pretokenized=True)
  return {
    "sup_phonemes": np.array(encoded.ids, np.int32),
    "sup_lengths": np.array([len(t) for t in encoded.tokens], np.int32),
  }


def digest(tokenizer: tokenizers.Tokenizer) -> str:
  """Twelve hexadecimal digits that name a tokenizer."""
  return hashlib.sha256(tokenizer.to_str().encode()).hexdigest()[:12]


def load(path: str | paths.Path) -> tokenizers.Tokenizer:
  """Reads the tokenizer of a workdir or layer.

  Args:
    path: the file, or the folder with TOKENIZER_FILE in it.

  Raises:
    UserError: there is none, or it is not one of our phonemes.
  """
  path = paths.resolve(path)
  if path.is_dir():
    path = path / TOKENIZER_FILE
  if not path.is_file():
    raise UserError(f"{path}: no such tokenizer of sup-phonemes")
  text = path.read_bytes().decode("utf-8", errors="replace")
  try:
    tokenizer = tokenizers.Tokenizer.from_str(text)
  except Exception as error:  # the library has no kind of its own
    reason = files.first_line(error)
    raise UserError(f"{path}: is damaged: {reason}") from error
  ids = [tokenizer.token_to_id(token) for token in ALPHABET]
  if ids != [*range(len(ALPHABET))] or _rewrites(tokenizer):
    raise UserError(f"{path}: is no tokenizer of this version's phonemes")
  return tokenizer


def _rewrites(tokenizer: tokenizers.Tokenizer) -> bool:
  """Whether it does more than to merge, such as to search for a pattern."""
  splits = tokenizer.pre_tokenizer
  return (
    tokenizer.normalizer is not None
    or tokenizer.post_processor is not None
    or not isinstance(splits, tokenizers.pre_tokenizers.WhitespaceSplit | None)
    or not isinstance(tokenizer.model, tokenizers.models.BPE)
  )


def save(tokenizer: tokenizers.Tokenizer, path: paths.Path) -> None:
  """Writes a tokenizer's file, unless it is there; whole or not at all."""
  if not path.exists():
    files.write(path, tokenizer.to_str().encode())
