# SPDX-License-Identifier: Apache-2.0
"""Who is served when, without any network."""

import asyncio
import contextlib
import threading

import numpy as np
import pytest

from ns_jax.apps.serving.batcher import Batcher
from ns_jax.inference.utterance import Manner
from tests import talkers


@contextlib.asynccontextmanager
async def _working(engine):
  batcher = Batcher()
  batcher.start()
  batcher.attach(engine)
  try:
    yield batcher
  finally:
    engine.turns = None
    await asyncio.to_thread(batcher.stop)


def _parts(engine, text):
  return engine.read(text, "anna", Manner(), 0)


async def _all(job):
  return [wave async for wave in job.waves()]


def _texts(engine):
  return [[part.text for part in batch] for batch in engine.batches]


def _said(most, *texts):
  """The batches in which texts are said that come at the same time."""

  async def run():
    engine = talkers.Whistler(most)
    async with _working(engine) as batcher:
      engine.turns = threading.Semaphore(0)
      first = batcher.submit(_parts(engine, "Busy"))
      await asyncio.to_thread(engine.is_busy.wait)
      jobs = [batcher.submit(_parts(engine, text)) for text in texts]
      engine.turns.release(99)
      await asyncio.wait_for(_all(first), 10)
      for job, text in zip(jobs, texts, strict=True):
        waves = await asyncio.wait_for(_all(job), 10)
        expected = [talkers.wave(part) for part in _parts(engine, text)]
        np.testing.assert_array_equal(np.stack(waves), np.stack(expected))
    return _texts(engine)[1:]

  return asyncio.run(run())


def test_a_long_text_holds_nobody_up():
  assert _said(1, "a1. a2. a3. a4", "b1", "c1. c2") == [
    ["a1"], ["b1"], ["c1"], ["a2"], ["c2"], ["a3"], ["a4"]
  ]  # fmt: skip


def test_those_who_wait_are_said_together():
  assert _said(3, "a1. a2. a3", "b1. b2", "c1", "d1") == [
    ["a1", "b1", "c1"], ["d1", "a2", "b2"], ["a3"]
  ]  # fmt: skip


def test_alone_the_first_sentence_waits_for_no_other():
  assert _said(4, "a1. a2. a3") == [["a1"], ["a2", "a3"]]


def test_one_shape_at_a_time_and_all_in_turn():
  long = "so long that it has a shape of its own, as the whistler sees it"
  assert _said(2, "a1", f"{long}. b2", "c1", long) == [
    ["a1", "c1"], [long, long], ["b2"]
  ]  # fmt: skip


def test_what_cannot_be_said_harms_nobody_else():
  class Choking(talkers.Whistler):
    def say(self, parts):
      if any(part.text == "bad" for part in parts):
        raise ValueError("it cannot be said")
      return super().say(parts)

  async def run():
    engine = Choking(4)
    async with _working(engine) as batcher:
      engine.turns = threading.Semaphore(0)
      busy = batcher.submit(_parts(engine, "Busy"))
      await asyncio.to_thread(engine.is_busy.wait)
      good, bad = (
        batcher.submit(_parts(engine, text)) for text in ("good", "bad. more")
      )
      engine.turns.release(99)
      await _all(busy)
      assert len(await _all(good)) == 1
      with pytest.raises(ValueError, match="cannot be said"):
        await _all(bad)
    assert not any("more" in batch for batch in _texts(engine))

  asyncio.run(run())


def test_what_is_dropped_is_not_said():
  async def run():
    engine = talkers.Whistler()
    async with _working(engine) as batcher:
      engine.turns = threading.Semaphore(1)
      job = batcher.submit(_parts(engine, "a1. a2. a3"))
      other = batcher.submit(_parts(engine, "b1"))
      async for _ in job.waves():
        break
      job.drop()
      engine.turns.release(99)
      await _all(other)
    assert "a3" not in sum(_texts(engine), [])

  asyncio.run(run())


def test_nothing_is_said_far_ahead_of_who_listens():
  async def run():
    engine = talkers.Whistler()
    async with _working(engine) as batcher:
      slow = batcher.submit(_parts(engine, ". ".join(map(str, range(50)))))
      for i in range(3):  # each takes a turn of its own
        await _all(batcher.submit(_parts(engine, f"b{i}. b. b. b")))
      assert len(engine.batches) == 3 * 4 + 4
      assert len(await _all(slow)) == 50

  asyncio.run(run())


def test_other_work_comes_first_and_fails_alone():
  async def run():
    engine = talkers.Whistler()
    async with _working(engine) as batcher:
      engine.turns = threading.Semaphore(0)
      busy = batcher.submit(_parts(engine, "a1. a2"))
      await asyncio.to_thread(engine.is_busy.wait)
      done = batcher.do(lambda: len(engine.batches))
      failed = batcher.do(lambda: 1 // 0)
      engine.turns.release(99)
      assert await asyncio.wrap_future(done) == 1
      with pytest.raises(ZeroDivisionError):
        await asyncio.wrap_future(failed)
      assert len(await _all(busy)) == 2
      assert batcher.is_alive

  asyncio.run(run())


def test_stopped_it_leaves_what_waits():
  async def run():
    engine = talkers.Whistler(step_sec=0.2)
    async with _working(engine) as batcher:
      for _ in range(8):
        batcher.submit(_parts(engine, "a. b. c. d"))
      await asyncio.to_thread(engine.is_busy.wait)
    assert len(engine.batches) < 8 * 4

  asyncio.run(run())
