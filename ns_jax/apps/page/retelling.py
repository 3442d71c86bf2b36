# SPDX-License-Identifier: Apache-2.0
"""The tabs that say a recording again: in another voice, or without noise."""

import gradio as gr

from ns_jax.apps.page import house as houses
from ns_jax.apps.page import parts
from ns_jax.apps.page.house import House
from ns_jax.apps.page.parts import Answer, Result

_EXAMPLES = {
  "Allison's words · Carlo": (
    houses.ALLISON,
    houses.SAID_BY_ALLISON,
    houses.CARLO,
  ),
}


def place_conversion(house: House) -> None:
  """Puts the tab of voice conversion on the page."""
  parts.what("Says a recording again in another voice, with its own timing.")
  with gr.Row():
    with gr.Column(min_width=320):
      source = parts.recording("Recording")
      text = gr.Textbox(label="What is said in it", lines=2)
      prompt = parts.recording("Voice: three seconds or more")
      model = parts.model_choice(house)
      button = gr.Button("Convert", variant="primary")
      parts.examples(_EXAMPLES, [source, text, prompt])
    with gr.Column(min_width=320):
      result = Result.place("Converted")

  def convert(
    source: str | None, text: str, prompt: str | None, model: str
  ) -> Answer:
    return parts.answer(
      house.models[model].convert(
        house.recording(source, "the recording"),
        house.text(text),
        house.recording(prompt, "the voice"),
      )
    )

  result.on(button, convert, [source, text, prompt, model])


def place_enhancement(house: House) -> None:
  """Puts the tab of speech enhancement on the page."""
  parts.what("Says a noisy recording again without the noise.")
  with gr.Row():
    with gr.Column(min_width=320):
      source = parts.recording("Noisy recording")
      text = gr.Textbox(label="What is said in it", lines=2)
      prompt = parts.recording("The same speaker without noise")
      with gr.Accordion("The noise alone, if you have it", open=False):
        noise = parts.recording("Noise; else it is heard in the pauses")
      model = parts.model_choice(house)
      button = gr.Button("Enhance", variant="primary")
    with gr.Column(min_width=320):
      result = Result.place("Enhanced")

  def enhance(
    source: str | None,
    text: str,
    prompt: str | None,
    noise: str | None,
    model: str,
  ) -> Answer:
    return parts.answer(
      house.models[model].enhance(
        house.recording(source, "the recording"),
        house.text(text),
        house.recording(prompt, "the voice"),
        noise=house.recording(noise, "the noise") if noise else None,
      )
    )

  result.on(button, enhance, [source, text, prompt, noise, model])
