# SPDX-License-Identifier: Apache-2.0
"""Causal layers that go on where the chunk before ended.

Applied with `mutable=[COLLECTION]`, a layer takes what came before its input
from that collection and leaves the end of its input there; otherwise zeros come
before. So a signal in chunks gives what it gives whole (SoundStream, III-A).
"""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from ns_jax.array_types import Array

COLLECTION = "stream"


def is_streaming(module: nn.Module) -> bool:
  """Whether a module is given chunks of something longer."""
  within: Any = module.is_mutable_collection(COLLECTION)
  return within and not module.is_initializing()


def with_past(
  module: nn.Module, x: Array, size: int, name: str = "past"
) -> Array:
  """Puts the `size` steps before x [B, T, C] in front; [B, size + T, C].

  Args:
    module: that calls; a bound linen module, in a compact method.
    x: [B, T, C], a chunk, or the whole.
    size: steps to remember.
    name: of the memory, one in each module.
  """
  past = jnp.zeros((x.shape[0], size, x.shape[2]), x.dtype)
  if not is_streaming(module):
    return jnp.concatenate([past, x], axis=1)
  memory: Any = module.variable(COLLECTION, name, lambda: past)
  longer = jnp.concatenate([memory.value, x], axis=1)
  memory.value = longer[:, longer.shape[1] - size :]
  return longer
