# SPDX-License-Identifier: Apache-2.0
"""`ns-jax synthesize`, `convert`, `enhance` and `sing`."""

import pathlib
from typing import Any

import click

from ns_jax.apps.commands import options, shared
from ns_jax.errors import UserError

_MARGIN_SEC = 0.2  # before a song, for the consonants of its first note
_STDOUT = "-"
_TEXT_OF_SOURCE = click.option(
  "--text", required=True, help="What is said in SOURCE."
)
_STEPS_EACH_WAY = click.option(
  "--steps",
  type=options.STEPS,
  default=25,  # inference.convert.STEPS
  show_default=True,
  help="Of the solver, each way.",
)


@shared.verb()
@click.option("--text", help="What to say; of any length.")
@click.option(
  "--text-file",
  type=click.Path(path_type=pathlib.Path),
  help="Texts, one a line; --out is then a folder.",
)
@options.prompt(
  "A few seconds of the voice. A model of ns1 has its own.", required=False
)
@options.out("File or folder to write; '-': stdout, while it is made.")
@click.option(
  "--format",
  type=click.Choice(options.FORMATS),
  default="wav",
  show_default=True,
  help="Of files in a folder and of stdout; else the suffix says it.",
)
@options.MODEL
@click.option(
  "--speed", default=1.0, show_default=True, help="2: twice as fast."
)
@click.option(
  "--pitch", default=0.0, show_default=True, help="Semitones up or down."
)
@click.option(
  "--energy", default=0.0, show_default=True, help="Decibels louder or softer."
)
@options.SEED
@click.option(
  "--solver", type=click.Choice(options.SOLVERS), help="Of the diffusion."
)
@click.option("--steps", type=options.STEPS, help="Of the solver.")
@click.option(
  "--temperature",
  type=float,
  help="ns2: the start has variance 1/T. ns1: what is drawn deviates by T.",
)
@click.option(
  "--guidance", type=float, help="Follow the voice closer: 0.5 to 2; 0: off."
)
@options.MARK
@shared.OVERWRITE
def synthesize(
  text: str | None,
  text_file: pathlib.Path | None,
  prompts: tuple[str, ...],
  out: str,
  format: str,
  model: str,
  speed: float,
  pitch: float,
  energy: float,
  seed: int,
  solver: str | None,
  steps: int | None,
  temperature: float | None,
  guidance: float | None,
  mark: bool,
  overwrite: bool,
) -> shared.Done:
  """Says a text in the voice of a recording.

  To hear it while it is made: --out - | ffplay -nodisp -autoexit -

  Example: ns-jax synthesize --text "Hello." --prompt voice.wav --out hello.wav
  """
  if (text is None) == (text_file is None):
    raise UserError("give one of --text and --text-file")
  from ns_jax.apps import marking, speaking
  from ns_jax.inference.sampling import Sampling
  from ns_jax.inference.utterance import Manner

  texts = speaking.read_texts(text_file) if text_file else [text or ""]
  how: Any = dict(
    model=model,
    sampling=Sampling(solver, steps, temperature, guidance),
    manner=Manner(speed, pitch, energy),
    seed=seed,
    mark_key=marking.key_if(mark),
  )
  if out == _STDOUT:
    with shared.piped() as stdout:
      whole = "\n\n".join(texts)  # a line is a paragraph
      seconds = speaking.stream(whole, prompts, stdout, format=format, **how)
  else:
    folder_format = format if text_file else None
    seconds = speaking.synthesize(
      texts,
      prompts,
      out,
      folder_format=folder_format,
      overwrite=overwrite,
      **how,
    )
  return _done(out, seconds, "speech")


@shared.verb()
@click.argument("source", type=options.PATH)
@_TEXT_OF_SOURCE
@options.prompt("Who is to say it.")
@options.out()
@options.MODEL
@_STEPS_EACH_WAY
@options.MARK
@shared.OVERWRITE
def convert(
  source: str,
  text: str,
  prompts: tuple[str, ...],
  out: str,
  model: str,
  steps: int,
  mark: bool,
  overwrite: bool,
) -> shared.Done:
  """Says a recording again in another voice.

  The timing of SOURCE stays as it is.

  Example: ns-jax convert me.wav --text "Hello." --prompt you.wav --out out.wav
  """
  from ns_jax.apps import marking, speaking

  seconds = speaking.convert_voice(
    source,
    text,
    prompts,
    out,
    model=model,
    steps=steps,
    overwrite=overwrite,
    mark_key=marking.key_if(mark),
  )
  return _done(out, seconds, "speech")


@shared.verb()
@click.argument("source", type=options.PATH)
@_TEXT_OF_SOURCE
@options.prompt("The speaker without noise.")
@click.option(
  "--noise",
  type=options.PATH,
  metavar="AUDIO",
  help="The noise alone, as loud as in SOURCE; else heard in its pauses.",
)
@options.out()
@options.MODEL
@_STEPS_EACH_WAY
@options.MARK
@shared.OVERWRITE
def enhance(
  source: str,
  text: str,
  prompts: tuple[str, ...],
  noise: str | None,
  out: str,
  model: str,
  steps: int,
  mark: bool,
  overwrite: bool,
) -> shared.Done:
  """Says a noisy recording again without the noise.

  Example: ns-jax enhance street.wav --text "Hello." --prompt me.wav --out o.wav
  """
  from ns_jax.apps import marking, speaking

  seconds = speaking.enhance(
    source,
    text,
    prompts,
    noise,
    out,
    model=model,
    steps=steps,
    overwrite=overwrite,
    mark_key=marking.key_if(mark),
  )
  return _done(out, seconds, "speech")


@shared.verb()
@click.argument("song", type=options.PATH)
@click.option(
  "--text", help="What is sung, where SONG is a recording to sing like."
)
@options.prompt("Who is to sing it.")
@options.out()
@options.MODEL
@click.option(
  "--transpose", default=0.0, show_default=True, help="Semitones up or down."
)
@click.option(
  "--glide",
  default=0.06,
  show_default=True,
  help="Seconds from note to note of a score.",
)
@click.option(
  "--vibrato",
  default=0.0,
  show_default=True,
  help="Cents up and down, in a score.",
)
@options.SEED
@options.MARK
@shared.OVERWRITE
def sing(
  song: str,
  text: str | None,
  prompts: tuple[str, ...],
  out: str,
  model: str,
  transpose: float,
  glide: float,
  vibrato: float,
  seed: int,
  mark: bool,
  overwrite: bool,
) -> shared.Done:
  """Sings a score in the voice of a recording.

  SONG is MusicXML or MIDI with lyrics, or somebody singing what --text says.

  Example: ns-jax sing twinkle.musicxml --prompt voice.wav --out song.wav
  """
  from ns_jax.apps import marking, speaking
  from ns_jax.singing.plan import Rendition

  rendition = Rendition(
    transpose_semitones=transpose,
    glide_sec=glide,
    vibrato_cents=vibrato,
    margin_sec=_MARGIN_SEC,
  )
  seconds = speaking.sing(
    song,
    text,
    prompts,
    out,
    model=model,
    rendition=rendition,
    seed=seed,
    overwrite=overwrite,
    mark_key=marking.key_if(mark),
  )
  return _done(out, seconds, "song")


def _done(out: str, seconds: float, what: str) -> shared.Done:
  """What was written."""
  return shared.Done(
    f"{out}: {seconds:.2f} s of {what}", {"out": out, "audio_sec": seconds}
  )
