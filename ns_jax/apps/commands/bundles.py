# SPDX-License-Identifier: Apache-2.0
"""`ns-jax export` and `export-stablehlo`: trained models to give away."""

import pathlib

import click

from ns_jax.apps.commands import options, shared
from ns_jax.errors import UserError


@shared.verb()
@click.argument("workdir", type=options.PATH)
@click.argument("out", type=options.PATH)
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
) -> shared.Done:
  """Writes the model of WORKDIR to the folder OUT as a bundle.

  WORKDIR is that of a codec, an aligner, ns1 or ns2. Both may be of a bucket:
  gs://bucket/run.

  Weights in half precision (safetensors), the config, the model card with
  front matter for Hugging Face, and SHA256SUMS.

  Example: ns-jax export runs/ns2-demo my-voice --license=cc-by-4.0
  """
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
  return shared.Done(out, {"out": out})


@shared.verb()
@click.argument("model", type=options.PATH)
@click.argument("out", type=options.PATH)
def export_stablehlo(model: str, out: str) -> shared.Done:
  """Writes MODEL to the folder OUT as StableHLO, which runs without ns_jax.

  MODEL is a bundle or workdir of a codec or of ns2; 'shipped' is the ns2 that
  comes along. The programs are for CPU, CUDA and TPU, and of any batch and
  length; manifest.json says what goes in and what comes out.

  Example: ns-jax export-stablehlo shipped hlo
  """
  from ns_jax import paths
  from ns_jax.inference import restore, stablehlo

  weights = restore.restore(restore.weights_folder(model, "ns2"))
  names = stablehlo.export(weights, paths.resolve(out))
  return shared.Done(
    f"{out}: {', '.join(names)}", {"out": out, "programs": names}
  )
