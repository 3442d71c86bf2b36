# SPDX-License-Identifier: Apache-2.0
"""Sup-phonemes: frequent runs of phonemes inside words (NaturalSpeech, 3.2).

Byte-pair merges over phoneme strings, by the library `tokenizers`. A phoneme
is one private-use character there, so that symbols of several letters stay
whole; pauses are words of their own.
"""

import hashlib
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tokenizers
import tqdm

from data_pipelines import layers
from data_pipelines.corpora import listing
from data_pipelines.corpora.corpus import Note, Record
from data_pipelines.records import Records
from ns_jax.errors import UserError
from ns_jax.text import symbols
from ns_jax.text.frontend import Frontend

VOCABULARY_SIZE = 30_088  # NaturalSpeech's; a small text gives fewer
TOKENIZER_FILE = "sup_phonemes.json"
_FIRST_CHARACTER = 0xE000  # Unicode's private use area


def words(phonemes: np.ndarray, word_starts: np.ndarray) -> list[str]:
  """Splits an utterance: a character per phoneme, a string per word or pause.

  Args:
    phonemes: [N] int32 ids.
    word_starts: [N] uint8.
  """
  is_pause = symbols.is_pause(phonemes)
  after_pause = np.append(True, is_pause[:-1])
  starts = np.flatnonzero((word_starts == 1) | is_pause | after_pause)
  text = "".join(chr(_FIRST_CHARACTER + i) for i in phonemes)
  ends = [*starts[1:], len(text)]
  return [text[a:b] for a, b in zip(starts, ends, strict=True)]


def words_of_text(
  path: pathlib.Path, frontend: Frontend
) -> Iterator[list[str]]:
  """Words of each line of a text file; lines that cannot be read are left out.

  Raises:
    UserError: there is no such file.
  """
  if not path.is_file():
    raise UserError(f"{path}: no such text file")
  for _, line in tqdm.tqdm(listing.read_lines(path, []), "sup-phonemes"):
    try:
      reading = frontend.read(line)
    except UserError:
      continue
    yield words(reading.phonemes, reading.word_starts)


def words_of_records(records_dir: pathlib.Path) -> Iterator[list[str]]:
  """Words of the train split."""
  for record in Records(records_dir, "train"):
    yield words(record["phonemes"], record["word_starts"])


def learn(
  utterances: Iterable[list[str]], vocabulary_size: int = VOCABULARY_SIZE
) -> tokenizers.Tokenizer:
  """Learns merges from the words of utterances.

  Args:
    utterances: from `words_of_text` or `words_of_records`.
    vocabulary_size: single phonemes and merges together.

  Returns:
    A tokenizer whose ids 0 to V - 1 are the phonemes' own.
  """
  alphabet = [chr(_FIRST_CHARACTER + i) for i in range(symbols.VOCABULARY_SIZE)]
  tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
  # The alphabet comes first and in order, so that phonemes keep their ids.
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
  trainer = tokenizers.trainers.BpeTrainer(
    vocab_size=vocabulary_size,
    initial_alphabet=alphabet,
    show_progress=False,
    limit_alphabet=len(alphabet),
  )
  tokenizer.train_from_iterator((" ".join(u) for u in utterances), trainer)
  return tokenizer


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


def add_sup_phonemes(
  records_dir: pathlib.Path, tokenizer: tokenizers.Tokenizer
) -> pathlib.Path:
  """Adds the layer `sup_phonemes` to records, unless done.

  It fits the phonemes as they are: durations come before it.

  Returns:
    The layer's directory; its TOKENIZER_FILE is for texts without speech.
  """

  def fill(
    split: str, records: list[Record], notes: list[Note]
  ) -> list[dict[str, Any]]:
    del split, notes
    return [
      encode(tokenizer, record["phonemes"], record["word_starts"])
      for record in records
    ]

  def finish(directory: pathlib.Path, notes: Iterable[Note]) -> None:
    del notes
    (directory / TOKENIZER_FILE).write_text(tokenizer.to_str())

  return layers.add_layer(
    records_dir,
    "sup_phonemes",
    fields=("sup_phonemes", "sup_lengths"),
    identity={
      "tokenizer": hashlib.sha256(tokenizer.to_str().encode()).hexdigest()[:12]
    },
    fill=fill,
    label="sup-phonemes",
    finish=finish,
  )
