# SPDX-License-Identifier: Apache-2.0
"""Waves and pitch of clips, as the evaluators compare them."""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ns_jax import audio
from ns_jax.audio import AudioSpec
from ns_jax.dsp import pitch


def in_turn(records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
  """One record of each speaker, then the next of each, and so on."""
  by_speaker: dict[str, list[Mapping[str, Any]]] = {}
  for record in records:
    by_speaker.setdefault(record["speaker"], []).append(record)
  turns = itertools.zip_longest(
    *(by_speaker[name] for name in sorted(by_speaker))
  )
  return [record for turn in turns for record in turn if record is not None]


def f0_hz(wav: np.ndarray, spec: AudioSpec) -> np.ndarray:
  """Pitch of one wave [S], [T] float32 in Hz, 0 where unvoiced."""
  return pitch.f0(wav, spec, "dio")


def reference_wav(record: Mapping[str, Any]) -> np.ndarray:
  """The recording itself, [S] float32 in [-1, 1]."""
  return audio.from_int16(record["wav"])
