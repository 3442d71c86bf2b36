# SPDX-License-Identifier: Apache-2.0
from typing import Any

from absl import flags

def DEFINE_config_file(
  name: str,
  default: str | None = None,
  help_string: str = ...,
  flag_values: flags.FlagValues = ...,
  *,
  sys_argv: list[str] | None = None,
) -> Any: ...
