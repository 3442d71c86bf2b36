# SPDX-License-Identifier: Apache-2.0
"""The tab that sings a score."""

import gradio as gr

from ns_jax.api import Rendition
from ns_jax.apps.page import house as houses
from ns_jax.apps.page import parts
from ns_jax.apps.page.house import House
from ns_jax.apps.page.parts import Answer, Result
from ns_jax.errors import UserError

_SUFFIXES = (".musicxml", ".xml", ".mxl", ".mid", ".kar")
_EXAMPLES = {"Twinkle · Allison": (houses.SONG, houses.ALLISON)}
_MARGIN_SEC = 0.2  # for the consonants of the first note


def place(house: House) -> None:
  """Puts the tab on the page."""
  parts.what("Sings a score with lyrics in the voice of a recording.")
  with gr.Row():
    with gr.Column(min_width=320):
      score = gr.File(
        label="Score: MusicXML or MIDI with lyrics",
        file_types=list(_SUFFIXES),
        height=140,
        elem_classes="upload",
      )
      prompt = parts.recording("Voice: three seconds or more")
      model = parts.model_choice(house)
      transpose = gr.Slider(-24, 24, 0, step=1, label="Transpose, semitones")
      button = gr.Button("Sing", variant="primary")
      parts.examples(_EXAMPLES, [score, prompt])
    with gr.Column(min_width=320):
      result = Result.place("Song")

  def sing(
    score: str | None, prompt: str | None, model: str, transpose: float
  ) -> Answer:
    voice = house.recording(prompt, "the voice")
    rendition = Rendition(transpose_semitones=transpose, margin_sec=_MARGIN_SEC)
    try:
      return parts.answer(
        house.models[model].sing(
          houses.uploaded(score, "the score"), voice, rendition=rendition
        )
      )
    except UserError as error:
      raise UserError(houses.by_name(error, score)) from error

  result.on(button, sing, [score, prompt, model, transpose])
