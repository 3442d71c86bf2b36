# SPDX-License-Identifier: Apache-2.0
"""`ns-jax encode` and `decode`: speech to files of codes and back."""

import dataclasses
from typing import TYPE_CHECKING

import click

from ns_jax import compiled
from ns_jax.apps.commands import options, shared

if TYPE_CHECKING:
  from ns_jax.apps import coding

_CODEC = click.option(
  "--codec",
  default="shipped",
  show_default=True,
  type=options.PATH,
  metavar="FOLDER",
  help="Bundle or workdir of a codec; 'shipped' comes along.",
)


@shared.verb()
@click.argument(
  "sources", nargs=-1, required=True, type=options.PATH, metavar="AUDIO..."
)
@click.argument("target", type=options.PATH)
@click.option(
  "--codebooks",
  default=8,
  show_default=True,
  help="Codes in a frame, 0.8 kbit/s each.",
)
@_CODEC
@shared.OVERWRITE
def encode(
  sources: tuple[str, ...],
  target: str,
  codebooks: int,
  codec: str,
  overwrite: bool,
) -> shared.Done:
  """Encodes speech to a file of codes.

  AUDIO is files of any kind and rate, or folders; TARGET is an .nsc file, or a
  folder for several. Files of any length need little memory.

  Example: ns-jax encode in.wav out.nsc --codebooks 8
  """
  from ns_jax.apps import coding
  from ns_jax.inference.codec import SpeechCodec

  compiled.keep()
  loaded = SpeechCodec.load(codec)
  return _done(
    target,
    coding.encode(
      sources,
      target,
      codec=loaded,
      num_codebooks=codebooks,
      overwrite=overwrite,
    ),
  )


@shared.verb()
@click.argument(
  "sources", nargs=-1, required=True, type=options.PATH, metavar="CODES..."
)
@click.argument("target", type=options.PATH)
@_CODEC
@shared.OVERWRITE
def decode(
  sources: tuple[str, ...], target: str, codec: str, overwrite: bool
) -> shared.Done:
  """Decodes files of codes to speech.

  CODES is .nsc files or folders; TARGET is a .wav or .flac file, or a folder
  for several.

  Example: ns-jax decode out.nsc back.wav
  """
  from ns_jax.apps import coding
  from ns_jax.inference.codec import SpeechCodec

  compiled.keep()
  loaded = SpeechCodec.load(codec)
  summary = coding.decode(sources, target, codec=loaded, overwrite=overwrite)
  return _done(target, summary)


def _done(target: str, summary: "coding.Summary") -> shared.Done:
  """What was done, in a line or two."""
  text = (
    f"{summary.num_files} file(s), {summary.audio_sec:.1f} s of audio, "
    f"{summary.num_bytes} bytes written, "
    f"{summary.audio_sec / summary.seconds:.1f} times real time"
  )
  if summary.failures:
    text += f"\n{len(summary.failures)} file(s) could not be used"
  return shared.Done(
    text,
    {"out": target, **dataclasses.asdict(summary)},
    shared.SOME_REJECTED if summary.failures else 0,
  )
