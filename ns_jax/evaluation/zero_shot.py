# SPDX-License-Identifier: Apache-2.0
"""Zero-shot synthesis, judged as in the paper (NaturalSpeech 2, Sec. 4.2).

Test sentences are spoken with predicted timing and pitch in the voice of a few
seconds of another recording of the same speaker. The recording itself and what
the codec makes of it stand beside them. Needs the extra `judges`.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import tqdm

from ns_jax import figures
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError
from ns_jax.evaluation import clips, judges, prosody, words
from ns_jax.evaluation.contract import Context, Section, mean
from ns_jax.evaluation.judges import Judges
from ns_jax.inference.codec import SpeechCodec
from ns_jax.inference.synthesize import Synthesizer, Utterance
from ns_jax.stages import ns2 as ns2_stage
from ns_jax.text import symbols

SYSTEMS = ("recording", "codec", "synthesised")
_VOICE_CLIPS = 5  # recordings that stand for a speaker
_TIMED_CLIPS = 4
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
_EXPLANATION = """\
Each sentence is spoken with predicted durations and pitch in the voice of a \
prompt: {prompt_sec:g} s of another recording of its speaker{heard_sec}. \
wer_percent: word errors of all clips over words of all clips, heard by \
{recogniser}, whose own errors the recordings show. similarity_*: cosine of \
voices by {speaker_model}; nearest_to_prompt: share of clips nearer to the \
prompt's speaker (mean of up to {voice_clips} recordings, the spoken one left \
out) than to any other test speaker. dnsmos: overall quality, 1 to 5, as a \
model predicts listeners. *_from_prompt: distance of a moment of the phonemes' \
pitch (Hz) or duration ({frame_ms:g} ms frames) from that of the prompt, mean \
over clips. *_correlation (Pearson's) and *_rmse: against the recording, \
phoneme by phoneme, pauses left out. Pitch is measured in every wave by PyWorld; \
phonemes lie where the recording's durations put them, in synthesised speech \
where the durations it was spoken with do. rtf: seconds of computing per second \
of speech on {device}, one sentence at a time, compiled before: durations, \
{steps} steps of {solver}, and the codec's decoder."""


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
  if config.stage != "ns2":
    raise UserError(
      f"config.eval.evaluators: {evaluator!r} needs a model that speaks, "
      f"not the stage {config.stage}"
    )
  if config.eval.prompt_sec < 1.0:
    raise UserError(
      f"config.eval.prompt_sec={config.eval.prompt_sec} is too short a prompt; "
      "use at least 1, the paper has 3"
    )
  judges.check(evaluator, config.eval)


def evaluate(context: Context) -> Section:
  """Speaks test sentences and has them judged."""
  check(context.weights.config)
  options = context.weights.config.eval
  listeners = Judges.load(options, context.spec)
  records = list(context.test_records)
  trials = choose_trials(
    clips.in_turn(records), options.prompt_sec, options.num_clips, context.spec
  )
  voices = Voices(records, listeners.embed_voice)
  codec, synthesizer = (
    SpeechCodec.of(context.weights),
    Synthesizer(context.weights),
  )
  details, pictures, times = [], [], []
  for target, record in tqdm.tqdm(trials, desc="zero-shot", unit="clip"):
    prompt = cut_prompt(record, options.prompt_sec, context)
    speak = functools.partial(_speak, synthesizer, target, prompt.wav)
    speech = speak()
    if len(times) < _TIMED_CLIPS:
      times.append(_real_time_factor(speak, context.spec))
    recording = clips.reference_wav(target)
    waves = (recording, codec.reconstruct(recording), speech.wav)
    spoken = {
      system: Spoken(
        wav=wav,
        phonemes=target["phonemes"],
        durations=(
          speech.durations if system == "synthesised" else target["durations"]
        ),
        f0_hz=context.f0_hz(wav),
      )
      for system, wav in zip(SYSTEMS, waves, strict=True)
    }
    details += judge(context, target, prompt, spoken, voices, listeners)
    if len(pictures) < _PICTURES:
      pictures.append(_draw(context, target["id"], spoken))
  return Section(
    title="Zero-shot synthesis, judged",
    explanation=_explain(context),
    summary={
      "clips": len(trials),
      "speakers": len({target["speaker"] for target, _ in trials}),
      "rtf": float(np.mean(times)),
    },
    comparison=compare_systems(details),
    rows=[{name: row[name] for name in _COLUMNS} for row in details],
    details=details,
    pictures=pictures,
  )


def choose_trials(
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
      "config.eval.evaluators: 'zero_shot' takes prompts from other sentences "
      "of the same speaker, and no test speaker has two"
    )
  return trials[:count]


def cut_prompt(
  record: Mapping[str, Any], prompt_sec: float, context: Context
) -> Spoken:
  """The first seconds of a recording's speech, with the phonemes in them.

  Args:
    record: as in the schema.
    prompt_sec: length; a shorter recording is taken whole.
    context: gives the rate, and measures pitch.
  """
  first, last = _speech_frames(record)
  last = min(last, first + context.spec.seconds_to_frames(prompt_sec))
  wav = clips.reference_wav(record)
  ends = np.cumsum(record["durations"])
  inside = (ends - record["durations"] >= first) & (ends <= last)
  samples = slice(*map(context.spec.num_samples, (first, last)))
  return Spoken(
    wav=wav[samples],
    phonemes=record["phonemes"][inside],
    durations=record["durations"][inside],
    f0_hz=context.f0_hz(wav)[first:last],
  )


class Voices:
  """Test speakers as judged from their recordings."""

  def __init__(
    self,
    records: Sequence[Mapping[str, Any]],
    embed_voice: judges.SpeakerJudge,
  ):
    """Listens to the first recordings of each speaker."""
    self._voices: dict[str, dict[str, np.ndarray]] = {}
    for record in tqdm.tqdm(records, desc="voices", unit="clip"):
      heard = self._voices.setdefault(record["speaker"], {})
      # One more, for where one of them is what was spoken.
      if len(heard) <= _VOICE_CLIPS:
        voice = embed_voice(clips.reference_wav(record))
        if np.isfinite(voice).all():
          heard[record["id"]] = voice

  def is_nearest(self, voice: np.ndarray, speaker: str, spoken: str) -> float:
    """Whether a voice is nearer to a speaker than to any other.

    Args:
      voice: [E] of length 1.
      speaker: who it should be.
      spoken: id of the recording to leave out.

    Returns:
      1 or 0; NaN where there is nobody else.
    """
    likeness = {}
    for name, heard in self._voices.items():
      others = [v for clip, v in heard.items() if clip != spoken]
      if others:
        centre = np.mean(others[:_VOICE_CLIPS], axis=0)
        likeness[name] = float(voice @ centre / np.linalg.norm(centre))
    if not np.isfinite(voice).all() or len(likeness) < 2:
      return float("nan")
    return float(max(likeness, key=likeness.__getitem__) == speaker)


def judge(
  context: Context,
  target: Mapping[str, Any],
  prompt: Spoken,
  spoken: Mapping[str, Spoken],
  voices: Voices,
  listeners: Judges,
) -> list[dict[str, Any]]:
  """Judges one sentence as each system speaks it.

  Args:
    context: takes the waves.
    target: record of the sentence.
    prompt: what the voice should be like.
    spoken: system -> what it said; "recording" is the truth.
    voices: of the test speakers.
    listeners: who judge.

  Returns:
    A row for each system.
  """
  prompt_path = context.save_wav(f"{target['id']}.heard_prompt", prompt.wav)
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
        "nearest_to_prompt": voices.is_nearest(
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


def compare_systems(
  details: Sequence[Mapping[str, Any]],
) -> dict[str, dict[str, float]]:
  """Sums word errors and takes means of the rest, system by system.

  Args:
    details: rows of `judge`.

  Returns:
    quantity -> system -> value; NaN where it makes no sense.
  """
  of_system = {
    name: [row for row in details if row["system"] == name] for name in SYSTEMS
  }
  fields = [field.name for field in dataclasses.fields(words.WordErrors)]
  errors = {
    name: words.total(
      words.WordErrors(*(row[field] for field in fields)) for row in rows
    )
    for name, rows in of_system.items()
  }
  return {
    "wer_percent": {name: e.rate_percent for name, e in errors.items()},
    **{
      quantity: {name: mean(rows, quantity) for name, rows in of_system.items()}
      for quantity in _MEANS
    },
  }


def _speech_frames(record: Mapping[str, Any]) -> tuple[int, int]:
  """Where a recording's speech begins and ends, in frames."""
  ends = np.cumsum(record["durations"])
  (spoken,) = np.nonzero(~symbols.is_pause(record["phonemes"]))
  first, last = spoken[0], spoken[-1]
  return int(ends[first] - record["durations"][first]), int(ends[last])


def _num_spoken_frames(record: Mapping[str, Any]) -> int:
  first, last = _speech_frames(record)
  return last - first


def _speak(
  synthesizer: Synthesizer, target: Mapping[str, Any], prompt: np.ndarray
) -> Any:
  utterance = Utterance(target["phonemes"], synthesizer.encode_prompt(prompt))
  (speech,) = synthesizer.speak([utterance])
  return speech


def _real_time_factor(speak: Callable[[], Any], spec: AudioSpec) -> float:
  start = time.perf_counter()
  speech = speak()
  seconds = time.perf_counter() - start
  return seconds * spec.sample_rate_hz / len(speech.wav)


def _explain(context: Context) -> str:
  config, spec = context.weights.config, context.spec
  heard_sec = ns2_stage.max_prompt_frames(config) / spec.frame_rate_hz
  is_all = heard_sec >= config.eval.prompt_sec
  return _EXPLANATION.format(
    prompt_sec=config.eval.prompt_sec,
    heard_sec="" if is_all else f", of which the model hears {heard_sec:g} s",
    recogniser=config.eval.recogniser,
    speaker_model=config.eval.speaker_model,
    voice_clips=_VOICE_CLIPS,
    frame_ms=spec.frame_period_ms,
    device=jax.devices()[0].device_kind,
    steps=config.sample.steps,
    solver=config.sample.solver,
  )


def _draw(context: Context, name: str, spoken: Mapping[str, Spoken]) -> str:
  """Draws the systems under each other; returns the picture's name."""
  figure = figures.speech_figure(
    {
      f"{name}: {system}": clips.log_mel(speech.wav, context.spec)
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
