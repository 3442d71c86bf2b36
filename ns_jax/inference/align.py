# SPDX-License-Identifier: Apache-2.0
"""A trained aligner: speech and its phonemes to durations."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from ns_jax import masks, paths
from ns_jax.array_types import Array, Params
from ns_jax.audio import AudioSpec
from ns_jax.dsp import mel
from ns_jax.errors import UserError
from ns_jax.inference import restore
from ns_jax.models import aligner
from ns_jax.nn import monotonic
from ns_jax.stages import aligner as aligner_stage
from ns_jax.text import symbols

# Batches are padded to multiples, so few shapes compile: 2 s, and as many
# phonemes as are ever spoken in that time.
_BLOCK_FRAMES, _BLOCK_PHONEMES = 160, 48


class SpeechAligner:
  """The aligner's network with its weights, and the search for paths."""

  def __init__(self, config: ml_collections.ConfigDict, params: Params):
    """Assembles an aligner.

    Args:
      config: its run's, as in configs/aligner.py.
      params: of the network.
    """
    self._spec = AudioSpec(**config.audio)
    self._params = params
    module = aligner_stage.make_aligner(config)
    self._min_frames: int = config.path.min_frames
    self._search = jax.jit(
      functools.partial(_search, module, self._spec),
      static_argnames="min_frames",
    )

  @classmethod
  def load(cls, path: str | paths.Path = restore.SHIPPED) -> "SpeechAligner":
    """Reads the aligner of a bundle or a run, or the one that comes along."""
    weights = restore.restore(restore.weights_folder(path, "aligner"))
    if weights.config.get("stage") != "aligner":
      raise UserError(
        f"{path}: a model of the stage {weights.config.get('stage')} cannot "
        "align; give a bundle or workdir of an aligner"
      )
    if "path" not in weights.config:
      raise UserError(
        f"{path}: this aligner is of an older version; train it again"
      )
    return cls(weights.config, weights.params["gen"])

  @property
  def aligner_id(self) -> str:
    """Twelve hexadecimal digits that name these weights."""
    return restore.digest(self._params)

  def align(
    self, phonemes: Sequence[np.ndarray], waves: Sequence[np.ndarray]
  ) -> list[np.ndarray]:
    """Finds when each phoneme of a batch of utterances is spoken.

    Args:
      phonemes: [N] int32 ids of each.
      waves: [S] float32 of each, in [-1, 1]; no fewer frames than phones.

    Returns:
      [N] int32 frames of each, sum T = ceil(S / hop).
    """
    num_phonemes = np.array([len(ids) for ids in phonemes], np.int32)
    num_frames = np.array(
      [self._spec.num_frames(len(wav)) for wav in waves], np.int32
    )
    blocks = max(
      -(-num_frames.max() // _BLOCK_FRAMES),
      -(-num_phonemes.max() // _BLOCK_PHONEMES),
    )
    ids = np.zeros((len(waves), blocks * _BLOCK_PHONEMES), np.int32)
    wav = np.zeros(
      (len(waves), self._spec.num_samples(blocks * _BLOCK_FRAMES)), np.float32
    )
    for row in range(len(waves)):
      ids[row, : num_phonemes[row]] = phonemes[row]
      wav[row, : len(waves[row])] = waves[row]
    num_phones = np.sum(~symbols.is_pause(ids) & (ids != 0), axis=1)
    fits = self._min_frames * num_phones <= num_frames
    search = functools.partial(
      self._search, self._params, ids, num_phonemes, wav, num_frames
    )
    durations = np.asarray(search(min_frames=self._min_frames))
    if not fits.all():  # somebody speaks as fast as nobody does
      hasty = np.asarray(search(min_frames=1))
      durations = np.where(fits[:, None], durations, hasty)
    return [durations[row, :n] for row, n in enumerate(num_phonemes)]


def _search(
  module: aligner.Aligner,
  spec: AudioSpec,
  params: Params,
  phonemes: Array,
  num_phonemes: Array,
  wav: Array,
  num_frames: Array,
  *,
  min_frames: int,
) -> Array:
  log_mel = mel.log_mel(wav, spec)
  frame_mask = masks.length_mask(num_frames, log_mel.shape[1])
  logits: Any = module.apply({"params": params}, log_mel, frame_mask)
  is_pause = jnp.isin(phonemes, jnp.array(symbols.PAUSE_IDS))
  told = phonemes != symbols.PADDING_ID  # who competes does not change a path
  return monotonic.best_durations(
    aligner.of_phonemes(logits, phonemes, told),
    num_frames,
    num_phonemes,
    is_pause,
    min_frames,
  )
