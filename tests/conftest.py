# SPDX-License-Identifier: Apache-2.0
"""Eight simulated devices and strict numerics, set before jax is imported.

Almost all the time of a test is XLA's: its models are too small for what slow
passes would gain.
"""

import os
import tempfile

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = " ".join(
  [
    os.environ.get("XLA_FLAGS", ""),
    "--xla_force_host_platform_device_count=8",
    "--xla_backend_optimization_level=0",
    "--xla_cpu_use_fusion_emitters=false",
  ]
)

# Compiled once for all the processes of a session: the first one makes it.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
  CACHE = tempfile.TemporaryDirectory(prefix="ns_jax_compiled_")
  os.environ["JAX_COMPILATION_CACHE_DIR"] = CACHE.name
  os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)


@pytest.fixture(autouse=True, scope="module")
def forget_programs():
  """Compiled programs of a module go with it: gigabytes, in a session."""
  yield
  jax.clear_caches()
