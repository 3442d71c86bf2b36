# SPDX-License-Identifier: Apache-2.0
"""`ns-jax export`: a trained model to a folder that can be given away."""

import pathlib

import click

from ns_jax.apps.commands import options, shared
from ns_jax.errors import UserError


@shared.verb()
@click.argument("workdir", type=options.PATH)
@click.argument("out", type=options.PATH)
@click.option(
  "--card",
  required=True,
  type=click.Path(exists=True, dir_okay=False, path_type=pathlib.Path),
  help="Model card in Markdown: data and licences, figures, limits.",
)
def export(workdir: str, out: str, card: pathlib.Path) -> shared.Done:
  """Writes the model of WORKDIR to the folder OUT as a bundle.

  WORKDIR is that of a codec, an aligner, ns1 or ns2. Both may be of a bucket:
  gs://bucket/run.

  Weights in half precision (safetensors), the config and the model card.

  Example: ns-jax export runs/codec-small my-codec --card=CARD.md
  """
  from ns_jax import paths
  from ns_jax.inference import restore
  from ns_jax.inference.export import export as write_bundle

  try:
    text = card.read_text(encoding="utf-8")
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(f"{card}: is no text that can be read") from error
  write_bundle(restore.restore(workdir), paths.resolve(out), text)
  return shared.Done(out, {"out": out})
