# SPDX-License-Identifier: Apache-2.0
"""The codec on unseen speakers: recordings through encoder, codes, decoder."""

import itertools

import numpy as np
import tqdm

from ns_jax import audio, figures
from ns_jax.evaluation import audio_metrics, clips
from ns_jax.evaluation.contract import SAMPLES_DIR, Context, Section
from ns_jax.inference.codec import SpeechCodec


def evaluate(context: Context) -> Section:
  """Encodes and decodes test recordings and compares them."""
  codec = SpeechCodec.of(context.weights)
  num_clips = context.weights.config.eval.num_clips
  records = list(itertools.islice(context.test_records, num_clips))
  rows, pictures = [], []
  for record in tqdm.tqdm(records, desc="reconstruct", unit="clip"):
    wav = clips.reference_wav(record)
    decoded = codec.reconstruct(wav)
    mels = {
      f"{record['id']}: recording": clips.log_mel(wav, context.spec),
      f"{record['id']}: through the codec": clips.log_mel(
        decoded, context.spec
      ),
    }
    reference_mel, decoded_mel = mels.values()
    stem = context.samples_dir / record["id"]
    audio.write_wav(f"{stem}.recording.wav", wav, context.spec)
    audio.write_wav(f"{stem}.codec.wav", decoded, context.spec)
    rows.append(
      {
        "clip": f"{SAMPLES_DIR}/{record['id']}.codec.wav",
        "recording": f"{SAMPLES_DIR}/{record['id']}.recording.wav",
        "mel_distance_db": audio_metrics.log_mel_distance_db(
          decoded_mel, reference_mel
        ),
        "si_sdr_db": audio_metrics.si_sdr_db(decoded, wav),
      }
    )
    if len(pictures) < 2:
      name = f"{SAMPLES_DIR}/{record['id']}.codec.png"
      figure = figures.speech_figure(mels, context.spec)
      figures.save_figure(context.run_dir / name, figure)
      pictures.append(name)
  return Section(
    title="Codec: recordings of unseen speakers, encoded and decoded",
    explanation=(
      "Log-mel distance and scale-invariant signal-to-distortion ratio "
      "against the recording."
    ),
    summary={
      name: float(np.mean([row[name] for row in rows]))
      for name in ("mel_distance_db", "si_sdr_db")
    },
    rows=rows,
    pictures=pictures,
  )
