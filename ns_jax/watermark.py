# SPDX-License-Identifier: Apache-2.0
"""An inaudible mark on speech, and its detector: keyed spread spectrum.

The plane of time and frequency is cut into cells of 128 ms by 50 Hz or more.
Each has a chip, +1 or -1, drawn from the key; after eight cells of time the
chips come again. A mark raises or lowers each cell by two decibels, which is
loud only where the speech is, and below what it masks.

The detector looks at how much louder each cell is than its neighbours in
frequency, adds up what falls on the same chip, and correlates. Of speech that
knows nothing of the key, whatever it is, the normalised correlation z is a sum
of fixed numbers with random signs, so P(z >= a) <= exp(-a^2 / 2) (Hoeffding).
Where the chips begin and how fast they go is searched for, and the threshold
pays for each try.
"""

import dataclasses
import functools
import hashlib
import math
from collections.abc import Iterable, Iterator

import numpy as np
from scipy import ndimage

PUBLIC_KEY = "ns_jax"  # anybody can look for it, and anybody can put it there
DETECTOR_RATE_HZ = 16_000
FALSE_ALARM = 1e-6  # at most, of a file that knows nothing of the key
_DEPTH_DB = 2.0
_CELL_SEC, _CELLS = 0.128, 8  # of a chip; chips one after another
_LOW_HZ, _HIGH_HZ = 500.0, 7000.0
_LEAST_WIDTH_HZ, _RELATIVE_WIDTH = 50.0, 0.02
_HOP_SEC, _OVERLAP = 0.016, 4  # of the frames that are weighed
_EDGE = 0.2  # of a cell: how long it takes to become the next
_FLOOR = 1e-6  # of the loud cells' energy: what is below is silence
_NEIGHBOURS = 5  # bands, itself one of them
_SPEEDS = tuple(1.0 + 0.01 * step for step in range(-5, 6))
_TRIES_PER_CELL = 10  # beginnings within a cell
_WINDOW_SEC = 16.0  # looked at at once; the next begins half way


@dataclasses.dataclass(frozen=True)
class Detection:
  """What was found in a recording."""

  z: float  # of the window where it is highest
  threshold: float  # of z, for FALSE_ALARM over all that was tried
  begin_sec: float  # of that window
  speed: float  # there, of the mark's own

  @property
  def is_marked(self) -> bool:
    """Whether chance is no explanation."""
    return self.z >= self.threshold


def mark(wav: np.ndarray, rate_hz: int, key: str = PUBLIC_KEY) -> np.ndarray:
  """Marks a wave [S] float32; returns [S] float32, about as loud."""
  size = round(_WINDOW_SEC * rate_hz)
  pieces = (wav[i : i + size] for i in range(0, len(wav), size))
  return np.concatenate([*marked(pieces, rate_hz, key)])


def marked(
  pieces: Iterable[np.ndarray], rate_hz: int, key: str = PUBLIC_KEY
) -> Iterator[np.ndarray]:
  """Marks a stream; yields as much as comes in, 64 ms later."""
  marker = Marker(rate_hz, key)
  yield from map(marker.push, pieces)
  yield marker.finish()


