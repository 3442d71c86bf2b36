# SPDX-License-Identifier: Apache-2.0
"""A stage small enough to train in a second: two players, dropout noise."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from ns_jax import paths, sharding
from ns_jax.training import loop
from ns_jax.training.metrics import Mean
from ns_jax.training.stage import BeginFn, Player, Stage

DIM = 8


def make_config(num_steps: int = 12, **train) -> ConfigDict:
  """A config with what the loop reads."""
  return ConfigDict(
    dict(
      stage="toy",
      seed=3,
      audio=dict(sample_rate_hz=16_000, hop_samples=200, num_mels=80),
      mesh=dict(data=-1, fsdp=1, tensor=1),
      eval=dict(num_batches=2),
      train=dict(num_steps=num_steps, log_every=1, eval_every=6, save_every=3)
      | dict(keep=3, micro_batches=1)
      | train,
    )
  )


def make_stage(
  poison_step: int | None = None,
  phases: tuple[int, ...] = (0,),
  begin_fn: BeginFn | None = None,
) -> Stage:
  """Linear regression with noise, plus a second player that tracks it."""
  rate = optax.linear_schedule(1e-2, 2e-2, transition_steps=100)

  def predict(params, batch):
    return batch["x"] @ params["gen"]["kernel"]

  def init_fn(key, batch, frozen):
    kernel = 0.1 * jax.random.normal(key, (batch["x"].shape[-1], DIM))
    params = {"gen": {"kernel": kernel}, "disc": {"bias": jnp.zeros(DIM)}}
    return params, {"seen": jnp.zeros(())}

  def gen_loss(params, model_state, frozen, batch, key, *, step, phase, train):
    noise = 0.01 * jax.random.normal(key, batch["y"].shape)
    loss = jnp.mean((predict(params, batch) - batch["y"] + noise) ** 2)
    if poison_step is not None:
      loss = jnp.where(step == poison_step, jnp.nan, loss)
    seen = model_state["seen"] + frozen["scale"] * batch["x"].mean()
    return loss, ({"mse": loss}, {"seen": seen})

  def disc_loss(params, model_state, frozen, batch, key, *, step, phase, train):
    error = params["disc"]["bias"][None, :] - predict(params, batch)
    logs = {"phase": jnp.float32(phase), "seen": model_state["seen"]}
    return jnp.mean(error**2), (logs, model_state)

  def eval_fn(params, model_state, frozen, batch, key):
    return {"mse": Mean.of((predict(params, batch) - batch["y"]) ** 2)}

  return Stage(
    name="toy",
    features=(),
    init_fn=init_fn,
    players=(
      Player("disc", disc_loss, optax.adam(1e-2), lambda step: 1e-2),
      Player("gen", gen_loss, optax.adam(rate), rate),
    ),
    eval_fn=eval_fn,
    sample_fn=None,
    ema_decay={"gen": 0.9},
    partition_rules=((r"gen/kernel$", P(None, "tensor")),),
    phases=phases,
    begin_fn=begin_fn,
  )


def make_feeds(rows=slice(None), batch_size: int = 16) -> loop.Feeds:
  """Batches that depend on the step alone; `rows` is this process's share."""
  target = np.random.default_rng(0).normal(size=(DIM, DIM))

  def batch(seed):
    x = np.random.default_rng(seed).normal(size=(batch_size, DIM))
    return {
      "x": x.astype(np.float32)[rows],
      "y": (x @ target).astype(np.float32)[rows],
    }

  def train(start_step):
    step = start_step
    while True:
      yield batch(step)
      step += 1

  return loop.Feeds(train, lambda: (batch(10_000 + i) for i in range(2)))


def run(workdir, config, stage=None, mesh_sizes=None, feeds=None):
  """Trains in a workdir; returns the last state."""
  mesh = sharding.make_mesh(mesh_sizes or config.mesh)
  workdir = paths.as_path(workdir)
  workdir.mkdir(exist_ok=True)
  with jax.set_mesh(mesh):
    return loop.fit(
      config,
      stage or make_stage(),
      feeds or make_feeds(),
      workdir,
      mesh=mesh,
      frozen=FROZEN,
    )


FROZEN = {"scale": np.float32(2.0)}
