# SPDX-License-Identifier: Apache-2.0
from typing import Any

from absl import flags

class ConfigFileFlagParser(flags.ArgumentParser[Any]):
  def __init__(self, name: str) -> None: ...
  def parse(self, path: str) -> Any: ...
