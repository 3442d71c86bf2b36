# SPDX-License-Identifier: Apache-2.0
"""The page of `ns-jax demo`, used as people use it."""

import os
import pathlib
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
import soundfile

from ns_jax.apps.page import house as houses
from ns_jax.apps.page import page
from ns_jax.apps.page.house import House, Limits
from ns_jax.errors import UserError
from ns_jax.inference.codec import SpeechCodec
from tests import codecs
from tests.apps.page import browsers

ROOT = pathlib.Path(__file__).parents[3]
# Gradio's, of pandas.
pytestmark = pytest.mark.filterwarnings("ignore:::gradio")
SECONDS = 0.5  # of what the model answers


@pytest.fixture(scope="module")
def model():
  return browsers.Model()


@pytest.fixture(scope="module")
def house(model):
  codec = SpeechCodec.of(codecs.weights())
  limits = Limits(text_characters=40, upload_mb=1, recording_sec=8.0)
  return House({"one": model, "two": browsers.Model()}, codec, limits)


@pytest.fixture(scope="module")
def browser():
  with browsers.chromium() as browser:
    yield browser


@pytest.fixture(scope="module")
def address(house):
  with browsers.served(house) as address:
    yield address


@pytest.fixture
def visit(browser, address):
  """A visitor, who asks for nothing from anywhere else."""
  context = browser.new_context(viewport=browsers.DESKTOP)
  page = context.new_page()
  asked = []
  page.on("request", lambda request: asked.append(request.url))
  page.goto(address)
  page.get_by_role("button", name="Speak").wait_for()
  yield browsers.Visit(page)
  context.close()
  own = (address, "data:", f"blob:{address}")
  assert len(asked) > 10
  assert [url for url in asked if not url.startswith(own)] == []


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
  """Two seconds of a hum, in stereo and at another rate."""
  path = tmp_path_factory.mktemp("page") / "me.flac"
  hum = 0.1 * np.sin(np.arange(2 * 44_100) * (2 * np.pi * 150 / 44_100))
  soundfile.write(path, np.stack([hum, 0 * hum], 1), 44_100)
  return path


def test_speaks(visit, model, recording):
  visit.panel.get_by_label("Text").fill("The kettle is on.")
  visit.upload("Voice", recording)
  visit.panel.get_by_text("Speed, pitch").click()
  visit.page.wait_for_timeout(300)  # what unfolds is filled once it stands
  for name, value in (
    *(("Speed", "1.5"), ("Pitch", "-2"), ("Steps", "7")),
    *(("Guidance", "0.5"), ("Seed", "12")),
  ):
    field = visit.panel.get_by_role("spinbutton", name=name)
    field.fill(value)
    field.press("Tab")
  visit.press("Speak")
  assert visit.facts().startswith("0.5 s of audio, made in ")
  seconds, peak = visit.heard()
  assert seconds == pytest.approx(SECONDS)
  assert peak == pytest.approx(0.25, abs=1e-3)  # as loud as it was made

  told = model.calls[-1].arguments
  wav, rate_hz = told["prompt"]
  assert told["text"] == "The kettle is on." and told["seed"] == 12
  assert told["manner"].speed == 1.5 and told["manner"].pitch_semitones == -2
  assert told["sampling"].given() == {"steps": 7, "guidance": 0.5}
  assert rate_hz == 44_100 and wav.shape == (2 * 44_100,)
  assert np.abs(wav).max() == pytest.approx(0.05, abs=1e-3)  # of both channels

  picture = visit.panel.locator(".picture img")
  assert picture.evaluate("image => image.naturalWidth") == 840
  visit.panel.get_by_label("Play", exact=True).click()
  visit.panel.get_by_label("Pause", exact=True).wait_for()


