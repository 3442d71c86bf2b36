# SPDX-License-Identifier: Apache-2.0
"""What all verbs have in common: how they begin, speak and end."""

import contextlib
import dataclasses
import functools
import inspect
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

import click

from ns_jax.apps import terminal
from ns_jax.errors import UserError

SOME_REJECTED = 3  # exit status: done, but some clips were left out
OVERWRITE = click.option(
  "--overwrite", is_flag=True, help="Replace files that are there already."
)
EXIT_STATUSES = """\b
Exit statuses:
  0    done
  1    something is broken: storage that cannot be reached, a bug, or what
       doctor found; or detect found no mark
  2    a mistake in what was asked; the last line on stderr says which
  3    done, but some files or clips were left out
  130  stopped by Ctrl-C
  143  training was stopped by SIGTERM, and has saved
"""
_JSON, _STDOUT, _PIPED = (f"ns_jax.{key}" for key in ("json", "out", "piped"))


@dataclasses.dataclass(frozen=True)
class Done:
  """What a verb has done."""

  text: str  # for people; nothing is said where it is empty
  facts: Mapping[str, Any]  # for programs, as JSON can say them
  status: int = 0  # to exit with


def verb(
  **settings: Any,
) -> Callable[[Callable[..., Done]], click.Command]:
  """Makes a function a verb of `ns-jax`.

  It gets --json and --quiet. A mistake of the user is one line on stderr, and
  then stdout stays empty.

  Args:
    **settings: of the click.Command.
  """

  def decorate(body: Callable[..., Done]) -> click.Command:
    @functools.wraps(body)
    def run(*, as_json: bool, quiet: bool, **options: Any) -> None:
      def job() -> int:
        with _muted(as_json or quiet):
          terminal.quiet_libraries()
          done = body(**options)
        _tell(done, as_json, quiet)
        return done.status

      meta = click.get_current_context().meta
      meta[_JSON], meta[_STDOUT] = as_json, sys.stdout
      sys.exit(terminal.guarded(job))

    # Examples are to be copied, and so not to be wrapped.
    text = inspect.cleandoc(body.__doc__ or "")
    help_text = text.replace("Example: ", "\b\nExample:\n  ")
    command = click.command(help=help_text, **settings)(run)
    command.params += [
      click.Option(
        ["--json", "as_json"],
        is_flag=True,
        help="Say what was done as one JSON object, and nothing else.",
      ),
      click.Option(
        ["--quiet"],
        is_flag=True,
        help="Say nothing but errors; show no progress.",
      ),
    ]
    return command

  return decorate


@contextlib.contextmanager
def piped() -> Iterator[BinaryIO]:
  """Yields stdout for bytes; what would be said there goes to stderr.

  Raises:
    UserError: --json wants stdout as well, or it is a terminal.
  """
  meta = click.get_current_context().meta
  if meta[_JSON]:
    raise UserError("--json and --out - both write to stdout; choose one")
  if meta[_STDOUT].isatty():
    raise UserError(
      "--out - would write sound to the terminal; send it on to a player, as "
      "| ffplay -nodisp -autoexit -"
    )
  meta[_PIPED] = True
  meta[_STDOUT].flush()
  with contextlib.redirect_stdout(sys.stderr):
    yield meta[_STDOUT].buffer
    meta[_STDOUT].flush()


@contextlib.contextmanager
def _muted(is_muted: bool) -> Iterator[None]:
  """Keeps stdout for the result, and shows no progress."""
  if not is_muted:
    yield
    return
  with terminal.hushed(), contextlib.redirect_stdout(sys.stderr):
    yield


def _tell(done: Done, as_json: bool, quiet: bool) -> None:
  if as_json:
    click.echo(json.dumps(_plain(done.facts), allow_nan=False))
  elif done.text and not quiet:
    is_piped = click.get_current_context().meta.get(_PIPED, False)
    click.echo(done.text, err=is_piped)


def _plain(value: Any) -> Any:
  """As JSON can say it: arrays as lists, what is not finite as null."""
  if isinstance(value, Mapping):
    return {str(name): _plain(child) for name, child in value.items()}
  if isinstance(value, list | tuple):
    return [_plain(child) for child in value]
  if isinstance(value, os.PathLike):
    return os.fspath(value)
  if hasattr(value, "tolist"):  # of NumPy
    return _plain(value.tolist())
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value
