# SPDX-License-Identifier: Apache-2.0
"""Measures a codec on held-out recordings, beside Opus.

  python launch/compare_codecs.py RECORDS --codec=BUNDLE_OR_WORKDIR --out=DIR

Test recordings are sent through the codec with 1, 2, 4 … of its codebooks, and
through Opus (libopus, by PyAV) at several bitrates. DIR gets the table
(table.md, table.json), every wave, and clips.tsv, which names them with
transcripts and originals for judges that are not part of this package: a speech
recogniser, a speaker verifier. Needs the extra `eval`.
"""

import argparse
import concurrent.futures
import csv
import io
import json
import multiprocessing
import pathlib
import sys
from collections.abc import Callable, Iterable
from typing import Any

import av
import jax.numpy as jnp
import numpy as np
import soundfile
import soxr
import tqdm

from data_pipelines import records
from ns_jax import audio
from ns_jax.apps import terminal
from ns_jax.audio import AudioSpec
from ns_jax.dsp import mel, pitch
from ns_jax.evaluation import audio_metrics, clips, perceptual
from ns_jax.inference.codec import SpeechCodec
from ns_jax.models import quantizer

_OPUS_RATE_HZ = 48_000  # Opus always decodes to it
Coder = Callable[[np.ndarray], tuple[np.ndarray, float]]  # (wave, kbit/s)


