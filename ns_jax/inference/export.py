# SPDX-License-Identifier: Apache-2.0
"""Trained runs to bundles: what inference needs of them and nothing else."""

from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from ns_jax import files, paths
from ns_jax.errors import UserError
from ns_jax.inference import bundle, cards, restore, single_voice
from ns_jax.inference.codec import LATENT_STATISTICS, SpeechCodec
from ns_jax.inference.restore import Weights

_COMMON = ("stage", "preset", "dtype", "audio")


def export(
  weights: Weights,
  folder: paths.Path,
  card: str | None = None,
  *,
  licence: str | None = None,
  datasets: Sequence[str] = (),
) -> None:
  """Writes a run as a bundle.

  Args:
    weights: of a run of the codec, the aligner, ns1 or ns2.
    folder: for the bundle.
    card: its model card, Markdown; None: that of a bundle, which goes along,
      or what the run says of itself.
    licence: for the card's front matter, as hubs name it; None: unknown.
    datasets: likewise.

  Raises:
    UserError: the run is of another stage, or the bundle cannot be written.
  """
  stage = weights.config.stage
  if stage not in _PARTS:
    raise UserError(
      f"a run of the stage {stage} cannot be exported; "
      f"give the workdir of one of {', '.join(_PARTS)}"
    )
  config, arrays = _PARTS[stage](weights)
  kept = _fields(weights.config, _COMMON) | config
  arrays = {"params": {"gen": weights.params["gen"]}} | arrays
  tokenizer = single_voice.tokenizer_of(weights)
  bundle.write(
    folder,
    ConfigDict(kept),
    weights.step,
    arrays,
    cards.with_front_matter(
      _card(weights) if card is None else card,
      stage,
      licence,
      datasets,
    ),
    tokenizer and tokenizer.to_str(),
  )


def _card(weights: Weights) -> str:
  """The card that a bundle has, or what a run says of itself."""
  if weights.folder and bundle.is_bundle(weights.folder):
    own = weights.folder / bundle.CARD_FILE
    if own.is_file():
      try:
        return files.read_text(own)
      except UnicodeDecodeError as error:
        raise UserError(f"{own}: is no UTF-8; give another card") from error
  return cards.template(weights)


def _fields(config: Any, names: tuple[str, ...]) -> dict[str, Any]:
  return {name: config[name] for name in names}


def _of_codec(config: Any) -> dict[str, Any]:
  """What speaks of a codec itself, not of where it was trained and on what."""
  return {"model": _fields(config.model, ("codec", "quantizer"))}


def _codec(weights: Weights) -> tuple[dict[str, Any], dict[str, Any]]:
  embeddings = weights.model_state["codebook"]["embeddings"]
  codebook = {"codebook": {"embeddings": embeddings}}
  return _of_codec(weights.config), {"model_state": codebook}


def _aligner(weights: Weights) -> tuple[dict[str, Any], dict[str, Any]]:
  return _fields(weights.config, ("model", "path")), {}


def _ns2(weights: Weights) -> tuple[dict[str, Any], dict[str, Any]]:
  """The codec goes along unless it does so anyway."""
  config, frozen = weights.config, dict(weights.frozen["codec"])
  codec = SpeechCodec.of(weights)
  shipped = SpeechCodec.load()
  count = min(codec.num_codebooks, shipped.num_codebooks)
  is_shipped = shipped.first(count).codec_id == codec.codec_id
  if is_shipped:
    frozen = {name: frozen[name] for name in LATENT_STATISTICS}
  kept = _fields(config, ("model", "prompt", "sample"))
  kept["data"] = _fields(config.data, ("max_frames", "max_phonemes"))
  kept["codec"] = _fields(config.codec, _COMMON) | _of_codec(config.codec)
  kept["frozen"] = {
    "codec": restore.SHIPPED if is_shipped else "",
    "num_codebooks": codec.num_codebooks,
    "codec_id": codec.codec_id,
  }
  return kept, {"frozen": {"codec": frozen}}


def _ns1(weights: Weights) -> tuple[dict[str, Any], dict[str, Any]]:
  """Without what hears: it has no part in speaking."""
  kept = _fields(weights.config, ("sample",))
  parts = ("dim", "encoder", "durator", "flow", "posterior", "memory")
  kept["model"] = _fields(weights.config.model, (*parts, "decoder"))
  return kept, {
    "params": {"gen": single_voice.spoken(weights.params["gen"])},
    "model_state": {"remembers": weights.model_state["remembers"]},
  }


_PARTS = {
  "codec": _codec,
  "aligner": _aligner,
  "ns1": _ns1,
  "ns2": _ns2,
  "ns2_distilled": _ns2,
}
