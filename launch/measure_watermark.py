# SPDX-License-Identifier: Apache-2.0
"""How inaudible the mark is, and what it survives: docs/responsible_use.md.

  python launch/measure_watermark.py /data/speech/*.opus --out=table.md

Clips are cut to --seconds, marked, changed in each of the ways below, and the
detector looks at them; clips without a mark are tried with many keys. Needs the
extra `eval`.
"""

import argparse
import functools
import io
import itertools
import pathlib
from collections.abc import Callable, Sequence

import av
import librosa
import numpy as np
import pesq
import soxr

from ns_jax import audio_files, files, watermark
from ns_jax.audio import AudioSpec
from ns_jax.inference.codec import SpeechCodec

RATE_HZ = watermark.DETECTOR_RATE_HZ
_KEYS = 1_000  # of false alarms


def coded(wav: np.ndarray, container: str, codec: str, kbps: int) -> np.ndarray:
  """A wave after a lossy codec and back, by FFmpeg."""
  rate_hz = 48_000 if codec == "libopus" else RATE_HZ
  content = io.BytesIO()
  with av.open(content, "w", format=container) as out:
    stream = out.add_stream(codec, rate=rate_hz, layout="mono")
    stream.bit_rate = 1000 * kbps
    samples = soxr.resample(wav, RATE_HZ, rate_hz).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(samples[None], "flt", "mono")
    frame.sample_rate = rate_hz
    for packet in [*stream.encode(frame), *stream.encode(None)]:
      out.mux(packet)
  content.seek(0)
  back = av.AudioResampler("flt", "mono", RATE_HZ)
  with av.open(content) as source:
    parts = [p for f in source.decode(audio=0) for p in back.resample(f)]
  parts += back.resample(None)
  return np.concatenate([part.to_ndarray()[0] for part in parts])


def by_way_of(wav: np.ndarray, rate_hz: int) -> np.ndarray:
  """A wave after resampling and back."""
  return soxr.resample(soxr.resample(wav, RATE_HZ, rate_hz), rate_hz, RATE_HZ)


def with_noise(wav: np.ndarray, snr_db: float) -> np.ndarray:
  """A wave and white noise."""
  noise = np.random.default_rng(0).normal(size=len(wav))
  return wav + noise * np.std(wav) * 10.0 ** (-snr_db / 20.0)


def mu_law(wav: np.ndarray) -> np.ndarray:
  """A wave in eight bits of mu-law."""
  squeezed = np.sign(wav) * np.log1p(255.0 * np.abs(wav)) / np.log(256.0)
  coarse = np.round(squeezed * 127.0) / 127.0
  return np.sign(coarse) * np.expm1(np.abs(coarse) * np.log(256.0)) / 255.0


def faster(wav: np.ndarray, factor: float) -> np.ndarray:
  """A wave played faster, and higher."""
  return soxr.resample(wav, RATE_HZ * factor, RATE_HZ)


