# SPDX-License-Identifier: Apache-2.0
"""Compiled programs, kept so that the next process need not compile them."""

import os
import pathlib
from typing import Any


def folder() -> pathlib.Path:
  """Where they are kept: in ~/.cache/ns_jax, or where JAX has been told."""
  told = os.environ.get("JAX_COMPILATION_CACHE_DIR")
  return pathlib.Path(told or "~/.cache/ns_jax/compiled").expanduser()


def keep() -> None:
  """Keeps them there, unless JAX has been told where, or not to.

  JAX asks for `JAX_COMPILATION_CACHE_DIR`; empty, it means nowhere.
  """
  import jax

  config: Any = jax.config
  if config.jax_compilation_cache_dir is None:
    config.update("jax_compilation_cache_dir", str(folder()))
    # Of many small ones, too: JAX's 1 s leaves out most of those that speak.
    config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
