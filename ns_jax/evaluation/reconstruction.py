# SPDX-License-Identifier: Apache-2.0
"""The codec on unseen speakers: recordings through encoder, codes, decoder."""

import tqdm

from ns_jax import figures
from ns_jax.dsp import mel
from ns_jax.evaluation import audio_metrics, clips
from ns_jax.evaluation.contract import Context, Section, mean
from ns_jax.inference.codec import SpeechCodec


def evaluate(context: Context) -> Section:
  """Encodes and decodes test recordings and compares them."""
  codec = SpeechCodec.of(context.weights)
  num_clips = context.weights.config.eval.num_clips
  records = clips.in_turn(context.test_records)[:num_clips]
  rows, pictures = [], []
  for record in tqdm.tqdm(records, desc="reconstruct", unit="clip"):
    wav = clips.reference_wav(record)
    decoded = codec.reconstruct(wav)
    mels = {
      f"{record['id']}: recording": mel.clip_log_mel(wav, context.spec),
      f"{record['id']}: through the codec": mel.clip_log_mel(
        decoded, context.spec
      ),
    }
    reference_mel, decoded_mel = mels.values()
    name = record["id"]
    rows.append(
      {
        "clip": context.save_wav(f"{name}.codec", decoded),
        "recording": context.save_wav(f"{name}.recording", wav),
        "mel_distance_db": audio_metrics.log_mel_distance_db(
          decoded_mel, reference_mel
        ),
        "si_sdr_db": audio_metrics.si_sdr_db(decoded, wav),
      }
    )
    if len(pictures) < 2:
      figure = figures.speech_figure(mels, context.spec)
      pictures.append(context.save_figure(f"{name}.codec", figure))
  return Section(
    title="Codec: recordings of unseen speakers, encoded and decoded",
    explanation=(
      "Log-mel distance and scale-invariant signal-to-distortion ratio "
      "against the recording."
    ),
    summary={
      name: mean(rows, name) for name in ("mel_distance_db", "si_sdr_db")
    },
    rows=rows,
    pictures=pictures,
  )
