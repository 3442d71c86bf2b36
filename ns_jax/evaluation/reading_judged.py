# SPDX-License-Identifier: Apache-2.0
"""Test sentences in the model's one voice, heard by a recogniser and judges.

The recording and what is heard in it and voiced again stand beside them. Needs
the extra `judges`.
"""

import dataclasses
import time
from typing import Any

import jax
import numpy as np
import tqdm

from ns_jax.evaluation import clips, judges, reading, systems, words
from ns_jax.evaluation.contract import Context, Section
from ns_jax.evaluation.judges import Judges
from ns_jax.inference.single_voice import Sentence, SingleVoice
from ns_jax.text.frontend import Reading

NAMES = ("recording", "revoiced", "said")
_TIMED_CLIPS = 4
_COLUMNS = (
  *("text", "system", "speech", "heard", "wer_percent"),
  *("similarity_to_recording", "dnsmos"),
)
_EXPLANATION = """\
Each sentence as recorded, as the decoder voices what is heard in the recording,
and as the model says it. wer_percent: word errors of all clips over words of
all clips, heard by {recogniser}, whose own errors the recordings show.
similarity_to_recording: cosine of voices by {speaker_model}. dnsmos: overall
quality, 1 to 5, as a model predicts listeners. rtf: seconds of computing per
second of speech on {device}, one sentence at a time, compiled before."""


def check(config: Any) -> None:
  """Checks what can be known before the model is trained.

  Raises:
    UserError: the stage has no voice of its own, or judges are missing.
  """
  reading.check_speaker("reading_judged", config)
  judges.check("config.eval.evaluators: 'reading_judged'", config.eval)


def evaluate(context: Context) -> Section:
  """Says test sentences and has them judged."""
  options = context.weights.config.eval
  listeners = Judges.load(options, context.spec)
  speaker = SingleVoice(context.weights)
  details, real_time_factors = [], []
  records = clips.in_turn(context.test_records)[: options.num_clips]
  for record in tqdm.tqdm(records, desc="read and judge", unit="clip"):
    text = Sentence(Reading(record["phonemes"], record["word_starts"]))
    (said,) = speaker.speak([text])
    if len(real_time_factors) < _TIMED_CLIPS:
      start = time.perf_counter()
      speaker.speak([text])  # nothing is left to compile
      seconds = len(said.wav) / context.spec.sample_rate_hz
      real_time_factors.append((time.perf_counter() - start) / seconds)
    recording = clips.reference_wav(record)
    voice = listeners.embed_voice(recording)
    spoken = (recording, speaker.revoice(recording), said.wav)
    for system, wav in zip(NAMES, spoken, strict=True):
      heard = listeners.transcribe(wav)
      errors = words.compare(record["text"], heard)
      details.append(
        {
          "clip": record["id"],
          "text": record["text"],
          "system": system,
          "speech": context.save_wav(f"{record['id']}.{system}", wav),
          "heard": heard,
          **dataclasses.asdict(errors),
          "wer_percent": errors.rate_percent,
          "similarity_to_recording": (
            float("nan")
            if system == "recording"
            else judges.similarity(listeners.embed_voice(wav), voice)
          ),
          "dnsmos": listeners.dnsmos(wav),
        }
      )
  return Section(
    title="Reading, judged",
    explanation=_EXPLANATION.replace("\n", " ").format(
      recogniser=options.recogniser,
      speaker_model=options.speaker_model,
      device=jax.devices()[0].device_kind,
    ),
    summary={
      "clips": len(records),
      "rtf": float(np.mean(real_time_factors)),
    },
    comparison=systems.compare(
      details, NAMES, ("similarity_to_recording", "dnsmos")
    ),
    rows=[{name: row[name] for name in _COLUMNS} for row in details],
    details=details,
  )
