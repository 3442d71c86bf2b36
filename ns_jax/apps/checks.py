# SPDX-License-Identifier: Apache-2.0
"""Mistakes in a config, found before anything is written or trained."""

from importlib import util
from typing import Any

import jax

from data_pipelines import input_pipeline
from ns_jax import evaluation, sharding, stages
from ns_jax.apps import corpora
from ns_jax.errors import UserError
from ns_jax.inference import restore
from ns_jax.nn import remat
from ns_jax.training import workdir

DTYPES = ("float32", "bfloat16")
TRAIN = "train"  # config.frozen.codec where the run trains one itself
# Fields that name a trained model of this one's kind: one to begin with, and
# one to learn from.
TRAINED = ("init_from", "teacher")


def stands_on_given_codec(config: Any) -> bool:
  """Whether a run takes a codec that was trained before."""
  return "frozen" in config and config.frozen.codec != TRAIN


def check(
  config: Any,
  name: str = "config",
  *,
  splits: tuple[str, ...] = ("train", "valid", "test"),
) -> None:
  """Checks a config and the configs of what it stands on.

  Args:
    config: of a run.
    name: how the user addresses its fields.
    splits: that will be read.

  Raises:
    UserError: names the field and what it may be.
  """
  check_program(config, name)
  if config.data.reader not in input_pipeline.READERS:
    raise UserError(
      f"{name}.data.reader={config.data.reader!r} is unknown; "
      f"use {' or '.join(input_pipeline.READERS)}"
    )
  if config.data.reader == "tf_data" and not util.find_spec("tensorflow"):
    raise UserError(
      f"{name}.data.reader=tf_data needs TensorFlow, which is not installed; "
      f"use --{name}.data.reader=array_record"
    )
  _check_batches(config, name, splits)
  if stages.build(config).has_one_voice and "train" in splits:
    corpora.check_one_voice(config, name)
  evaluation.check(config)
  if "codec" not in config:
    return
  if config.codec.stage != "codec":
    raise UserError(
      f"{name}.frozen.codec: is the workdir of a run of "
      f"{config.codec.stage}; give that of a codec"
    )
  heard, wanted = config.codec.audio.to_dict(), config.audio.to_dict()
  if heard != wanted:
    raise UserError(
      f"{name}.frozen.codec: works on {heard}, this run on {wanted}; "
      f"make {name}.audio the same"
    )
  codebooks = config.codec.model.quantizer.num_stages
  asked = config.frozen.num_codebooks
  if asked is not None and not 1 <= asked <= codebooks:
    raise UserError(
      f"{name}.frozen.num_codebooks={asked}: the codec has 1 to {codebooks}"
    )
  for field in TRAINED if "train" in splits else ():
    if config.get(field):
      _check_trained(config, name, field)
  if not stands_on_given_codec(config):
    check(config.codec, f"{name}.codec", splits=splits)


def check_program(config: Any, name: str = "config") -> None:
  """Checks what is compiled, wherever it is to run.

  Raises:
    UserError: names the field and what it may be.
  """
  if config.dtype not in DTYPES:
    raise UserError(
      f"{name}.dtype={config.dtype!r} is unknown; use {' or '.join(DTYPES)}"
    )
  for section, field in remat.users(config.model, f"{name}.model"):
    remat.check(section.remat, field)


def _check_trained(config: Any, name: str, field: str) -> None:
  """What a run begins with or learns from must be its own model."""
  folder = restore.weights_folder(config[field], "ns2")
  trained = workdir.read_config(folder).to_dict()
  if trained.get("model") != config.model.to_dict():
    raise UserError(
      f"{name}.{field}={config[field]!r}: its model is not this one; "
      "give the preset and the model's fields that it was trained with"
    )


def _check_batches(config: Any, name: str, splits: tuple[str, ...]) -> None:
  """Batches must split over the devices and be found in every split."""
  mesh = sharding.make_mesh(config.mesh)
  shards = mesh.shape["data"] * mesh.shape["fsdp"]
  if shards % jax.process_count():
    raise UserError(
      f"{name}.mesh: data x fsdp = {shards} is no multiple of the "
      f"{jax.process_count()} processes; lower {name}.mesh.tensor"
    )
  for field, parts in (("train", config.train.micro_batches), ("eval", 1)):
    batch_size = config[field].batch_size
    if min(batch_size, parts) < 1 or batch_size % (shards * parts):
      raise UserError(
        f"{name}.{field}.batch_size={batch_size} does not divide over "
        f"{shards} device(s) in {parts} part(s) each; "
        f"use a multiple of {shards * max(parts, 1)}"
      )
  sizes = corpora.split_sizes(config, name)
  for split in splits:
    if not sizes.get(split):
      raise UserError(
        f"{name}.data.corpus={config.data.corpus!r} has no record in split "
        f"'{split}'; prepare it again with other speakers held out, or more of "
        "it if it is a text"
      )
  smallest = min(sizes[split] for split in splits if split != "train")
  if config.eval.batch_size > smallest:
    raise UserError(
      f"{name}.eval.batch_size={config.eval.batch_size} is more than the "
      f"{smallest} held-out records; lower it"
    )
  if config.eval.num_batches < 1:
    raise UserError(f"{name}.eval.num_batches must be at least 1")
