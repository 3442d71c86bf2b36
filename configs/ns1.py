# SPDX-License-Identifier: Apache-2.0
"""NaturalSpeech: phonemes to the speech of one speaker, end to end.

  python -m ns_jax.main --config=configs/ns1.py

preset   hardware           time     result
(none)   2 CPU cores        15 min   one voice of the built-in demo: of unseen
                                     sentences 41 % of the words are misheard,
                                     of its recordings 29 %
:tiny    2 CPU cores        3 min    for tests only; nearly all compiling
:small   2 CPU cores        85 min   78 minutes of one real speaker: 14 % of the
                                     words misheard, of her recordings 5 %
:paper   8 x 32 GB GPU      weeks    sizes of NaturalSpeech; not trained yet
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import FieldReference

from configs.common import base_config


def get_config(preset: str = "") -> ConfigDict:
  """Returns the stage's config; `preset` is what follows the colon."""
  config = base_config("ns1", preset, PRESETS)
  config.ema_decay = 0.99
  # A workdir of configs/phoneme_lm.py whose encoder to begin with; None: from
  # nothing, and without sup-phonemes.
  config.phoneme_lm = FieldReference(None, field_type=str)
  config.data = dict(
    corpus="demo",  # or a folder that `ns-jax prepare` made, of one speaker
    corpus_size="one_voice",
    dir="runs/data",
    reader="array_record",  # starts sooner than TensorFlow
    example="passage",
    max_frames=240,  # all of most sentences: their timing is of the whole
    max_phonemes=40,
  )
  config.model = dict(
    dim=96,
    encoder=dict(
      num_sup_phonemes=0,
      num_layers=3,
      num_heads=2,
      filter_size=256,
      kernel_size=5,
      dropout_rate=0.1,
      relative_window=4,
      embedding_std=1.0,
    ),
    durator=dict(
      predictor=dict(num_layers=2, kernel_size=5, dropout_rate=0.1),
      upsampler=dict(num_weights=4, num_coefficients=2, kernel_size=3),
    ),
    flow=dict(num_couplings=4, num_layers=2, kernel_size=3),
    posterior=dict(num_layers=4, kernel_size=3),
    memory=dict(size=256, num_heads=24),  # few channels each: less is lost
    decoder=dict(
      architecture="source_filter",
      dim=160,
      num_layers=4,
      kernel_size=7,
      expansion=3,
      activation="gelu",
    ),
    discriminators=dict(
      wave_channels=(),
      wave_groups=(),
      num_wave_scales=0,
      stft_channels=0,
      band_channels=0,
      band_windows=(),
      periods=(2, 3, 5, 7, 11),
      period_channels=(4, 16, 32, 32),
    ),
    spectral=dict(
      scales=(64, 128, 256, 512, 1024, 2048),
      sum_over_time=False,
      log_floor=1e-5,
      compressed_windows=(256, 512, 1024),
    ),
    adversarial=dict(
      kind="least_squares",
      start_step=1300,
      ramp_steps=50,
      num_clips=FieldReference(4),
    ),
  )
  config.divergence = dict(form="moment", gamma=0.01, warp=1.0)
  config.schedule = dict(
    flow=0, durations=1300, forward=1300, memory=1300, tuning=1380
  )
  config.slice_frames = 40
  # Of the terms on waves, one of weight 0 is not computed.
  config.loss = dict(
    spectral_linear=0.0,
    spectral_log=0.0,
    log_mel=0.2,
    magnitude=20.0,
    compressed=0.0,
    wave=0.0,
    adversarial=0.1,
    feature=0.2,
    # All of the above once more, of what is said with aligned durations; the
    # paper has nothing like it.
    said=1.0,
    backward=0.02,
    forward=0.02,
    duration=2.0,
    # The same once durations are predicted, where the paper has no labels:
    # soft-DTW alone lets speech become ever shorter.
    anchor=2.0,
    # Of decoders that are told a pitch: of what is heard, and of what is said.
    pitch=3.0,
    end_to_end=0.02,
  )
  config.optim = dict(
    name="adamw",
    peak_lr=2e-3,
    schedule="cosine",
    warmup_steps=200,
    decay_rate=1.0,
    decay_steps=1550,  # later than the end: the last phases learn, too
    b1=0.8,
    b2=0.99,
    weight_decay=0.01,
    clip_norm=FieldReference(10.0),
  )
  config.train = dict(
    num_steps=1400,
    batch_size=8,
    micro_batches=1,
    log_every=25,
    eval_every=500,
    save_every=500,
    keep=2,
  )
  config.eval = dict(
    batch_size=15,
    num_batches=2,
    num_clips=30,
    evaluators=("losses", "reading"),
    # Of reading_judged; other names are of models on Hugging Face.
    recogniser="moonshine",
    speaker_model="resemblyzer",
  )
  config.sample = dict(temperature=0.0, max_phonemes=160)
  PRESETS[preset](config)
  return config


