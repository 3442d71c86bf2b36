# SPDX-License-Identifier: Apache-2.0
"""What several tabs are made of: recordings, choices, a button, a result."""

import dataclasses
import html
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr
import matplotlib.figure
from gradio import processing_utils

from ns_jax import figures
from ns_jax.api import Audio
from ns_jax.apps.page.house import House
from ns_jax.errors import UserError

_INCHES_PER_SEC = 2.0  # phonemes can be read; what is wider is scrolled
_WIDTHS_IN = (5.6, 60.0)
_DPI = 150
_ONE_AT_A_TIME: dict[str, Any] = {
  "concurrency_id": "models",
  "concurrency_limit": 1,
  "api_visibility": "private",
}
_BARS: dict[str, Any] = {
  "waveform_color": "#a8a29e",
  "waveform_progress_color": "#0d9488",
}
_UNFORESEEN = (
  "This should not have happened; where the page is served, the terminal says "
  "what did."
)
# On a phone the result is far below the button. It is laid out a moment later.
_SHOW_RESULT = """() => setTimeout(() => {
  const shown = [...document.querySelectorAll(".player")]
    .find(player => player.offsetParent);
  shown?.scrollIntoView({behavior: "smooth", block: "nearest"});
}, 300)"""


@dataclasses.dataclass(frozen=True)
class Answer:
  """What a tab shows when its work is done."""

  speech: Audio
  figure: matplotlib.figure.Figure
  facts: str


def answer(speech: Audio) -> Answer:
  """Speech with its picture and length."""
  figure = speech.figure(width_in=width_in(speech.seconds))
  return Answer(speech, figure, f"{speech.seconds:.1f} s of audio")


def width_in(seconds: float) -> float:
  """Inches of a picture of so many seconds."""
  least, most = _WIDTHS_IN
  return min(max(_INCHES_PER_SEC * seconds, least), most)


def what(sentence: str) -> None:
  """One sentence at the top of a tab."""
  gr.HTML(f'<p class="what">{sentence}</p>')


def recording(label: str) -> gr.Audio:
  """A recording to upload or to make; its value is the path of a file."""
  return gr.Audio(
    label=label,
    sources=["upload", "microphone"],
    type="filepath",
    buttons=[],
    elem_classes="upload",
    waveform_options=gr.WaveformOptions(**_BARS, show_recording_waveform=False),
  )


def model_choice(house: House) -> gr.Dropdown:
  """Which model; hidden where there is one."""
  names = list(house.models)
  return gr.Dropdown(
    names, value=names[0], label="Model", visible=len(names) > 1
  )


def seed() -> gr.Number:
  """The number that another rendition has another of."""
  return gr.Number(
    0,
    label="Seed",
    info="Another number, another rendition",
    precision=0,
    minimum=0,
    maximum=2**31 - 1,
  )


def examples(rows: Mapping[str, Sequence[Any]], inputs: Sequence[Any]) -> None:
  """Rows of values to begin with, one button each.

  Args:
    rows: what stands on the button -> a value for each input.
    inputs: that are filled.
  """
  gr.Examples(
    [list(row) for row in rows.values()],
    list(inputs),
    example_labels=list(rows),
    label="Try one of these",
    cache_examples=False,
    api_visibility="private",
  )


@dataclasses.dataclass(frozen=True)
class Result:
  """Where an answer is shown."""

  player: gr.Audio
  facts: gr.Markdown
  picture: gr.Image

  @classmethod
  def place(cls, label: str) -> "Result":
    """Puts it on the page."""
    return cls(
      gr.Audio(
        label=label,
        interactive=False,
        buttons=["download"],
        elem_classes="player",
        waveform_options=gr.WaveformOptions(**_BARS),
      ),
      gr.Markdown(elem_classes="facts"),
      gr.Image(
        show_label=False,
        interactive=False,
        format="png",
        buttons=[],
        elem_classes="picture",
        alt_text="Waveform, spectrogram, pitch and phonemes",
      ),
    )

  def on(
    self,
    button: gr.Button,
    work: Callable[..., Answer],
    inputs: Sequence[Any],
  ) -> None:
    """Shows what `work` makes of the inputs whenever the button is pressed."""

    def respond(*given: Any) -> tuple[Any, ...]:
      start = time.perf_counter()
      try:
        done = work(*given)
      except UserError as error:
        raise gr.Error(
          html.escape(str(error), quote=False),
          print_exception=False,
        ) from error
      except Exception as error:  # else the page says nothing at all
        raise gr.Error(_UNFORESEEN) from error
      seconds = time.perf_counter() - start
      return self._shown(done, f"{done.facts}, made in {seconds:.1f} s")

    outputs = [self.player, self.facts, self.picture]
    pressed = button.click(
      respond,
      list(inputs),
      outputs,
      show_progress_on=self.player,
      **_ONE_AT_A_TIME,
    )
    for event in (button.click, pressed.success):
      event(None, js=_SHOW_RESULT, api_visibility="private")

  def _shown(self, done: Answer, facts: str) -> tuple[Any, ...]:
    # As a file: of an array Gradio would change the loudness.
    wav = processing_utils.save_bytes_to_cache(
      done.speech.encode("wav"), "speech.wav", self.player.GRADIO_CACHE
    )
    picture = processing_utils.save_bytes_to_cache(
      figures.to_png(done.figure, _DPI), "speech.png", self.picture.GRADIO_CACHE
    )
    return wav, facts, picture
