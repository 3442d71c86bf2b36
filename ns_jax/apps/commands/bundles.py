# SPDX-License-Identifier: Apache-2.0
"""`ns-jax export`: a trained model to a folder that can be given away."""

import pathlib

import click

from ns_jax.apps.commands import shared
from ns_jax.errors import UserError


@click.command()
@click.argument("workdir")
@click.argument("out")
@click.option(
  "--card",
  type=click.Path(exists=True, dir_okay=False, path_type=pathlib.Path),
  help="Model card in Markdown: data and licences, figures, limits. "
  "Without one, what the run says of itself.",
)
@click.option(
  "--license",
  "licence",
  help="Of the weights, as Hugging Face names it: apache-2.0, cc-by-4.0, ...",
)
@click.option(
  "--dataset",
  "datasets",
  multiple=True,
  help="Of the training, as Hugging Face names it; repeatable.",
)
def export(
  workdir: str,
  out: str,
  card: pathlib.Path | None,
  licence: str | None,
  datasets: tuple[str, ...],
) -> None:
  """Writes the model of WORKDIR to the folder OUT as a bundle.

  WORKDIR is that of a codec, an aligner, ns1 or ns2. Both may be of a bucket:
  gs://bucket/run.

  Weights in half precision (safetensors), the config, the model card with
  front matter for Hugging Face, and SHA256SUMS.

  Example: ns-jax export runs/ns2-demo my-voice --license=cc-by-4.0
  """

  def job() -> int:
    from ns_jax import paths
    from ns_jax.inference import restore
    from ns_jax.inference.export import export as write_bundle

    try:
      text = card.read_text(encoding="utf-8") if card else None
    except (OSError, UnicodeDecodeError) as error:
      raise UserError(f"{card}: is no text that can be read") from error
    write_bundle(
      restore.restore(workdir),
      paths.resolve(out),
      text,
      licence=licence,
      datasets=datasets,
    )
    click.echo(out)
    return 0

  shared.run(job)