def _demo(config: ConfigDict) -> None:
  """The values above."""


def _tiny(config: ConfigDict) -> None:
  config.data.update(corpus_size="tiny", max_frames=32, max_phonemes=16)
  config.model.update(dim=16)
  config.model.encoder.update(num_layers=1, filter_size=24)
  config.model.durator.predictor.num_layers = 1
  config.model.flow.update(num_couplings=2, num_layers=2)
  config.model.posterior.num_layers = 2
  config.model.memory.update(size=8, num_heads=8)
  config.model.decoder.update(dim=16, num_layers=1)
  config.model.discriminators.update(periods=(2, 3), period_channels=(2, 4))
  config.model.spectral.compressed_windows = (256,)
  config.model.adversarial.update(start_step=4, ramp_steps=2, num_clips=None)
  config.slice_frames = 16
  config.optim.update(warmup_steps=2, decay_steps=8)
  config.schedule.update(flow=4, durations=4, forward=4, memory=4, tuning=6)
  config.train.update(
    num_steps=8, batch_size=4, log_every=2, eval_every=4, save_every=4
  )
  config.eval.update(batch_size=4, num_batches=1, num_clips=2)


def _small(config: ConfigDict) -> None:
  config.ema_decay = 0.999
  config.data.update(corpus="records", max_frames=200, max_phonemes=64)
  config.model.update(dim=128)
  config.model.encoder.update(num_layers=4, filter_size=512, kernel_size=3)
  config.model.posterior.num_layers = 6
  config.model.memory.update(size=500, num_heads=32)
  config.model.decoder.update(dim=256, num_layers=6)
  config.model.discriminators.update(period_channels=(8, 32, 64, 64))
  config.model.adversarial.update(start_step=3_800, ramp_steps=200)
  config.schedule.update(
    flow=0, durations=4_600, forward=4_600, memory=4_600, tuning=5_500
  )
  config.optim.update(peak_lr=1e-3, warmup_steps=100, decay_steps=6_000)
  config.train.update(
    num_steps=5_600,
    batch_size=8,
    log_every=50,
    eval_every=1_000,
    save_every=500,
    keep=3,
  )
  config.eval.update(num_batches=2, num_clips=40)


def _paper(config: ConfigDict) -> None:
  config.dtype = "bfloat16"
  config.ema_decay = 0.9999
  config.data.update(corpus="records", max_frames=800, max_phonemes=200)
  config.model.update(dim=192)
  config.model.encoder.update(
    num_layers=6, filter_size=768, kernel_size=3, embedding_std=0.07
  )
  config.model.durator.predictor.update(
    num_layers=3, kernel_size=3, dropout_rate=0.5
  )
  config.model.flow.update(num_layers=4, kernel_size=5)
  config.model.posterior.update(num_layers=16, kernel_size=5)
  config.model.memory.update(size=1000, num_heads=2)
  config.model.decoder = dict(
    architecture="hifigan",
    strides=(5, 5, 4, 2),
    upsample_kernels=(16, 16, 8, 4),
    dim=512,
    unit_kernels=(3, 7, 11),
    unit_dilations=(1, 3, 5),
  )
  config.model.discriminators.update(
    wave_channels=(16, 64, 256, 1024, 1024),
    wave_groups=(4, 16, 64, 256),
    num_wave_scales=1,
    period_channels=(32, 128, 512, 1024, 1024),
  )
  config.model.adversarial.update(start_step=0, ramp_steps=1, num_clips=None)
  config.divergence.warp = 0.07
  config.loss.update(
    log_mel=45.0,
    magnitude=0.0,
    # Means over 6 discriminators and 31 layers, which HiFi-GAN's authors add
    # up with the weights 1 and 2.
    adversarial=6.0,
    feature=62.0,
    said=0.0,
    # Means over 192 channels, which the papers add up.
    backward=192.0,
    forward=192.0,
    duration=1.0,
    anchor=0.0,
    pitch=0.0,
    end_to_end=1.0,
  )
  # 15,000 epochs of 12,500 clips, 16 to a batch of each of 8 GPUs.
  config.schedule.update(
    flow=0, durations=98_000, forward=98_000, memory=98_000, tuning=1_270_000
  )
  config.optim.update(
    peak_lr=2e-4,
    schedule="exponential",
    warmup_steps=1,
    decay_rate=0.99999872,
    clip_norm=None,
  )
  config.train.update(
    num_steps=1_465_000,
    batch_size=128,
    log_every=100,
    eval_every=5_000,
    save_every=5_000,
    keep=3,
  )
  config.eval.update(batch_size=16, num_batches=10)
  config.sample.temperature = 0.667


PRESETS = {"": _demo, "tiny": _tiny, "small": _small, "paper": _paper}
