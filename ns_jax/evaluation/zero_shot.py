# SPDX-License-Identifier: Apache-2.0
"""Zero-shot synthesis, judged as in the paper (NaturalSpeech 2, Sec. 4.2).

Test sentences are spoken with predicted timing and pitch in the voice of a few
seconds of another recording of the same speaker. The recording itself and what
the codec makes of it stand beside them. Needs the extra `judges`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import tqdm

from ns_jax import figures
from ns_jax.dsp import mel
from ns_jax.errors import UserError
from ns_jax.evaluation import (
  clips,
  judges,
  prosody,
  systems,
  trials,
  voices,
  words,
)
from ns_jax.evaluation.contract import Context, Section
from ns_jax.evaluation.judges import Judges
from ns_jax.evaluation.systems import Systems
from ns_jax.evaluation.trials import Spoken
from ns_jax.evaluation.voices import Voices
from ns_jax.inference import synthesize
from ns_jax.stages import ns2 as ns2_stage
from ns_jax.text import symbols

_PICTURES = 4
# Columns of the clips' table; the rest of what is measured is in report.json.
_COLUMNS = (
  *("text", "prompt", "system", "speech", "heard", "wer_percent"),
  *("similarity_to_prompt", "similarity_to_recording", "dnsmos"),
)
_MEANS = (
  *("similarity_to_prompt", "similarity_to_recording", "nearest_to_prompt"),
  "dnsmos",
  *(
    f"{quantity}_{moment}_from_prompt"
    for quantity in ("pitch", "duration")
    for moment in prosody.MOMENTS
  ),
  *("pitch_correlation", "pitch_rmse_hz"),
  *("duration_correlation", "duration_rmse_frames"),
)
_KNOWN = """\
the recording's durations put them, in synthesised speech where the durations it
was spoken with do"""
_EXPLANATION = """\
Each sentence is spoken with predicted durations and pitch in the voice of a
prompt: {prompt_sec:g} s of another recording of its speaker{heard_sec}.
wer_percent: word errors of all clips over words of all clips, heard by
{recogniser}, whose own errors the recordings show. similarity_*: cosine of
voices by {speaker_model}; nearest_to_prompt: share of clips nearer to the
prompt's speaker (mean of up to {voice_clips} recordings, the spoken one left
out) than to any other test speaker. dnsmos: overall quality, 1 to 5, as a model
predicts listeners. *_from_prompt: distance of a moment of the phonemes' pitch
(Hz) or duration ({frame_ms:g} ms frames) from that of the prompt, mean over
clips. *_correlation (Pearson's) and *_rmse: against the recording, phoneme by
phoneme, pauses left out. Pitch is measured in every wave by PyWorld; phonemes
lie where {places}. rtf: seconds of computing per second of speech
on {device}, one sentence at a time, compiled before: durations, {steps} steps
of {solver}, and the codec's decoder."""


def check(config: Any) -> None:
  """Checks what can be known before the model is trained.

  Raises:
    UserError: the stage cannot speak, or judges are missing.
  """
  check_speaker("zero_shot", config)


def check_speaker(evaluator: str, config: Any) -> None:
  """Checks that a config's model can speak to installed judges.

  Raises:
    UserError: the stage cannot speak, judges are missing, or the prompt is
      too short.
  """
  if config.stage not in synthesize.STAGES:
    raise UserError(
      f"config.eval.evaluators: {evaluator!r} needs a model that speaks, "
      f"not the stage {config.stage}"
    )
  if config.eval.prompt_sec < 1.0:
    raise UserError(
      f"config.eval.prompt_sec={config.eval.prompt_sec} is too short a prompt; "
      "use at least 1, the paper has 3"
    )
  judges.check(f"config.eval.evaluators: {evaluator!r}", config.eval)


def evaluate(context: Context) -> Section:
  """Speaks test sentences and has them judged."""
  check(context.weights.config)
  options = context.weights.config.eval
  listeners = Judges.load(options, context.spec)
  records = list(context.test_records)
  pairs = trials.choose(
    clips.in_turn(records), options.prompt_sec, options.num_clips, context.spec
  )
  speakers = Voices(records, listeners.embed_voice)
  speak = Systems(context)
  details, pictures = [], []
  for target, other in tqdm.tqdm(pairs, desc="zero-shot", unit="clip"):
    other = {**other, "durations": speak.durations(other)}
    prompt = trials.cut_prompt(other, options.prompt_sec, context.spec)
    spoken = speak(target, prompt)
    details += judge(context, target, prompt, spoken, speakers, listeners)
    if len(pictures) < _PICTURES:
      pictures.append(_draw(context, target["id"], spoken))
  return Section(
    title="Zero-shot synthesis, judged",
    explanation=_explain(context),
    summary={
      "clips": len(pairs),
      "speakers": len({target["speaker"] for target, _ in pairs}),
      "rtf": float(np.mean(speak.real_time_factors)),
    },
    comparison=systems.compare(details, systems.NAMES, _MEANS),
    rows=[{name: row[name] for name in _COLUMNS} for row in details],
    details=details,
    pictures=pictures,
  )


def judge(
  context: Context,
  target: Mapping[str, Any],
  prompt: Spoken,
  spoken: Mapping[str, Spoken],
  speakers: Voices,
  listeners: Judges,
) -> list[dict[str, Any]]:
  """Judges one sentence as each system speaks it.

  Args:
    context: takes the waves.
    target: record of the sentence.
    prompt: what the voice should be like.
    spoken: system -> what it said; "recording" is the truth.
    speakers: voices of the test speakers.
    listeners: who judge.

  Returns:
    A row for each system.
  """
  prompt_path = context.save_wav(f"{target['id']}.zero_shot_prompt", prompt.wav)
  prompt_voice = listeners.embed_voice(prompt.wav)
  recording = spoken["recording"]
  recorded_voice = listeners.embed_voice(recording.wav)
  rows = []
  for system, speech in spoken.items():
    voice = listeners.embed_voice(speech.wav)
    heard = listeners.transcribe(speech.wav)
    errors = words.compare(target["text"], heard)
    is_truth = system == "recording"
    away = prosody.difference(speech.prosody, prompt.prosody)
    agreement = prosody.agreement(speech.prosody, recording.prosody)
    rows.append(
      {
        "clip": target["id"],
        "speaker": target["speaker"],
        "text": target["text"],
        "prompt": prompt_path,
        "system": system,
        "speech": context.save_wav(f"{target['id']}.{system}", speech.wav),
        "heard": heard,
        **dataclasses.asdict(errors),
        "wer_percent": errors.rate_percent,
        "similarity_to_prompt": judges.similarity(voice, prompt_voice),
        "similarity_to_recording": (
          float("nan") if is_truth else judges.similarity(voice, recorded_voice)
        ),
        "nearest_to_prompt": speakers.is_nearest(
          voice, target["speaker"], target["id"]
        ),
        "dnsmos": listeners.dnsmos(speech.wav),
        **{f"{name}_from_prompt": value for name, value in away.items()},
        **{
          name: float("nan") if is_truth else value
          for name, value in agreement.items()
        },
      }
    )
  return rows


def _explain(context: Context) -> str:
  config, spec = context.weights.config, context.spec
  heard_sec = ns2_stage.max_prompt_frames(config) / spec.frame_rate_hz
  is_all = heard_sec >= config.eval.prompt_sec
  aligner = config.eval.aligner
  places = f"the aligner {aligner} hears them" if aligner else _KNOWN
  explanation = _EXPLANATION.format(
    places=places,
    prompt_sec=config.eval.prompt_sec,
    heard_sec="" if is_all else f", of which the model hears {heard_sec:g} s",
    recogniser=config.eval.recogniser,
    speaker_model=config.eval.speaker_model,
    voice_clips=voices.MOST_CLIPS,
    frame_ms=spec.frame_period_ms,
    device=jax.devices()[0].device_kind,
    steps=config.sample.steps,
    solver=config.sample.solver,
  )
  return explanation.replace("\n", " ")


def _draw(context: Context, name: str, spoken: Mapping[str, Spoken]) -> str:
  """Draws the systems under each other; returns the picture's name."""
  figure = figures.speech_figure(
    {
      f"{name}: {system}": mel.clip_log_mel(speech.wav, context.spec)
      for system, speech in spoken.items()
    },
    context.spec,
    f0_hz={f"{name}: {s}": speech.f0_hz for s, speech in spoken.items()},
    phonemes={
      f"{name}: {s}": (symbols.from_ids(speech.phonemes), speech.durations)
      for s, speech in spoken.items()
    },
  )
  return context.save_figure(f"{name}.zero_shot", figure)
