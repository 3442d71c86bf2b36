# SPDX-License-Identifier: Apache-2.0
"""The command `ns-jax`: one verb for each thing to be done.

Nothing heavy is imported before a verb needs it, so help comes at once.
"""

import pathlib
import sys
from collections.abc import Callable
from typing import Any

import click

from ns_jax.apps import terminal
from ns_jax.errors import UserError

_MARGIN_SEC = 0.2  # before a song, for the consonants of its first note
SOME_REJECTED = 3  # exit status: done, but some clips were left out


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ns_jax", prog_name="ns-jax")
def cli() -> None:
  """NaturalSpeech and NaturalSpeech 2 in JAX."""


@cli.command()
@click.argument("source")
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
) -> None:
  """Makes training records of a corpus.

  SOURCE is a folder of audio and texts (an unpacked LJSpeech, VCTK,
  LibriSpeech, LibriTTS, MLS or Kaldi folder, a manifest.tsv, or a .txt beside
  each file), a corpus that TFDS has downloaded (librispeech, libritts,
  ljspeech, vctk), or demo.

  Stopped in any way, the same command goes on. Clips that cannot be used are
  listed in rejects.tsv; then the exit status is 3.

  Example: ns-jax prepare ~/LJSpeech-1.1 --out=records/ljspeech
  """

  def job() -> int:
    from data_pipelines import builder
    from data_pipelines.features.clip_audio import Limits
    from ns_jax.apps import preparing

    terminal.cache_compiled()
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
    click.echo(f"{summary.records_dir}: {parts} clips")
    if not summary.num_rejects:
      return 0
    click.echo(
      f"{summary.num_rejects} clips or lines were left out; "
      f"{summary.records_dir / builder.REJECTS_FILE} says why"
    )
    return SOME_REJECTED

  _run(job)


@cli.command()
@click.argument("records", type=click.Path(path_type=pathlib.Path))
@click.option(
  "--out",
  type=click.Path(path_type=pathlib.Path),
  help="Folder for the page; by default 'inspect' beside the records.",
)
def inspect(records: pathlib.Path, out: pathlib.Path | None) -> None:
  """Counts what is in RECORDS and writes a page with pictures and warnings.

  Example: ns-jax inspect records/ljspeech
  """

  def job() -> int:
    from ns_jax.apps import inspecting

    click.echo(inspecting.inspect(records, out))
    return 0

  _run(job)


_CODEC = click.option(
  "--codec",
  default="shipped",
  show_default=True,
  metavar="FOLDER",
  help="Bundle or workdir of a codec; 'shipped' comes along.",
)
_OVERWRITE = click.option(
  "--overwrite", is_flag=True, help="Replace files that are there already."
)


@cli.command()
@click.argument("sources", nargs=-1, required=True, metavar="AUDIO...")
@click.argument("target")
@click.option(
  "--codebooks",
  default=8,
  show_default=True,
  help="Codes in a frame, 0.8 kbit/s each.",
)
@_CODEC
@_OVERWRITE
def encode(
  sources: tuple[str, ...],
  target: str,
  codebooks: int,
  codec: str,
  overwrite: bool,
) -> None:
  """Encodes speech to a file of codes.

  AUDIO is files of any kind and rate, or folders; TARGET is an .nsc file, or a
  folder for several. Files of any length need little memory.

  Example: ns-jax encode in.wav out.nsc --codebooks 8
  """

  def job() -> int:
    from ns_jax.apps import coding
    from ns_jax.inference.codec import SpeechCodec

    terminal.cache_compiled()
    loaded = SpeechCodec.load(codec)
    return _tell(
      coding.encode(
        sources,
        target,
        codec=loaded,
        num_codebooks=codebooks,
        overwrite=overwrite,
      )
    )

  _run(job)


@cli.command()
@click.argument("sources", nargs=-1, required=True, metavar="CODES...")
@click.argument("target")
@_CODEC
@_OVERWRITE
def decode(
  sources: tuple[str, ...], target: str, codec: str, overwrite: bool
) -> None:
  """Decodes files of codes to speech.

  CODES is .nsc files or folders; TARGET is a .wav or .flac file, or a folder
  for several.

  Example: ns-jax decode out.nsc back.wav
  """

  def job() -> int:
    from ns_jax.apps import coding
    from ns_jax.inference.codec import SpeechCodec

    terminal.cache_compiled()
    loaded = SpeechCodec.load(codec)
    return _tell(
      coding.decode(sources, target, codec=loaded, overwrite=overwrite)
    )

  _run(job)


