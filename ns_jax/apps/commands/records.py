# SPDX-License-Identifier: Apache-2.0
"""`ns-jax prepare` and `inspect`: training records and what is in them."""

import pathlib

import click

from ns_jax import compiled
from ns_jax.apps.commands import options, shared


@shared.verb()
@click.argument("source", type=options.PATH)
@click.option(
  "--out",
  required=True,
  type=click.Path(path_type=pathlib.Path),
  help="Folder for the records; made if missing.",
)
@click.option(
  "--pitch",
  default="harvest",
  type=click.Choice(["harvest", "dio"]),
  show_default=True,
  help="dio is 90 times faster; for studio recordings only.",
)
@click.option(
  "--min-sec", default=0.5, show_default=True, help="Shortest clip."
)
@click.option(
  "--max-sec", default=30.0, show_default=True, help="Longest clip."
)
@click.option(
  "--textgrids",
  type=click.Path(path_type=pathlib.Path),
  help="Take durations from these TextGrid files (MFA's, or the like).",
)
@click.option(
  "--align/--no-align",
  default=True,
  show_default=True,
  help="Learn durations where there are none.",
)
@click.option(
  "--aligner", default="", help="Workdir of a trained aligner to use instead."
)
@click.option(
  "--codec", default="", help="Add codes: of a bundle, a workdir, or 'shipped'."
)
@click.option(
  "--sup-phonemes",
  default="",
  metavar="TEXT FILE",
  help="Learn sup-phonemes from these sentences, or from the 'records'.",
)
@click.option(
  "--valid-speakers", default="", metavar="A,B", help="Held out to validate."
)
@click.option(
  "--test-speakers", default="", metavar="A,B", help="Held out for tests."
)
@click.option(
  "--evaluation-set",
  default="",
  help="Only a set papers report on: librispeech-test-clean or vctk.",
)
@click.option(
  "--tfds-dir",
  default="~/tensorflow_datasets",
  show_default=True,
  help="Where TFDS keeps its data.",
)
@click.option(
  "--beam",
  multiple=True,
  metavar="OPTION",
  help="Beam pipeline option, e.g. --beam=--runner=FlinkRunner; repeatable.",
)
def prepare(
  source: str,
  out: pathlib.Path,
  pitch: str,
  min_sec: float,
  max_sec: float,
  textgrids: pathlib.Path | None,
  align: bool,
  aligner: str,
  codec: str,
  sup_phonemes: str,
  valid_speakers: str,
  test_speakers: str,
  evaluation_set: str,
  tfds_dir: str,
  beam: tuple[str, ...],
) -> shared.Done:
  """Makes training records of a corpus.

  SOURCE is a folder of audio and texts (an unpacked LJSpeech, VCTK,
  LibriSpeech, LibriTTS, MLS or Kaldi folder, a manifest.tsv, or a .txt beside
  each file), a corpus that TFDS has downloaded (librispeech, libritts,
  ljspeech, vctk), or demo.

  Stopped in any way, the same command goes on. Clips that cannot be used are
  listed in rejects.tsv; then the exit status is 3.

  Example: ns-jax prepare ~/LJSpeech-1.1 --out=records/ljspeech
  """
  from data_pipelines import builder
  from data_pipelines.features.clip_audio import Limits
  from ns_jax.apps import preparing

  compiled.keep()
  summary = preparing.prepare(
    preparing.Request(
      source=source,
      out=out,
      tfds_dir=tfds_dir,
      limits=Limits(min_sec=min_sec, max_sec=max_sec),
      pitch_method=pitch,
      textgrid_dir=textgrids,
      valid_speakers=_names(valid_speakers),
      test_speakers=_names(test_speakers),
      evaluation_set=evaluation_set,
      align=align,
      aligner=aligner,
      codec=codec,
      sup_phonemes=sup_phonemes,
      beam_options=beam,
    )
  )
  parts = ", ".join(f"{n} {split}" for split, n in summary.clips.items())
  text = f"{summary.records_dir}: {parts} clips"
  rejects = summary.records_dir / builder.REJECTS_FILE
  if summary.num_rejects:
    text += (
      f"\n{summary.num_rejects} clips or lines were left out; "
      f"{rejects} says why"
    )
  return shared.Done(
    text,
    {
      "out": summary.records_dir,
      "clips": summary.clips,
      "num_rejects": summary.num_rejects,
      "rejects": rejects if summary.num_rejects else None,
    },
    shared.SOME_REJECTED if summary.num_rejects else 0,
  )


@shared.verb()
@click.argument("records", type=click.Path(path_type=pathlib.Path))
@click.option(
  "--out",
  type=click.Path(path_type=pathlib.Path),
  help="Folder for the page; by default 'inspect' beside the records.",
)
def inspect(records: pathlib.Path, out: pathlib.Path | None) -> shared.Done:
  """Counts what is in RECORDS and writes a page about it.

  With pictures and warnings.

  Example: ns-jax inspect records/ljspeech
  """
  from ns_jax.apps import inspecting

  page = inspecting.inspect(records, out)
  return shared.Done(str(page), {"out": page})


def _names(commas: str) -> tuple[str, ...]:
  return tuple(name.strip() for name in commas.split(",") if name.strip())
