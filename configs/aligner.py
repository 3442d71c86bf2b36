# SPDX-License-Identifier: Apache-2.0
"""The aligner: when each phoneme of a text is spoken, without labels.

  python -m ns_jax.main --config=configs/aligner.py

preset   hardware       time     result
(none)   2 CPU cores    3 min    built-in demo: on unseen speakers phones begin
                                 11.6 ms off on average, 94 % within 25 ms
:corpus  4 CPU cores    12 min   what `ns-jax prepare` trains on a corpus; 8 h
                                 of LibriSpeech and others: 79 % of phones
                                 begin within 25 ms of where pocketsphinx says
:tiny    2 CPU cores    seconds  for tests only
"""

from ml_collections import ConfigDict

from configs.common import base_config


def get_config(preset: str = "") -> ConfigDict:
  """Returns the stage's config; `preset` is what follows the colon."""
  config = base_config("aligner", preset, PRESETS)
  config.ema_decay = 0.99
  config.data = dict(
    corpus="demo",
    corpus_size="full",
    dir="runs/data",
    reader="tf_data",
    example="whole",
    max_frames=272,
    max_phonemes=48,
  )
  config.model = dict(dim=128, space_dim=80, temperature=2e-2)
  # Less than nobody can speak; without, sounds that are hard to hear collapse.
  config.path = dict(min_frames=3)
  config.objective = dict(binarise_from=400)
  config.loss = dict(forward_sum=1.0, binarisation=1.0)
  config.optim = dict(
    name="adam",
    peak_lr=2e-3,
    schedule="cosine",
    warmup_steps=20,
    decay_rate=1.0,
    decay_steps=800,
    b1=0.9,
    b2=0.99,
    weight_decay=0.0,
    clip_norm=1.0,
  )
  config.train = dict(
    num_steps=800,
    batch_size=16,
    micro_batches=1,
    log_every=25,
    eval_every=100,
    save_every=200,
    keep=2,
  )
  config.eval = dict(
    batch_size=16,
    num_batches=3,
    num_clips=8,
    evaluators=("losses",),
    true_durations=True,  # the records have them, to be measured against
  )
  PRESETS[preset](config)
  return config


def _demo(config: ConfigDict) -> None:
  """The values above."""


def _corpus(config: ConfigDict) -> None:
  """Sizes of batches and clips are those of the corpus at hand."""
  config.data.reader = "array_record"
  config.eval.true_durations = False


def _tiny(config: ConfigDict) -> None:
  config.data.corpus_size = "tiny"
  config.model.update(dim=16, space_dim=8)
  config.objective.binarise_from = 4
  config.optim.update(warmup_steps=2, decay_steps=8)
  config.train.update(
    num_steps=8, batch_size=4, log_every=2, eval_every=4, save_every=4
  )
  config.eval.update(batch_size=4, num_batches=1)


PRESETS = {"": _demo, "corpus": _corpus, "tiny": _tiny}