_MODEL = click.option(
  "--model",
  default="shipped",
  show_default=True,
  metavar="FOLDER",
  help="Bundle or workdir of ns2; 'shipped' comes along.",
)
_WAVE_OUT = click.option(
  "--out", required=True, metavar="WAV", help="Wave file to write."
)
_TEXT_OF_SOURCE = click.option(
  "--text", required=True, help="What is said in SOURCE."
)


@cli.command()
@click.option("--text", help="What to say; of any length.")
@click.option(
  "--text-file",
  type=click.Path(path_type=pathlib.Path),
  help="Texts, one a line; --out is then a folder.",
)
@click.option(
  "--prompt",
  "prompts",
  multiple=True,
  required=True,
  metavar="AUDIO",
  help="A few seconds of the voice; repeatable.",
)
@click.option(
  "--out", required=True, metavar="WAV", help="Wave file or folder to write."
)
@_MODEL
@click.option(
  "--speed", default=1.0, show_default=True, help="2: twice as fast."
)
@click.option(
  "--pitch", default=0.0, show_default=True, help="Semitones up or down."
)
@click.option(
  "--energy", default=0.0, show_default=True, help="Decibels louder or softer."
)
@click.option("--seed", default=0, show_default=True, help="Another reading.")
@click.option("--solver", help="Of the diffusion: euler, heun, dpmpp_2m, ...")
@click.option("--steps", type=int, help="Of the solver.")
@click.option("--temperature", type=float, help="The start has variance 1/T.")
@click.option(
  "--guidance", type=float, help="Follow the voice closer: 0.5 to 2; 0: off."
)
@_OVERWRITE
def synthesize(
  text: str | None,
  text_file: pathlib.Path | None,
  prompts: tuple[str, ...],
  out: str,
  model: str,
  speed: float,
  pitch: float,
  energy: float,
  seed: int,
  solver: str | None,
  steps: int | None,
  temperature: float | None,
  guidance: float | None,
  overwrite: bool,
) -> None:
  """Says a text in the voice of a recording.

  Example: ns-jax synthesize --text "Hello." --prompt voice.wav --out hello.wav
  """

  def job() -> int:
    if (text is None) == (text_file is None):
      raise UserError("give one of --text and --text-file")
    from ns_jax.apps import speaking
    from ns_jax.inference.synthesize import Manner

    terminal.cache_compiled()
    texts = speaking.read_texts(text_file) if text_file else [text or ""]
    seconds = speaking.synthesize(
      texts,
      prompts,
      out,
      model=model,
      sampling=speaking.Sampling(solver, steps, temperature, guidance),
      manner=Manner(speed, pitch, energy),
      seed=seed,
      overwrite=overwrite,
    )
    click.echo(f"{out}: {seconds:.2f} s of speech")
    return 0

  _run(job)


@cli.command()
@click.argument("source")
@_TEXT_OF_SOURCE
@click.option(
  "--prompt", required=True, metavar="AUDIO", help="Who is to say it."
)
@_WAVE_OUT
@_MODEL
@click.option(
  "--steps", default=50, show_default=True, help="Of the solver, each way."
)
@_OVERWRITE
def convert(
  source: str,
  text: str,
  prompt: str,
  out: str,
  model: str,
  steps: int,
  overwrite: bool,
) -> None:
  """Says the recording SOURCE again in another voice, with its timing.

  Example: ns-jax convert me.wav --text "Hello." --prompt you.wav --out out.wav
  """

  def job() -> int:
    from ns_jax.apps import speaking

    terminal.cache_compiled()
    speaking.convert_voice(
      source, text, prompt, out, model=model, steps=steps, overwrite=overwrite
    )
    click.echo(out)
    return 0

  _run(job)


