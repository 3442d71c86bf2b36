# SPDX-License-Identifier: Apache-2.0
"""Rematerialisation: what of a layer is kept for its gradient, what is redone.

Memory against time: what is not kept is computed a second time.
"""

from collections.abc import Iterator
from typing import Any

import jax
from flax import linen as nn

from ns_jax.errors import UserError

PRODUCT = "product"  # what to name results that are products inside
_PRODUCTS = (jax.lax.dot_general_p, jax.lax.conv_general_dilated_p)


def _is_product(primitive: Any, *_: Any, **params: Any) -> bool:
  return primitive in _PRODUCTS or params.get("name") == PRODUCT


# "none": everything is kept. "dots": the results of matrix products and
# convolutions, which are what takes time. "full": a layer's input alone.
POLICIES = {"none": None, "dots": _is_product, "full": lambda *_, **__: False}


def check(policy: str, name: str) -> None:
  """Checks the name of a policy.

  Args:
    policy: from a config.
    name: of the config's field.

  Raises:
    UserError: there is no such policy.
  """
  if policy not in POLICIES:
    raise UserError(
      f"{name}={policy!r} is unknown; use one of {', '.join(POLICIES)}"
    )


def users(section: Any, name: str) -> Iterator[tuple[Any, str]]:
  """Sections of a config that name a policy, and the name of each's field.

  Args:
    section: nested mappings; their fields `remat` name policies.
    name: of the section.
  """
  for field, value in section.items():
    if hasattr(value, "items"):
      yield from users(value, f"{name}.{field}")
    elif field == "remat":
      yield section, f"{name}.{field}"


def wrapped(
  layer: type[nn.Module], policy: str, static_argnums: tuple[int, ...]
) -> type[nn.Module]:
  """A layer's class that keeps what a policy says, for use in a scan.

  Args:
    layer: class of modules with a plain `__call__`.
    policy: one of POLICIES.
    static_argnums: of the arguments of its call, its self being 0.
  """
  if policy == "none":
    return layer
  return nn.remat(
    layer,
    policy=POLICIES[policy],
    prevent_cse=False,  # needed outside of scans only
    static_argnums=static_argnums,
  )
