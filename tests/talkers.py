# SPDX-License-Identifier: Apache-2.0
"""A server whose model is a whistle: quick, and no two requests alike."""

import contextlib
import dataclasses
import hashlib
import io
import logging
import pathlib
import sys
import tempfile
import threading
import time
from typing import Any

import httpx
import numpy as np
import soundfile

from ns_jax.apps import addresses
from ns_jax.apps.serving import logs, server, service
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError
from ns_jax.inference.utterance import Manner

SPEC = AudioSpec()
_PIECE_SAMPLES = 1600  # at speed 1: 0.1 s


@dataclasses.dataclass(frozen=True)
class Part:
  """One sentence."""

  text: str
  voice: Any
  speed: float
  seed: int

  @property
  def shape(self):
    """Long sentences do not go with short ones."""
    return len(self.text) > 40


class Whistler:
  """An engine: every sentence is noise that its words, voice and seed make."""

  model_id, spec, own_voice = "ns2", SPEC, None

  def __init__(self, most=1, step_sec=0.0):
    """Says `most` sentences at once, each time in `step_sec`."""
    self.most, self.step_sec = most, step_sec
    self.batches: list[list[Part]] = []
    self.turns: threading.Semaphore | None = None  # to wait for, where given
    self.is_busy = threading.Event()

  def read(self, text, voice, manner, seed):
    """Sentences end with full stops."""
    sentences = [s.strip() for s in text.split(".") if s.strip()]
    if not sentences:
      raise UserError("the text has nothing in it that can be spoken")
    text.encode()
    return [
      Part(sentence, voice, manner.speed, seed + i)
      for i, sentence in enumerate(sentences)
    ]

  def listen(self, wav):
    """A voice is its samples."""
    if not np.abs(wav).max(initial=0.0) > 0.001:
      raise UserError("the prompt is silent")
    return hashlib.sha256(wav.tobytes()).hexdigest()

  def most_at_once(self, part):
    """As many of any shape."""
    return self.most

  def say(self, parts):
    """Notes who was said with whom."""
    assert len({part.shape for part in parts}) == 1
    self.is_busy.set()
    if self.turns:
      self.turns.acquire()
    self.batches.append(list(parts))
    time.sleep(self.step_sec)
    return [wave(part) for part in parts]

  def preparations(self):
    """None."""
    return ()

  further_preparations = preparations


def wave(part):
  """What is said of a sentence."""
  words = repr((part.text, part.voice, part.seed)).encode()
  number = int.from_bytes(hashlib.sha256(words).digest()[:8])
  size = round(_PIECE_SAMPLES / part.speed)
  return np.random.default_rng(number).uniform(-0.5, 0.5, size).astype("f4")


def prompt(seed=0, seconds=1.0, format="WAV"):
  """The bytes of a recording."""
  noise = np.random.default_rng(seed).normal(0, 0.1, round(16_000 * seconds))
  content = io.BytesIO()
  soundfile.write(content, noise, 16_000, format=format)
  return content.getvalue()


def said(text, seed=0, speed=1.0, voice_seed=0):
  """Samples [S] int16 that the whistler makes of a text."""
  wav = soundfile.read(io.BytesIO(prompt(voice_seed)), dtype="float32")[0]
  engine = Whistler()
  parts = engine.read(text, engine.listen(wav), Manner(speed=speed), seed)
  waves = np.concatenate([wave(part) for part in parts])
  return np.round(waves * 32767.0).astype(np.int16)


@contextlib.contextmanager
def serving(engine=None, **settings):
  """Yields the address of a server on a thread, with a voice called anna."""
  with tempfile.TemporaryDirectory() as folder:
    anna = pathlib.Path(folder) / "anna.wav"
    anna.write_bytes(prompt())
    chosen = {
      "make_engine": lambda: engine or Whistler(),
      "prompts": {"anna": anna},
      **settings,
    }
    with server.listen("127.0.0.1", 0) as listening:
      running = server.Running(service.Settings(**chosen), listening)
      thread = threading.Thread(target=running.run)
      thread.start()
      try:
        url = addresses.url(listening)
        wait_until_ready(url)
        yield url
      finally:
        running.stop()
        thread.join()


def wait_until_ready(url):
  """Waits until a server can speak, a minute at most."""
  for _ in range(3000):
    with contextlib.suppress(httpx.TransportError):
      if httpx.get(f"{url}/readyz").status_code == 200:
        return
    time.sleep(0.02)
  raise TimeoutError(url)


def ask(text="Come in.", **more):
  """The body of a request to speak."""
  return {
    "model": "ns2",
    "input": text,
    "voice": "anna",
    "response_format": "pcm",
    **more,
  }


def samples(content):
  """[S] int16 of an answer in PCM."""
  return np.frombuffer(content, "<i2")


@contextlib.contextmanager
def logged_by(name):
  """What a logger records, whatever other tests had loggers do."""
  records = []
  handler = logging.Handler()
  handler.emit = records.append
  logger = logging.getLogger(name)
  level = logger.level
  logger.addHandler(handler)
  logger.setLevel(logging.INFO)
  try:
    yield records
  finally:
    logger.removeHandler(handler)
    logger.setLevel(level)


def main(port, folder, seconds):
  """A process of its own: `python -m tests.talkers 8000 voices 0.01`."""
  logging.getLogger("ns_jax").setLevel(logging.INFO)
  logs.to_stderr()
  anna = pathlib.Path(folder) / "anna"
  anna.write_bytes(prompt())
  chosen = service.Settings(
    lambda: Whistler(step_sec=float(seconds)),
    {"anna": anna},
    pathlib.Path(folder),
  )
  with server.listen("127.0.0.1", int(port)) as listening:
    server.Running(chosen, listening).run()


if __name__ == "__main__":
  main(*sys.argv[1:])