def main() -> None:
  """Runs the comparison."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("records", help="folder that `ns-jax prepare` made")
  parser.add_argument("--codec", default="shipped", help="bundle or workdir")
  parser.add_argument("--out", required=True, type=pathlib.Path)
  parser.add_argument("--split", default="test")
  parser.add_argument("--clips", type=int, default=40)
  parser.add_argument("--codebooks", type=int, nargs="*")
  parser.add_argument(
    "--opus", type=float, nargs="*", default=[6.0, 8.0, 12.0], help="kbit/s"
  )
  args = parser.parse_args()
  codec = SpeechCodec.load(args.codec)
  chosen = clips.in_turn(records.Records(args.records, args.split))
  chosen = chosen[: args.clips]
  coders = _coders(codec, args)
  jobs, listed = [], []
  for name, coder in coders.items():
    (args.out / name).mkdir(parents=True, exist_ok=True)
    for record in tqdm.tqdm(chosen, desc=name, unit="clip"):
      wav = clips.reference_wav(record)
      decoded, kbits_per_sec = coder(wav)
      path = f"{name}/{record['id'].replace('/', '_')}.wav"
      audio.write_wav(args.out / path, decoded, codec.spec)
      jobs.append((name, wav, decoded, kbits_per_sec))
      original = path.replace(name, "original", 1)
      listed.append((path, record["text"], original, original, name))
  with (args.out / "clips.tsv").open("w", newline="") as file:
    table = csv.writer(file, delimiter="\t")
    table.writerow(("file", "transcript", "prompt", "reference", "group"))
    table.writerows(listed)
  rows = _measured(jobs, codec.spec)
  usage = _usage(codec, chosen)
  (args.out / "table.json").write_text(
    json.dumps({"rows": rows, "usage": usage}, indent=1)
  )
  text = f"{_markdown(rows)}\n{_markdown(usage)}"
  (args.out / "table.md").write_text(text)
  print(text)


def _coders(codec: SpeechCodec, args: argparse.Namespace) -> dict[str, Coder]:
  """What recordings are sent through, by name."""
  spec = codec.spec
  counts = args.codebooks or [
    1 << i for i in range(codec.num_codebooks.bit_length())
  ]

  def by_codec(count: int) -> Coder:
    kbits_per_sec = codec.bits_per_sec(count) / 1000
    return lambda wav: (codec.reconstruct(wav, count), kbits_per_sec)

  coders: dict[str, Coder] = {"original": lambda wav: (wav, 256.0)}
  for count in counts:
    coders[f"codebooks-{count}"] = by_codec(count)
  for kbits_per_sec in args.opus:
    coders[f"opus-{kbits_per_sec:g}"] = lambda wav, rate=kbits_per_sec: _opus(
      wav, rate, spec
    )
  return coders


def _opus(
  wav: np.ndarray, kbits_per_sec: float, spec: AudioSpec
) -> tuple[np.ndarray, float]:
  """Through Opus and back; the bitrate is that of its packets."""
  content = io.BytesIO()
  with av.open(content, "w", format="ogg") as container:
    options = {"application": "voip", "vbr": "on"}
    stream = container.add_stream(
      "libopus", rate=spec.sample_rate_hz, options=options
    )
    stream.bit_rate = round(1000 * kbits_per_sec)
    stream.layout = "mono"
    frame = av.AudioFrame.from_ndarray(
      audio.to_int16(wav)[None, :], format="s16", layout="mono"
    )
    frame.sample_rate = spec.sample_rate_hz
    packets = [*stream.encode(frame), *stream.encode(None)]
    num_bytes = sum(packet.size for packet in packets)
    for packet in packets:
      container.mux(packet)
  content.seek(0)
  decoded, rate_hz = soundfile.read(content, dtype="float32")
  decoded = soxr.resample(decoded, rate_hz, spec.sample_rate_hz, "VHQ")
  decoded = np.pad(decoded, (0, max(0, len(wav) - len(decoded))))[: len(wav)]
  seconds = len(wav) / spec.sample_rate_hz
  return decoded, num_bytes * 8e-3 / seconds


def _measured(
  jobs: list[tuple[str, np.ndarray, np.ndarray, float]], spec: AudioSpec
) -> list[dict[str, Any]]:
  """Means of all measures for each coder."""
  spawn = multiprocessing.get_context("spawn")
  with concurrent.futures.ProcessPoolExecutor(mp_context=spawn) as pool:
    found = pool.map(
      _measure,
      [job[1] for job in jobs],
      [job[2] for job in jobs],
      [spec] * len(jobs),
      chunksize=4,
    )
    measured = list(tqdm.tqdm(found, total=len(jobs), desc="measure"))
  rows = []
  for name in dict.fromkeys(job[0] for job in jobs):
    own = [m for m, job in zip(measured, jobs, strict=True) if job[0] == name]
    rates = [job[3] for job in jobs if job[0] == name]
    means = {key: float(np.nanmean([m[key] for m in own])) for key in own[0]}
    rows.append({"coder": name, "kbits_per_sec": np.mean(rates), **means})
  return rows


def _measure(
  wav: np.ndarray, decoded: np.ndarray, spec: AudioSpec
) -> dict[str, float]:
  """All measures of one clip."""
  mels = [mel.clip_log_mel(w, spec) for w in (decoded, wav)]
  f0_hz, reference_hz = (pitch.f0(w, spec, "dio") for w in (decoded, wav))
  return {
    "pesq_wb": perceptual.pesq_wb(decoded, wav, spec),
    "estoi": perceptual.estoi(decoded, wav, spec),
    "si_sdr_db": audio_metrics.si_sdr_db(decoded, wav),
    "mel_db": audio_metrics.log_mel_distance_db(*mels),
    "mcd_db": audio_metrics.mel_cepstral_distortion_db(*mels),
    "f0_cents": audio_metrics.f0_error_cents(f0_hz, reference_hz),
    "voicing_error": float(np.mean((f0_hz > 0) != (reference_hz > 0))),
  }


def _usage(codec: SpeechCodec, chosen: Iterable[Any]) -> list[dict[str, float]]:
  """How many codes of each codebook occur, and their perplexity."""
  codes = np.concatenate(
    [codec.encode(clips.reference_wav(r)[None])[0][0] for r in chosen]
  )
  perplexity = quantizer.perplexity(
    jnp.asarray(codes)[None],
    jnp.ones((1, len(codes)), bool),
    codec.codebook_size,
  )
  return [
    {
      "codebook": stage + 1,
      "codes_used": len(np.unique(column)) / codec.codebook_size,
      "perplexity": float(perplexity[stage]),
    }
    for stage, column in enumerate(codes.T)
  ]


def _markdown(rows: list[dict[str, Any]]) -> str:
  names = list(rows[0])
  lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
  for row in rows:
    cells = [
      f"{value:.3g}" if isinstance(value, float) else str(value)
      for value in row.values()
    ]
    lines.append(f"| {' | '.join(cells)} |")
  return "\n".join(lines) + "\n"


if __name__ == "__main__":
  sys.exit(terminal.guarded(main))
