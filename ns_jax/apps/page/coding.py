# SPDX-License-Identifier: Apache-2.0
"""The tab of the codec: speech to codes and back."""

import gradio as gr
import matplotlib.figure
import numpy as np

from ns_jax import audio, figures
from ns_jax.api import Audio
from ns_jax.apps.page import house as houses
from ns_jax.apps.page import parts
from ns_jax.apps.page.house import House
from ns_jax.apps.page.parts import Answer, Result
from ns_jax.audio import AudioSpec
from ns_jax.dsp import mel
from ns_jax.errors import UserError
from ns_jax.inference import streams
from ns_jax.inference.codec import SpeechCodec

_BLOCK_FRAMES = 160  # one shape for recordings of any length
_HEIGHT_IN = 4.0
_EXAMPLES = {"Allison": (houses.ALLISON,), "LibriVox": (houses.LIBRIVOX,)}


def place(house: House) -> None:
  """Puts the tab on the page."""
  codec = house.codec
  parts.what("Turns speech into a few thousand bits a second and back.")
  with gr.Row():
    with gr.Column(min_width=320):
      source = parts.recording("Recording")
      num_codebooks = gr.Slider(
        1,
        codec.num_codebooks,
        min(8, codec.num_codebooks),
        step=1,
        label="Codebooks",
        info=f"{codec.bits_per_sec(1) / 1000:.1f} kbit/s each",
      )
      button = gr.Button("Code", variant="primary")
      parts.examples(_EXAMPLES, [source])
    with gr.Column(min_width=320):
      result = Result.place("Decoded")

  def code(source: str | None, num_codebooks: int) -> Answer:
    samples, rate_hz = house.recording(source, "the recording")
    wav = audio.to_mono(samples[:, None], rate_hz, codec.spec)
    codes, decoded = _there_and_back(codec, wav, num_codebooks)
    figure = _pair(codec.spec, wav, decoded)
    bits_per_sec = codec.bits_per_sec(num_codebooks)
    speech = Audio(decoded, codec.spec)
    facts = (
      f"{speech.seconds:.1f} s in {codes.size:,} codes, "
      f"{bits_per_sec / 1000:.1f} kbit/s"
    )
    return Answer(speech, figure, facts)

  result.on(button, code, [source, num_codebooks])


def _there_and_back(
  codec: SpeechCodec, wav: np.ndarray, num_codebooks: int
) -> tuple[np.ndarray, np.ndarray]:
  """Codes [T, q] of a wave [S], and what they decode to, [S]."""
  if not len(wav):
    raise UserError("the recording is empty")
  coder = streams.EncoderStream(
    codec, num_codebooks=num_codebooks, block_frames=_BLOCK_FRAMES
  )
  codes = np.concatenate([coder.push(wav), coder.finish()])
  decoder = streams.DecoderStream(codec, block_frames=_BLOCK_FRAMES)
  decoded = np.concatenate([decoder.push(codes), decoder.finish()])
  return codes, decoded[: len(wav)]


def _pair(
  spec: AudioSpec, wav: np.ndarray, decoded: np.ndarray
) -> matplotlib.figure.Figure:
  """Spectrograms of a wave [S] before and after."""
  log_mels = {
    title: mel.clip_log_mel(wave, spec)
    for title, wave in (("recording", wav), ("decoded", decoded))
  }
  figure = figures.speech_figure(log_mels, spec)
  seconds = len(wav) / spec.sample_rate_hz
  figure.set_size_inches(parts.width_in(seconds), _HEIGHT_IN)
  figure.tight_layout()
  return figure
