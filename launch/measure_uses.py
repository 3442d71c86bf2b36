# SPDX-License-Identifier: Apache-2.0
"""What conversion, enhancement and singing achieve, measured on recordings.

  python launch/measure_uses.py MODEL RECORDS --out=DIR

Takes test recordings of RECORDS. Conversion: each is said again in the voice of
another speaker's prompt. Enhancement: pink noise is added and taken away again;
timing and pitch are what is heard in the noise.
Singing: examples/twinkle.musicxml, moved to the height of each speaker's voice.
DIR gets the waves, figures.json and table.md. Needs the extra `judges`.
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tqdm

from data_pipelines.records import Records
from ns_jax import audio, paths
from ns_jax.apps import terminal
from ns_jax.dsp import pitch
from ns_jax.errors import UserError
from ns_jax.evaluation import (
  audio_metrics,
  clips,
  judges,
  prosody,
  trials,
  words,
)
from ns_jax.inference import convert, narrate, restore
from ns_jax.inference.align import SpeechAligner
from ns_jax.inference.synthesize import Synthesizer
from ns_jax.inference.utterance import Utterance
from ns_jax.singing.plan import Rendition, plan
from ns_jax.singing.score import read_score

_SONG = paths.EXAMPLES / "twinkle.musicxml"
_MARGIN_SEC = 0.2
_SNR_DB = 5.0

Figures = dict[str, float]
Save = Callable[[str, np.ndarray], None]


def main() -> None:
  """Measures all three and prints the table."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("model")
  parser.add_argument("records", help="folder that `ns-jax prepare` made")
  parser.add_argument("--out", required=True, type=pathlib.Path)
  parser.add_argument("--clips", type=int, default=8)
  parser.add_argument("--prompt-sec", type=float, default=3.0)
  parser.add_argument("--steps", type=int, default=convert.STEPS)
  parser.add_argument("--recogniser", default=judges.MOONSHINE)
  parser.add_argument("--speaker-model", default=judges.RESEMBLYZER)
  args = parser.parse_args()
  args.out.mkdir(parents=True, exist_ok=True)
  synthesizer = Synthesizer.load(args.model)
  spec = synthesizer.spec
  listeners = judges.Judges.load(args, spec)

  def save(name: str, wav: np.ndarray) -> None:
    audio.write_wav(args.out / f"{name}.wav", wav, spec)

  found = clips.in_turn(Records(args.records, "test"))
  pairs = trials.choose(found, args.prompt_sec, args.clips, spec)
  prompts = [
    (target["speaker"], trials.cut_prompt(other, args.prompt_sec, spec).wav)
    for target, other in pairs
  ]
  sources = [target for target, _ in pairs]
  measured = {
    "conversion": _conversions(
      synthesizer, listeners, sources, prompts, args.steps, save
    ),
    "enhancement": _enhancements(
      synthesizer, listeners, sources, prompts, args.steps, save
    ),
    "singing": _songs(synthesizer, dict(prompts), save),
  }
  lines = ["| | figure | mean |", "|---|---|--:|"]
  figures: dict[str, list[Figures]] = {}
  for use, rows in measured.items():
    figures[use] = list(tqdm.tqdm(rows, desc=use, unit="clip"))
    for name in figures[use][0]:
      mean = float(np.nanmean([row[name] for row in figures[use]]))
      lines.append(f"| {use} | {name} | {mean:.3g} |")
  (args.out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
  (args.out / "table.md").write_text("\n".join(lines) + "\n")
  print("\n".join(lines))


def _conversions(
  synthesizer: Synthesizer,
  listeners: judges.Judges,
  sources: list[Mapping[str, Any]],
  prompts: list[tuple[str, np.ndarray]],
  steps: int,
  save: Save,
) -> Iterator[Figures]:
  """How near each recording comes to another speaker's voice."""
  for i, record in enumerate(sources):
    others = [wav for name, wav in prompts if name != record["speaker"]]
    if not others:
      raise UserError("conversion needs test recordings of two speakers")
    voice = others[i % len(others)]
    source = _heard(record)
    converted = convert.convert(synthesizer, source, voice, steps=steps).wav
    save(f"conversion.{record['id']}.source", source.wav)
    save(f"conversion.{record['id']}.voice", voice)
    save(f"conversion.{record['id']}.converted", converted)
    wanted = listeners.embed_voice(voice)
    row: Figures = {}
    for name, wav in (("before", source.wav), ("after", converted)):
      row[f"similarity to the other voice, {name}"] = judges.similarity(
        listeners.embed_voice(wav), wanted
      )
    for name, wav in (("before", source.wav), ("after", converted)):
      row[f"word error rate %, {name}"] = words.compare(
        record["text"], listeners.transcribe(wav)
      ).rate_percent
    yield row


def _enhancements(
  synthesizer: Synthesizer,
  listeners: judges.Judges,
  sources: list[Mapping[str, Any]],
  prompts: list[tuple[str, np.ndarray]],
  steps: int,
  save: Save,
) -> Iterator[Figures]:
  """What noise costs, and what is left of that."""
  rng = np.random.default_rng(0)
  aligner = SpeechAligner.load(restore.SHIPPED)
  for record, (_, voice) in zip(sources, prompts, strict=True):
    clean = clips.reference_wav(record)
    noise = _pink(len(clean), rng)
    noise *= _rms(clean) / _rms(noise) * 10.0 ** (-_SNR_DB / 20.0)
    wav = (clean + noise).astype(np.float32)
    noisy = convert.listen(wav, record["text"], aligner, synthesizer.spec)
    alone = noise * _rms(noisy.wav) / _rms(wav)
    enhanced = convert.enhance(
      synthesizer, noisy, voice, alone.astype(np.float32), steps=steps
    ).wav
    save(f"enhancement.{record['id']}.noisy", wav)
    save(f"enhancement.{record['id']}.enhanced", enhanced)
    row: Figures = {}
    for name, heard in (("before", wav), ("after", enhanced)):
      row[f"DNSMOS, {name}"] = listeners.dnsmos(heard)
    for name, heard in (("before", wav), ("after", enhanced)):
      row[f"SI-SDR dB, {name}"] = audio_metrics.si_sdr_db(heard, clean)
    yield row


def _songs(
  synthesizer: Synthesizer, voices: Mapping[str, np.ndarray], save: Save
) -> Iterator[Figures]:
  """How well the song is kept, at the height of each voice."""
  spec, score = synthesizer.spec, read_score(_SONG)
  as_written = plan(score, spec).f0_hz
  written_hz = float(np.median(as_written[as_written > 0.0]))
  for name, wav in voices.items():
    voice = synthesizer.encode_prompt(wav)
    song = plan(
      score,
      spec,
      Rendition(
        transpose_semitones=round(12.0 * np.log2(voice.f0_hz / written_hz)),
        margin_sec=_MARGIN_SEC,
      ),
    )
    sung = narrate.perform(
      synthesizer,
      Utterance(song.phonemes, voice, song.durations, song.f0_hz),
    ).wav
    save(f"singing.{name}", sung)
    measured = pitch.f0(sung, spec, "harvest", pitch.CEIL_SUNG_HZ)
    tuning = prosody.tuning(measured, song.f0_hz)
    yield {
      "voiced frames within a semitone %": 100.0 * tuning.in_tune,
      "sung frames that are voiced %": 100.0 * tuning.voiced,
      "median error, semitones": tuning.median_error_semitones,
    }


def _heard(record: Mapping[str, Any]) -> convert.Heard:
  """A record as what was found out about a recording."""
  return convert.Heard(
    clips.reference_wav(record),
    record["phonemes"],
    record["durations"],
    record["f0"],
    record["f0_phase"],
  )


def _pink(count: int, rng: np.random.Generator) -> np.ndarray:
  """Noise of equal power in each octave, [count] float64."""
  spectrum = np.fft.rfft(rng.normal(size=count))
  bins = np.arange(len(spectrum))
  return np.fft.irfft(spectrum / np.sqrt(np.maximum(bins, 1)), count)


def _rms(wav: np.ndarray) -> float:
  return float(np.sqrt(np.mean(np.square(wav))))


if __name__ == "__main__":
  sys.exit(terminal.guarded(main))
