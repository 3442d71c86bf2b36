# SPDX-License-Identifier: Apache-2.0
"""NaturalSpeech 2: phonemes and a few seconds of a voice to speech.

  python -m ns_jax.main --config=configs/ns2.py

preset   hardware           time     result
(none)   2 CPU cores        15 min   built-in demo: on unseen voices 9.2 dB
                                     log-mel distance with the right prompt,
                                     10.9 dB with another's
:tiny    2 CPU cores        1 min    for tests only
:mini    4 CPU cores        5 h      10 M parameters, real speech: four words
                                     in five are understood; it comes along
:small   one 24 GB GPU      days     about 50 M parameters; not trained yet
:paper   16 x 32 GB GPU     weeks    sizes of NaturalSpeech 2, Table 8; not
                                     trained yet
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import FieldReference

from configs import codec
from configs.common import base_config


def get_config(preset: str = "") -> ConfigDict:
  """Returns the stage's config; `preset` is what follows the colon."""
  config = base_config("ns2", preset, PRESETS)
  config.codec = codec.get_config("small" if preset == "mini" else preset)
  config.frozen = dict(
    codec="shipped",  # or a bundle or workdir; or "train": config.codec
    num_codebooks=FieldReference(8),  # the first of the codec's; None: all
  )
  # A workdir or bundle of this model to go on from, "shipped" for the one that
  # comes along; None: from nothing.
  config.init_from = FieldReference(None, field_type=str)
  config.ema_decay = 0.995
  config.data = dict(
    corpus="demo",  # or a folder that `ns-jax prepare` made
    corpus_size="full",
    dir="runs/data",
    reader="tf_data",
    example="utterance",
    max_frames=272,
    max_phonemes=40,
  )
  # Where the codec is trained too, on the same records and devices.
  for section, fields in {
    "audio": config.audio,
    "mesh": config.mesh,
    "data": ("corpus", "corpus_size", "dir", "reader"),
  }.items():
    for field in fields:
      config.codec[section][field] = config[section].get_ref(field)
  transformer = dict(
    num_layers=3,
    num_heads=2,
    filter_size=192,
    kernel_size=5,
    dropout_rate=0.1,
    remat="none",
  )
  predictor = dict(
    num_layers=3,
    kernel_size=3,
    num_heads=2,
    conv_dropout_rate=0.1,
    attention_dropout_rate=0.1,
    hears_prompt=True,
    remat="none",
  )
  config.model = dict(
    dim=96,
    phoneme_encoder=transformer | dict(embedding_std=1.0),
    prompt_encoder=transformer | dict(num_layers=2),
    duration_predictor=predictor,
    pitch_predictor=predictor | dict(kernel_size=5),
    relative_pitch=True,
    pitch_embedding=dict(num_bins=128, embedding_std=1.0, hears_phase=True),
    denoiser=dict(
      dim=128,
      num_layers=9,
      kernel_size=3,
      dilation=2,
      cond_kernel_size=1,
      num_heads=2,
      num_queries=8,
      hears="queries",
      dropout_rate=0.0,
      remat="none",
    ),
    schedule=dict(name="vp", beta_0=0.05, beta_1=20.0),
    prediction="data",
  )
  config.prompt = dict(
    min_sec=1.0,
    max_sec=5.0,
    max_fraction=0.5,
    drop_rate=0.1,
    rest_frames=128,
  )
  config.objective = dict(
    score_weight="snr_capped",
    score_cap=5.0,
    t_min=1e-3,
    code_temperature=1.0,
  )
  config.loss = dict(
    diffusion=1.0,
    score=1.0,
    code_ce=0.1,
    # Small, or they would use up the clipped gradient of a short training.
    duration=0.1,
    pitch=0.1,
    voiced=0.1,
  )
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
    batch_size=16,
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
    evaluators=("losses", "reconstruction", "synthesis"),
    # Of zero_shot and robustness; other names are of models on Hugging Face.
    prompt_sec=3.0,
    recogniser="moonshine",
    speaker_model="resemblyzer",
    # Finds phonemes in what is judged: "shipped", or a bundle or workdir; None:
    # they are where the durations that it was spoken with put them.
    aligner=FieldReference(None, field_type=str),
  )
  # After so short a training much of the noise of the start would be left.
  config.sample = dict(solver="euler", steps=150, temperature=4.0, guidance=0.0)
  # What TensorBoard hears during training.
  config.preview = config["sample"].to_dict() | dict(
    solver="dpmpp_2m", steps=12
  )
  PRESETS[preset](config)
  return config


def _demo(config: ConfigDict) -> None:
  """The values above."""


