# SPDX-License-Identifier: Apache-2.0
"""What this machine's devices can do at most, by their makers and measured."""

import resource
import sys

import jax
import jax.numpy as jnp

from benchmarks import timing
from ns_jax.planning import topology

# Dense bfloat16 matrix products, FLOP/s, by a device's kind. TPUs have two
# names, an older and a newer one.
# NVIDIA's data sheets: "H100 Tensor Core GPU" (SXM; of 1,979 with sparsity),
# "H200 Tensor Core GPU" (same), "A100 Tensor Core GPU", "L4 Tensor Core GPU"
# (242 with sparsity), "T4" (float16: it has no bfloat16).
_PEAKS = {
  "NVIDIA H100 80GB HBM3": 989.4e12,
  "NVIDIA H200": 989.4e12,
  "NVIDIA A100-SXM4-40GB": 312e12,
  "NVIDIA A100-SXM4-80GB": 312e12,
  "NVIDIA A100-PCIE-40GB": 312e12,
  "NVIDIA A100 80GB PCIe": 312e12,
  "NVIDIA L4": 121e12,
  "Tesla T4": 65e12,
} | {
  kind: topology.CHIPS[chip].flops_per_sec
  for kind, chip in {
    "TPU v4": "v4",
    "TPU v5 lite": "v5e",
    "TPU v5e": "v5e",
    "TPU v5": "v5p",
    "TPU v5p": "v5p",
    "TPU v6 lite": "v6e",
    "TPU v6e": "v6e",
  }.items()
}
_SIZES = {"cpu": 2048}  # of a matrix; elsewhere:
_LARGE = 8192
_TIMES = 5


def peak_flops(dtype: str) -> float | None:
  """Of one of the devices, FLOP/s; None: not known, or not of this dtype."""
  if dtype != "bfloat16":
    return None
  return _PEAKS.get(jax.devices()[0].device_kind)


def matmul_flops(dtype: str) -> float:
  """FLOP/s of a large matrix product on one device."""
  device = jax.devices()[0]
  size = _SIZES.get(device.platform, _LARGE)
  matrix = jax.device_put(jnp.ones((size, size), dtype), device)
  multiply = jax.jit(lambda a: a @ a)

  def several() -> None:
    y = matrix
    for _ in range(_TIMES):
      y = multiply(matrix)
    jax.block_until_ready(y)

  seconds = timing.in_turn({"products": several}, rounds=5)["products"]
  return 2.0 * size**3 * _TIMES / seconds


def peak_bytes() -> int:
  """Most memory in use on a device so far; of a CPU, by this process."""
  stats = jax.devices()[0].memory_stats()
  if stats:
    return stats["peak_bytes_in_use"]
  unit = 1 if sys.platform == "darwin" else 1024
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
