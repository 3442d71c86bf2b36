# SPDX-License-Identifier: Apache-2.0
"""The codec: waveform to 80 Hz codes and back.

  python -m ns_jax.main --config=configs/codec.py

preset   hardware          time        result
(none)   2 CPU cores       6 min       built-in demo: 5.9 dB log-mel distance on
                                       unseen speakers; whispery
:tiny    2 CPU cores       1 min       for tests only
:small   4 CPU cores       2.5 hours   8 M parameters; 6.4 hours of real speech:
                                       PESQ 2.4 at 6.4 kbit/s, 3.1 at 12.8
:paper   8 x 16 GB GPU     weeks       sizes of NaturalSpeech 2, Sec. 3.1 and A;
                                       not trained yet
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import FieldReference, placeholder

from configs.common import base_config


def get_config(preset: str = "") -> ConfigDict:
  """Returns the codec's config; `preset` is what follows the colon."""
  config = base_config("codec", preset, PRESETS)
  config.ema_decay = 0.99
  config.data = dict(
    corpus="demo",  # or a folder that `ns-jax prepare` made
    corpus_size="full",
    dir="runs/data",
    reader="tf_data",
    example="waveform",
    crop_frames=40,
    gain_db=(-12.0, 6.0),
  )
  config.model = dict(
    codec=_spectral_codec(
      latent_dim=32, dim=160, encoder_layers=3, decoder_layers=4
    ),
    quantizer=dict(
      num_stages=8,
      codebook_size=256,
      decay=0.98,
      dead_threshold=0.1,
      dropout=0.25,
      code_dim=placeholder(int),  # of each stage's own space, or latent_dim
    ),
    discriminators=dict(
      wave_channels=(4, 8, 16, 32),
      wave_groups=(1, 1, 1),
      num_wave_scales=3,
      stft_channels=2,
      band_channels=0,
      band_windows=(),
    ),
    spectral=dict(
      scales=(64, 128, 256, 512, 1024, 2048),
      sum_over_time=False,
      log_floor=1e-5,
      compressed_windows=(256, 512, 1024),
    ),
    # The discriminators triple the cost of a step: they come in at the end.
    adversarial=dict(
      start_step=1500, ramp_steps=100, num_clips=FieldReference(4)
    ),
  )
  # Whether weights, but that of the commitment, are shares of the gradient.
  config.balance_losses = False
  # A term of weight 0 is not computed.
  config.loss = dict(
    spectral_linear=0.0,
    spectral_log=0.0,
    log_mel=0.2,
    magnitude=20.0,
    compressed=2.0,
    wave=0.0,
    adversarial=0.1,
    feature=1.0,
    commitment=0.25,
  )
  config.optim = dict(
    name="adam",
    peak_lr=3e-3,
    schedule="cosine",
    warmup_steps=30,
    decay_rate=1.0,
    decay_steps=1700,
    b1=0.9,
    b2=0.99,
    weight_decay=0.0,
    clip_norm=FieldReference(1.0),
  )
  config.train = dict(
    num_steps=1700,
    batch_size=16,
    micro_batches=1,
    log_every=25,
    eval_every=250,
    save_every=250,
    keep=2,
  )
  config.eval = dict(
    batch_size=16,
    num_batches=3,
    num_clips=8,
    evaluators=("losses", "reconstruction"),
  )
  PRESETS[preset](config)
  return config


def _demo(config: ConfigDict) -> None:
  """The values above."""


def _spectral_codec(
  latent_dim: int, dim: int, encoder_layers: int, decoder_layers: int
) -> dict:
  """Layers at the frame rate."""
  return dict(
    architecture="spectral",
    latent_dim=latent_dim,
    dim=dim,
    encoder_layers=encoder_layers,
    decoder_layers=decoder_layers,
    kernel_size=7,
    expansion=3,
    activation="gelu",
  )


def _waveform_codec(channels: int, latent_dim: int) -> dict:
  """SoundStream's encoder and decoder, with the strides we chose (A.2)."""
  return dict(
    architecture="waveform",
    channels=channels,
    latent_dim=latent_dim,
    strides=(2, 4, 5, 5),
    dilations=(1, 3, 9),
    kernel_size=7,
    activation="elu",
  )


def _tiny(config: ConfigDict) -> None:
  config.data.corpus_size = "tiny"
  config.data.crop_frames = 16
  config.model.codec = _waveform_codec(channels=4, latent_dim=8)
  config.model.codec.update(strides=(10, 20), dilations=(1,))
  config.model.quantizer.update(num_stages=4, codebook_size=32)
  config.model.discriminators.update(
    wave_channels=(4, 4), wave_groups=(1,), num_wave_scales=1, stft_channels=0
  )
  config.model.spectral.update(scales=(256,), compressed_windows=(256,))
  config.model.adversarial.update(start_step=2, ramp_steps=4, num_clips=None)
  config.optim.update(warmup_steps=2, decay_steps=8)
  config.train.update(
    num_steps=8, batch_size=4, log_every=2, eval_every=4, save_every=4
  )
  config.eval.update(batch_size=4, num_batches=1, num_clips=2)


def _small(config: ConfigDict) -> None:
  config.ema_decay = 0.999
  config.model.codec = _spectral_codec(
    latent_dim=128, dim=320, encoder_layers=4, decoder_layers=8
  )
  config.model.quantizer.update(
    num_stages=16,
    codebook_size=1024,
    decay=0.99,
    dead_threshold=0.05,
    dropout=0.5,
  )
  config.model.discriminators.update(
    stft_channels=0, band_channels=8, band_windows=(512, 1024, 2048)
  )
  config.model.adversarial.update(start_step=23_000, ramp_steps=1_000)
  config.loss.update(adversarial=0.3)
  config.optim.update(
    name="adamw",
    peak_lr=1.5e-3,
    warmup_steps=200,
    decay_steps=28_000,
    b1=0.8,
    b2=0.99,
    weight_decay=1e-3,
  )
  config.train.update(
    num_steps=28_000, log_every=100, eval_every=2_000, save_every=500
  )
  config.eval.update(num_batches=10, num_clips=40)


def _paper(config: ConfigDict) -> None:
  config.dtype = "bfloat16"
  config.ema_decay = 0.9999
  config.data.crop_frames = 80
  config.model.codec = _waveform_codec(channels=52, latent_dim=256)
  config.model.quantizer.update(
    num_stages=16,
    codebook_size=1024,
    decay=0.99,
    dead_threshold=2.0,
    dropout=0.5,
  )
  config.model.adversarial.update(
    start_step=1_000, ramp_steps=1_000, num_clips=None
  )
  config.model.discriminators.update(
    wave_channels=(16, 64, 256, 1024, 1024),
    wave_groups=(4, 16, 64, 256),
    stft_channels=32,
  )
  config.loss.update(
    spectral_linear=1.0,
    spectral_log=1.0,
    log_mel=0.0,
    magnitude=0.0,
    compressed=0.0,
    adversarial=1.0,
    feature=100.0,
  )
  config.optim.update(
    b1=0.5,
    b2=0.9,
    peak_lr=2e-4,
    schedule="exponential",
    warmup_steps=1,
    decay_rate=0.999996,
    clip_norm=None,
  )
  config.train.update(
    num_steps=440_000,
    batch_size=1600,
    log_every=100,
    eval_every=5_000,
    save_every=5_000,
    keep=3,
  )
  config.eval.update(batch_size=48, num_batches=50)


PRESETS = {"": _demo, "tiny": _tiny, "small": _small, "paper": _paper}
