# SPDX-License-Identifier: Apache-2.0
"""The tiny demo corpus, built once for all tests that read records."""

import pytest

from data_pipelines import builder
from data_pipelines.corpora import demo
from ns_jax.audio import AudioSpec


@pytest.fixture(scope="session")
def spec():
  return AudioSpec()


@pytest.fixture(scope="session")
def records_dir(tmp_path_factory, spec):
  return builder.build(
    demo.DemoCorpus("tiny", spec),
    tmp_path_factory.mktemp("data") / "records",
    label="demo",
    beam_options=builder.THIS_PROCESS,
  )
