# SPDX-License-Identifier: Apache-2.0
"""The flag --config, which finds the configs that come along from anywhere."""

import pathlib
from importlib import util
from typing import Any

from absl import flags
from ml_collections import config_flags
from ml_collections.config_flags import config_flags as parsers

from ns_jax.errors import UserError

# What absl and ml_collections raise for mistyped flags, fields, values, files.
MISTAKES = (AttributeError, KeyError, TypeError, OSError, flags.Error)
_PACKAGE = "configs"


def define(
  values: flags.FlagValues = flags.FLAGS, argv: list[str] | None = None
) -> flags.FlagHolder:
  """Defines --config, and --config.FIELD to override what the file says.

  Args:
    values: the flags to add it to.
    argv: the command, where it is not this program's.
  """
  holder = config_flags.DEFINE_config_file(
    "config",
    None,
    "Config file with an optional preset, configs/ns2.py:tiny.",
    flag_values=values,
    sys_argv=argv,
  )
  values["config"].parser = _Parser("config")
  return holder


def find(name: str) -> str:
  """Finds the file of a config.

  Args:
    name: of a file, or of one that comes along: configs/ns2.py, or just ns2; a
      preset may follow after a colon.

  Returns:
    The same with the path of a file that is there. One of the user's comes
    before one that comes along.

  Raises:
    UserError: there is no such file.
  """
  file, colon, preset = name.partition(":")
  path = pathlib.Path(file).expanduser()
  if not path.is_file():
    installed = _installed()
    short = path.as_posix().removeprefix(f"{_PACKAGE}/").removesuffix(".py")
    if short not in installed:
      raise UserError(
        f"--config={file}: there is no such file; those that come along are "
        + ", ".join(f"{_PACKAGE}/{name}.py" for name in installed)
      )
    path = installed[short]
  return f"{path}{colon}{preset}"


def explain(error: Exception) -> str:
  """What is wrong, in one line, of one of `MISTAKES`."""
  reason: Any = error
  while isinstance(reason, Exception) and reason.args:
    reason = reason.args[-1]  # ml_collections puts one into another
  line = " ".join(str(reason).split())
  if isinstance(error, flags.Error):
    return line  # names its flag
  field = line.strip("\"'")
  if field.isidentifier():
    line = f"has no field {field!r}; its file says which it has"
  return f"--config: {line}"


class _Parser(parsers.ConfigFileFlagParser):
  """Reads what `find` finds."""

  def parse(self, path: str) -> Any:
    return super().parse(find(path))


def _installed() -> dict[str, pathlib.Path]:
  """Configs that come along, by their names."""
  spec = util.find_spec(_PACKAGE)
  found = {}
  for folder in (spec and spec.submodule_search_locations) or ():
    for path in sorted(pathlib.Path(folder).glob("*.py")):
      if "def get_config(" in path.read_text(encoding="utf-8"):
        found.setdefault(path.stem, path)  # as imports do
  return found
