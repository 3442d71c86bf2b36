# SPDX-License-Identifier: Apache-2.0
"""What a run begins with: models that were trained before it.

A run is self-contained: its config says what it stands on, and what it took
over is in its workdir.
"""

from typing import Any

from ns_jax import paths
from ns_jax.apps import checks, processes
from ns_jax.array_types import Params
from ns_jax.errors import UserError
from ns_jax.inference import restore
from ns_jax.inference.codec import SpeechCodec
from ns_jax.inference.restore import Weights
from ns_jax.inference.synthesize import Synthesizer
from ns_jax.text import sup_phonemes
from ns_jax.training import checkpoint, workdir

PHONEME_LM = "phoneme_lm"  # the stage, and the field that names a run of it


def adopt(config: Any, run_dir: paths.Path) -> None:
  """Writes into a config what the models it names are.

  Raises:
    UserError: there is no such model, or it does not fit.
  """
  if checks.stands_on_given_codec(config):
    config.codec = _config_of_codec(config, run_dir)
  adopt_encoder(config, run_dir)


def adopt_encoder(config: Any, run_dir: paths.Path) -> None:
  """Makes a run's phoneme encoder that of `config.phoneme_lm`, if given.

  Once a run has one it stays, and the other run is not looked at again.

  Raises:
    UserError: that is no run of phoneme_lm, or it has another width.
  """
  if not config.get(PHONEME_LM):
    return
  if (run_dir / workdir.CONFIG_FILE).exists():
    saved = workdir.read_config(run_dir)
    if saved.get(PHONEME_LM):
      config.model.encoder = saved.model.encoder
      return
  trained = workdir.read_config(_lm_dir(config))
  name = f"config.{PHONEME_LM}={config[PHONEME_LM]!r}"
  if trained.stage != PHONEME_LM:
    raise UserError(
      f"{name}: is a run of {trained.stage}; give one of {PHONEME_LM}"
    )
  if trained.model.dim != config.model.dim:
    raise UserError(
      f"{name}: its vectors have {trained.model.dim} numbers, those of this "
      f"run {config.model.dim}; make config.model.dim the same"
    )
  config.model.encoder = trained.model.encoder


def take_tokenizer(config: Any, run_dir: paths.Path) -> None:
  """Copies the tokenizer of `config.phoneme_lm` into a run that has none.

  Raises:
    UserError: it is not there.
  """

  def take() -> None:
    own = run_dir / sup_phonemes.TOKENIZER_FILE
    if config.get(PHONEME_LM) and not own.exists():
      sup_phonemes.save(sup_phonemes.load(_lm_dir(config)), own)

  processes.first_then_others(take)


def encoder(config: Any, run_dir: paths.Path) -> dict[str, Params]:
  """Parameters of players that begin with those of `config.phoneme_lm`.

  Returns:
    Its encoder, moving averages; nothing where none is given, or where the run
    has begun and has its own.

  Raises:
    UserError: the other run holds no checkpoint.
  """
  if not config.get(PHONEME_LM) or checkpoint.exists(run_dir):
    return {}
  trained = restore.restore(_lm_dir(config))
  return {"gen": {"encoder": trained.params["gen"]["encoder"]}}


def codec_dir(config: Any, run_dir: paths.Path) -> paths.Path:
  """The workdir or bundle of the codec this run stands on."""
  name = config.frozen.codec
  if name == checks.TRAIN:
    return run_dir / "codec"
  return restore.weights_folder(name, "codec")


def trained_model(config: Any, field: str, codec: SpeechCodec) -> Weights:
  """The model that a run begins with or learns from.

  Raises:
    UserError: it cannot be read, or stands on another codec.
  """
  model = Synthesizer.load(config[field])
  if model.codec.codec_id != codec.codec_id:
    raise UserError(
      f"config.{field}={config[field]!r}: stands on another codec; "
      "give config.frozen as it was trained with"
    )
  return model.weights


def _config_of_codec(config: Any, run_dir: paths.Path) -> Any:
  """The config of the given codec; once a run has one, always the same."""
  is_shipped = config.frozen.codec == restore.SHIPPED
  if is_shipped and (run_dir / workdir.CONFIG_FILE).exists():
    saved = workdir.read_config(run_dir)
    if "codec" in saved:
      return saved.codec
  return workdir.read_config(codec_dir(config, run_dir))


def _lm_dir(config: Any) -> paths.Path:
  return restore.weights_folder(config[PHONEME_LM], PHONEME_LM)
