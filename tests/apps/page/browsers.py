# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser, with models that answer at once."""

import contextlib
import dataclasses
import shutil
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from ns_jax.api import Audio
from ns_jax.apps import addresses
from ns_jax.apps.page import keeping, serving
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS = (
  "--no-sandbox",  # containers give it no rights to make one
  "--use-fake-device-for-media-stream",
  "--use-fake-ui-for-media-stream",
)
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
# What a page hears of a file: seconds, and how far its samples swing.
_LISTEN = """async address => {
  const bytes = await (await fetch(address)).arrayBuffer();
  const heard = await new OfflineAudioContext(1, 1, 16000)
    .decodeAudioData(bytes);
  const wave = heard.getChannelData(0);
  return [heard.duration, Math.max(...wave.slice(0, 60000))];
}"""
# Whether the first that is shown of its kind can be seen whole.
IN_VIEW = """kind => {
  const shown = [...document.querySelectorAll(kind)].find(e => e.offsetParent);
  const {top, bottom} = shown.getBoundingClientRect();
  return top >= 0 && bottom <= window.innerHeight + 1;
}"""


@dataclasses.dataclass
class Said:
  """A call that a model got."""

  verb: str
  arguments: dict


class Model:
  """Answers every call with half a second of a tone, and remembers it."""

  def __init__(self):
    """Begins with no calls."""
    self.calls: list[Said] = []
    self.takes_sec = 0.0
    self.busy, self.busiest = 0, 0  # calls at once

  def __call__(self, text, prompt=None, **options):
    """As `TextToSpeech`."""
    if prompt is None:
      raise UserError("prompt is missing: this model speaks in <any> voice")
    return self._answer("speak", text=text, prompt=prompt, **options)

  def convert(self, source, text, prompt, **options):
    """As `TextToSpeech`."""
    told = {"source": source, "text": text, "prompt": prompt}
    return self._answer("convert", **told, **options)

  def enhance(self, source, text, prompt, noise=None, **options):
    """As `TextToSpeech`."""
    told = {"source": source, "text": text, "prompt": prompt, "noise": noise}
    return self._answer("enhance", **told, **options)

  def sing(self, score, prompt, **options):
    """As `TextToSpeech`."""
    return self._answer("sing", score=score, prompt=prompt, **options)

  def _answer(self, verb, **arguments):
    self.calls.append(Said(verb, arguments))
    self.busy += 1
    self.busiest = max(self.busiest, self.busy)
    time.sleep(self.takes_sec)
    self.busy -= 1
    wav = 0.25 * np.sin(np.arange(8_000) * (2 * np.pi * 220 / 16_000))
    return Audio(
      wav.astype(np.float32),
      AudioSpec(),
      ("h", "aɪ"),
      np.array([10, 30], np.int32),
      np.full(40, 220.0, np.float32),
    )


class Visit:
  """One tab of a browser on the page."""

  def __init__(self, page):
    """Keeps the page of Playwright."""
    self.page = page

  def open_tab(self, name):
    """Goes to a tab of the page."""
    self.page.get_by_role("tab", name=name).click()

  @property
  def panel(self):
    """What the open tab shows."""
    return self.page.get_by_role("tabpanel").filter(visible=True)

  def upload(self, label, path):
    """Gives a file to the box of that label."""
    box = self._box(label)
    box.get_by_test_id("file-upload").set_input_files(path)
    box.get_by_label("Clear").wait_for()

  def clear(self, label):
    """Takes the file out of the box of that label."""
    self._box(label).get_by_label("Clear").click()

  def _box(self, label):
    return self.panel.locator(".upload").filter(has_text=label)

  def press(self, name):
    """Presses a button."""
    self.panel.get_by_role("button", name=name, exact=True).click()

  def facts(self):
    """The line under a result, when it is there."""
    line = self.panel.locator(".facts").get_by_text("made in")
    line.wait_for()
    return line.inner_text()

  def heard(self):
    """Seconds and peak of what the player's button downloads."""
    link = self.panel.get_by_test_id("download-link")
    return self.page.evaluate(_LISTEN, link.get_attribute("href"))

  def complaint(self):
    """The message that pops up, without its heading; takes it away."""
    said = self.page.get_by_test_id("toast-text").inner_text()
    self.page.get_by_test_id("toast-close").click()
    self.page.get_by_test_id("toast-text").wait_for(state="detached")
    return said


@contextlib.contextmanager
def chromium() -> Iterator:
  """Yields a headless Chromium; tests are skipped where there is none."""
  sync_api = pytest.importorskip(
    "playwright.sync_api", reason="Playwright is not installed"
  )
  path = next(filter(None, map(shutil.which, _NAMES)), None)
  if path is None:
    pytest.skip("no Chromium is installed; install chromium to test the page")
  with sync_api.sync_playwright() as play:
    browser = play.chromium.launch(executable_path=path, args=list(_FLAGS))
    yield browser
    browser.close()


@contextlib.contextmanager
def served(house, prefix="") -> Iterator[str]:
  """Serves the page beside the test; yields its address.

  Args:
    house: what the page works with.
    prefix: of the path under which a proxy shows it, which the page never sees.
  """
  with keeping.private(), serving.listen("127.0.0.1", 0) as bound:
    app = serving.application(house, prefix)

    async def proxied(scope, receive, send):
      path = scope.get("path", "").removeprefix(prefix)
      await app({**scope, "path": path, "raw_path": None}, receive, send)

    server = serving.server(proxied)
    thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
    thread.start()
    while not server.started:
      time.sleep(0.05)
    yield addresses.url(bound) + prefix
    server.should_exit = True
    thread.join()
