# SPDX-License-Identifier: Apache-2.0
"""POST /v1/audio/speech, by real clients over a real socket."""

import base64
import io
import json
import subprocess
import threading

import av
import httpx
import numpy as np
import openai
import pytest

from ns_jax import watermark
from tests import talkers, waves
from tests.talkers import ask

TEXT = "Come in. Sit down. Tea?"
ROUTE = "/v1/audio/speech"


@pytest.fixture(scope="module")
def engine():
  return talkers.Whistler()


@pytest.fixture(scope="module")
def url(engine):
  with talkers.serving(engine) as url:
    yield url


@pytest.fixture(scope="module")
def client(url):
  with openai.OpenAI(
    api_key="none", base_url=f"{url}/v1", max_retries=0
  ) as client:
    yield client


@pytest.mark.parametrize(
  ("text", "more"),
  [("Come in.", {}), (TEXT, {"seed": 7}), ("Slowly.", {"speed": 0.5})],
)
def test_pcm_is_what_the_model_said(url, text, more):
  answer = httpx.post(url + ROUTE, json=ask(text, **more))
  assert answer.status_code == 200
  assert answer.headers["x-sample-rate"] == "16000"
  heard = talkers.samples(answer.content)
  np.testing.assert_array_equal(heard, talkers.said(text, **more))


@pytest.mark.parametrize("form", ["wav", "flac", "mp3", "opus"])
def test_the_openai_client_hears_every_format(client, form):
  answer = client.audio.speech.create(
    model="ns2", voice="anna", input=TEXT, response_format=form
  )
  said = talkers.said(TEXT) / 32767.0
  with av.open(io.BytesIO(answer.content)) as container:
    resampler = av.AudioResampler("flt", "mono", 16_000)
    frames = [
      part.to_ndarray()[0]
      for frame in [*container.decode(audio=0), None]
      for part in resampler.resample(frame)
    ]
  heard = np.concatenate(frames)
  if form in ("wav", "flac"):
    np.testing.assert_allclose(heard, said, atol=1e-4)
  else:  # their coders begin and end with silence
    assert len(said) <= len(heard) < len(said) + 5000
    alike = np.correlate(heard, said, "valid").max() / np.sum(said**2)
    assert alike > 0.3  # of white noise little else is kept
    other = talkers.said(TEXT, seed=9) / 32767.0
    assert np.correlate(heard, other, "valid").max() < 0.1 * np.sum(said**2)


def test_a_voice_may_be_an_object(client):
  answer = client.audio.speech.create(
    model="ns2", voice={"id": "anna"}, input="Hi.", response_format="pcm"
  )
  assert answer.content == talkers.said("Hi.").tobytes()


def test_pieces_are_sent_while_others_are_made(url, engine):
  """Each is heard before the model may begin with the next."""
  engine.turns = threading.Semaphore(1)
  try:
    with httpx.stream("POST", url + ROUTE, json=ask(TEXT)) as answer:
      heard, pieces = b"", answer.iter_raw()
      for spoken in (1, 2, 3):
        while len(heard) < 3200 * spoken:
          heard += next(pieces)
        engine.turns.release()
  finally:
    engine.turns = None
  assert heard == talkers.said(TEXT).tobytes()


def test_server_sent_events(client):
  with client.audio.speech.with_streaming_response.create(
    model="ns2",
    voice="anna",
    input=TEXT,
    response_format="pcm",
    stream_format="sse",
  ) as answer:
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in answer.iter_lines() if line]
  events = [json.loads(line.removeprefix("data: ")) for line in lines]
  *deltas, last = events
  assert last["type"] == "speech.audio.done"
  assert {delta["type"] for delta in deltas} == {"speech.audio.delta"}
  heard = b"".join(base64.b64decode(delta["audio"]) for delta in deltas)
  assert heard == talkers.said(TEXT).tobytes()


@pytest.mark.parametrize("mark_key", [None, "mine"])
def test_what_is_marked_is_found(mark_key):
  """As long as before, and nearly the same."""
  spoken = waves.syllables()

  class Speaker(talkers.Whistler):
    def say(self, parts):
      return [spoken for _ in parts]

  with talkers.serving(Speaker(), mark_key=mark_key) as url:
    answer = httpx.post(url + ROUTE, json=ask("One. Two."))
  heard = talkers.samples(answer.content) / 32767.0
  assert watermark.detect([heard], "mine").is_marked == bool(mark_key)
  assert not watermark.detect([heard], "another").is_marked
  change = heard - np.tile(spoken, 2)
  share = np.sum(change**2) / np.sum(heard**2)
  assert share < (0.1 if mark_key else 1e-6)


def test_curl(url, tmp_path):
  out = tmp_path / "hello.wav"
  command = ["curl", "-sS", "--fail", url + ROUTE, "-o", str(out)]
  command += ["-H", "Content-Type: application/json"]
  command += ["-d", json.dumps(ask(response_format="wav"))]
  subprocess.run(command, check=True)
  content = out.read_bytes()
  assert content.startswith(b"RIFF")
  assert content.endswith(talkers.said("Come in.").tobytes())


@pytest.mark.parametrize(
  ("more", "status", "code", "param"),
  [
    ({"model": "tts-1"}, 404, "model_not_found", "model"),
    ({"voice": "nobody"}, 404, "voice_not_found", "voice"),
    ({"voice": "../../etc/passwd"}, 400, "invalid_request", "voice"),
    ({"voice": 3}, 400, "invalid_request", "voice"),
    ({"input": ""}, 400, "invalid_request", "input"),
    ({"input": "..."}, 400, "invalid_request", "input"),
    ({"input": "x" * 4097}, 413, "too_large", "input"),
    ({"input": "x" * 200_000}, 413, "too_large", None),
    ({"response_format": "aac"}, 400, "invalid_request", "response_format"),
    ({"speed": 5}, 400, "invalid_request", "speed"),
    ({"speed": "nan"}, 400, "invalid_request", "speed"),
    ({"seed": -1}, 400, "invalid_request", "seed"),
    ({"instructions": "Sadly."}, 400, "invalid_request", "instructions"),
  ],
)
def test_refusals_are_in_the_form_of_openai(url, more, status, code, param):
  answer = httpx.post(url + ROUTE, json=ask(**more))
  assert answer.status_code == status
  error = answer.json()["error"]
  assert (error["code"], error["param"]) == (code, param), error
  assert error["message"] and error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
  "body",
  [
    b"",
    b"{",
    b"null",
    b"[" * 90_000,
    b'{"input": "\xff"}',
    json.dumps(ask("\ud800.")).encode(),
    json.dumps(ask(speed=float("nan"))).encode(),
    json.dumps(ask(seed=10**400)).encode(),
  ],
)
def test_bodies_that_are_no_request(url, body):
  headers = {"content-type": "application/json"}
  answer = httpx.post(url + ROUTE, content=body, headers=headers)
  assert answer.status_code == 400 and answer.json()["error"]["message"]


def test_the_openai_client_knows_the_errors(client):
  for error, more in {
    openai.NotFoundError: {"voice": "nobody"},
    openai.BadRequestError: {"input": "..."},
  }.items():
    with pytest.raises(error) as caught:
      client.audio.speech.create(
        **{"model": "ns2", "voice": "anna", "input": "Hi.", **more}
      )
    assert caught.value.code and caught.value.request_id


def test_models(client):
  assert [model.id for model in client.models.list()] == ["ns2"]
  assert client.models.retrieve("ns2").owned_by == "ns_jax"
  with pytest.raises(openai.NotFoundError):
    client.models.retrieve("ns3")
