# SPDX-License-Identifier: Apache-2.0
"""`ns-jax serve`."""

import contextlib
import os
import pathlib
from collections.abc import Mapping

import click

from ns_jax import compiled
from ns_jax.apps.commands import options, shared
from ns_jax.errors import UserError

_KEY_VARIABLE = "NS_JAX_API_KEY"
_SHORTEST_KEY = 16  # characters
_FILE = click.Path(path_type=pathlib.Path)


@shared.verb()
@options.MODEL
@click.option(
  "--voice",
  "named",
  multiple=True,
  metavar="NAME=FILE",
  help="A voice, by a recording of it; repeatable.",
)
@click.option(
  "--voices", type=_FILE, help="Folder of recordings; their names are names."
)
@click.option(
  "--voices-dir",
  type=_FILE,
  help="Folder where uploaded voices are kept; else they end with the server.",
)
@click.option(
  "--host",
  default="127.0.0.1",
  show_default=True,
  help="Address to listen at; others than this machine's own need a key.",
)
@click.option(
  "--port",
  type=click.IntRange(0, 65535),
  default=8000,
  show_default=True,
  help="Port to listen at; 0: any that is free.",
)
@click.option(
  "--api-key-file",
  type=_FILE,
  help=f"File with the key that clients must send; or set {_KEY_VARIABLE}.",
)
@click.option(
  "--no-key", is_flag=True, help="Let anybody in who can reach --host."
)
@click.option(
  "--max-batch",
  type=click.IntRange(1, 64),
  help="Sentences spoken at once.  [default: 1 on a CPU, 8 elsewhere]",
)
@click.option(
  "--max-requests",
  type=click.IntRange(1, 10_000),
  default=64,
  show_default=True,
  help="That are spoken or wait; more are refused.",
)
@click.option(
  "--max-characters",
  type=click.IntRange(1, 1_000_000),
  default=4096,
  show_default=True,
  help="Of a text.",
)
@click.option(
  "--max-upload-mb",
  type=click.IntRange(1, 1000),
  default=10,
  show_default=True,
  help="Of a recording.",
)
@click.option(
  "--max-prompt-sec",
  type=click.FloatRange(1.0, 3600.0),
  default=60.0,
  show_default=True,
  help="Length of a recording.",
)
@click.option(
  "--timeout-sec",
  type=click.FloatRange(0.1, 86_400.0),
  default=120.0,
  show_default=True,
  help="From a request to the last byte of its answer.",
)
@options.MARK
def serve(
  model: str,
  named: tuple[str, ...],
  voices: pathlib.Path | None,
  voices_dir: pathlib.Path | None,
  host: str,
  port: int,
  api_key_file: pathlib.Path | None,
  no_key: bool,
  max_batch: int | None,
  max_requests: int,
  max_characters: int,
  max_upload_mb: int,
  max_prompt_sec: float,
  timeout_sec: float,
  mark: bool,
) -> shared.Done:
  """Speaks over HTTP, as clients of OpenAI's API ask for it.

  Example: ns-jax serve --voice anna=anna.wav
  """
  from ns_jax.apps import addresses, marking

  try:
    from ns_jax.apps.serving import engine, logs, server, service, settings
    from ns_jax.apps.serving import voices as registry
  except ImportError as error:
    raise UserError(
      f"{error.name} is missing; pip install 'ns_jax[serve]' brings it"
    ) from error
  prompts = {**_in_folder(voices), **_by_name(named)}
  key = _read_key(api_key_file)
  mark_key = marking.key_if(mark)
  kept = registry.held(voices_dir) if voices_dir else contextlib.nullcontext()
  with kept, server.listen(host, port) as listening:
    url = addresses.url(listening)
    is_local = addresses.is_own(listening.getsockname()[0])
    access = settings.Access(key, is_local)
    if not (access.is_local or key or no_key):
      raise UserError(
        f"--host {host} can be reached from other machines: give a key with "
        f"--api-key-file or {_KEY_VARIABLE}, or --no-key to let anybody in"
      )
    compiled.keep()
    logs.to_stderr()
    limits = settings.Limits(
      max_requests=max_requests,
      max_characters=max_characters,
      max_upload_bytes=max_upload_mb * 2**20,
      max_prompt_sec=max_prompt_sec,
      timeout_sec=timeout_sec,
    )
    chosen = service.Settings(
      lambda: engine.load(model, max_batch),
      prompts,
      voices_dir,
      limits,
      access,
      mark_key,
    )
    server.Running(chosen, listening).run()
  return shared.Done("", {"url": url})


def _by_name(named: tuple[str, ...]) -> Mapping[str, pathlib.Path]:
  """What --voice says."""
  from ns_jax.apps.serving import voices

  prompts = {}
  for word in named:
    name, equals, file = word.partition("=")
    if not equals:
      raise UserError(f"--voice {word}: give a name, = and a file")
    try:
      prompts[voices.check_name(name)] = pathlib.Path(file)
    except UserError as error:
      raise UserError(f"--voice {word}: {error}") from error
  return prompts


def _in_folder(folder: pathlib.Path | None) -> Mapping[str, pathlib.Path]:
  """The recordings of a folder, by their names without suffixes."""
  from ns_jax import audio_files
  from ns_jax.apps.serving import voices

  if folder is None:
    return {}
  if not folder.is_dir():
    raise UserError(f"--voices {folder}: no such folder")
  prompts = {}
  for path in sorted(folder.iterdir()):
    if path.suffix.lower() in audio_files.SUFFIXES:
      try:
        prompts[voices.check_name(path.stem)] = path
      except UserError as error:
        raise UserError(f"{path}: {error}; rename it") from error
  if not prompts:
    raise UserError(f"--voices {folder}: holds no recordings")
  return prompts


def _read_key(path: pathlib.Path | None) -> str | None:
  """The key that clients must send; None: none."""
  if path is None:
    key, where = os.environ.get(_KEY_VARIABLE), _KEY_VARIABLE
    if key is None:
      return None
  else:
    where = str(path)
    try:
      key = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
      raise UserError(f"{path}: cannot be read as a key") from error
  key = key.strip()  # as HTTP does it with headers
  if len(key) < _SHORTEST_KEY or not key.isascii() or not key.isprintable():
    raise UserError(
      f"{where}: a key has {_SHORTEST_KEY} or more printable ASCII characters; "
      "make one with: openssl rand -hex 32"
    )
  return key
