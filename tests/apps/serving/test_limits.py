# SPDX-License-Identifier: Apache-2.0
"""Who may ask, how much, and how long."""

import json
import socket
import sys
import threading
import time

import httpx
import numpy as np
import openai
import pytest

from ns_jax.apps.serving.settings import Access, Limits
from tests import talkers
from tests.talkers import ask

ROUTE = "/v1/audio/speech"
KEY = "0123456789abcdef"


@pytest.fixture
def engine():
  """One that says nothing until it may."""
  engine = talkers.Whistler()
  engine.turns = threading.Semaphore(0)
  yield engine
  engine.turns.release(999)


def _in_background(url, count, text="Hi."):
  answers = []
  threads = [
    threading.Thread(
      target=lambda: answers.append(httpx.post(url + ROUTE, json=ask(text)))
    )
    for _ in range(count)
  ]
  for thread in threads:
    thread.start()
  return threads, answers


def _metric(url, name):
  lines = httpx.get(f"{url}/metrics").text.splitlines()
  return next(float(x.split()[-1]) for x in lines if x.startswith(name + " "))


def _wait_for(condition):
  for _ in range(500):
    if condition():
      return
    time.sleep(0.02)
  raise TimeoutError


def _connection(url):
  host, port = url.removeprefix("http://").split(":")
  return socket.create_connection((host, int(port)), timeout=30)


def _posting(url, body, promised_bytes):
  """A connection on which a request to speak is sent, or some of it."""
  connection = _connection(url)
  connection.sendall(
    b"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
    % (promised_bytes, body)
  )
  return connection


def test_a_crowd_is_told_to_come_back(engine):
  with talkers.serving(engine, limits=Limits(max_requests=3)) as url:
    threads, answers = _in_background(url, 3)
    _wait_for(lambda: _metric(url, "ns_jax_requests_here") == 3)
    with (
      openai.OpenAI(
        api_key="none", base_url=f"{url}/v1", max_retries=0
      ) as client,
      pytest.raises(openai.RateLimitError) as caught,
    ):
      client.audio.speech.create(model="ns2", voice="anna", input="Hi.")
    assert int(caught.value.response.headers["retry-after"]) >= 1
    assert caught.value.code == "rate_limit_exceeded"
    engine.turns.release(9)
    for thread in threads:
      thread.join()
    assert [answer.status_code for answer in answers] == [200] * 3
    assert httpx.post(url + ROUTE, json=ask()).status_code == 200


def test_what_takes_too_long_ends(engine):
  with talkers.serving(engine, limits=Limits(timeout_sec=0.5)) as url:
    answer = httpx.post(url + ROUTE, json=ask())
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "timeout"
    # Where sound was sent already, its end shows that something is missing.
    engine.turns.release(2)
    with (
      pytest.raises(httpx.RemoteProtocolError),
      httpx.stream("POST", url + ROUTE, json=ask("One. Two. Three.")) as begun,
    ):
      assert begun.status_code == 200
      begun.read()
    engine.turns.release(9)
    assert httpx.post(url + ROUTE, json=ask("One.")).status_code == 200
  texts = [part.text for batch in engine.batches for part in batch]
  assert "Three" not in texts


def test_a_body_that_never_ends_is_not_waited_for():
  with (
    talkers.serving(limits=Limits(timeout_sec=0.3)) as url,
    _posting(url, b"{", 100) as connection,
  ):
    answer = b"".join(iter(lambda: connection.recv(4096), b""))
  assert b" 504 " in answer.splitlines()[0]


def test_who_never_asks_keeps_no_connection():
  with (
    talkers.serving(limits=Limits(timeout_sec=1.0)) as url,
    _connection(url) as connection,
  ):
    assert connection.recv(1) == b""


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux' TCP")
def test_who_never_reads_keeps_no_connection():
  class Shouting(talkers.Whistler):
    def say(self, parts):
      return [np.ones(5_000_000, np.float32) for _ in parts]

  body = json.dumps(ask()).encode()
  with (
    talkers.serving(Shouting(), limits=Limits(timeout_sec=1.0)) as url,
    _posting(url, body, len(body)) as connection,
  ):

    def is_reset():
      try:
        connection.send(b"x")
      except ConnectionError:
        return True
      return False

    _wait_for(is_reset)


def test_nothing_is_said_to_who_has_left(engine):
  with talkers.serving(engine) as url:
    engine.turns.release(1)
    with httpx.stream("POST", url + ROUTE, json=ask("A. B. C. D.")) as answer:
      next(answer.iter_raw())
    with pytest.raises(httpx.ReadTimeout):
      httpx.post(url + ROUTE, json=ask("E. F."), timeout=0.3)
    _wait_for(lambda: _metric(url, "ns_jax_requests_here") == 0)
    engine.turns.release(9)
    assert httpx.post(url + ROUTE, json=ask("G.")).status_code == 200
    said = [part.text for batch in engine.batches for part in batch]
    assert said[0] == "A" and said[-1] == "G"
    assert not {"C", "D", "F"} & set(said)


def test_a_key_is_asked_for():
  with talkers.serving(access=Access(KEY, is_local=False)) as url:
    for given in ({}, {"Authorization": f"Bearer {KEY}x"},
                  {"Authorization": "Bearer"}, {"Authorization": KEY},
                  {"Authorization": b"Bearer \xe9"}):  # fmt: skip
      for method, path in (("GET", "/metrics"), ("POST", ROUTE)):
        answer = httpx.request(method, url + path, headers=given, content=b"{}")
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert answer.headers["www-authenticate"] == "Bearer"
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
      assert httpx.get(url + path).status_code == 200
    with openai.OpenAI(api_key=KEY, base_url=f"{url}/v1") as client:
      said = client.audio.speech.create(
        model="ns2", voice="anna", input="Hi.", response_format="pcm"
      )
    assert said.content == talkers.said("Hi.").tobytes()


@pytest.mark.parametrize(
  ("headers", "status"),
  [
    ({}, 200),
    ({"host": "localhost:8000"}, 200),
    ({"host": "[::1]:80"}, 200),
    ({"origin": "http://localhost:3000"}, 200),
    ({"host": "evil.example"}, 403),
    ({"host": "127.0.0.1.evil.example"}, 403),
    ({"host": ""}, 403),
    ({"origin": "https://evil.example"}, 403),
    ({"origin": "null"}, 403),
  ],
)
def test_pages_of_other_sites_cannot_ask(local, headers, status):
  answer = httpx.get(f"{local}/v1/models", headers=headers)
  assert answer.status_code == status


@pytest.fixture(scope="module")
def local():
  with talkers.serving() as url:
    yield url
