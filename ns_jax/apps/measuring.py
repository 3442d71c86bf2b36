# SPDX-License-Identifier: Apache-2.0
"""`ns-jax bench`: a few figures of this machine, in a minute or two."""

import dataclasses
import functools
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import soxr

from ns_jax import api
from ns_jax.inference.codec import SpeechCodec
from ns_jax.text import espeak

_TEXT = (
  "The kettle is on, come and sit down. We walked along the shore until it "
  "was dark, and nobody had anything to say."
)
_ROUNDS = 5
_CODEC_SEC = 10


@dataclasses.dataclass(frozen=True)
class Figure:
  """One thing that was measured."""

  name: str
  value: float
  unit: str
  first_sec: float  # the first call, which compiles or reads what is compiled


def measure() -> Iterator[Figure]:
  """Yields one figure after the other: medians of a few rounds."""
  yield from _products()
  codec = SpeechCodec.load()
  wav = _prompt(codec.spec.sample_rate_hz, _CODEC_SEC)[None]
  _, latents = codec.encode(wav)
  for name, work in {
    "codec encode": lambda: codec.encode(wav),
    "codec decode": lambda: codec.decode(latents),
  }.items():
    first_sec, seconds = _timed(work)
    yield Figure(name, _CODEC_SEC / seconds, "times real time", first_sec)
  say = speaker()
  first_sec, seconds = _timed(lambda: say(_TEXT))
  speed = say(_TEXT).seconds / seconds
  yield Figure("synthesis", speed, "times real time", first_sec)
  tts, voice = say.func, say.keywords["prompt"]
  first_sec, seconds = _timed(lambda: next(tts.stream(_TEXT, voice)))
  yield Figure("first sound", 1000.0 * seconds, "ms", first_sec)


def speaker() -> functools.partial[api.Audio]:
  """The model that comes along, in a voice that was not recorded."""
  tts = api.load()
  prompt = _prompt(tts.sample_rate_hz, 3), tts.sample_rate_hz
  return functools.partial(tts, prompt=tts.listen(prompt))


def machine() -> dict[str, Any]:
  """What the figures are of."""
  devices = jax.devices()
  return {
    "machine": platform.machine(),
    "processor": _processor(),
    "cores": _cores(),
    "device": f"{len(devices)} x {devices[0].device_kind}",
    "jax": jax.__version__,
  }


def _products() -> Iterator[Figure]:
  """Square matrix products of one device."""
  size, dtypes = 8192, ("float32", "bfloat16")
  if jax.default_backend() == "cpu":
    size, dtypes = 2048, ("float32",)
  product = jax.jit(jnp.matmul)
  for dtype in dtypes:
    x = jnp.ones((size, size), dtype)
    first_sec, seconds = _timed(lambda x=x: product(x, x).block_until_ready())
    name = f"matmul {dtype} {size}"
    yield Figure(name, 2 * size**3 / seconds / 1e9, "GFLOP/s", first_sec)


def _timed(work: Callable[[], Any]) -> tuple[float, float]:
  """Seconds of the first call, and the median of some more."""
  taken = []
  for _ in range(1 + _ROUNDS):
    start = time.perf_counter()
    work()
    taken.append(time.perf_counter() - start)
  return taken[0], statistics.median(taken[1:])


def _prompt(rate_hz: int, seconds: int) -> np.ndarray:
  """[S] float32 of a formant synthesiser."""
  speech = espeak.Engine().synthesize(_TEXT, espeak.Voice())
  wav = soxr.resample(speech.wav / 32768.0, espeak.SAMPLE_RATE_HZ, rate_hz)
  return np.resize(wav, rate_hz * seconds).astype(np.float32)


def _processor() -> str:
  cpuinfo = pathlib.Path("/proc/cpuinfo")
  lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
  named = [line.partition(":")[2] for line in lines if "model name" in line]
  return named[0].strip() if named else platform.processor()


def _cores() -> int:
  """That this process may use."""
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1
