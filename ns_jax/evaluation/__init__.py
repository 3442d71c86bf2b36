# SPDX-License-Identifier: Apache-2.0
"""Evaluators, chosen by name in `config.eval.evaluators`."""

import importlib
from types import ModuleType
from typing import Any

from ns_jax.errors import UserError
from ns_jax.evaluation.contract import Evaluator

EVALUATORS = (
  "losses",
  "reconstruction",
  "perceptual",
  "synthesis",
  "zero_shot",
  "robustness",
  "reading",
  "reading_judged",
)


def find(name: str) -> Evaluator:
  """Finds an evaluator.

  Raises:
    UserError: there is none of that name.
  """
  return _module(name).evaluate


def check(config: Any) -> None:
  """Checks that the evaluators a config names can run on its model.

  Raises:
    UserError: one is unknown, or lacks something.
  """
  for name in config.eval.evaluators:
    module = _module(name)
    if hasattr(module, "check"):
      module.check(config)


def _module(name: str) -> ModuleType:
  if name not in EVALUATORS:
    raise UserError(
      f"config.eval.evaluators: {name!r} is unknown; "
      f"use some of {', '.join(EVALUATORS)}"
    )
  return importlib.import_module(f"ns_jax.evaluation.{name}")
