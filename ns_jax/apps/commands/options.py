# SPDX-License-Identifier: Apache-2.0
"""Options that several verbs have, with what a shell completes in them."""

import pkgutil
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

F = TypeVar("F", bound=Callable[..., Any])

# Names of files and folders as they were given, completed by the shell.
PATH = click.Path()
SOLVERS = (  # diffusion.samplers.SOLVERS, which takes JAX to know
  "euler",
  "heun",
  "ddim",
  "dpmpp_2m",
  "jump",
  "euler_maruyama",
  "ancestral",
)
FORMATS = ("wav", "flac", "mp3", "opus", "pcm")  # audio_formats.FORMATS
MODEL = click.option(
  "--model",
  default="shipped",
  show_default=True,
  type=PATH,
  metavar="FOLDER",
  help="Bundle or workdir of a model; 'shipped' comes along.",
)
MARK = click.option(
  "--mark",
  is_flag=True,
  help="Put an inaudible mark on it, which 'ns-jax detect' finds.",
)
STEPS = click.IntRange(1, 10_000)  # models.ns2_sampling.MAX_STEPS
SEED = click.option(
  "--seed",
  type=click.IntRange(0, 2**31 - 1),
  default=0,
  show_default=True,
  help="Another rendition.",
)


def prompt(what: str, *, required: bool = True) -> Callable[[F], F]:
  """The option --prompt, in a list `prompts`."""
  return click.option(
    "--prompt",
    "prompts",
    multiple=True,
    required=required,
    type=PATH,
    metavar="AUDIO",
    help=f"{what} Repeatable, of one speaker.",
  )


def out(what: str = "File to write.") -> Callable[[F], F]:
  """The option --out, of audio."""
  return click.option(
    "--out",
    required=True,
    type=PATH,
    metavar="AUDIO",
    help=f"{what} Suffix: {', '.join(FORMATS)} or ogg.",
  )


class ConfigFile(click.ParamType):
  """A config file with a preset; or one that comes along, in short."""

  name = "config"

  def convert(
    self,
    value: str,
    param: click.Parameter | None,
    ctx: click.Context | None,
  ) -> str:
    """The name as given, which `config_files.find` understands."""
    if value.startswith("-"):
      self.fail(f"{value!r}: name the config before its fields", param, ctx)
    return value

  def shell_complete(
    self, ctx: click.Context, param: click.Parameter, incomplete: str
  ) -> list[CompletionItem]:
    """What comes along with its presets, or files."""
    found = [name for name in _shipped() if name.startswith(incomplete)]
    if found:
      return [CompletionItem(name) for name in found]
    return [CompletionItem(incomplete, type="file")]


def _shipped() -> list[str]:
  """Names of configs that come along, with their presets."""
  import importlib

  import configs

  names = []
  for found in pkgutil.iter_modules(configs.__path__):
    module = importlib.import_module(f"configs.{found.name}")
    for preset in getattr(module, "PRESETS", ()):
      names.append(f"{found.name}:{preset}".removesuffix(":"))
  return names
