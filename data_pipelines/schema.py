# SPDX-License-Identifier: Apache-2.0
"""The record: one utterance as it is stored and read, field by field.

The writer (`builder`) and both readers derive from this one list. Letters:
S samples, N phonemes, T latent frames of the AudioSpec, Q codebooks, K
sup-phonemes.
"""

import dataclasses
from collections.abc import Collection

from ns_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class FeatureSpec:
  """One field of a record."""

  name: str
  dtype: str  # a numpy dtype, or "str"
  dims: str  # one letter an axis; empty: a single value
  unit: str
  doc: str
  made_by: str  # what to do where it is missing


_CORPUS = "make them again: ns-jax prepare"
_DURATIONS = "align them: the same ns-jax prepare without --no-align"
_SUP = "learn them from a text: ns-jax prepare --sup-phonemes=<text file>"
_CODES = "encode them with a trained codec: ns-jax prepare --codec=<workdir>"

FEATURES = (
  FeatureSpec("id", "str", "", "", "unique in the corpus", _CORPUS),
  FeatureSpec("speaker", "str", "", "", "who speaks", _CORPUS),
  FeatureSpec("text", "str", "", "", "what is said, as written", _CORPUS),
  FeatureSpec("wav", "int16", "S", "1/32767", "mono wave", _CORPUS),
  FeatureSpec("phonemes", "int32", "N", "id", "text.symbols", _CORPUS),
  FeatureSpec("word_starts", "uint8", "N", "", "1: a word begins", _CORPUS),
  FeatureSpec("durations", "int32", "N", "frames", "sum is T", _DURATIONS),
  FeatureSpec("f0", "float32", "T", "Hz", "0 where unvoiced", _CORPUS),
  FeatureSpec("f0_phase", "float32", "T", "rad", "of the fundamental", _CORPUS),
  FeatureSpec("codes", "uint16", "T Q", "id", "of the codec's RVQ", _CODES),
  FeatureSpec("sup_phonemes", "int32", "K", "id", "BPE of phonemes", _SUP),
  FeatureSpec("sup_lengths", "int32", "K", "phonemes", "sum is N", _SUP),
)
BY_NAME = {feature.name: feature for feature in FEATURES}


def require(
  wanted: Collection[str], present: Collection[str], where: str
) -> None:
  """Checks that records hold the fields a stage reads.

  Raises:
    UserError: naming the first missing field and what makes it.
  """
  for name in wanted:
    if name not in present:
      raise UserError(
        f"{where}: records have no field '{name}'; {BY_NAME[name].made_by}"
      )
