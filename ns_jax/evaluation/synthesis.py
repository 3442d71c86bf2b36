# SPDX-License-Identifier: Apache-2.0
"""Zero-shot synthesis: test sentences in voices that were never trained on.

Each sentence is spoken three times: with the prompt's own timing, and, with
the recording's timing so that frames can be compared one by one, in the voice
of the right prompt and of another speaker's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tqdm

from ns_jax import figures
from ns_jax.dsp import mel
from ns_jax.errors import UserError
from ns_jax.evaluation import audio_metrics, clips, prosody
from ns_jax.evaluation.contract import Context, Section, mean
from ns_jax.inference.synthesize import Synthesizer
from ns_jax.inference.utterance import PitchedSpeech, Utterance
from ns_jax.text import symbols

_MEANS = (
  "mel_db_right_prompt",
  "mel_db_other_prompt",
  "warped_mel_db",
  "f0_error_cents",
  "duration_error_frames",
)


def evaluate(context: Context) -> Section:
  """Speaks test sentences and compares them with the recordings."""
  synthesizer = Synthesizer(context.weights)
  trials = choose_trials(
    list(context.test_records), context.weights.config.eval.num_clips
  )
  rows, pictures, away_from_prompt = [], [], []
  for target, prompt, other in tqdm.tqdm(trials, desc="speak", unit="clip"):
    speeches = _speak(synthesizer, target, prompt, other)
    rows.append(_compare(context, target, prompt, speeches))
    spoken = speeches["own timing"]
    away_from_prompt.append(
      prosody.difference(
        prosody.of_speech(target["phonemes"], spoken.f0_hz, spoken.durations),
        prosody.of_speech(
          prompt["phonemes"], prompt["f0"], prompt["durations"]
        ),
      )
    )
    if len(pictures) < 4:
      pictures.append(_draw(context, target, speeches))
  closer = [r["mel_db_right_prompt"] < r["mel_db_other_prompt"] for r in rows]
  return Section(
    title="Zero-shot synthesis: unseen speakers, unseen sentences",
    explanation=(
      "mel_db: log-mel distance to the recording frame by frame, spoken with "
      "the recording's durations. warped_mel_db: the same along a time warping "
      "path, with the predicted durations. f0_error_cents: predicted pitch "
      "against the recording's where both are voiced. duration_error_frames: "
      "mean absolute error of a phoneme's predicted duration, 12.5 ms frames. "
      "prompt_*: how far the moments of the predicted pitch (Hz) and duration "
      "(frames) of phonemes are from those of the prompt."
    ),
    summary={name: mean(rows, name) for name in _MEANS}
    | {"closer_with_right_prompt": float(np.mean(closer))}
    | {
      f"prompt_{name}": mean(away_from_prompt, name)
      for name in away_from_prompt[0]
    },
    rows=rows,
    pictures=pictures,
  )


def choose_trials(
  records: Sequence[Mapping[str, Any]], count: int
) -> list[tuple[Mapping, Mapping, Mapping]]:
  """Pairs sentences with prompts, going round the speakers.

  Args:
    records: test records.
    count: how many trials to make at most.

  Returns:
    (target, prompt of the same speaker, prompt of another speaker) each; a
    prompt never says the target's sentence.
  """
  order = clips.in_turn(records)
  speakers = sorted({record["speaker"] for record in order})
  if len(speakers) < 2:
    raise UserError(
      "config.eval.evaluators: 'synthesis' compares voices and needs two test "
      "speakers; leave it out"
    )
  own: dict[str, list] = {name: [] for name in speakers}
  for record in order:
    own[record["speaker"]].append(record)
  trials = []
  for i, target in enumerate(order):
    away = 1 + i // len(speakers) % (len(speakers) - 1)
    place = speakers.index(target["speaker"]) + away
    foreign = own[speakers[place % len(speakers)]]
    prompt, other = (
      _prompt(own[target["speaker"]], target),
      _prompt(foreign, target),
    )
    if prompt and other:
      trials.append((target, prompt, other))
  return trials[:count]


def _prompt(spoken: Sequence[Mapping], target: Mapping) -> Mapping | None:
  """The longest recording among `spoken` of another sentence, if any."""
  others = [record for record in spoken if record["text"] != target["text"]]
  return max(others, key=lambda record: len(record["wav"]), default=None)


def _speak(
  synthesizer: Synthesizer, target: Mapping, prompt: Mapping, other: Mapping
) -> dict[str, PitchedSpeech]:
  right = synthesizer.encode_prompt(clips.reference_wav(prompt))
  wrong = synthesizer.encode_prompt(clips.reference_wav(other))
  phonemes, durations = target["phonemes"], target["durations"]
  utterances = {
    "own timing": Utterance(phonemes, right),
    "right prompt": Utterance(phonemes, right, durations),
    "other prompt": Utterance(phonemes, wrong, durations),
  }
  speeches = synthesizer.speak(list(utterances.values()))
  return dict(zip(utterances, speeches, strict=True))


def _compare(
  context: Context,
  target: Mapping,
  prompt: Mapping,
  speeches: Mapping[str, PitchedSpeech],
) -> dict[str, Any]:
  mels = {
    name: mel.clip_log_mel(speech.wav, context.spec)
    for name, speech in speeches.items()
  }
  reference = mel.clip_log_mel(clips.reference_wav(target), context.spec)
  names = {}
  for kind, speech in speeches.items():
    column = kind.replace(" ", "_")
    names[column] = context.save_wav(f"{target['id']}.{column}", speech.wav)
  prompt_wav = clips.reference_wav(prompt)
  names["prompt"] = context.save_wav(f"{target['id']}.prompt", prompt_wav)
  predicted = speeches["own timing"].durations
  return {
    "text": target["text"],
    "speaker": target["speaker"],
    **names,
    "mel_db_right_prompt": audio_metrics.log_mel_distance_db(
      mels["right prompt"], reference
    ),
    "mel_db_other_prompt": audio_metrics.log_mel_distance_db(
      mels["other prompt"], reference
    ),
    "warped_mel_db": audio_metrics.warped_log_mel_distance_db(
      mels["own timing"], reference
    ),
    "f0_error_cents": audio_metrics.f0_error_cents(
      speeches["right prompt"].f0_hz, target["f0"]
    ),
    "duration_error_frames": float(
      np.abs(predicted - target["durations"]).mean()
    ),
  }


def _draw(
  context: Context, target: Mapping, speeches: Mapping[str, PitchedSpeech]
) -> str:
  """Draws the recording over what was spoken; returns the picture's name."""
  wavs = {"recording": clips.reference_wav(target)}
  wavs |= {name: speech.wav for name, speech in speeches.items()}
  marks = symbols.from_ids(target["phonemes"])
  durations = {"recording": target["durations"]}
  durations |= {name: speech.durations for name, speech in speeches.items()}
  f0_hz = {"recording": target["f0"]}
  f0_hz |= {name: speech.f0_hz for name, speech in speeches.items()}
  figure = figures.speech_figure(
    {name: mel.clip_log_mel(wav, context.spec) for name, wav in wavs.items()},
    context.spec,
    f0_hz=f0_hz,
    phonemes={name: (marks, durations[name]) for name in wavs},
  )
  return context.save_figure(target["id"], figure)
