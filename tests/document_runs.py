# SPDX-License-Identifier: Apache-2.0
"""A place to type what documents say, where everything is small."""

import contextlib
import os
import pathlib
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import soundfile

from tests import documents, speakers

# Each a hum that is somebody's voice.
_RECORDINGS = (
  "anna",
  "bob",
  "in",
  "me",
  "street",
  "their_song",
  "voice",
  "you",
)
_PORT = "8000"  # of `ns-jax serve`; a free one is taken instead
_LIMIT_SEC = 300.0


def prepare(home: pathlib.Path) -> None:
  """Puts the files there that documents speak of."""
  for i, name in enumerate(_RECORDINGS):
    soundfile.write(home / f"{name}.wav", speakers.voice(2.0, i), 16_000)
  (home / "kept").mkdir()
  (home / "recordings").mkdir()
  soundfile.write(home / "recordings" / "carla.wav", speakers.voice(), 16_000)
  (home / "key").write_text("0123456789abcdef" * 4)
  for name, count in {"book": 300, "story": 2}.items():
    lines = "".join(f"{said}\n" for said in _sentences(count))
    (home / f"{name}.txt").write_text(lines, encoding="utf-8")
  _write_ljspeech(home / "LJSpeech-1.1")
  _write_folder(home / "my_voice")
  speakers.bundle(home / "tiny", on_shipped=True)


class Shell:
  """Runs commands of documents in a folder, which is also the user's home."""

  def __init__(self, home: pathlib.Path):
    """Args: home: the folder, after `prepare`."""
    self.home = home
    self._programs = {
      "curl": ("curl", "--silent", "--show-error", "--fail"),
      "ns-jax": (sys.executable, "-m", "ns_jax.apps.cli"),
      "python": (sys.executable,),
    }
    self._server: subprocess.Popen[bytes] | None = None
    with socket.socket() as free:
      free.bind(("127.0.0.1", 0))
      self.port = str(free.getsockname()[1])

  def run(self, command: documents.Command, more: str) -> None:
    """Runs a command, which must not fail, and looks for what it writes."""
    done = subprocess.run(
      self._argv(command, more),
      cwd=self.home,
      env=self._environment(),
      stdin=subprocess.DEVNULL,
      capture_output=True,
      text=True,
      errors="replace",  # sound comes out of `--out -`
      check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stderr[-3000:]}"
    for option in {"--out", "-o"} & {*command.words}:
      out = command.words[command.words.index(option) + 1]
      assert done.stdout if out == "-" else (self.home / out).exists(), command

  def serve(self, command: documents.Command, more: str) -> None:
    """Starts a server in place of the one before; waits until it is well."""
    self.stop()
    log = self.home / "server.log"
    with log.open("wb") as file:
      self._server = subprocess.Popen(
        self._argv(command, f"{more} --port={self.port}"),
        cwd=self.home,
        env=self._environment(),
        stdout=file,
        stderr=file,
      )
    url = f"http://127.0.0.1:{self.port}/readyz"
    begun = time.monotonic()
    while True:
      assert self._server.poll() is None, log.read_text()[-3000:]
      assert time.monotonic() - begun < _LIMIT_SEC, log.read_text()[-3000:]
      with contextlib.suppress(urllib.error.URLError):
        urllib.request.urlopen(url).close()
        return
      time.sleep(0.5)

  @property
  def serves(self) -> bool:
    """Whether there is a server."""
    return self._server is not None

  def stop(self) -> None:
    """Ends the server, if there is one."""
    if self._server is not None:
      self._server.terminate()
      self._server.wait()
      self._server = None

  def here(self, text: str) -> str:
    """Code or a command of a document as it must be here."""
    return text.replace(f":{_PORT}/", f":{self.port}/").replace(
      "examples/", f"{documents.ROOT}/examples/"
    )

  def _argv(self, command: documents.Command, more: str) -> list[str]:
    small = re.sub(r"(configs/\w+\.py)(:\w+)?", r"\1:tiny", str(command))
    small = small.replace("~", str(self.home))
    first, *words = shlex.split(self.here(small))
    return [*self._programs[first], *words, *more.split()]

  def _environment(self) -> dict[str, str]:
    one_device = "--xla_force_host_platform_device_count=1"
    return {
      **os.environ,
      "HOME": str(self.home),
      "PYTHONPATH": str(documents.ROOT),
      "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} {one_device}",
    }


def _write_folder(folder: pathlib.Path) -> None:
  folder.mkdir()
  for i, said in enumerate(_sentences(40)):
    wav = speakers.voice(0.07 * len(said), i)
    soundfile.write(folder / f"{i:03}.wav", wav, 16_000)
    (folder / f"{i:03}.txt").write_text(said, encoding="utf-8")


def _write_ljspeech(corpus: pathlib.Path) -> None:
  (corpus / "wavs").mkdir(parents=True)
  lines = []
  for i, said in enumerate(_sentences(100)):
    name = f"LJ001-{i:04}"
    wav = speakers.voice(0.07 * len(said), i)
    soundfile.write(corpus / "wavs" / f"{name}.wav", wav, 16_000)
    lines.append(f"{name}|{said}|{said}\n")
  (corpus / "metadata.csv").write_text("".join(lines), encoding="utf-8")


def _sentences(count: int) -> list[str]:
  folder = documents.ROOT / "data_pipelines" / "corpora"
  text = (folder / "demo_sentences.txt").read_text(encoding="utf-8")
  return text.splitlines()[:count]
