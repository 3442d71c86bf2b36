# SPDX-License-Identifier: Apache-2.0
"""Test sentences in the one voice that a model has, beside the recordings.

Each is said twice: with the model's own timing, and with the recording's, so
that frames can be compared one by one. What is heard in the recording and
voiced again shows what the decoder alone can do.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tqdm

from ns_jax import figures
from ns_jax.dsp import mel
from ns_jax.errors import UserError
from ns_jax.evaluation import audio_metrics, clips
from ns_jax.evaluation.contract import Context, Section, mean
from ns_jax.inference import single_voice
from ns_jax.inference.single_voice import Said, Sentence, SingleVoice
from ns_jax.text import symbols
from ns_jax.text.frontend import Reading

_PICTURES = 4
_MEANS = (
  *("revoiced_mel_db", "said_mel_db", "warped_mel_db"),
  *("duration_error_frames", "length_ratio"),
)


def check(config: Any) -> None:
  """Checks what can be known before the model is trained.

  Raises:
    UserError: the stage has no voice of its own.
  """
  check_speaker("reading", config)


def check_speaker(evaluator: str, config: Any) -> None:
  """Checks that a config's model speaks without a prompt.

  Raises:
    UserError: it does not.
  """
  if config.stage not in single_voice.STAGES:
    raise UserError(
      f"config.eval.evaluators: {evaluator!r} needs a model with a voice of "
      f"its own, not the stage {config.stage}"
    )


def evaluate(context: Context) -> Section:
  """Says test sentences and compares them with the recordings."""
  speaker = SingleVoice(context.weights)
  records = clips.in_turn(context.test_records)
  records = records[: context.weights.config.eval.num_clips]
  rows, pictures = [], []
  for record in tqdm.tqdm(records, desc="read", unit="clip"):
    row, waves, said = _compare(context, speaker, record)
    rows.append(row)
    if len(pictures) < _PICTURES:
      pictures += _draw(context, record, waves, said)
  return Section(
    title="Reading: unseen sentences in the model's own voice",
    explanation=(
      "Log-mel distances to the recording: revoiced, of what is heard in it "
      "and voiced again; said, of the sentence with the recording's durations, "
      "frame by frame; warped, with durations of its own, along a time "
      "warping path. duration_error_frames: mean absolute error of a phoneme's "
      f"duration, {context.spec.frame_period_ms:g} ms frames. length_ratio: "
      "speech to recording. Pictures: spectrograms, and how much each frame "
      "heeds each phoneme."
    ),
    summary={name: mean(rows, name) for name in _MEANS},
    rows=rows,
    pictures=pictures,
  )


def _compare(
  context: Context, speaker: SingleVoice, record: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, np.ndarray], Said]:
  """Figures of one sentence, its waves by name, and how it is said."""
  recording = clips.reference_wav(record)
  reading = Reading(record["phonemes"], record["word_starts"])
  (own,) = speaker.speak([Sentence(reading)])
  (timed,) = speaker.speak([Sentence(reading, record["durations"])])
  waves = {
    "recording": recording,
    "revoiced": speaker.revoice(recording),
    "timed": timed.wav,
    "said": own.wav,
  }
  mels = {
    name: mel.clip_log_mel(wav, context.spec) for name, wav in waves.items()
  }
  apart = {
    name: audio_metrics.log_mel_distance_db(mels[name], mels["recording"])
    for name in ("revoiced", "timed")
  }
  error = np.abs(own.durations - record["durations"]).mean()
  row = {
    "text": record["text"],
    **{
      name: context.save_wav(f"{record['id']}.{name}", waves[name])
      for name in ("recording", "revoiced", "said")
    },
    "revoiced_mel_db": apart["revoiced"],
    "said_mel_db": apart["timed"],
    "warped_mel_db": audio_metrics.warped_log_mel_distance_db(
      mels["said"], mels["recording"]
    ),
    "duration_error_frames": float(error),
    "length_ratio": len(own.wav) / len(recording),
  }
  return row, waves, own


def _draw(
  context: Context,
  record: Mapping[str, Any],
  waves: Mapping[str, np.ndarray],
  said: Said,
) -> list[str]:
  """Draws the waves and the upsampling; returns the pictures' names."""
  marks = symbols.from_ids(record["phonemes"])
  durations = {name: record["durations"] for name in waves}
  durations["said"] = said.durations
  figure = figures.speech_figure(
    {name: mel.clip_log_mel(wav, context.spec) for name, wav in waves.items()},
    context.spec,
    phonemes={name: (marks, durations[name]) for name in waves},
  )
  name = record["id"]
  title = f"{name}: how much each frame heeds each phoneme"
  upsampling = figures.alignment_figure(
    {title: said.weights.T}, marks, context.spec
  )
  return [
    context.save_figure(f"{name}.reading", figure),
    context.save_figure(f"{name}.upsampling", upsampling),
  ]
