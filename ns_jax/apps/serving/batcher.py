# SPDX-License-Identifier: Apache-2.0
"""The one thread that owns the model, and who is served when.

Requests come as jobs of short parts. Parts of several jobs are said at once;
every job has its turn, so that a long text holds nobody up.
"""

import collections
import concurrent.futures
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from ns_jax.apps.serving.jobs import Job, Part

_Result = TypeVar("_Result")


class Talker(Protocol):
  """A model, as the batcher uses it."""

  def most_at_once(self, part: Any) -> int:
    """Parts of this shape that can be said at once by now."""
    ...

  def say(self, parts: Sequence[Any]) -> list[np.ndarray]:
    """Waves [S] of parts of one shape."""
    ...


class Batcher:
  """Says jobs, part by part, with one model on one thread."""

  def __init__(self, observe: Callable[[int, float], None] | None = None):
    """Has nothing to say yet.

    Args:
      observe: told the parts and seconds of each batch.
    """
    self._observe = observe or (lambda parts, seconds: None)
    self._changed = threading.Condition()
    self._jobs: collections.deque[Job] = collections.deque()
    self._tasks: collections.deque[
      tuple[concurrent.futures.Future, Callable[[], Any]]
    ] = collections.deque()
    self._is_stopping = False
    self._part_sec = 1.0  # what a part took of late
    self._talker: Talker | None = None
    self._thread = threading.Thread(target=self._work, name="model")

  def start(self) -> None:
    """Begins to work."""
    self._thread.start()

  def stop(self) -> None:
    """Ends the thread, once what it is saying is said; the rest is left."""
    with self._changed:
      self._is_stopping = True
      self._changed.notify()
    self._thread.join()

  @property
  def is_alive(self) -> bool:
    """Whether the thread works."""
    return self._thread.is_alive()

  @property
  def wait_sec(self) -> float:
    """About how long it takes to say what waits now."""
    with self._changed:
      return self._part_sec * sum(job.num_left for job in self._jobs)

  def do(
    self, task: Callable[[], _Result]
  ) -> concurrent.futures.Future[_Result]:
    """Has something else done on the model's thread, before what waits."""
    future: concurrent.futures.Future[_Result] = concurrent.futures.Future()
    with self._changed:
      self._tasks.append((future, task))
      self._changed.notify()
    return future

  def attach(self, talker: Talker) -> None:
    """Says what comes from now on with a model."""
    self._talker = talker

  def submit(self, parts: Sequence[Part]) -> Job:
    """Has something said; to be called on the event loop."""
    job = Job(parts, self._wake)
    with self._changed:
      self._jobs.append(job)
      self._changed.notify()
    return job

  def _wake(self) -> None:
    with self._changed:
      self._changed.notify()

  def _work(self) -> None:
    while True:
      with self._changed:
        while not self._is_stopping and not (found := self._next()):
          self._changed.wait()
        if self._is_stopping:
          return
      if isinstance(found, list):
        self._say(found)
      else:
        _do(*found)

  def _next(self) -> Any:
    """A task, or parts of jobs; falsy: nothing to do."""
    return self._tasks.popleft() if self._tasks else self._pick()

  def _pick(self) -> list[tuple[Job, Part]]:
    """Parts of one shape, of every job in turn one, until there are enough."""
    picked: list[tuple[Job, Part]] = []
    most = 1
    self._jobs = collections.deque(j for j in self._jobs if not j.is_over)
    while self._talker and len(picked) < most:
      job = self._whose_turn(picked)
      if job is None:
        break
      part = job.begin()
      self._jobs.remove(job)
      self._jobs.append(job)
      most = most if picked else self._talker.most_at_once(part)
      picked.append((job, part))
    return picked

  def _whose_turn(self, picked: Sequence[tuple[Job, Part]]) -> Job | None:
    """The next job with a part that fits those that were picked.

    Not one whose first part is among them: with company that would be heard
    later.
    """
    for job in self._jobs:
      part = job.next()
      if part is None or job.is_begun_unheard:
        continue
      if not picked or part.shape == picked[0][1].shape:
        return job
    return None

  def _say(self, picked: Sequence[tuple[Job, Part]]) -> None:
    """Says parts and hands them out; of a batch that fails, each alone."""
    assert self._talker
    begun_sec = time.monotonic()
    try:
      waves = self._talker.say([part for _, part in picked])
    except Exception as error:
      if len(picked) > 1:
        for one in picked:
          self._say([one])
        return
      picked[0][0].hand(error)
      return
    seconds = time.monotonic() - begun_sec
    self._part_sec += 0.2 * (seconds / len(picked) - self._part_sec)
    self._observe(len(picked), seconds)
    for (job, _), wave in zip(picked, waves, strict=True):
      job.hand(wave)


def _do(future: concurrent.futures.Future, task: Callable[[], Any]) -> None:
  if not future.set_running_or_notify_cancel():
    return
  try:
    future.set_result(task())
  except Exception as error:
    future.set_exception(error)