def middle(wav: np.ndarray, seconds: float) -> np.ndarray:
  """Seconds out of the middle, from no particular sample on."""
  size = round(seconds * RATE_HZ)
  first = max(0, (len(wav) - size) // 2 + 137)
  return wav[first : first + size]


Change = Callable[[np.ndarray], np.ndarray]
CHANGES: dict[str, Change] = {
  "none": lambda x: x,
  **{
    f"Opus {k} kbit/s": lambda x, k=k: coded(x, "ogg", "libopus", k)
    for k in (16, 24, 32, 64)
  },
  **{
    f"MP3 {k} kbit/s": lambda x, k=k: coded(x, "mp3", "libmp3lame", k)
    for k in (32, 64)
  },
  "8 kHz and back": lambda x: by_way_of(x, 8_000),
  "44.1 kHz and back": lambda x: by_way_of(x, 44_100),
  "20 dB softer": lambda x: 0.1 * x,
  "clipped, 12 dB over": lambda x: np.clip(
    x * 4.0 / np.abs(x).max(), -1.0, 1.0
  ),
  "white noise at 20 dB": lambda x: with_noise(x, 20.0),
  "white noise at 10 dB": lambda x: with_noise(x, 10.0),
  "8-bit mu-law": mu_law,
  "8 kHz mu-law (telephone)": lambda x: by_way_of(mu_law(x), 8_000),
  **{
    f"{100 * (f - 1):+.1f} % speed": lambda x, f=f: faster(x, f)
    for f in (0.97, 1.005, 1.03, 1.1)
  },
  **{f"{s} s of it": lambda x, s=s: middle(x, s) for s in (1, 2, 3, 5)},
  "2 s, Opus 16 kbit/s": lambda x: coded(middle(x, 2), "ogg", "libopus", 16),
}


def stretched(wav: np.ndarray) -> np.ndarray:
  """Ten percent faster at the same pitch."""
  return librosa.effects.time_stretch(wav, rate=1.1)


@functools.cache
def shipped_codec() -> SpeechCodec:
  """The neural codec that comes along."""
  return SpeechCodec.load()


def recoded(wav: np.ndarray) -> np.ndarray:
  """By way of that codec, at 6.4 kbit/s."""
  return shipped_codec().reconstruct(wav.astype(np.float32), 8)


CHANGES |= {
  "+10 % tempo, same pitch": stretched,
  "ns_jax's own codec, 6.4 kbit/s": recoded,
}


def robustness(marked: Sequence[np.ndarray]) -> list[str]:
  """Rows of the table: after each change, z and how many are found."""
  rows = []
  for name, change in CHANGES.items():
    found = [watermark.detect([change(wav)]) for wav in marked]
    z = np.array([detection.z for detection in found])
    share = np.mean([detection.is_marked for detection in found])
    rows.append(
      f"| {name} | {100 * share:.0f} | {z.mean():.1f} | "
      f"{np.percentile(z, 5):.1f} | {z.min():.1f} |"
    )
    print(rows[-1], flush=True)
  return rows


def audibility(
  clips: Sequence[np.ndarray], marked: Sequence[np.ndarray]
) -> list[str]:
  """Rows about how near marked clips are to what they were."""
  scores, snr_db, segmental_db = [], [], []
  for clip, wav in zip(clips, marked, strict=True):
    scores.append(pesq.pesq(RATE_HZ, clip, wav, "wb"))
    error = clip - wav
    snr_db.append(10.0 * np.log10(np.sum(clip**2) / np.sum(error**2)))
    size = RATE_HZ // 50
    energies = [
      np.sum(x[: len(x) // size * size].reshape(-1, size) ** 2, axis=1)
      for x in (clip, error)
    ]
    ratio = 10.0 * np.log10((energies[0] + 1e-9) / (energies[1] + 1e-9))
    is_loud = energies[0] > 1e-3 * energies[0].max()
    segmental_db.append(np.mean(np.clip(ratio[is_loud], -10.0, 35.0)))
  return [
    f"| {name} | {np.mean(values):.2f} | {np.min(values):.2f} |"
    for name, values in (
      ("PESQ, wide band", scores),
      ("SNR, dB", snr_db),
      ("segmental SNR, dB", segmental_db),
    )
  ]


def false_alarms(clips: Sequence[np.ndarray]) -> str:
  """A line about the highest z of clips without a mark, over many keys."""
  signs = np.stack(
    [watermark.chips(f"key {i}").ravel() for i in range(_KEYS)], axis=1
  )
  highest = np.concatenate(
    [(watermark.evidence(clip) @ signs).max(axis=0) for clip in clips]
  )
  levels = ", ".join(
    f"{z}: {np.mean(highest >= z):.2g}" for z in (4.0, 4.5, 5.0, 5.5)
  )
  return (
    f"{len(highest):,} pairs of unmarked clips and keys: highest z "
    f"{highest.max():.2f}, threshold {watermark.threshold(1):.2f}; share at or "
    f"above {levels}"
  )


def main() -> None:
  """Writes the tables as Markdown."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("paths", nargs="+", help="recordings of speech")
  parser.add_argument("--out", required=True, type=pathlib.Path)
  parser.add_argument("--clips", type=int, default=60)
  parser.add_argument("--seconds", type=float, default=8.0)
  args = parser.parse_args()
  spec = AudioSpec(sample_rate_hz=RATE_HZ)
  size = round(args.seconds * RATE_HZ)
  waves = (audio_files.read(path, spec)[:size] for path in args.paths)
  long = (wav for wav in waves if len(wav) == size)
  waves = list(itertools.islice(long, args.clips))
  marked = [watermark.mark(wav, RATE_HZ) for wav in waves]
  lines = [f"{len(waves)} clips of {args.seconds:g} s.", ""]
  lines += ["| | mean | worst |", "|---|--:|--:|", *audibility(waves, marked)]
  lines += ["", false_alarms(waves), ""]
  print("\n".join(lines), flush=True)
  lines += ["| after | found % | z mean | 5th percentile | least |"]
  lines += ["|---|--:|--:|--:|--:|", *robustness(marked)]
  files.write(args.out, ("\n".join(lines) + "\n").encode())


if __name__ == "__main__":
  main()