@cli.command()
@click.argument("source")
@_TEXT_OF_SOURCE
@click.option(
  "--prompt", required=True, metavar="AUDIO", help="The speaker without noise."
)
@click.option(
  "--noise",
  metavar="AUDIO",
  help="The noise alone, as loud as in SOURCE; else heard in its pauses.",
)
@_WAVE_OUT
@_MODEL
@click.option(
  "--steps", default=50, show_default=True, help="Of the solver, each way."
)
@_OVERWRITE
def enhance(
  source: str,
  text: str,
  prompt: str,
  noise: str | None,
  out: str,
  model: str,
  steps: int,
  overwrite: bool,
) -> None:
  """Says the noisy recording SOURCE again without the noise.

  Example: ns-jax enhance street.wav --text "Hello." --prompt me.wav --out o.wav
  """

  def job() -> int:
    from ns_jax.apps import speaking

    terminal.cache_compiled()
    speaking.enhance(
      source,
      text,
      prompt,
      noise,
      out,
      model=model,
      steps=steps,
      overwrite=overwrite,
    )
    click.echo(out)
    return 0

  _run(job)


@cli.command()
@click.argument("song")
@click.option(
  "--text", help="What is sung, where SONG is a recording to sing like."
)
@click.option(
  "--prompt", required=True, metavar="AUDIO", help="Who is to sing it."
)
@_WAVE_OUT
@_MODEL
@click.option(
  "--transpose", default=0.0, show_default=True, help="Semitones up or down."
)
@click.option(
  "--glide", default=0.06, show_default=True, help="Seconds from note to note."
)
@click.option(
  "--vibrato", default=0.0, show_default=True, help="Cents up and down."
)
@click.option("--seed", default=0, show_default=True, help="Another rendition.")
@_OVERWRITE
def sing(
  song: str,
  text: str | None,
  prompt: str,
  out: str,
  model: str,
  transpose: float,
  glide: float,
  vibrato: float,
  seed: int,
  overwrite: bool,
) -> None:
  """Sings a score with lyrics (MusicXML, MIDI) in the voice of a recording.

  Example: ns-jax sing twinkle.musicxml --prompt voice.wav --out song.wav
  """

  def job() -> int:
    from ns_jax.apps import speaking
    from ns_jax.singing.plan import Rendition

    terminal.cache_compiled()
    rendition = Rendition(
      transpose_semitones=transpose,
      glide_sec=glide,
      vibrato_cents=vibrato,
      margin_sec=_MARGIN_SEC,
    )
    seconds = speaking.sing(
      song,
      text,
      prompt,
      out,
      model=model,
      rendition=rendition,
      seed=seed,
      overwrite=overwrite,
    )
    click.echo(f"{out}: {seconds:.2f} s of song")
    return 0

  _run(job)


@cli.command()
@click.argument("workdir", type=click.Path(path_type=pathlib.Path))
@click.argument("out", type=click.Path(path_type=pathlib.Path))
@click.option(
  "--card",
  required=True,
  type=click.Path(exists=True, dir_okay=False, path_type=pathlib.Path),
  help="Model card in Markdown: data and licences, figures, limits.",
)
def export(
  workdir: pathlib.Path, out: pathlib.Path, card: pathlib.Path
) -> None:
  """Writes the model of WORKDIR to the folder OUT as a bundle.

  WORKDIR is that of a codec, an aligner or ns2.

  Weights in half precision (safetensors), the config and the model card.

  Example: ns-jax export runs/codec-small my-codec --card=CARD.md
  """

  def job() -> int:
    from ns_jax.inference import restore
    from ns_jax.inference.export import export as write_bundle

    try:
      text = card.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
      raise UserError(f"{card}: is no text that can be read") from error
    write_bundle(restore.restore(workdir), out, text)
    click.echo(out)
    return 0

  _run(job)


def _tell(summary: Any) -> int:
  """One line about what was done; the exit status."""
  click.echo(
    f"{summary.num_files} file(s), {summary.audio_sec:.1f} s of audio, "
    f"{summary.num_bytes} bytes written, "
    f"{summary.audio_sec / summary.seconds:.1f} times real time"
  )
  if not summary.failures:
    return 0
  click.echo(f"{len(summary.failures)} file(s) could not be used")
  return SOME_REJECTED


def _names(commas: str) -> tuple[str, ...]:
  return tuple(name.strip() for name in commas.split(",") if name.strip())


def _run(job: Callable[[], int]) -> None:
  terminal.quiet_libraries()
  sys.exit(terminal.guarded(job))


def main() -> None:
  """Entry point of `ns-jax`."""
  cli(prog_name="ns-jax")


if __name__ == "__main__":
  main()
