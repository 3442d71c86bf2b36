# SPDX-License-Identifier: Apache-2.0
"""One request to speak, between the event loop and the model's thread."""

import asyncio
import collections
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from typing import Protocol

import numpy as np

_MOST_AHEAD = 4  # pieces that wait for a slow client to take them


class Part(Protocol):
  """A piece of a request, as its model says it at once."""

  @property
  def shape(self) -> Hashable:
    """Parts of one shape may share a batch."""
    ...


class Job:
  """What is to be said, in order, and what has been said of it.

  The event loop makes and reads it, the model's thread says it: each changes
  its own numbers only, and either may drop it.
  """

  def __init__(self, parts: Sequence[Part], on_change: Callable[[], None]):
    """Begins a request.

    Args:
      parts: what is to be said.
      on_change: called when the job may go on, or is dropped.
    """
    self._loop = asyncio.get_running_loop()
    self._said: asyncio.Queue[np.ndarray | Exception] = asyncio.Queue()
    self._left = collections.deque(parts)
    self._on_change = on_change
    self._num_parts = len(parts)
    self._num_taken = 0  # by the event loop
    self._num_begun = 0  # by the model's thread
    self._num_handed = 0  # by it, too
    self._is_dropped = False

  @property
  def is_over(self) -> bool:
    """Whether nothing of it is to be said any more."""
    return self._is_dropped or not self._left

  @property
  def is_begun_unheard(self) -> bool:
    """Whether its first part is being said."""
    return self._num_begun > 0 and self._num_handed == 0

  @property
  def num_left(self) -> int:
    """Parts that nobody has begun to say."""
    return 0 if self._is_dropped else len(self._left)

  def next(self) -> Part | None:
    """What is to be said next; None while the client is behind."""
    is_behind = self._num_begun - self._num_taken >= _MOST_AHEAD
    return None if self.is_over or is_behind else self._left[0]

  def begin(self) -> Part:
    """Takes the next part, to say it."""
    self._num_begun += 1
    return self._left.popleft()

  def hand(self, result: np.ndarray | Exception) -> None:
    """Gives a wave [S], or why there is none and never will be."""
    self._num_handed += 1
    if isinstance(result, Exception):
      self._is_dropped = True
    try:
      self._loop.call_soon_threadsafe(self._said.put_nowait, result)
    except RuntimeError:  # the loop is closed: nobody listens
      self._is_dropped = True

  def drop(self) -> None:
    """Leaves unsaid what is left."""
    self._is_dropped = True
    self._on_change()

  async def waves(self) -> AsyncIterator[np.ndarray]:
    """Yields the waves [S] of the parts, in order.

    Raises:
      Exception: what went wrong in the model.
    """
    for _ in range(self._num_parts):
      result = await self._said.get()
      self._num_taken += 1
      self._on_change()
      if isinstance(result, Exception):
        raise result
      yield result
