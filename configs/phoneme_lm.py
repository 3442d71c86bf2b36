# SPDX-License-Identifier: Apache-2.0
"""Masked language model of phonemes: what NaturalSpeech's encoder begins with.

  python -m ns_jax.main --config=configs/phoneme_lm.py:small \
    --config.data.corpus=book.txt

preset   hardware      time     result
(none)   2 CPU cores   5 min    748 sentences of the built-in demo, beside other
                                work: of unseen masked phonemes 34 % are told,
                                of sup-phonemes 38 %
:tiny    2 CPU cores   seconds  for tests only
:small   2 CPU cores   32 min   one pass over 32,000 of 70,000 sentences of
                                documentation, beside other work: of unseen
                                masked phonemes 23 % are told (the commonest
                                one: 7 %), of sup-phonemes 27 % (8 %); with
                                vectors of 192 instead of 128 numbers
:paper   8 x A100      days     sizes of NaturalSpeech, on a text of 200 million
                                sentences; not trained yet
"""

from ml_collections import ConfigDict

from configs.common import base_config


def get_config(preset: str = "") -> ConfigDict:
  """Returns the stage's config; `preset` is what follows the colon."""
  config = base_config("phoneme_lm", preset, PRESETS)
  config.ema_decay = 0.99
  config.data = dict(
    corpus="demo",  # or a text file, or a folder of records
    corpus_size="one_voice",
    dir="runs/data",
    reader="tf_data",
    example="text",
    max_phonemes=48,
  )
  config.model = dict(
    dim=96,
    encoder=dict(
      num_sup_phonemes=512,  # single phonemes among them; 0: phonemes alone
      num_layers=3,
      num_heads=2,
      filter_size=256,
      kernel_size=5,
      dropout_rate=0.1,
      relative_window=4,
      embedding_std=0.3,
      remat="none",
    ),
  )
  config.objective = dict(mask_rate=0.15)
  config.loss = dict(phoneme_ce=1.0, sup_phoneme_ce=1.0)
  config.optim = dict(
    name="adamw",
    peak_lr=2e-3,
    schedule="cosine",
    warmup_steps=50,
    decay_rate=1.0,
    decay_steps=1000,
    b1=0.9,
    b2=0.98,
    weight_decay=0.01,
    clip_norm=1.0,
  )
  config.train = dict(
    num_steps=1000,
    batch_size=32,
    micro_batches=1,
    log_every=25,
    eval_every=200,
    save_every=200,
    keep=2,
  )
  config.eval = dict(
    batch_size=16,
    num_batches=3,
    num_clips=8,
    evaluators=("losses",),
  )
  PRESETS[preset](config)
  return config


def _demo(config: ConfigDict) -> None:
  """The values above."""


def _tiny(config: ConfigDict) -> None:
  config.data.corpus_size = "tiny"
  config.model.dim = 16
  config.model.encoder.update(
    num_sup_phonemes=200, num_layers=2, filter_size=32
  )
  config.optim.update(warmup_steps=2, decay_steps=8)
  config.train.update(
    num_steps=8, batch_size=4, log_every=2, eval_every=4, save_every=4
  )
  config.eval.update(batch_size=4, num_batches=1)


def _small(config: ConfigDict) -> None:
  config.data.update(corpus_size="full", reader="array_record", max_phonemes=64)
  config.model.dim = 128
  config.model.encoder.update(
    num_sup_phonemes=8_000, num_layers=4, filter_size=512
  )
  config.optim.update(peak_lr=1.5e-3, warmup_steps=100)
  config.train.update(eval_every=250, save_every=125)
  config.eval.update(batch_size=48, num_batches=20)


def _paper(config: ConfigDict) -> None:
  config.dtype = "bfloat16"
  config.ema_decay = 0.9999
  config.data.update(
    corpus_size="full", reader="array_record", max_phonemes=256
  )
  config.model.dim = 192
  config.model.encoder.update(
    num_sup_phonemes=30_088, num_layers=6, filter_size=768
  )
  config.optim.update(
    peak_lr=1e-3, schedule="inverse_sqrt", warmup_steps=10_000
  )
  config.train.update(
    num_steps=120_000,
    batch_size=1024,
    log_every=100,
    eval_every=5_000,
    save_every=5_000,
    keep=3,
  )
  config.eval.update(batch_size=48, num_batches=50)


PRESETS = {"": _demo, "tiny": _tiny, "small": _small, "paper": _paper}
