# SPDX-License-Identifier: Apache-2.0
"""Voices that are uploaded, by people and by others."""

import concurrent.futures
import errno
import functools
import io
import os
import pathlib
import time
import tracemalloc

import av
import httpx
import numpy as np
import openai
import pytest

from ns_jax.apps.serving import uploads, voices
from ns_jax.apps.serving.settings import Limits
from ns_jax.errors import UserError
from tests import talkers
from tests.talkers import ask

ROUTE = "/v1/audio/voices"
LIMITS = Limits(max_upload_bytes=2**20, max_prompt_sec=5.0, max_voices=8)


@pytest.fixture(scope="module")
def url():
  with talkers.serving(limits=LIMITS) as url:
    yield url


def _upload(url, content, name="new", file_name="voice.wav"):
  files = {"audio_sample": (file_name, content)}
  return httpx.post(url + ROUTE, data={"name": name}, files=files)


def _long(form, codec, seconds, rate_hz=48_000):
  """The bytes of a file that holds a long silence, and is small."""
  content = io.BytesIO()
  with av.open(content, "w", format=form) as container:
    stream = container.add_stream(codec, rate=rate_hz, layout="mono")
    resampler = av.AudioResampler(
      stream.format, "mono", rate_hz, stream.codec_context.frame_size or 4096
    )
    second = np.zeros((1, rate_hz), np.int16)
    for i in range(seconds):
      frame = av.AudioFrame.from_ndarray(second, "s16", "mono")
      frame.sample_rate, frame.pts = rate_hz, i * rate_hz
      for part in resampler.resample(frame):
        container.mux(stream.encode(part))
    container.mux(stream.encode(None))
  return content.getvalue()


def test_the_openai_client_makes_a_voice_speaks_and_deletes_it(url):
  with openai.OpenAI(api_key="none", base_url=f"{url}/v1") as client:
    made = client.audio.voices.create(
      name="Bob_1", audio_sample=talkers.prompt(5), consent="cons_1"
    )
    assert (made.id, made.name, made.type) == ("Bob_1", "Bob_1", "audio_sample")
    said = client.audio.speech.create(
      model="ns2", voice="Bob_1", input="Hi.", response_format="pcm"
    )
    assert said.content == talkers.said("Hi.", voice_seed=5).tobytes()
    listed = httpx.get(url + ROUTE).json()["data"]
    assert [voice["id"] for voice in listed] == ["Bob_1", "anna"]
    assert client.audio.voices.delete("Bob_1").deleted
    with pytest.raises(openai.NotFoundError):
      client.audio.voices.delete("Bob_1")


def test_a_name_is_taken_once_and_that_of_the_server_stays(url):
  answer = _upload(url, talkers.prompt(), "anna")
  assert answer.status_code == 409
  assert answer.json()["error"]["code"] == "voice_exists"
  assert httpx.delete(f"{url}{ROUTE}/anna").status_code == 403


def test_there_may_be_so_many(url):
  names = [f"v{i}" for i in range(LIMITS.max_voices)]
  made = [_upload(url, talkers.prompt(), name).status_code for name in names]
  assert made == [200] * (LIMITS.max_voices - 1) + [409]
  for name in names[:-1]:
    assert httpx.delete(f"{url}{ROUTE}/{name}").status_code == 200


@pytest.mark.parametrize(
  "name",
  ["", "../up", "a/b", "a.wav", "-a", "a b", "a\0", "é", "x" * 65, "a\n", "~"],
)
def test_names_are_no_paths(url, name):
  answer = _upload(url, talkers.prompt(), name)
  assert answer.status_code == 400
  with pytest.raises(UserError, match="a voice's name has"):
    voices.check_name(name)


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (b"", "is empty"),
    (b"no sound at all", "not readable as audio"),
    (b"#!/bin/sh\necho hello\n" * 100, "not readable as audio"),
    (b"ffconcat version 1.0\nfile /etc/passwd\n", "not readable as audio"),
    (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "not readable as audio"),
    (b"PK\x03\x04" + bytes(1000), "not readable as audio"),
    (talkers.prompt()[:9000], "is cut off"),
    (talkers.prompt(seconds=6.0), "longer than 5 s"),
    (b"RIFF\xff\xff\xff\xffWAVE", "not readable as audio"),
  ],
)
def test_what_is_no_recording(url, content, message):
  answer = _upload(url, content, file_name="../../etc/cron.d/voice.wav")
  assert answer.status_code == 400
  error = answer.json()["error"]
  assert error["param"] == "audio_sample" and message in error["message"]
  assert "/tmp" not in error["message"] and "cron" not in error["message"]


def test_silence_is_no_voice(url):
  content = io.BytesIO()
  talkers.soundfile.write(content, np.zeros(16_000), 16_000, format="FLAC")
  answer = _upload(url, content.getvalue())
  assert answer.status_code == 400
  assert "silent" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
  ("form", "codec", "seconds"),
  [
    ("flac", "flac", 600),
    ("ogg", "libopus", 120),
    ("mp3", "libmp3lame", 60),
    pytest.param("flac", "flac", 4 * 3600, marks=pytest.mark.nightly),
    pytest.param("ogg", "libopus", 3600, marks=pytest.mark.nightly),
  ],
)
def test_a_small_file_that_holds_hours_is_decoded_for_seconds(
  url, form, codec, seconds
):
  """As zip bombs do it; memory is that of the seconds that are allowed."""
  bomb = _long(form, codec, seconds)
  tracemalloc.start()
  with pytest.raises(UserError, match="longer than 5 s"):
    uploads.decode(bomb, talkers.SPEC, 5.0)
  peak_bytes = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert peak_bytes < 2**24 + 2 * len(bomb)
  if len(bomb) < LIMITS.max_upload_bytes:
    answer = _upload(url, bomb)
    assert answer.status_code == 400
    assert "longer than 5 s" in answer.json()["error"]["message"]


