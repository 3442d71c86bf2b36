# SPDX-License-Identifier: Apache-2.0
"""Durations for stored records by a trained aligner.

The aligner is a function handed in, so nothing here knows a model.
"""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from data_pipelines import layers
from data_pipelines.corpora.corpus import Note, Record
from ns_jax import audio
from ns_jax.text import pauses

# (phonemes [N] of each, waves [S] of each) -> durations [N] of each, frames
AlignFn = Callable[
  [Sequence[np.ndarray], Sequence[np.ndarray]], Sequence[np.ndarray]
]


def add_durations(
  records_dir: str | pathlib.Path,
  align_fn: AlignFn,
  aligner_id: str,
  *,
  batch_size: int = 16,
) -> pathlib.Path:
  """Adds the layer `durations` to records, unless done.

  It also replaces the phonemes by those with the pauses that were found.

  Args:
    records_dir: finished records without durations.
    align_fn: called with batches of utterances of similar length, always of
      batch_size.
    aligner_id: names the aligner's weights.
    batch_size: utterances a call.

  Returns:
    The layer's directory.

  Raises:
    UserError: records are missing or the directory cannot be written.
  """

  def fill(
    split: str, records: list[Record], notes: list[Note]
  ) -> list[dict[str, Any]]:
    del split, notes
    offers = [pauses.offer(r["phonemes"], r["word_starts"]) for r in records]
    found: list[Any] = [None] * len(records)
    lengths = [len(record["wav"]) for record in records]
    for picked in layers.by_length(lengths, batch_size):
      # The last batch repeats an utterance, so that no other shape compiles.
      rows = [*picked, *[picked[-1]] * (batch_size - len(picked))]
      durations = align_fn(
        [offers[i].phonemes for i in rows],
        [audio.from_int16(records[i]["wav"]) for i in rows],
      )
      for i, frames in zip(picked, durations, strict=False):
        found[i] = pauses.settle(offers[i], np.asarray(frames))
    return found

  return layers.add_layer(
    pathlib.Path(records_dir).expanduser().absolute(),
    "durations",
    fields=("phonemes", "word_starts", "durations"),
    identity={"aligner_id": aligner_id},
    fill=fill,
    label="durations",
  )
