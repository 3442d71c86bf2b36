# SPDX-License-Identifier: Apache-2.0
"""A trained codec: waves to codes and latents, and back."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from ns_jax.array_types import Array
from ns_jax.audio import AudioSpec
from ns_jax.inference import restore
from ns_jax.models import quantizer
from ns_jax.models.codec import AnyCodec
from ns_jax.stages import codec as codec_stage

_BLOCK_FRAMES = 160  # waves are padded to multiples, so few shapes compile


class SpeechCodec:
  """Encoder, codebooks and decoder with their weights."""

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    params: Mapping[str, Any],
    embeddings: Array,
  ):
    """Assembles a codec.

    Args:
      config: the codec's, as in configs/codec.py.
      params: {"encoder": ..., "decoder": ...}.
      embeddings: [Q, K, D] float32 codebooks.
    """
    self._spec = AudioSpec(**config.audio)
    self._params = {name: params[name] for name in ("encoder", "decoder")}
    self._embeddings = jnp.asarray(embeddings)
    module = codec_stage.make_codec(config)
    self._encode = jax.jit(
      lambda params, embeddings, wav: _encode(module, params, embeddings, wav)
    )
    self._decode = jax.jit(
      lambda params, z: module.apply({"params": params}, z, method="decode")
    )

  @classmethod
  def from_workdir(cls, path: str | pathlib.Path) -> "SpeechCodec":
    """Reads the codec of a codec run."""
    return cls.of(restore.restore(path))

  @classmethod
  def of(cls, weights: restore.Weights) -> "SpeechCodec":
    """Finds the codec in the weights of a codec run or of one built on it."""
    config = weights.config
    if "codec" in weights.frozen:
      frozen = weights.frozen["codec"]
      return cls(config.codec, frozen, frozen["embeddings"])
    embeddings = weights.model_state["codebook"]["embeddings"]
    return cls(config, weights.params["gen"], embeddings)

  @property
  def codec_id(self) -> str:
    """Twelve hexadecimal digits that name these weights."""
    return restore.digest((self._params, self._embeddings))

  def frozen(
    self, latent_mean: np.ndarray, latent_std: np.ndarray
  ) -> dict[str, Any]:
    """What a stage built on this codec carries along.

    Args:
      latent_mean: [D] of the latents of its training records.
      latent_std: [D] likewise.

    Returns:
      encoder and decoder parameters, embeddings [Q, K, D], latent_mean and
      latent_std [D].
    """
    return {
      **self._params,
      "embeddings": self._embeddings,
      "latent_mean": jnp.asarray(latent_mean, jnp.float32),
      "latent_std": jnp.asarray(latent_std, jnp.float32),
    }

  def encode(self, wav: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Encodes a batch of waves.

    Args:
      wav: [B, S] float32, in [-1, 1].

    Returns:
      codes [B, T, Q] int32 and their latents [B, T, D] float32,
      T = ceil(S / hop).
    """
    block = self._spec.num_samples(_BLOCK_FRAMES)
    frames = self._spec.num_frames(wav.shape[1])
    padded = np.pad(wav, ((0, 0), (0, -wav.shape[1] % block)))
    codes, latents = self._encode(self._params, self._embeddings, padded)
    return np.asarray(codes)[:, :frames], np.asarray(latents)[:, :frames]

  def decode(self, latents: np.ndarray) -> np.ndarray:
    """Decodes latents [B, T, D] to waves [B, T * hop] float32."""
    frames = latents.shape[1]
    extra = -frames % _BLOCK_FRAMES
    padded = np.pad(latents, ((0, 0), (0, extra), (0, 0)))
    wav = np.asarray(self._decode(self._params, padded))
    return wav[:, : self._spec.num_samples(frames)]

  def reconstruct(self, wav: np.ndarray) -> np.ndarray:
    """Encodes and decodes one wave [S]; returns [S] float32."""
    _, latents = self.encode(wav[None, :])
    return self.decode(latents)[0, : len(wav)]


def _encode(
  module: AnyCodec, params: Any, embeddings: Array, wav: Array
) -> tuple[Array, Array]:
  h: Any = module.apply({"params": params}, wav, method="encode")
  unused = jnp.zeros(embeddings.shape[:2])
  codebook = quantizer.Codebook(embeddings, unused, embeddings)
  quantized = quantizer.quantize(codebook, h)
  return quantized.codes, quantized.latents