def _tiny(config: ConfigDict) -> None:
  config.frozen.update(codec="train", num_codebooks=3)
  config.data.corpus_size = "tiny"
  config.model.dim = 16
  for name in ("phoneme_encoder", "prompt_encoder"):
    config.model[name].update(num_layers=2, filter_size=32, kernel_size=3)
  config.model.pitch_embedding.num_bins = 32
  config.model.denoiser.update(dim=16, num_layers=3, num_queries=4)
  config.optim.update(warmup_steps=2, decay_steps=8)
  config.train.update(
    num_steps=8, batch_size=4, log_every=2, eval_every=4, save_every=4
  )
  config.eval.update(batch_size=4, num_batches=1, num_clips=2)
  config.sample.steps = 4
  config.preview.steps = 4


def _mini(config: ConfigDict) -> None:
  config.ema_decay = 0.999
  config.data.update(
    max_frames=400, max_phonemes=160, corpus="records", reader="array_record"
  )
  config.prompt.update(max_sec=2.5, rest_frames=200)
  config.loss.update(duration=0.3, pitch=0.3, voiced=0.3)
  config.model.dim = 160
  config.model.phoneme_encoder.update(
    num_layers=4, num_heads=4, filter_size=640, kernel_size=3
  )
  config.model.prompt_encoder.update(
    num_heads=4, filter_size=320, kernel_size=3
  )
  for name in ("duration_predictor", "pitch_predictor"):
    config.model[name].update(num_layers=4, num_heads=4)
  config.model.denoiser.update(
    dim=192, num_layers=12, num_heads=4, num_queries=16
  )
  config.optim.update(peak_lr=1.5e-3, warmup_steps=1_000, decay_steps=16_000)
  config.train.update(
    num_steps=16_000, log_every=50, eval_every=1_000, save_every=500, keep=3
  )
  config.eval.update(num_batches=4, num_clips=50)
  config.sample.update(solver="dpmpp_2m", steps=16)


def _full_size(config: ConfigDict) -> None:
  config.dtype = "bfloat16"
  config.ema_decay = 0.9999
  config.data.update(max_frames=1600, max_phonemes=256)
  config.prompt.rest_frames = 1520
  config.loss.update(duration=1.0, pitch=1.0, voiced=1.0)
  config.model.dim = 512
  for name in ("phoneme_encoder", "prompt_encoder"):
    config.model[name].update(
      num_layers=6,
      num_heads=8,
      filter_size=2048,
      kernel_size=9,
      dropout_rate=0.2,
      remat="dots",
    )
    config.model.phoneme_encoder.embedding_std = 0.02
  for name in ("duration_predictor", "pitch_predictor"):
    config.model[name].update(
      num_layers=30,
      num_heads=8,
      conv_dropout_rate=0.5,
      attention_dropout_rate=0.2,
      remat="dots",
    )
  config.model.pitch_embedding.update(num_bins=512, embedding_std=0.02)
  config.model.denoiser.update(
    dim=512,
    num_layers=40,
    cond_kernel_size=3,
    num_heads=8,
    num_queries=32,
    dropout_rate=0.2,
    remat="dots",
  )
  config.optim.update(
    peak_lr=5e-4, schedule="inverse_sqrt", warmup_steps=32_000
  )
  config.train.update(
    num_steps=300_000,
    batch_size=64,
    log_every=100,
    eval_every=5_000,
    save_every=5_000,
    keep=3,
  )
  config.eval.update(batch_size=48, num_batches=50, num_clips=50)
  for section in (config.sample, config.preview):
    section.temperature = 1.44  # 1.2 squared


def _paper(config: ConfigDict) -> None:
  _full_size(config)
  config.model.pitch_embedding.hears_phase = False
  config.model.relative_pitch = False
  config.frozen.update(codec="train", num_codebooks=None)


def _small(config: ConfigDict) -> None:
  _full_size(config)
  config.data.update(max_frames=800, max_phonemes=160)
  config.prompt.rest_frames = 480
  config.model.dim = 256
  for name in ("phoneme_encoder", "prompt_encoder"):
    config.model[name].update(
      num_layers=4, num_heads=4, filter_size=1024, remat="none"
    )
  for name in ("duration_predictor", "pitch_predictor"):
    config.model[name].update(num_layers=12, num_heads=4, remat="none")
  config.model.denoiser.update(
    dim=384, num_layers=18, cond_kernel_size=1, num_heads=6, remat="none"
  )
  config.optim.warmup_steps = 4_000
  config.train.update(num_steps=200_000, batch_size=32)


PRESETS = {
  "": _demo,
  "tiny": _tiny,
  "mini": _mini,
  "small": _small,
  "paper": _paper,
}
