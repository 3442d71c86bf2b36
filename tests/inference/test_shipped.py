# SPDX-License-Identifier: Apache-2.0
"""Weights that come along are small, and their cards say what they are of."""

import hashlib

import pytest
import yaml

from ns_jax.inference import bundle, restore, sums

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


@pytest.mark.parametrize("name", _MOST_BYTES)
def test_its_front_matter_is_what_hubs_read(name):
  card = (restore.BUNDLES / name / bundle.CARD_FILE).read_text()
  front = yaml.safe_load(card.split("---\n", 2)[1])
  assert front["license"] == "apache-2.0" and front["language"] == ["en"]
  assert front["library_name"] == "ns_jax"
  assert front["datasets"] == ["openslr/librispeech_asr", "keithito/lj_speech"]


@pytest.mark.parametrize("name", _MOST_BYTES)
def test_its_sums_are_right(name):
  folder = restore.BUNDLES / name
  for line in (folder / sums.SUMS_FILE).read_text().splitlines():
    digest, file = line.split("  ")
    assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == digest
