# SPDX-License-Identifier: Apache-2.0
"""Training examples of NaturalSpeech 2 and what the model says of them.

An example is a prompt cut out of an utterance and the rest of it (Sec. 3.4).
"""

import dataclasses
from typing import NamedTuple

import flax.struct
import jax

from ns_jax import masks
from ns_jax.array_types import Array, Batch
from ns_jax.audio import AudioSpec
from ns_jax.models import ns2, prosody
from ns_jax.models import prompt as prompts


@dataclasses.dataclass(frozen=True)
class PromptOptions:
  """How prompts are cut from training utterances."""

  min_sec: float
  max_sec: float
  max_fraction: float  # of the utterance
  drop_rate: float  # share of examples that must do without
  rest_frames: int  # frames of the rest trained on at once, at most

  def max_frames(self, num_frames: int, spec: AudioSpec) -> int:
    """Longest prompt of an utterance of `num_frames`."""
    longest = spec.seconds_to_frames(self.max_sec)
    return max(1, min(longest, int(self.max_fraction * num_frames)))


@flax.struct.dataclass
class Example:
  """A batch with its prompts cut out; P and R are fixed lengths."""

  phonemes: Array  # [B, N] int32
  phoneme_mask: Array  # [B, N] bool
  durations: Array  # [B, N] int32, frames
  durations_within: Array  # [B, N] int32, those of T; longer speech goes beyond
  f0_hz: Array  # [B, T] float32
  f0_phase: Array  # [B, T] float32, radians
  frame_mask: Array  # [B, T] bool
  duration_mask: Array  # [B, N] bool, phonemes outside the prompt
  pitch_mask: Array  # [B, T] bool, frames outside the prompt
  prompt: Array  # [B, P, D] float32, normalised latents
  prompt_frames: Array  # [B] int32
  prompt_f0_hz: Array  # [B] float32, mean pitch; 0 where none is voiced
  rest: prompts.Rest  # [B, R], frames to be produced
  latents: Array  # [B, R, D] float32, what they should be
  codes: Array  # [B, R, Q] int32


class Predictions(NamedTuple):
  """What the model says of an example."""

  latents: Array  # [B, R, D] float32, x0_hat
  log_durations: Array  # [B, N] float32
  pitch: prosody.Pitch  # [B, T]


def cut(
  batch: Batch,
  latents: Array,
  key: Array,
  *,
  options: PromptOptions,
  spec: AudioSpec,
) -> Example:
  """Splits every utterance into a prompt and the rest.

  Args:
    batch: phonemes and durations [B, N], f0 and f0_phase [B, T], codes
      [B, T, Q], their lengths num_phonemes and num_frames [B], and first_frame
      [B], where the T begin in what the N last.
    latents: [B, T, D] float32, normalised.
    key: typed key.
    options: how long prompts are.
    spec: gives the frame rate.

  Returns:
    The examples; everything of a frame is cut by the same index.
  """
  cut_key, window_key = jax.random.split(key)
  durations, size = batch["durations"], latents.shape[1]
  durations_within = prosody.durations_within(
    durations, batch["first_frame"], batch["num_frames"]
  )
  max_frames = options.max_frames(size, spec)
  section = prompts.draw_cut(
    cut_key,
    durations_within,
    min_frames=spec.seconds_to_frames(options.min_sec),
    max_frames=max_frames,
    max_fraction=options.max_fraction,
  )
  rest = prompts.rest_index(
    section, batch["num_frames"], min(options.rest_frames, size), window_key
  )
  # Durations of phonemes beyond the excerpt are learned too.
  is_heard = prompts.phonemes_inside(section, durations, batch["first_frame"])
  phoneme_mask = masks.length_mask(batch["num_phonemes"], durations.shape[1])
  frame_mask = masks.length_mask(batch["num_frames"], size)
  in_prompt = prompts.frames_inside(section, size)
  return Example(
    phonemes=batch["phonemes"],
    phoneme_mask=phoneme_mask,
    durations=durations,
    durations_within=durations_within,
    f0_hz=batch["f0"],
    f0_phase=batch["f0_phase"],
    frame_mask=frame_mask,
    duration_mask=phoneme_mask & ~is_heard,
    pitch_mask=frame_mask & ~in_prompt,
    prompt=prompts.take(latents, prompts.cut_index(section, max_frames)),
    prompt_frames=section.length,
    prompt_f0_hz=prosody.mean_f0(batch["f0"], in_prompt),
    rest=rest,
    latents=prompts.take(latents, rest.index),
    codes=prompts.take(batch["codes"], rest.index),
  )


def drop_prompts(example: Example, key: Array, rate: float) -> Example:
  """Takes the prompt away from a share `rate` of the examples."""
  keep = jax.random.bernoulli(key, 1.0 - rate, example.prompt_frames.shape)
  return dataclasses.replace(
    example, prompt_frames=example.prompt_frames * keep
  )


def condition(
  model: ns2.NaturalSpeech2, example: Example, train: bool
) -> tuple[Array, prompts.Prompt, Array, Array]:
  """Condition of the rest with true durations and pitch, and what made it.

  Returns:
    cond [B, R, E], the encoded prompt, hidden phonemes [B, N, E] and the same
    expanded to frames [B, T, E].
  """
  hidden = model.encode_phonemes(
    example.phonemes, example.phoneme_mask, train=train
  )
  prompt = model.encode_prompt(
    example.prompt, example.prompt_frames, example.prompt_f0_hz, train=train
  )
  frames = prosody.expand(
    hidden, example.durations_within, example.f0_hz.shape[1]
  )
  cond = model.condition(frames, example.f0_hz, example.f0_phase)
  cond = prompts.take(cond, example.rest.index)
  return cond, prompt, hidden, frames


def predict(
  model: ns2.NaturalSpeech2,
  example: Example,
  x_t: Array,
  times: Array,
  train: bool,
) -> Predictions:
  """The whole model with true durations and pitch, as in training."""
  cond, prompt, hidden, frames = condition(model, example, train)
  return Predictions(
    latents=model.denoise(
      x_t, times, cond, prompt, example.rest.mask, train=train
    ),
    log_durations=model.predict_durations(
      hidden, example.phoneme_mask, prompt, train=train
    ),
    pitch=model.predict_pitch(frames, example.frame_mask, prompt, train=train),
  )
