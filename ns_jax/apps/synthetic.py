# SPDX-License-Identifier: Apache-2.0
"""Made-up batches and weights of the shapes a config asks for.

To compile, plan and time a stage where there is no corpus: the batches are
noise and as full as they can be, the weights of earlier stages are untrained.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines import examples
from data_pipelines.corpora.corpus import Record
from ns_jax import stages
from ns_jax.array_types import Params
from ns_jax.audio import AudioSpec
from ns_jax.inference.codec import SpeechCodec
from ns_jax.models import quantizer
from ns_jax.stages import codec as codec_stage
from ns_jax.text import symbols
from ns_jax.training.stage import Stage

_WORD_PHONEMES, _SUP_PHONEMES = 4, 2  # phonemes of each
_FRAMES = 16  # of a wave that is only there to initialise a codec


def batch(config: Any, stage: Stage, num_rows: int) -> dict[str, Any]:
  """Rows of a training batch, made as those of real records are.

  Args:
    config: of a run; `apps.starting.adopt` has filled in its codec.
    stage: what it builds.
    num_rows: rows, whatever the config's batch size.

  Returns:
    Numpy arrays [num_rows, ...], as `data_pipelines.examples` has them.
  """
  spec = AudioSpec(**config.audio)
  make_example = examples.make_example_fn(config.data, stage.features, spec)
  rng = np.random.default_rng(config.seed)
  rows = [
    make_example(_record(config, spec, rng), rng) for _ in range(num_rows)
  ]
  return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def frozen(config: Any) -> dict[str, Any]:
  """Untrained weights of the stages that a config stands on.

  Pure, so that `jax.eval_shape` gives their shapes alone.
  """
  weights = {}
  if "frozen" in config:
    weights["codec"] = _codec(config)
  if "teacher" in config:
    ns2 = config.copy_and_resolve_references()
    ns2.stage = "ns2"
    weights["teacher"] = _params(ns2, weights)
  return weights


def _record(config: Any, spec: AudioSpec, rng: np.random.Generator) -> Record:
  """An utterance that fills an example: noise, said at an even pace."""
  data = config.data
  num_frames = data.get("max_frames") or data.get("crop_frames") or 0
  num_phonemes = data.get("max_phonemes", 0)
  if data.example == "whole":  # which puts a pause before each word
    num_phonemes = num_phonemes * _WORD_PHONEMES // (_WORD_PHONEMES + 1) - 1
  word_starts = np.arange(num_phonemes) % _WORD_PHONEMES == 0
  ends = np.linspace(0, num_frames, num_phonemes + 1).astype(np.int32)
  num_spans = -(-num_phonemes // _SUP_PHONEMES)
  record = {
    "id": "noise",
    "wav": rng.integers(-3000, 3000, spec.num_samples(num_frames), np.int16),
    "phonemes": rng.integers(
      len(symbols.PAUSES) + 1, symbols.VOCABULARY_SIZE, num_phonemes, np.int32
    ),
    "word_starts": word_starts.astype(np.uint8),
    "durations": np.diff(ends),
    "f0": rng.uniform(80.0, 300.0, num_frames).astype(np.float32),
    "f0_phase": rng.uniform(0.0, 6.0, num_frames).astype(np.float32),
  }
  if "frozen" in config:
    count, size = _codebooks(config)
    codes = rng.integers(0, size, (num_frames, count))
    record["codes"] = codes.astype(np.uint16)
  num_sup = config.model.get("encoder", {}).get("num_sup_phonemes", 0)
  if num_sup:
    ids = rng.integers(0, num_sup, num_spans).astype(np.int32)
    lengths = np.full(num_spans, _SUP_PHONEMES, np.int32)
    lengths[-1] = num_phonemes - _SUP_PHONEMES * (num_spans - 1)
    record |= {"sup_phonemes": ids, "sup_lengths": lengths}
  return record


def _codebooks(config: Any) -> tuple[int, int]:
  """How many of the codec's codebooks are used, and how large they are."""
  options = config.codec.model.quantizer
  return (
    config.frozen.num_codebooks or options.num_stages,
    options.codebook_size,
  )


def _codec(config: Any) -> dict[str, Any]:
  """What a codec leaves to the stages that stand on it."""
  options = config.codec.model.quantizer
  latent_dim = config.codec.model.codec.latent_dim
  code_dim = options.code_dim or latent_dim
  module = codec_stage.make_codec(config.codec)
  wave = jnp.zeros((1, _FRAMES * config.audio.hop_samples))
  params: Any = module.init(jax.random.key(0), wave)["params"]
  if options.code_dim:
    slices = quantizer.slice_projections(
      latent_dim, options.num_stages, code_dim
    )
    params |= {"quantizer": {"down": slices.down, "up": slices.up}}
  shape = (*_codebooks(config), code_dim)
  embeddings = jax.random.normal(jax.random.key(1), shape)
  codec = SpeechCodec(config.codec, params, embeddings)
  return codec.frozen(np.zeros(latent_dim), np.ones(latent_dim))


def _params(config: Any, weights: dict[str, Any]) -> Params:
  stage = stages.build(config)
  rows = batch(config, stage, 1)
  return stage.init_fn(jax.random.key(0), rows, weights)[0]["gen"]
