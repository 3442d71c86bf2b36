# SPDX-License-Identifier: Apache-2.0
"""launch/load_test.py: nothing is lost, and what is mixed up is noticed."""

import asyncio

from launch import load_test
from tests import talkers


def _run(url, seconds):
  return asyncio.run(load_test.run(url, 8, seconds, 8, ""))


def test_many_at_once_each_hear_their_own():
  engine = talkers.Whistler(most=4, step_sec=0.01)
  with talkers.serving(engine) as url:
    facts = _run(url, 3.0)
  assert facts["same bytes"] > 50
  assert not {"same sound", "mixed up"} & set(facts)
  assert not [key for key in facts if key.startswith(("lost", "status"))]
  assert max(map(len, engine.batches)) > 1


def test_it_notices_what_is_mixed_up():
  class Confused(talkers.Whistler):
    def say(self, parts):
      return super().say(parts)[::-1]

  with talkers.serving(Confused(most=4, step_sec=0.01)) as url:
    assert _run(url, 0.5)["mixed up"] > 0
