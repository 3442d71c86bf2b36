# SPDX-License-Identifier: Apache-2.0
"""The tab that says a text."""

import gradio as gr

from ns_jax.api import Manner, Sampling
from ns_jax.apps.page import house as houses
from ns_jax.apps.page import parts
from ns_jax.apps.page.house import House
from ns_jax.apps.page.parts import Answer, Result

_EXAMPLES = {
  "The kettle is on · Allison": (
    "The kettle is on, come and sit down.",
    houses.ALLISON,
  ),
  "A harbour at night · LibriVox": (
    "The harbour was quiet. One by one, the lights went out.",
    houses.LIBRIVOX,
  ),
}


def place(house: House) -> None:
  """Puts the tab on the page."""
  parts.what("Says a text in the voice of a recording.")
  with gr.Row():
    with gr.Column(min_width=320):
      text = gr.Textbox(
        label="Text",
        lines=3,
        placeholder="What shall be said? English, a few sentences.",
        max_length=house.limits.text_characters,
      )
      prompt = parts.recording("Voice: three seconds or more")
      model = parts.model_choice(house)
      with gr.Accordion("Speed, pitch, steps, guidance, seed", open=False):
        with gr.Row():
          speed = _slider("Speed", 0.5, 2.0, 1.0, 0.05, "Times as fast")
          pitch = _slider("Pitch", -12.0, 12.0, 0.0, 0.5, "Semitones")
        with gr.Row():
          steps = _slider("Steps", 0, 150, 0, 1, "0: default")
          guidance = _slider("Guidance", 0.0, 2.0, 0.0, 0.1, "0: default")
        seed = parts.seed()
      button = gr.Button("Speak", variant="primary")
      parts.examples(_EXAMPLES, [text, prompt])
    with gr.Column(min_width=320):
      result = Result.place("Speech")

  def speak(
    text: str,
    prompt: str | None,
    model: str,
    speed: float,
    pitch: float,
    steps: int,
    guidance: float,
    seed: int | None,
  ) -> Answer:
    return parts.answer(
      house.models[model](
        house.text(text),
        # A model of ns1 wants none.
        house.recording(prompt, "the voice") if prompt else None,
        seed=seed or 0,  # the field may be emptied
        manner=Manner(speed, pitch),
        sampling=Sampling(steps=steps or None, guidance=guidance or None),
      )
    )

  inputs = [text, prompt, model, speed, pitch, steps, guidance, seed]
  result.on(button, speak, inputs)


def _slider(
  label: str, low: float, high: float, value: float, step: float, info: str
) -> gr.Slider:
  return gr.Slider(
    low, high, value, step=step, label=label, info=info, min_width=140
  )
