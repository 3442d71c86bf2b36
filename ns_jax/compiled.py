# SPDX-License-Identifier: Apache-2.0
"""Compiled programs, kept so that the next process need not compile them."""

import os
from typing import Any


def keep() -> None:
  """Keeps them in ~/.cache/ns_jax, unless JAX has been told where, or not to.

  JAX asks for `JAX_COMPILATION_CACHE_DIR`; empty, it means nowhere.
  """
  import jax

  config: Any = jax.config
  if config.jax_compilation_cache_dir is None:
    cache = os.path.expanduser("~/.cache/ns_jax/compiled")
    config.update("jax_compilation_cache_dir", cache)
