# SPDX-License-Identifier: Apache-2.0
"""A trained codec: waves to codes and latents, and back."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from ns_jax import paths
from ns_jax.array_types import Array
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError
from ns_jax.inference import restore
from ns_jax.models import quantizer
from ns_jax.models.codec import AnyCodec
from ns_jax.nn import streaming
from ns_jax.stages import codec as codec_stage

# What a stage built on a codec keeps of the latents of its training records.
LATENT_STATISTICS = ("latent_mean", "latent_std")
_PARTS = ("encoder", "decoder", "quantizer")
_MISFIT = "the weights of this codec do not fit its config"
# What Python says of a config or weights that lack parts or hold strange ones.
_MISFITS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
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
      params: {"encoder": ..., "decoder": ...}, and "quantizer" where its
        stages work in narrow spaces.
      embeddings: [Q, K, d] float32 codebooks.
    """
    self._config = config
    self.spec = AudioSpec(**config.audio)
    self.params = {name: params[name] for name in _PARTS if name in params}
    self.embeddings = jnp.asarray(embeddings)
    # What each code adds to the latents, [Q, K, D].
    projections = _projections(self.params, self.num_codebooks)
    self.vectors = quantizer.code_vectors(self.embeddings, projections)
    self.module = codec_stage.make_codec(config)
    self._encode = jax.jit(functools.partial(encode, self.module))
    self._decode = jax.jit(functools.partial(decode, self.module))
    self._sum_codes = jax.jit(quantizer.decode_codes)
    self._beginnings: dict[tuple[str, int], Any] = {}

  @classmethod
  def load(cls, path: str | paths.Path = restore.SHIPPED) -> "SpeechCodec":
    """Reads the codec of a bundle or a run, or the one that comes along."""
    return cls.of(restore.restore(restore.weights_folder(path, "codec")))

  @classmethod
  def of(cls, weights: restore.Weights) -> "SpeechCodec":
    """Finds the codec in the weights of a codec run or of one built on it."""
    config = weights.config
    if "codec" in weights.frozen:
      frozen = weights.frozen["codec"]
      if "codes" not in frozen:
        return cls._shipped_for(config.frozen)
      return cls(config.codec, frozen, frozen["codes"])
    if config.get("stage") != "codec":
      raise UserError(f"a run of the stage {config.get('stage')} is no codec")
    try:
      codebook = weights.model_state["codebook"]["embeddings"]
      return cls(config, weights.params["gen"], codebook)
    except _MISFITS as error:
      raise UserError(f"{_MISFIT} ({error})") from error

  @classmethod
  def _shipped_for(cls, frozen: Any) -> "SpeechCodec":
    """The codec that comes along, for a model that was trained on it."""
    codec = cls.load().first(frozen.num_codebooks)
    if codec.codec_id != frozen.codec_id:
      raise UserError(
        "this model was trained on another codec than the one that comes along "
        "with this version; get a bundle of this version"
      )
    return codec

  def first(self, num_codebooks: int | None) -> "SpeechCodec":
    """The same codec with its first codebooks alone; None: with all.

    Raises:
      UserError: it has fewer.
    """
    count = self.check_count(num_codebooks)
    return SpeechCodec(self._config, self.params, self.embeddings[:count])

  def check_count(self, num_codebooks: int | None) -> int:
    """How many codebooks are meant; None: all.

    Raises:
      UserError: there are fewer.
    """
    count = self.num_codebooks if num_codebooks is None else num_codebooks
    if not 1 <= count <= self.num_codebooks:
      raise UserError(
        f"{count} codebooks: this codec has 1 to {self.num_codebooks}"
      )
    return count

  @property
  def bits_per_code(self) -> int:
    """Bits that tell one code of a codebook from the others."""
    return (self.codebook_size - 1).bit_length()

  def bits_per_sec(self, num_codebooks: int | None = None) -> float:
    """Bitrate of the codes; None: of all codebooks.

    Raises:
      UserError: there are fewer.
    """
    count = self.check_count(num_codebooks)
    return count * self.bits_per_code * self.spec.frame_rate_hz

  @functools.cached_property
  def codec_id(self) -> str:
    """Twelve hexadecimal digits that name these weights.

    In half precision, so that a run and a bundle made of it are one codec.
    """
    weights = (self.params, self.embeddings)
    return restore.digest(
      jax.tree.map(lambda leaf: np.asarray(leaf, np.float16), weights)
    )

  @property
  def num_codebooks(self) -> int:
    """Q, codes in a frame at the full bitrate."""
    return self.embeddings.shape[0]

  @property
  def codebook_size(self) -> int:
    """K, values a code can take."""
    return self.embeddings.shape[1]

  def frozen(
    self, latent_mean: np.ndarray, latent_std: np.ndarray
  ) -> dict[str, Any]:
    """What a stage built on this codec carries along.

    Args:
      latent_mean: [D] of the latents of its training records.
      latent_std: [D] likewise.

    Returns:
      The codec's parameters, embeddings [Q, K, D] of the latents' width, codes
      [Q, K, d] of the quantiser's, latent_mean and latent_std [D].
    """
    return {
      **self.params,
      "embeddings": self.vectors,
      "codes": self.embeddings,
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
    block = self.spec.num_samples(_BLOCK_FRAMES)
    frames = self.spec.num_frames(wav.shape[1])
    padded = np.pad(wav, ((0, 0), (0, -wav.shape[1] % block)))
    (codes, latents), _ = self._encode(self.params, self.embeddings, padded)
    return np.asarray(codes)[:, :frames], np.asarray(latents)[:, :frames]

  def latents(self, codes: np.ndarray) -> np.ndarray:
    """What codes [B, T, q] stand for, q <= Q; [B, T, D] float32."""
    frames = codes.shape[1]
    padded = np.pad(codes, ((0, 0), (0, -frames % _BLOCK_FRAMES), (0, 0)))
    vectors = self.vectors[: codes.shape[-1]]
    return np.asarray(self._sum_codes(vectors, padded))[:, :frames]

  def decode(self, latents: np.ndarray) -> np.ndarray:
    """Decodes latents [B, T, D] to waves [B, T * hop] float32."""
    frames = latents.shape[1]
    extra = -frames % _BLOCK_FRAMES
    padded = np.pad(latents, ((0, 0), (0, extra), (0, 0)))
    wav, _ = self._decode(self.params, padded)
    return np.asarray(wav)[:, : self.spec.num_samples(frames)]

  def beginning(self, half: str, block_frames: int) -> Any:
    """What a stream remembers before its first block.

    Args:
      half: "encode" or "decode".
      block_frames: frames in every block.
    """
    known = self._beginnings
    if (half, block_frames) not in known:
      wav = np.zeros((1, self.spec.num_samples(block_frames)), np.float32)
      latents = np.zeros((1, block_frames, self.vectors.shape[2]), np.float32)
      x = wav if half == "encode" else latents
      _, memory = jax.eval_shape(
        lambda params: self.module.apply(
          {"params": params}, x, method=half, mutable=[streaming.COLLECTION]
        ),
        self.params,
      )
      known[half, block_frames] = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype),
        memory[streaming.COLLECTION],
      )
    return known[half, block_frames]

  def encode_block(
    self, wav: np.ndarray, past: Any, num_codebooks: int
  ) -> tuple[np.ndarray, Any]:
    """Encodes the next block [S] of a stream; (codes [T, q], new past)."""
    embeddings = self.embeddings[:num_codebooks]
    (codes, _), past = self._encode(self.params, embeddings, wav[None], past)
    return np.asarray(codes)[0], past

  def decode_block(
    self, latents: np.ndarray, past: Any
  ) -> tuple[np.ndarray, Any]:
    """Decodes the next block [T, D] of a stream; (samples [S], new past)."""
    wav, past = self._decode(self.params, latents[None], past)
    return np.asarray(wav)[0], past

  def reconstruct(
    self, wav: np.ndarray, num_codebooks: int | None = None
  ) -> np.ndarray:
    """Encodes and decodes one wave [S]; returns [S] float32."""
    codes, latents = self.encode(wav[None, :])
    if num_codebooks is not None:
      latents = self.latents(codes[..., : self.check_count(num_codebooks)])
    return self.decode(latents)[0, : len(wav)]


