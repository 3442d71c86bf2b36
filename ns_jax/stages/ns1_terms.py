# SPDX-License-Identifier: Apache-2.0
"""The ways through NaturalSpeech that its four losses walk (Sec. 3.5).

L_rec: wave, latent, memory, wave. L_bwd: wave, latent, back through the flow to
what the text lets expect. L_fwd: from there through the flow to the latent.
L_e2e: text, through the flow, memory, wave. Gradients run back along the same
ways, and reach nothing else.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ns_jax import masks
from ns_jax.array_types import Array, Params
from ns_jax.errors import UserError
from ns_jax.losses import gaussian
from ns_jax.losses.gaussian import Carried
from ns_jax.losses.soft_dtw import soft_dtw
from ns_jax.models import durator, vae
from ns_jax.models.ns1 import NaturalSpeech
from ns_jax.nn.gaussian import Gaussian
from ns_jax.stages.ns1_example import Example

_FORMS = ("sample", "moment")


@dataclasses.dataclass(frozen=True)
class DivergenceOptions:
  """How two sequences of Gaussians are compared."""

  form: str  # "sample": by a draw, as the paper; "moment": by mean and variance
  gamma: float  # softness of soft-DTW, in nats per channel
  warp: float  # what a step of soft-DTW along one sequence alone costs

  def __post_init__(self) -> None:
    """Checks the values."""
    if self.form not in _FORMS:
      raise UserError(
        f"config.divergence.form={self.form!r} is unknown; "
        f"use {' or '.join(_FORMS)}"
      )
    if not (self.gamma > 0.0 and self.warp >= 0.0):
      raise UserError(
        f"config.divergence: gamma={self.gamma} must be above 0 and "
        f"warp={self.warp} not below"
      )


class Heard(NamedTuple):
  """What is heard in a wave."""

  posterior: Gaussian  # [B, T, D]
  draw: Array  # [B, T, D] of it
  num_frames: Array  # [B] int32, real ones of T


class Expected(NamedTuple):
  """What a text lets expect."""

  prior: Gaussian  # [B, M, D]
  draw: Array  # [B, M, D] of it
  num_frames: Array  # [B] int32, real ones of M
  durations: Array  # [B, N] float32, as predicted
  upsampled: durator.Upsampled


@dataclasses.dataclass(frozen=True)
class Ways:
  """The model's arrows put in a row; all state is in the arguments."""

  model: NaturalSpeech
  divergence: DivergenceOptions
  hop_samples: int
  has_flow: bool = True  # False: left out; untrained, it is the identity

  def hear(self, params: Params, example: Example, key: Array) -> Heard:
    """The posterior of the waves."""
    heard = vae.spectra(example.wav, self.hop_samples)
    mask = masks.length_mask(example.num_frames, heard.shape[1])
    posterior = self._call(params, heard, mask, method="hear")
    return Heard(posterior, posterior.draw(key), example.num_frames)

  def expect(
    self,
    params: Params,
    example: Example,
    key: Array,
    *,
    aligned: bool,
    train: bool,
  ) -> Expected:
    """The prior of the texts.

    Args:
      params: of the model.
      example: whose text is read.
      key: typed key.
      aligned: frames are those of the wave, by its true durations; otherwise
        by predicted ones, and there may be more or fewer.
      train: whether to drop out.
    """
    draw_key, *dropout = jax.random.split(key, 3)
    size = example.wav.shape[1] // self.hop_samples
    call = functools.partial(self._call, params)
    mask = example.phoneme_mask
    hidden = call(
      *(example.mixed, mask),
      train=train,
      rngs={"dropout": dropout[0]},
      method="encode",
    )
    predicted = call(
      *(hidden, mask),
      train=train,
      rngs={"dropout": dropout[1]},
      method="predict_durations",
    )
    durations = example.durations if aligned else predicted
    prior, upsampled = call(hidden, durations, mask, size, method="prior")
    num_frames = example.num_frames
    if not aligned:
      num_frames = jnp.minimum(durator.frame_counts(durations), size)
    # Deviations after the end are any number, and may have no finite square.
    frames = masks.length_mask(num_frames, size)[..., None]
    prior = Gaussian(prior.mean * frames, prior.log_std * frames)
    return Expected(
      prior, prior.draw(draw_key), num_frames, predicted, upsampled
    )

  def backward(
    self, params: Params, heard: Heard, expected: Expected, *, aligned: bool
  ) -> Array:
    """L_bwd, [B] float32, nats per frame and channel."""
    one = self._carry(
      params, heard.posterior, heard.draw, heard.num_frames, "to_prior"
    )
    return self._apart(
      one, heard.num_frames, expected.prior, expected.num_frames, aligned
    )

  def forward(
    self, params: Params, heard: Heard, expected: Expected, *, aligned: bool
  ) -> Array:
    """L_fwd, [B] float32, nats per frame and channel."""
    one = self._carry(
      params,
      expected.prior,
      expected.draw,
      expected.num_frames,
      "to_posterior",
    )
    return self._apart(
      one, expected.num_frames, heard.posterior, heard.num_frames, aligned
    )

  def recall(
    self,
    params: Params,
    latents: Array,
    num_frames: Array,
    *,
    remembers: Array | bool,
  ) -> Array:
    """What the decoder hears of latents [B, T, D]; 0 after the end."""
    mask = masks.length_mask(num_frames, latents.shape[1])
    return self._call(
      params, latents, mask, remembers=remembers, method="recall"
    )

  def decode(self, params: Params, recalled: Array) -> Array:
    """Waves [B, T · hop] of [B, T, D]."""
    return self._call(params, recalled, method="decode")

  def voice(
    self,
    params: Params,
    latents: Array,
    num_frames: Array,
    *,
    remembers: Array | bool,
  ) -> Array:
    """Waves [B, T · hop] of whole latents [B, T, D]; 0 after their end."""
    mask = masks.length_mask(num_frames, latents.shape[1])
    return self._call(
      params, latents, mask, remembers=remembers, method="voice"
    )

  def log_f0(self, params: Params, recalled: Array) -> Array:
    """Logarithm of the pitch in Hz, [B, T], of [B, T, D]."""
    return self._call(params, recalled, method="log_f0")

  def say(self, params: Params, expected: Expected) -> Array:
    """Latents [B, M, D] of what is expected, for L_e2e."""
    mask = masks.length_mask(expected.num_frames, expected.draw.shape[1])
    return self._flow(params, expected.draw, mask, "to_posterior")

  def _carry(
    self,
    params: Params,
    source: Gaussian,
    draw: Array,
    num_frames: Array,
    method: str,
  ) -> Carried:
    """Gaussians to the other side of the flow."""
    mask = masks.length_mask(num_frames, draw.shape[1])
    if self.divergence.form == "sample":
      return gaussian.drawn(
        self._flow(params, draw, mask, method), source.log_std
      )
    mean = self._flow(params, source.mean, mask, method)
    return gaussian.moments(mean, source.log_std)

  def _flow(self, params: Params, z: Array, mask: Array, method: str) -> Array:
    if not self.has_flow:
      return z
    return self._call(params, z, mask, method=method)

  def _apart(
    self,
    one: Carried,
    num_rows: Array,
    other: Gaussian,
    num_columns: Array,
    aligned: bool,
  ) -> Array:
    """Divergence of two sequences, [B], per frame of the first."""
    if aligned:
      apart = gaussian.divergence(one, other)
      total = jnp.sum(
        apart * masks.length_mask(num_rows, apart.shape[1]), axis=1
      )
    else:
      total = soft_dtw(
        gaussian.pairwise_divergence(one, other),
        num_rows,
        num_columns,
        gamma=self.divergence.gamma,
        warp=self.divergence.warp,
      )
    return total / num_rows

  def _call(self, params: Params, *args: Any, **options: Any) -> Any:
    return self.model.apply({"params": params}, *args, **options)


def draw_slices(key: Array, num_frames: Array, size: int) -> Array:
  """First frame [B] of a random slice within num_frames [B]."""
  room = jnp.maximum(num_frames - size, 0) + 1
  return jax.random.randint(key, num_frames.shape, 0, room)


def slices(values: Array, starts: Array, size: int) -> Array:
  """Slices [B, size, ...] of [B, T, ...], which begin at `starts` [B]."""
  return jax.vmap(
    lambda row, start: jax.lax.dynamic_slice_in_dim(row, start, size)
  )(values, starts)