def test_microphone_and_other_model(visit, house, model):
  visit.panel.get_by_label("Text").fill("Hello.")
  visit.panel.get_by_label("Record audio").click()
  start = time.monotonic()
  visit.panel.get_by_role("button", name="Record", exact=True).click()
  visit.page.wait_for_timeout(1500)
  visit.panel.get_by_role("button", name="Stop", exact=True).click()
  visit.panel.get_by_label("Clear").wait_for()  # the recording is uploaded
  most_sec = time.monotonic() - start
  visit.panel.get_by_label("Model").click()
  visit.page.get_by_role("option", name="two").click()
  visit.press("Speak")
  visit.facts()
  (call,) = house.models["two"].calls
  wav, rate_hz = call.arguments["prompt"]
  assert 1.0 < len(wav) / rate_hz < most_sec
  assert np.abs(wav).max() > 0.01  # the browser's made-up microphone beeps


def test_examples_fill_the_form(visit, model):
  visit.page.get_by_text("The kettle is on · Allison").click()
  visit.panel.get_by_label("Clear").wait_for()
  visit.press("Speak")
  visit.facts()
  told = model.calls[-1].arguments
  wanted, rate_hz = soundfile.read(houses.ALLISON, dtype="float32")
  assert told["prompt"][1] == rate_hz
  np.testing.assert_allclose(told["prompt"][0], wanted, atol=1e-4)


def test_convert_and_enhance(visit, model, recording):
  for tab, voice in (
    ("Convert", "Voice"),
    ("Enhance", "The same speaker"),
  ):
    visit.open_tab(tab)
    visit.upload("ecording", recording)
    visit.panel.get_by_label("What is said in it").fill("Hum.")
    visit.upload(voice, houses.LIBRIVOX)
    visit.press(tab)
    visit.facts()
    assert visit.heard()[0] == pytest.approx(SECONDS)
    call = model.calls[-1]
    assert call.verb == tab.lower() and call.arguments["text"] == "Hum."
    assert call.arguments["source"][1] == 44_100
    assert call.arguments["prompt"][1] == 16_000
  assert model.calls[-1].arguments["noise"] is None


def test_sings(visit, model):
  visit.open_tab("Sing")
  visit.page.get_by_text("Twinkle · Allison").click()
  visit.panel.get_by_label("Clear").first.wait_for()
  visit.press("Sing")
  visit.facts()
  told = model.calls[-1].arguments
  assert told["score"].endswith("twinkle.musicxml")


def test_codec(visit, house, recording):
  visit.open_tab("Codec")
  visit.upload("Recording", recording)
  field = visit.panel.get_by_role("spinbutton", name="Codebooks")
  field.fill("2")
  field.press("Tab")
  visit.press("Code")
  # Two codes of five bits (of 20 values) in each of 80 frames a second.
  assert visit.facts().startswith("2.0 s in 320 codes, 0.8 kbit/s")
  seconds, peak = visit.heard()
  assert seconds == pytest.approx(2.0)
  assert peak > 0.0


def test_mistakes_are_one_line(visit, tmp_path, capfd):
  visit.press("Speak")
  said = visit.complaint()
  assert said == "prompt is missing: this model speaks in <any> voice"

  noise = tmp_path / "no sound.wav"
  noise.write_bytes(b"This is text. " * 100)
  visit.upload("Voice", noise)
  visit.press("Speak")
  assert visit.complaint() == (
    "no sound.wav: not readable as audio; "
    "give a wav, flac, ogg, mp3 or m4a file"
  )

  soundfile.write(tmp_path / "long.wav", np.zeros(9 * 8_000), 8_000)
  visit.clear("Voice")
  visit.upload("Voice", tmp_path / "long.wav")
  visit.press("Speak")
  assert visit.complaint() == "long.wav: is longer than 8 s"

  visit.open_tab("Sing")
  visit.press("Sing")
  assert visit.complaint() == "the voice is missing; upload it first"
  assert "Traceback" not in "".join(capfd.readouterr())


def test_an_emptied_seed_is_zero(visit, model):
  visit.page.get_by_text("The kettle is on · Allison").click()
  visit.panel.get_by_label("Clear").wait_for()
  visit.panel.get_by_text("Speed, pitch").click()
  visit.page.wait_for_timeout(300)  # what unfolds is filled once it stands
  field = visit.panel.get_by_role("spinbutton", name="Seed")
  field.fill("")
  field.press("Tab")
  visit.press("Speak")
  visit.facts()
  assert model.calls[-1].arguments["seed"] == 0


