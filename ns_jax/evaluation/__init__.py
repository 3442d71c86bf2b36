# SPDX-License-Identifier: Apache-2.0
"""Evaluators, chosen by name in `config.eval.evaluators`."""

import importlib

from ns_jax.errors import UserError
from ns_jax.evaluation.contract import Evaluator

EVALUATORS = ("losses", "reconstruction", "perceptual", "synthesis")


def find(name: str) -> Evaluator:
  """Finds an evaluator.

  Raises:
    UserError: there is none of that name.
  """
  if name not in EVALUATORS:
    raise UserError(
      f"config.eval.evaluators: {name!r} is unknown; "
      f"use some of {', '.join(EVALUATORS)}"
    )
  return importlib.import_module(f"ns_jax.evaluation.{name}").evaluate
