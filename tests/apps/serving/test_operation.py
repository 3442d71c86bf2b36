# SPDX-License-Identifier: Apache-2.0
"""What those see who run a server."""

import contextlib
import html.parser
import json
import signal
import subprocess
import sys
import threading

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ns_jax.apps import addresses
from ns_jax.apps.serving import logs, server, service
from ns_jax.errors import UserError
from tests import commands, talkers
from tests.talkers import ask

ROUTE = "/v1/audio/speech"


@pytest.fixture(scope="module")
def url():
  with talkers.serving() as url:
    yield url


@contextlib.contextmanager
def _process(folder, seconds=0.0):
  """Yields a server in a process of its own, and where its log grows."""
  with server.listen("127.0.0.1", 0) as free:
    url = addresses.url(free)
  log = folder / "log.jsonl"
  words = [sys.executable, "-m", "tests.talkers", url.rpartition(":")[2]]
  with (
    log.open("ab") as file,
    subprocess.Popen(
      [*words, str(folder), str(seconds)], cwd=commands.ROOT, stderr=file
    ) as process,
  ):
    try:
      talkers.wait_until_ready(url)
      yield process, url, log
    finally:
      process.kill()


def test_prometheus_reads_the_metrics(url):
  httpx.post(url + ROUTE, json=ask("One. Two."))
  httpx.get(f"{url}/v1/nothing/{'x' * 50}")
  page = httpx.get(f"{url}/metrics")
  samples = {
    (sample.name, *sample.labels.values()): sample.value
    for family in text_string_to_metric_families(page.text)
    for sample in family.samples
  }
  assert samples["ns_jax_requests_total", ROUTE, "200"] == 1
  assert samples["ns_jax_requests_total", "other", "404"] == 1
  assert samples["ns_jax_audio_seconds_total",] == pytest.approx(0.2)
  assert samples["ns_jax_characters_total",] == len("One. Two.")
  assert samples["ns_jax_first_audio_seconds_count",] == 1
  assert samples["ns_jax_batch_pieces_sum",] == 2
  assert samples["ns_jax_voices",] == samples["ns_jax_ready",] == 1


def test_the_page_loads_nothing_from_elsewhere(url):
  """Neither scripts nor styles nor pictures; its one link is our own."""
  answer = httpx.get(f"{url}/docs")
  assert answer.headers["content-security-policy"].startswith(
    "default-src 'none'"
  )
  links = []

  class Links(html.parser.HTMLParser):
    def handle_starttag(self, tag, attrs):
      links.extend(v for k, v in attrs if k in ("src", "href"))

  Links().feed(answer.text)
  assert links == ["openapi.json"]
  for path in httpx.get(f"{url}/openapi.json").json()["paths"]:
    assert path in answer.text
  assert "response_format" in answer.text and "@import" not in answer.text


def test_it_lives_before_it_is_ready():
  may_load = threading.Event()

  def load():
    may_load.wait()
    return talkers.Whistler()

  with server.listen("127.0.0.1", 0) as listening:
    running = server.Running(service.Settings(load), listening)
    thread = threading.Thread(target=running.run)
    thread.start()
    url = addresses.url(listening)
    try:
      assert httpx.get(f"{url}/healthz").json() == {"status": "starting"}
      assert httpx.get(f"{url}/readyz").status_code == 503
      for path in ("/v1/models", "/v1/audio/voices"):
        answer = httpx.get(url + path)
        assert answer.json()["error"]["code"] == "not_ready"
        assert answer.status_code == 503 and "retry-after" in answer.headers
    finally:
      may_load.set()
    talkers.wait_until_ready(url)
    assert httpx.get(f"{url}/healthz").json() == {"status": "ok"}
    running.stop()
    thread.join()


def test_what_cannot_be_loaded_ends_it(tmp_path):
  def load():
    raise UserError("no such model")

  for settings, message in (
    (service.Settings(load), "no such model"),
    (
      service.Settings(talkers.Whistler, {"x": tmp_path / "x.wav"}),
      "x.wav: no such audio file",
    ),
  ):
    with (
      server.listen("127.0.0.1", 0) as listening,
      pytest.raises(UserError, match=message),
    ):
      server.Running(settings, listening).run()


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.1"])
def test_an_address_that_cannot_be_had(host):
  with pytest.raises(UserError, match="cannot listen at"):
    server.listen(host, 0)


def test_a_port_that_is_taken():
  with (
    server.listen("127.0.0.1", 0) as taken,
    pytest.raises(UserError, match="cannot listen at"),
  ):
    server.listen("127.0.0.1", taken.getsockname()[1])


def test_sigterm_finishes_what_was_begun(tmp_path):
  """And the log tells of it, without the text."""
  with _process(tmp_path, seconds=0.3) as (process, url, log):
    with httpx.stream(
      "POST", url + ROUTE, json=ask("Secret. B. C."), timeout=30
    ) as answer:
      pieces = answer.iter_raw()
      heard = next(pieces)
      process.send_signal(signal.SIGTERM)
      heard += b"".join(pieces)
    assert heard == talkers.said("Secret. B. C.").tobytes()
    assert process.wait(timeout=30) == 0
    with pytest.raises(httpx.ConnectError):
      httpx.get(url)
  lines = [json.loads(line) for line in log.read_text().splitlines()]
  assert [line["event"] for line in lines if line["event"] != "request"] == [
    "listening", "ready", "stopped"
  ]  # fmt: skip
  (told,) = [line for line in lines if line.get("route") == ROUTE]
  assert told["status"] == 200 and told["whole"] is True
  assert told["characters"] == len("Secret. B. C.")
  assert told["request_id"] == answer.headers["x-request-id"]
  assert told["seconds"] > told["first_audio_sec"] > 0.2
  assert "Secret" not in log.read_text()


@pytest.mark.nightly
def test_killed_and_started_again_it_has_its_voices(tmp_path):
  with _process(tmp_path, seconds=0.2) as (process, url, _):
    files = {"audio_sample": ("a.wav", talkers.prompt(3))}
    data = {"name": "bob"}
    made = httpx.post(f"{url}/v1/audio/voices", data=data, files=files)
    assert made.status_code == 200
    with (
      pytest.raises(httpx.TransportError),
      httpx.stream(
        "POST", url + ROUTE, json=ask("A. B. C. D. E. F.")
      ) as answer,
    ):
      pieces = answer.iter_raw()
      next(pieces)
      process.kill()
      list(pieces)
  with _process(tmp_path) as (_, url, _):
    answer = httpx.post(url + ROUTE, json=ask("Hi.", voice="bob"))
    assert answer.content == talkers.said("Hi.", voice_seed=3).tobytes()


def test_a_mistake_of_ours_is_told_to_the_log_alone():
  class Broken(talkers.Whistler):
    def say(self, parts):
      raise ValueError(f"secret: {parts[0].text}")

  with (
    talkers.logged_by("ns_jax.apps.serving.gate") as records,
    talkers.serving(Broken()) as url,
  ):
    answer = httpx.post(url + ROUTE, json=ask("Whispered."))
  assert answer.status_code == 500
  assert answer.json()["error"]["code"] == "internal_error"
  assert "Whispered" not in answer.text
  (line,) = [logs.AsJson().format(r) for r in records if ROUTE in str(r.facts)]
  assert json.loads(line)["error"][0] == "ValueError"
  assert "Whispered" not in line
