# SPDX-License-Identifier: Apache-2.0
"""The tiny demo corpus, built once for all tests that read records."""

import pathlib
import sys

import pytest

from data_pipelines import beam, builder
from data_pipelines.corpora import demo
from ns_jax.audio import AudioSpec

sys.path.insert(0, str(pathlib.Path(__file__).parent))  # for recordings.py


@pytest.fixture(scope="session")
def spec():
  return AudioSpec()


@pytest.fixture(scope="session")
def records_dir(tmp_path_factory, spec):
  return builder.build(
    demo.DemoCorpus("tiny", spec),
    tmp_path_factory.mktemp("data") / "records",
    label="demo",
    beam_options=beam.THIS_PROCESS,
  )


@pytest.fixture(scope="session")
def clips(records_dir):
  """Eight recordings of two speakers."""
  import recordings

  return recordings.of(records_dir, 8)
