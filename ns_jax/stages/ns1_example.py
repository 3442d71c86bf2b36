# SPDX-License-Identifier: Apache-2.0
"""Training examples of NaturalSpeech: utterances, or passages of them."""

import flax.struct
import jax.numpy as jnp

from ns_jax import masks, sharding
from ns_jax.array_types import Array, Batch
from ns_jax.models.mixed_phonemes import Mixed


@flax.struct.dataclass
class Example:
  """Utterances, text and wave."""

  mixed: Mixed  # [B, N]
  phoneme_mask: Array  # [B, N] bool
  durations: Array  # [B, N] float32, frames, as they were aligned
  wav: Array  # [B, T · hop] float32
  num_frames: Array  # [B] int32
  f0_hz: Array | None = None  # [B, T] float32, 0 where unvoiced

  @classmethod
  def of(cls, batch: Batch) -> "Example":
    """Reads a batch, which need not have sup-phonemes or a pitch."""
    phonemes = sharding.constrain_batch(batch["phonemes"])
    none = jnp.zeros_like(phonemes)
    return cls(
      mixed=Mixed(
        phonemes,
        batch.get("sup_phonemes", none),
        batch.get("span", none),
      ),
      phoneme_mask=masks.length_mask(batch["num_phonemes"], phonemes.shape[1]),
      durations=batch["durations"].astype(jnp.float32),
      wav=sharding.constrain_batch(batch["wav"]),
      num_frames=batch["num_frames"],
      f0_hz=batch.get("f0"),
    )
