# SPDX-License-Identifier: Apache-2.0
"""The stage's own losses on the test split, unseen in training."""

import itertools

import flax.serialization
import jax

from ns_jax import stages
from ns_jax.evaluation.contract import Context, Section
from ns_jax.training.metrics import merge_means


def evaluate(context: Context) -> Section:
  """Runs the stage's eval_fn over the test batches."""
  weights = context.weights
  stage = stages.build(weights.config)
  eval_fn = jax.jit(stage.eval_fn)
  key = jax.random.key(0)
  means, model_state = [], None
  limit = weights.config.eval.num_batches
  batches = itertools.islice(context.test_batches(), limit)
  for i, batch in enumerate(batches):
    if model_state is None:
      _, shapes = jax.eval_shape(stage.init_fn, key, batch, weights.frozen)
      model_state = flax.serialization.from_state_dict(
        shapes, weights.model_state
      )
    means.append(
      eval_fn(
        weights.params,
        model_state,
        weights.frozen,
        batch,
        jax.random.fold_in(key, i),
      )
    )
  return Section(
    title=f"{stage.name}: losses on the test split",
    explanation=f"Step {weights.step}, moving average of the weights.",
    summary=merge_means(means),
  )
