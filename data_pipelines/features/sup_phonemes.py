# SPDX-License-Identifier: Apache-2.0
"""Sup-phonemes of a corpus: merges learned from it, and a layer of them.

What they are is in `ns_jax.text.sup_phonemes`.
"""

import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import tokenizers
import tqdm

from data_pipelines import layers
from data_pipelines.corpora import listing
from data_pipelines.corpora.corpus import Note, Record
from data_pipelines.records import LAYERS, Records, base_of
from ns_jax.errors import UserError
from ns_jax.text.frontend import Frontend
from ns_jax.text.sup_phonemes import (
  ALPHABET,
  TOKENIZER_FILE,
  digest,
  encode,
  save,
)
from ns_jax.text.sup_phonemes import words as split_words

VOCABULARY_SIZE = 30_088  # NaturalSpeech's; a small text gives fewer
_LAYER = "sup_phonemes"


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
    yield split_words(reading.phonemes, reading.word_starts)


def words_of_records(records_dir: pathlib.Path) -> Iterator[list[str]]:
  """Words of the train split."""
  for record in Records(records_dir, "train"):
    yield split_words(record["phonemes"], record["word_starts"])


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
  tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
  # The alphabet comes first and in order, so that phonemes keep their ids.
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
  trainer = tokenizers.trainers.BpeTrainer(
    vocab_size=vocabulary_size,
    initial_alphabet=list(ALPHABET),
    show_progress=False,
    limit_alphabet=len(ALPHABET),
  )
  tokenizer.train_from_iterator((" ".join(u) for u in utterances), trainer)
  return tokenizer


def add_sup_phonemes(
  records_dir: pathlib.Path, tokenizer: tokenizers.Tokenizer
) -> pathlib.Path:
  """Adds the layer `sup_phonemes-<digest of the tokenizer>`, unless done.

  It fits the phonemes as they are: durations come before it.

  Returns:
    The layer's directory, the records with their sup-phonemes; it holds the
    tokenizer, too.
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
    save(tokenizer, directory / TOKENIZER_FILE)

  return layers.add_layer(
    records_dir,
    f"{_LAYER}-{digest(tokenizer)}",
    fields=("sup_phonemes", "sup_lengths"),
    identity={"tokenizer": digest(tokenizer)},
    fill=fill,
    label="sup-phonemes",
    finish=finish,
  )


def layers_of(records_dir: pathlib.Path) -> list[pathlib.Path]:
  """All layers of sup-phonemes that records have, finished or not."""
  return sorted((base_of(records_dir) / LAYERS).glob(f"{_LAYER}*"))
