# SPDX-License-Identifier: Apache-2.0
"""A cloud to have TPUs in."""

import pytest

from tests.launch import clouds


@pytest.fixture
def cloud(tmp_path):
  """With a TPU of two workers to be had, whose training ends at once."""
  cloud = clouds.Cloud(tmp_path, 2)
  cloud.write("end", "")
  yield cloud
  cloud.write("end", "")  # of what goes on
