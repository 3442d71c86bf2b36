# SPDX-License-Identifier: Apache-2.0
"""`ns-jax encode` and `decode`: speech to files of codes and back."""

from typing import Any

import click

from ns_jax.apps import terminal
from ns_jax.apps.commands import shared

_CODEC = click.option(
  "--codec",
  default="shipped",
  show_default=True,
  metavar="FOLDER",
  help="Bundle or workdir of a codec; 'shipped' comes along.",
)


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="AUDIO...")
@click.argument("target")
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

  shared.run(job)


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="CODES...")
@click.argument("target")
@_CODEC
@shared.OVERWRITE
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

  shared.run(job)


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
  return shared.SOME_REJECTED
