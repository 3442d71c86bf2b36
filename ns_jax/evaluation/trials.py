# SPDX-License-Identifier: Apache-2.0
"""Which sentence is spoken after which prompt, and speech with its phonemes."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError
from ns_jax.evaluation import clips, prosody
from ns_jax.text import symbols


@dataclasses.dataclass(frozen=True)
class Spoken:
  """Speech whose phonemes have known places."""

  wav: np.ndarray  # [S] float32, in [-1, 1]
  phonemes: np.ndarray  # [N] int32 ids
  durations: np.ndarray  # [N] int32, frames
  f0_hz: np.ndarray  # [T] float32, 0 where unvoiced

  @property
  def prosody(self) -> tuple[np.ndarray, np.ndarray]:
    """Pitch and durations without pauses."""
    return prosody.of_speech(self.phonemes, self.f0_hz, self.durations)


def choose(
  records: Sequence[Mapping[str, Any]],
  prompt_sec: float,
  count: int,
  spec: AudioSpec,
) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
  """Gives each sentence another recording of its speaker to take a prompt from.

  Args:
    records: test records, in the order of the trials.
    prompt_sec: how long a prompt should be.
    count: how many trials to make at most.
    spec: of the records.

  Returns:
    (target, record of the prompt) each. The prompt's is the next one of its
    speaker that says something else and is long enough, or else the longest.

  Raises:
    UserError: no speaker has two sentences.
  """
  by_speaker: dict[str, list[Mapping[str, Any]]] = {}
  for record in records:
    by_speaker.setdefault(record["speaker"], []).append(record)
  wanted = spec.seconds_to_frames(prompt_sec)
  trials = []
  for target in records:
    if len(trials) == count:
      break
    own = by_speaker[target["speaker"]]
    place = next(i for i, r in enumerate(own) if r["id"] == target["id"])
    others = [
      record
      for record in (*own[place + 1 :], *own[:place])
      if record["text"] != target["text"]
    ]
    if not others:
      continue
    lengths = [_num_spoken_frames(record) for record in others]
    enough = [i for i, length in enumerate(lengths) if length >= wanted]
    trials.append((target, others[enough[0] if enough else np.argmax(lengths)]))
  if not trials:
    raise UserError(
      "config.eval.evaluators: prompts are taken from other sentences of the "
      "same speaker, and no test speaker has two"
    )
  return trials


def cut_prompt(
  record: Mapping[str, Any], prompt_sec: float, spec: AudioSpec
) -> Spoken:
  """The first seconds of a recording's speech, with the phonemes in them.

  Args:
    record: as in the schema.
    prompt_sec: length; a shorter recording is taken whole.
    spec: of the record.
  """
  first, last = _speech_frames(record)
  last = min(last, first + spec.seconds_to_frames(prompt_sec))
  wav = clips.reference_wav(record)
  ends = np.cumsum(record["durations"])
  inside = (ends - record["durations"] >= first) & (ends <= last)
  samples = slice(*map(spec.num_samples, (first, last)))
  return Spoken(
    wav=wav[samples],
    phonemes=record["phonemes"][inside],
    durations=record["durations"][inside],
    f0_hz=clips.f0_hz(wav, spec)[first:last],
  )


def _speech_frames(record: Mapping[str, Any]) -> tuple[int, int]:
  """Where a recording's speech begins and ends, in frames."""
  ends = np.cumsum(record["durations"])
  (spoken,) = np.nonzero(~symbols.is_pause(record["phonemes"]))
  first, last = spoken[0], spoken[-1]
  return int(ends[first] - record["durations"][first]), int(ends[last])


def _num_spoken_frames(record: Mapping[str, Any]) -> int:
  first, last = _speech_frames(record)
  return last - first
