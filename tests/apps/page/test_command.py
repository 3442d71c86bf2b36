# SPDX-License-Identifier: Apache-2.0
"""`ns-jax demo` from its beginning to its end."""

import os
import re
import signal
import subprocess
import sys

import click.testing
import pytest

from ns_jax.apps import cli
from ns_jax.apps.page import keeping, serving
from tests.apps.page import browsers


def test_what_visitors_leave_is_private_and_goes(monkeypatch):
  monkeypatch.setenv("GRADIO_TEMP_DIR", "elsewhere")
  with keeping.private() as folder:
    assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
    assert folder.stat().st_mode & 0o077 == 0
  assert not folder.exists()
  assert os.environ["GRADIO_TEMP_DIR"] == "elsewhere"


def test_demo_says_in_one_line_what_is_wrong(tmp_path):
  run = click.testing.CliRunner().invoke
  with serving.listen("127.0.0.1", 0) as taken:
    taken.listen()
    port = str(taken.getsockname()[1])
    for args, said in (
      (("--port", port), f"127.0.0.1:{port}: cannot be served on"),
      (("--host", "no.such.host.invalid"), "no.such.host.invalid:7860: "),
      (("--port", "0", "--model", str(tmp_path)), "holds no run"),
    ):
      result = run(cli.cli, ["demo", *args])
      assert result.exit_code == 2, result.output
      assert said in result.output and result.output.count("\n") == 1


@pytest.mark.slow
@pytest.mark.nightly
def test_from_beginning_to_end(tmp_path):
  with (
    browsers.chromium() as browser,
    subprocess.Popen(
      [sys.executable, "-m", "ns_jax.apps.cli", "demo", "--port=0"],
      env={**os.environ, "TMPDIR": str(tmp_path)},
      stderr=subprocess.PIPE,
      text=True,
    ) as command,
  ):
    try:
      said = command.stderr.readline()
      page = browser.new_page()
      page.set_default_timeout(300_000)
      page.goto(re.search(r"http://127.0.0.1:\d+", said).group())
      visit = browsers.Visit(page)
      page.get_by_text("The kettle is on · Allison").click()
      visit.panel.get_by_label("Clear").wait_for()
      visit.press("Speak")
      visit.facts()
      seconds, peak = visit.heard()
      page.close()
      assert 1.5 < seconds < 4.0 and peak > 0.05
      assert list(tmp_path.glob("ns_jax_page_*"))
    finally:
      command.send_signal(signal.SIGTERM)
    assert command.wait(30) == 0, command.stderr.read()
  assert not list(tmp_path.glob("ns_jax_page_*"))
