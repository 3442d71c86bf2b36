# SPDX-License-Identifier: Apache-2.0
"""Durations of records beside those of another forced aligner.

  pip install pocketsphinx
  python launch/compare_alignment.py records/ljspeech --split=test

pocketsphinx aligns the same clips with its own English models and dictionary.
Both give the start of each phone; phones are matched as for TextGrids. Neither
is the truth: the figures say how far two independent aligners agree.
"""

import argparse
import re
import sys
from collections.abc import Iterator

import numpy as np
import pocketsphinx

from data_pipelines import records
from data_pipelines.features import phone_matching
from ns_jax.apps import terminal
from ns_jax.audio import AudioSpec
from ns_jax.text import normalize, symbols

_SPHINX_FRAME_SEC = 0.01


def main() -> None:
  """Prints the agreement over a split."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("records")
  parser.add_argument("--split", default="test")
  parser.add_argument("--clips", type=int, default=100)
  args = parser.parse_args()
  spec = AudioSpec()
  stored = records.Records(args.records, args.split, ("durations",))
  decoder = pocketsphinx.Decoder(loglevel="FATAL")
  picked = np.linspace(0, len(stored) - 1, min(args.clips, len(stored)))
  differences, skipped = [], 0
  for index in picked.astype(int):
    record = stored[int(index)]
    theirs = list(_sphinx_phones(decoder, record))
    if not theirs:
      skipped += 1
      continue
    differences.extend(_differences_ms(record, theirs, spec))
  distance = np.abs(differences)
  print(
    f"{len(picked) - skipped} clips ({skipped} with words that pocketsphinx "
    f"does not know), {len(distance)} phone starts:\n"
    f"mean {distance.mean():.1f} ms, median {np.median(distance):.1f} ms, "
    f"bias {np.mean(differences):+.1f} ms (ours later)\n"
    + ", ".join(
      f"{np.mean(distance <= limit):.1%} within {limit} ms"
      for limit in (25, 50, 100)
    )
  )


def _sphinx_phones(
  decoder: pocketsphinx.Decoder, record: records.Record
) -> Iterator[tuple[str, float]]:
  """Yields (ARPAbet phone, start in seconds); nothing if it cannot align."""
  text = record["text"]
  words = normalize.normalize(text.lower() if text.isupper() else text)
  wav = record["wav"].tobytes()
  try:
    decoder.set_align_text(
      " ".join(re.sub("[^a-z' ]", "", words.lower()).split())
    )
    for again in (False, True):
      if again:
        decoder.set_alignment()
      decoder.start_utt()
      decoder.process_raw(wav, full_utt=True)
      decoder.end_utt()
  except RuntimeError:
    return
  for word in decoder.get_alignment() or ():
    for phone in word:
      yield phone.name, phone.start * _SPHINX_FRAME_SEC


def _differences_ms(
  record: records.Record, theirs: list[tuple[str, float]], spec: AudioSpec
) -> Iterator[float]:
  """Ours minus theirs, of each phone that both have."""
  ours = symbols.from_ids(record["phonemes"])
  ends = np.cumsum(record["durations"])
  starts_sec = (ends - record["durations"]) / spec.frame_rate_hz
  found = phone_matching.match(ours, [name for name, _ in theirs])
  for i, j in enumerate(found):
    if j is not None and ours[i] not in symbols.PAUSES:
      yield 1000 * (starts_sec[i] - theirs[j][1])


if __name__ == "__main__":
  sys.exit(terminal.guarded(main))