def test_what_nobody_foresaw_is_said_too(visit, model, monkeypatch, capfd):
  def fail(*_, **__):
    raise RuntimeError("a secret of the machine")

  monkeypatch.setattr(model, "_answer", fail)
  visit.page.get_by_text("The kettle is on · Allison").click()
  visit.panel.get_by_label("Clear").wait_for()
  visit.press("Speak")
  assert visit.complaint().startswith("This should not have happened")
  assert "a secret of the machine" in capfd.readouterr().err


def test_uploads_and_texts_are_limited(visit, tmp_path):
  (tmp_path / "big.wav").write_bytes(bytes(1_100_000))
  box = visit.panel.locator(".upload").first
  box.get_by_test_id("file-upload").set_input_files(tmp_path / "big.wav")
  assert "size" in visit.complaint()
  text = visit.panel.get_by_label("Text")
  text.fill("a" * 50)
  assert len(text.input_value()) == 40


def test_a_text_that_did_not_come_by_the_page_is_limited_too(house):
  with pytest.raises(UserError, match="has 41 characters; cut it to 40"):
    house.text("a" * 41)


def test_fits_a_phone(browser, address):
  context = browser.new_context(
    viewport=browsers.PHONE, is_mobile=True, has_touch=True
  )
  visit = browsers.Visit(context.new_page())
  visit.page.goto(address)
  visit.page.get_by_text("The kettle is on · Allison").tap()
  visit.panel.get_by_label("Clear").wait_for()
  visit.press("Speak")
  visit.facts()
  visit.page.wait_for_function(browsers.IN_VIEW, arg=".player")
  for tab in ("Speak", "Convert", "Enhance", "Sing", "Codec"):
    visit.open_tab(tab)
    visit.panel.get_by_role("button", name=tab[:4]).last.wait_for()
    width = visit.page.evaluate("document.documentElement.scrollWidth")
    assert width == browsers.PHONE["width"], tab
  context.close()


def test_serves_one_visitor_at_a_time(browser, address, model):
  visits = []
  model.takes_sec, model.busiest = 0.5, 0
  for tab, example in (("Speak", "The kettle"), ("Sing", "Twinkle")):
    visit = browsers.Visit(browser.new_page())
    visit.page.goto(address)
    visit.open_tab(tab)
    visit.page.get_by_text(example).click()
    visit.panel.get_by_label("Clear").first.wait_for()
    visits.append((visit, tab))
  for visit, tab in visits:
    visit.press(tab)
  for visit, _ in visits:
    visit.facts()
    visit.page.close()
  model.takes_sec = 0.0
  assert [call.verb for call in model.calls[-2:]] == ["speak", "sing"]
  assert model.busiest == 1


def test_behind_a_proxy_and_after_what_was_kept_is_deleted(
  browser, house, monkeypatch, recording
):
  monkeypatch.setattr(page, "_SWEEP_SEC", 1)
  monkeypatch.setattr(page, "_KEPT_SEC", 1)
  with browsers.served(house, "/speech") as address:
    folder = pathlib.Path(os.environ["GRADIO_TEMP_DIR"])
    visit = browsers.Visit(browser.new_page())
    visit.page.goto(address + "/")
    visit.upload("Voice", recording)
    assert list(folder.rglob("*.flac"))
    for _ in range(100):
      time.sleep(0.1)
      left = [path for path in folder.rglob("*") if path.is_file()]
      if not left:
        break
    assert not left
    visit.clear("Voice")
    visit.page.get_by_text("The kettle is on · Allison").click()
    visit.panel.get_by_label("Clear").wait_for()
    visit.press("Speak")
    visit.facts()
    assert visit.panel.locator(".picture img").is_visible()
    visit.page.close()


@pytest.mark.parametrize(
  "path",
  [
    *("file=/etc/passwd", "file=README.md", f"file={ROOT}/README.md"),
    *("file=http://127.0.0.1/", "proxy=http://127.0.0.1/"),
    *("info", "process_recording", "vibe-code", "call/speak"),
  ],
)
def test_gives_away_nothing_else(address, path):
  with pytest.raises(urllib.error.HTTPError, match="40[34]"):
    urllib.request.urlopen(f"{address}/gradio_api/{path}")
