# SPDX-License-Identifier: Apache-2.0
"""The aligner that comes along: every frame is given to a phoneme."""

import numpy as np

from ns_jax.inference.align import SpeechAligner
from ns_jax.text import symbols
from ns_jax.text.frontend import Frontend
from tests import speakers


def test_nothing_is_short_except_where_there_is_no_time():
  aligner = SpeechAligner.load()
  ids = Frontend().ids("Come and sit down.")
  is_phone = ~symbols.is_pause(ids)
  count = int(is_phone.sum())
  slow, hasty = speakers.voice(2.0), speakers.voice(0.0125 * (count + 4))
  together = aligner.align([ids, ids], [slow, hasty])
  assert together[0].sum() == 160 and together[1].sum() == count + 4
  assert together[0][is_phone].min() >= 3
  assert together[1][is_phone].min() >= 1
  (alone,) = aligner.align([ids], [slow])
  np.testing.assert_array_equal(together[0], alone)