def test_an_upload_is_cut_off_early(url):
  """A gigabyte that does not say how long it is: most is never sent."""
  sent = 0

  def endless():
    nonlocal sent
    yield b'--x\r\nContent-Disposition: form-data; name="audio_sample"; '
    yield b'filename="a"\r\n\r\n'
    for _ in range(1024):
      sent += 2**20
      yield bytes(2**20)

  headers = {"content-type": "multipart/form-data; boundary=x"}
  try:
    answer = httpx.post(url + ROUTE, content=endless(), headers=headers)
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "too_large"
  except httpx.WriteError:
    pass  # it was closed while we were still sending
  assert sent < 2**26


def test_a_promised_gigabyte_is_not_even_begun(url):
  headers = {
    "content-type": "multipart/form-data; boundary=x",
    "content-length": str(2**30),
  }
  sent = []

  def parts():
    for _ in range(1024):
      sent.append(1)
      yield bytes(2**20)

  try:
    answer = httpx.post(url + ROUTE, content=parts(), headers=headers)
    assert answer.status_code == 413
  except httpx.WriteError:
    pass
  assert len(sent) < 64


def test_voices_are_kept(tmp_path):
  """In files whose names are no names; others in the folder are let be."""
  for stray in ("stray.wav", "2e2e.wav", "ff.wav", "notes.txt"):
    (tmp_path / stray).write_text("not ours")
  with talkers.serving(voices_dir=tmp_path) as url:
    for seed, name in enumerate(("Bob", "eve", "gone"), 1):
      assert _upload(url, talkers.prompt(seed), name).status_code == 200
    assert httpx.delete(f"{url}{ROUTE}/gone").status_code == 200
  own = {name.encode().hex() + ".wav" for name in ("Bob", "eve")}
  found = {path.name for path in tmp_path.iterdir()}
  assert found == {"stray.wav", "2e2e.wav", "ff.wav", "notes.txt", *own}
  with talkers.serving(voices_dir=tmp_path) as url:
    listed = httpx.get(url + ROUTE).json()["data"]
    assert [voice["id"] for voice in listed] == ["Bob", "anna", "eve"]
    for seed, name in enumerate(("Bob", "eve"), 1):
      answer = httpx.post(f"{url}/v1/audio/speech", json=ask("Hi.", voice=name))
      assert answer.content == talkers.said("Hi.", voice_seed=seed).tobytes()


def test_kept_exactly(tmp_path):
  """What is read again is what was written, whatever kind came in."""
  for form in ("WAV", "FLAC", "OGG"):
    first = uploads.decode(talkers.prompt(3, format=form), talkers.SPEC, 5.0)
    path = pathlib.Path(tmp_path / "a.wav")
    uploads.write(path, first, talkers.SPEC)
    again = uploads.read(path, talkers.SPEC, 5.0)
    np.testing.assert_array_equal(first, again)


def test_a_kept_voice_is_heard_once(tmp_path):
  heard = []

  class Listening(talkers.Whistler):
    def listen(self, wav):
      heard.append(wav)
      time.sleep(0.2)  # until all others have come
      return super().listen(wav)

  (tmp_path / f"{b'bob'.hex()}.wav").write_bytes(talkers.prompt(3))
  with talkers.serving(Listening(), voices_dir=tmp_path) as url:
    heard.clear()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
      asked = [ask("Hi.", voice="bob")] * 8
      post = functools.partial(httpx.post, f"{url}/v1/audio/speech")
      answers = list(pool.map(lambda body: post(json=body), asked))
  expected = talkers.said("Hi.", voice_seed=3).tobytes()
  assert {answer.content for answer in answers} == {expected}
  assert len(heard) == 1


def test_a_kept_voice_whose_file_is_gone_or_damaged(tmp_path):
  for name in ("gone", "damaged"):
    file = tmp_path / f"{name.encode().hex()}.wav"
    file.write_bytes(talkers.prompt())
  with talkers.serving(voices_dir=tmp_path) as url:
    (tmp_path / f"{b'gone'.hex()}.wav").unlink()
    (tmp_path / f"{b'damaged'.hex()}.wav").write_text("no sound")
    for name in ("gone", "damaged"):
      answer = httpx.post(f"{url}/v1/audio/speech", json=ask(voice=name))
      error = answer.json()["error"]
      assert (answer.status_code, error["param"]) == (404, "voice")
      assert error["code"] == "voice_unusable"
      assert str(tmp_path) not in answer.text
      assert httpx.delete(f"{url}{ROUTE}/{name}").status_code == 200
      assert _upload(url, talkers.prompt(), name).status_code == 200


def test_a_full_disk_is_told_to_the_log(tmp_path, monkeypatch):
  def fail(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path))

  monkeypatch.setattr(uploads, "write", fail)
  with (
    talkers.logged_by("ns_jax.apps.serving.voices") as records,
    talkers.serving(voices_dir=tmp_path) as url,
  ):
    answer = _upload(url, talkers.prompt())
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "storage_failed"
    assert str(tmp_path) not in answer.text
    assert len(httpx.get(url + ROUTE).json()["data"]) == 1
  (record,) = [r for r in records if r.levelname == "ERROR"]
  assert record.facts == {"why": "No space left on device"}


def test_a_folder_has_one_server(tmp_path):
  with (
    voices.held(tmp_path),
    pytest.raises(UserError, match="another server keeps its voices there"),
    voices.held(tmp_path),
  ):
    pass
  with voices.held(tmp_path):  # which has ended by now
    pass