class Marker:
  """Marks a stream piece by piece, 64 ms behind."""

  def __init__(self, rate_hz: int, key: str = PUBLIC_KEY):
    """Begins a stream.

    Args:
      rate_hz: its sample rate.
      key: whoever has it can find the mark, and put it there.
    """
    self._hop = max(1, round(_HOP_SEC * rate_hz))
    self._rate_hz = rate_hz
    size = _OVERLAP * self._hop
    # Of analysis and of synthesis; their products add up to half the overlap.
    self._window = np.sin(np.pi * np.arange(size) / size)
    self._chips = chips(key)
    bins_hz = np.arange(size // 2 + 1) * rate_hz / size
    self._band = np.searchsorted(_edges_hz(), bins_hz, side="right") - 1
    self._is_marked = (self._band >= 0) & (self._band < _num_bands())
    self._pending = np.zeros(size - self._hop)  # the first frames are whole
    self._tail = np.zeros((_OVERLAP - 1, self._hop))  # not yet added up
    self._frames = 0  # seen
    self._skip = size - self._hop  # of what comes out, before the beginning
    self._due = 0  # samples that went in and have not come out

  def push(self, wav: np.ndarray) -> np.ndarray:
    """Takes [S] samples; returns those [S'] float32 that are ready."""
    self._due += len(wav)
    return self._process(wav)

  def finish(self) -> np.ndarray:
    """Returns what is left; as many samples came out as went in."""
    return self._process(np.zeros(len(self._window)))

  def _process(self, wav: np.ndarray) -> np.ndarray:
    wav = np.concatenate([self._pending, wav])
    size = len(self._window)
    count = max(0, (len(wav) - size) // self._hop + 1)
    self._pending = wav[count * self._hop :]
    if not count:
      return np.zeros(0, np.float32)
    frames = _frames(wav, size, self._hop)[:count] * self._window
    spectra = np.fft.rfft(frames) * self._gains(count)
    parts = (np.fft.irfft(spectra, size) * self._window).reshape(
      count, _OVERLAP, self._hop
    )
    total = np.zeros((count + _OVERLAP - 1, self._hop))
    total[: _OVERLAP - 1] = self._tail
    for i in range(_OVERLAP):
      total[i : i + count] += parts[:, i]
    self._tail = total[count:]
    ready = total[:count].ravel() / (_OVERLAP / 2)
    first = min(self._skip, len(ready))
    self._skip -= first
    ready = ready[first:][: self._due]
    self._due -= len(ready)
    return ready.astype(np.float32)

  def _gains(self, count: int) -> np.ndarray:
    """Of the next frames [n, bins]."""
    frames = self._frames + np.arange(count)
    self._frames += count
    # Between the middles of two cells.
    place = frames * self._hop / self._rate_hz / _CELL_SEC - 0.5
    cell = np.floor(place).astype(int)
    nearness = np.clip((place - cell - 0.5) / _EDGE + 0.5, 0.0, 1.0)[:, None]
    share = 0.5 - 0.5 * np.cos(np.pi * nearness)
    pattern = (1.0 - share) * self._chips[cell % _CELLS]
    pattern += share * self._chips[(cell + 1) % _CELLS]
    gains = np.ones((count, len(self._band)))
    marked = pattern[:, self._band[self._is_marked]]
    gains[:, self._is_marked] = 10.0 ** (_DEPTH_DB / 20.0 * marked)
    return gains


def detect(blocks: Iterable[np.ndarray], key: str = PUBLIC_KEY) -> Detection:
  """Looks for a mark in a recording of any length, in constant memory.

  Args:
    blocks: the recording at DETECTOR_RATE_HZ, [S] float each, of any lengths.
    key: of the mark.
  """
  signs = chips(key).ravel()
  best, speed, begin_sec, windows = -math.inf, 1.0, 0.0, 0
  for i, window in enumerate(_windows(blocks)):
    windows += 1
    scores = evidence(window) @ signs
    place = int(np.argmax(scores))
    if scores[place] > best:
      best = float(scores[place])
      speed = _SPEEDS[place // (_CELLS * _TRIES_PER_CELL)]
      begin_sec = i * _WINDOW_SEC / 2
  return Detection(max(best, 0.0), threshold(windows), begin_sec, speed)


def threshold(windows: int) -> float:
  """Of z, so that FALSE_ALARM holds over all that is tried."""
  tries = max(windows, 1) * len(_SPEEDS) * _CELLS * _TRIES_PER_CELL
  return math.sqrt(2.0 * math.log(tries / FALSE_ALARM))


def chips(key: str) -> np.ndarray:
  """Signs of a key, [cells, bands] float32; the same on every machine."""
  count = _CELLS * _num_bands()
  digest = hashlib.shake_256(b"ns_jax watermark 1\0" + key.encode())
  bits = np.frombuffer(digest.digest(-(-count // 8)), np.uint8)
  signs = np.unpackbits(bits)[:count].astype(np.float32) * 2.0 - 1.0
  return signs.reshape(_CELLS, -1)


def evidence(wav: np.ndarray) -> np.ndarray:
  """What a window says of each chip, for each speed and beginning.

  Args:
    wav: [S] float at DETECTOR_RATE_HZ.

  Returns:
    [speeds * beginnings, cells * bands], rows of length one, or of nothing
    where there is silence; times the chips of a key, z.
  """
  hop = round(_HOP_SEC * DETECTOR_RATE_HZ)
  size = _OVERLAP * hop
  if len(wav) < size:
    wav = np.pad(wav, (0, size - len(wav)))
  spectra = np.fft.rfft(_frames(wav, size, hop) * np.hanning(size))
  power = np.cumsum(np.abs(spectra) ** 2, axis=1)
  power = np.concatenate([np.zeros((len(power), 1)), power], axis=1)
  rows = []
  for speed in _SPEEDS:
    bins = _edges_hz() * speed * size / DETECTOR_RATE_HZ + 0.5
    # Shares of the bins at the edges.
    whole = np.floor(bins).astype(int)
    part = bins - whole
    below = power[:, whole] * (1.0 - part) + power[:, whole + 1] * part
    energy = np.diff(below, axis=1) / np.diff(bins)
    rows.append(_by_chip(_louder(energy), speed))
  found = np.concatenate(rows)
  length = np.linalg.norm(found, axis=1, keepdims=True)
  return found / np.where(length > 0.0, length, 1.0)


def _louder(energy: np.ndarray) -> np.ndarray:
  """How much louder than its neighbours each band is, [T, bands], -1 to 1."""
  loud = np.percentile(energy, 95)
  if loud <= 0.0:
    return np.zeros_like(energy)
  level = np.log(energy + _FLOOR * loud)
  level -= ndimage.uniform_filter1d(level, _NEIGHBOURS, axis=1, mode="nearest")
  spread = float(np.sqrt(np.mean(level**2)))
  return np.clip(level / max(spread, 1e-6), -1.0, 1.0)


def _by_chip(values: np.ndarray, speed: float) -> np.ndarray:
  """Sums over what falls on the same chip, for each beginning.

  Args:
    values: [T, bands].
    speed: of the chips.

  Returns:
    [beginnings, cells * bands].
  """
  tries = _CELLS * _TRIES_PER_CELL
  turns = np.arange(len(values)) * _HOP_SEC * speed / (_CELL_SEC * _CELLS)
  place = (turns % 1.0 * tries).astype(int)
  bands = values.shape[1]
  folded = np.bincount(
    (place[:, None] * bands + np.arange(bands)).ravel(),
    weights=values.ravel(),
    minlength=tries * bands,
  ).reshape(tries, bands)
  ahead = np.cumsum(np.concatenate([folded, folded[:_TRIES_PER_CELL]]), axis=0)
  ahead = np.concatenate([np.zeros((1, bands)), ahead])
  cells = ahead[_TRIES_PER_CELL:-1] - ahead[: -_TRIES_PER_CELL - 1]
  starts = np.arange(tries)[:, None] + _TRIES_PER_CELL * np.arange(_CELLS)
  return cells[starts % tries].reshape(tries, -1)


def _windows(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
  """Parts of a recording that overlap by half; the last may be shorter."""
  size = round(_WINDOW_SEC * DETECTOR_RATE_HZ)
  pending, is_begun = np.zeros(0, np.float32), False
  for block in blocks:
    pending = np.concatenate([pending, block])
    while len(pending) > size:
      yield pending[:size]
      pending, is_begun = pending[size // 2 :], True
  # Of a half that was seen, no less.
  if not is_begun or len(pending) > size // 2:
    yield pending


def _frames(wav: np.ndarray, size: int, hop: int) -> np.ndarray:
  return np.lib.stride_tricks.sliding_window_view(wav, size)[::hop]


@functools.cache
def _edges_hz() -> np.ndarray:
  """Edges of the bands."""
  edges = [_LOW_HZ]
  while True:
    width = max(_LEAST_WIDTH_HZ, _RELATIVE_WIDTH * edges[-1])
    if edges[-1] + width > _HIGH_HZ:
      return np.array(edges)
    edges.append(edges[-1] + width)


def _num_bands() -> int:
  return len(_edges_hz()) - 1