def encode(
  module: AnyCodec,
  params: Any,
  embeddings: Array,
  wav: Array,
  past: Any = None,
) -> tuple[tuple[Array, Array], Any]:
  """Codes and latents of waves; what a stream must remember."""
  h, past = _apply(module, params, wav, past, "encode")
  unused = jnp.zeros(embeddings.shape[:2])
  codebook = quantizer.Codebook(embeddings, unused, embeddings)
  projections = _projections(params, embeddings.shape[0])
  quantized = quantizer.quantize(codebook, h, projections=projections)
  return (quantized.codes, quantized.latents), past


def decode(
  module: AnyCodec, params: Any, latents: Array, past: Any = None
) -> tuple[Array, Any]:
  """Waves of latents; what a stream must remember."""
  return _apply(module, params, latents, past, "decode")


def _projections(params: Any, count: int) -> quantizer.Projections | None:
  """Those of the first stages."""
  return jax.tree.map(
    lambda leaf: leaf[:count], quantizer.projections_of(params)
  )


def _apply(
  module: AnyCodec, params: Any, x: Array, past: Any, method: str
) -> tuple[Array, Any]:
  """Applies a half of the codec: to a whole, or to a part after its past."""
  if past is None:
    whole: Any = module.apply({"params": params}, x, method=method)
    return whole, None
  variables = {"params": params, streaming.COLLECTION: past}
  part: Any = module.apply(
    variables, x, method=method, mutable=[streaming.COLLECTION]
  )
  return part[0], part[1][streaming.COLLECTION]
