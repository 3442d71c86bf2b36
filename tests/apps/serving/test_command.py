# SPDX-License-Identifier: Apache-2.0
"""`ns-jax serve`, as it is typed."""

import contextlib
import json
import signal
import subprocess
import sys

import click.testing
import httpx
import pytest
import soundfile

from ns_jax.apps import addresses, cli
from ns_jax.apps.serving import logs, server, voices
from ns_jax.errors import UserError
from tests import commands, speakers, talkers
from tests.talkers import ask


@pytest.mark.parametrize(
  ("args", "message"),
  [
    (["--host", "0.0.0.0"], "give a key with --api-key-file or NS_JAX_API_KEY"),
    (["--host", "no.such.host.invalid"], "cannot listen at"),
    (["--voice", "anna.wav"], "give a name, = and a file"),
    (["--voice", "../anna=anna.wav"], "a voice's name has"),
    (["--voices", "nowhere"], "nowhere: no such folder"),
    (["--voices", "."], "holds no recordings"),
    (["--voices-dir", "nowhere"], "nowhere: no such folder"),
    (["--api-key-file", "nowhere"], "nowhere: cannot be read as a key"),
    (["--api-key-file", "short"], "has 16 or more printable"),
    (["--model", "nowhere"], "nowhere: "),
    (["--voices", "odd"], "two words.wav: a voice's name has"),
  ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, args, message):
  monkeypatch.chdir(tmp_path)
  monkeypatch.delenv("NS_JAX_API_KEY", raising=False)
  (tmp_path / "short").write_text("short\n")
  (tmp_path / "odd").mkdir()
  (tmp_path / "odd" / "two words.wav").write_bytes(talkers.prompt())
  words = ["serve", "--port", "0", *args]
  result = click.testing.CliRunner().invoke(cli.cli, words)
  assert result.exit_code == 2 and result.stdout == ""
  last = result.stderr.splitlines()[-1]
  assert last.startswith("ns_jax: error: ") and message in last


def test_what_is_set_in_the_environment(tmp_path, monkeypatch):
  """A key without the spaces that HTTP does not keep either."""
  found = []

  class Running:
    def __init__(self, settings, _):
      found.append(settings)

    def run(self):
      with pytest.raises(UserError, match="another server"):
        voices.held(tmp_path).__enter__()

  monkeypatch.setattr(server, "Running", Running)
  monkeypatch.setattr(logs, "to_stderr", lambda: None)
  monkeypatch.setenv("NS_JAX_API_KEY", " 0123456789abcdef\n")
  monkeypatch.setenv("NS_JAX_MARK_KEY", "mine")
  words = ["serve", "--port", "0", "--voices-dir", str(tmp_path)]
  for more, mark_key in ((["--mark"], "mine"), ([], None)):
    result = click.testing.CliRunner().invoke(cli.cli, [*words, *more])
    assert result.exit_code == 0, result.output
    assert found[-1].mark_key == mark_key
  assert found[-1].access.key == "0123456789abcdef"


@pytest.mark.nightly
def test_a_server_as_people_start_it(tmp_path):
  """Speaks, and ends when told to; the key is nowhere in the log."""
  bundle = speakers.bundle(tmp_path / "bundle")
  voices = tmp_path / "voices"
  voices.mkdir()
  soundfile.write(voices / "anna.flac", speakers.voice(), 16_000)
  key = "secret-0123456789abcdef"
  with server.listen("127.0.0.1", 0) as free:
    url = addresses.url(free)
  words = [sys.executable, "-m", "ns_jax.apps.cli", "serve"]
  words += ["--port", url.rpartition(":")[2], "--model", str(bundle)]
  words += ["--voices", str(voices), "--max-batch", "2"]
  process = subprocess.Popen(
    words,
    cwd=commands.ROOT,
    env={**commands.environment(tmp_path / "cache"), "NS_JAX_API_KEY": key},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  try:
    talkers.wait_until_ready(url)
    headers = {"Authorization": f"Bearer {key}"}
    said = [
      httpx.post(
        f"{url}/v1/audio/speech", json=ask(), headers=headers, timeout=60
      )
      for _ in range(2)
    ]
    assert len(talkers.samples(said[0].content)) > 1600
    assert said[0].content == said[1].content
    process.send_signal(signal.SIGTERM)
    stdout, log = process.communicate(timeout=120)
  finally:
    with contextlib.suppress(ProcessLookupError):
      process.kill()
  assert process.returncode == 0
  assert stdout == ""
  assert key not in log
  events = [json.loads(line)["event"] for line in log.splitlines()]
  assert events == ["listening", "ready", "request", "request", "stopped"]
