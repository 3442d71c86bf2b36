# SPDX-License-Identifier: Apache-2.0
"""The loop: resume, fallback, divergence, compilations, processes, meshes."""

import dataclasses
import json
import shutil

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import pytest
import toy

from ns_jax import sharding
from ns_jax.errors import UserError
from ns_jax.training import checkpoint, writers
from tests import commands


def test_learns_and_averages(tmp_path):
  state = toy.run(tmp_path, toy.make_config(200, log_every=50, save_every=100))
  valid = [
    r["valid/mse"] for r in writers.read_metrics(tmp_path) if "valid/mse" in r
  ]
  assert valid[-1] < 0.5 * valid[0]
  rates = {
    r["step"]: r["gen/learning_rate"]
    for r in writers.read_metrics(tmp_path)
    if "gen/learning_rate" in r
  }
  # Of the step that came before the log, the first being number 0.
  assert rates == pytest.approx({50: 0.0149, 100: 0.0199, 150: 0.02, 200: 0.02})
  ema, raw = state.ema_params["gen"]["kernel"], state.params["gen"]["kernel"]
  assert not np.allclose(ema, raw)


def test_resume_is_bit_exact(tmp_path):
  whole = toy.run(tmp_path / "whole", toy.make_config(12))
  toy.run(tmp_path / "parts", toy.make_config(6))
  # Lines a killed run wrote after its last checkpoint must not survive twice.
  with (tmp_path / "parts" / writers.METRICS_FILE).open("a") as file:
    file.write('{"step": 7, "gen/loss": 0.0, "timing": {}}\n{"step": 8, "ge')
  parts = toy.run(tmp_path / "parts", toy.make_config(12))
  for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
    if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
      a, b = jax.random.key_data(a), jax.random.key_data(b)
    np.testing.assert_array_equal(a, b)
  expected = commands.metrics(tmp_path / "whole")
  assert commands.metrics(tmp_path / "parts") == expected


def test_corrupt_newest_checkpoint_falls_back(tmp_path, caplog):
  whole = toy.run(tmp_path / "whole", toy.make_config(12))
  toy.run(tmp_path / "hurt", toy.make_config(9))
  newest = tmp_path / "hurt" / checkpoint.CHECKPOINTS_DIR / "9"
  for path in newest.glob("state/d/*"):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
  again = toy.run(tmp_path / "hurt", toy.make_config(12))
  assert "checkpoint 9" in caplog.text
  assert list((tmp_path / "hurt" / checkpoint.SET_ASIDE_DIR).iterdir())
  np.testing.assert_array_equal(
    again.params["gen"]["kernel"], whole.params["gen"]["kernel"]
  )


def test_whole_checkpoint_of_another_state_is_kept(tmp_path):
  toy.run(tmp_path, toy.make_config(3))
  stage = toy.make_stage()
  bigger = dataclasses.replace(
    stage,
    init_fn=lambda key, batch, frozen: (
      stage.init_fn(key, batch, frozen)[0],
      {"seen": jnp.zeros(()), "new": jnp.zeros(3)},
    ),
  )
  with pytest.raises(UserError, match="is whole but cannot be restored"):
    toy.run(tmp_path, toy.make_config(6), bigger)
  assert checkpoint.read_newest(tmp_path)[0] == 3
  assert not (tmp_path / checkpoint.SET_ASIDE_DIR).exists()


def test_killed_before_the_first_checkpoint_starts_its_metrics_anew(tmp_path):
  toy.run(tmp_path, toy.make_config(3))
  expected = commands.metrics(tmp_path)
  shutil.rmtree(tmp_path / checkpoint.CHECKPOINTS_DIR)
  toy.run(tmp_path, toy.make_config(3))
  assert commands.metrics(tmp_path) == expected


@pytest.mark.parametrize("phases", [(0,), (0, 4)])
def test_one_compilation_of_the_train_step_a_phase(tmp_path, phases):
  compiled = []
  jax.monitoring.register_event_duration_secs_listener(
    lambda name, sec, **kw: (
      compiled.append(kw.get("fun_name"))
      if name == "/jax/core/compile/backend_compile_duration"
      else None
    )
  )
  toy.run(tmp_path, toy.make_config(9), toy.make_stage(phases=phases))
  assert compiled.count("jit(train_step)") == len(phases)
  assert compiled.count("jit(eval_step)") == 1
  logged = [
    line["disc/phase"]
    for line in map(json.loads, (tmp_path / "metrics.jsonl").open())
    if "disc/phase" in line
  ]
  assert logged == [float(step >= 4 and len(phases) > 1) for step in range(9)]


def begin_anew(params, model_state, frozen, batch, key, *, phase):
  """A new kernel of noise, and what is seen is counted from 100 x phase on."""
  kernel = jax.random.normal(key, params["gen"]["kernel"].shape)
  return {"gen": {"kernel": kernel}}, {"seen": jnp.float32(100.0 * phase)}


def test_a_phase_is_begun_once(tmp_path):
  """At its first step, also where a run goes on from right there."""
  stage = toy.make_stage(phases=(0, 4, 6), begin_fn=begin_anew)
  whole = toy.run(tmp_path / "whole", toy.make_config(9), stage)
  seen = [
    record["disc/seen"]
    for record in writers.read_metrics(tmp_path / "whole")
    if "disc/seen" in record
  ]
  assert [round(value, -2) for value in seen] == [0.0] * 4 + [100.0] * 2 + [
    200.0
  ] * 3
  plain = toy.run(tmp_path / "plain", toy.make_config(9))
  for kernels in (whole.params, whole.ema_params):
    moved = kernels["gen"]["kernel"] - plain.params["gen"]["kernel"]
    assert np.abs(moved).mean() > 0.3
  # Replaced, not averaged with what was there before.
  between = whole.params["gen"]["kernel"] - whole.ema_params["gen"]["kernel"]
  assert np.abs(between).max() < 0.1
  # This one ends right there.
  toy.run(tmp_path / "parts", toy.make_config(6), stage)
  parts = toy.run(tmp_path / "parts", toy.make_config(9), stage)
  np.testing.assert_array_equal(
    parts.params["gen"]["kernel"], whole.params["gen"]["kernel"]
  )


@pytest.mark.parametrize(
  "sizes",
  [
    dict(data=8, fsdp=1, tensor=1),
    dict(data=2, fsdp=2, tensor=2),
    dict(data=1, fsdp=8, tensor=1),
  ],
)
def test_restores_onto_another_mesh(tmp_path, sizes, monkeypatch):
  monkeypatch.setattr(sharding, "FSDP_MIN_BYTES", 1)
  whole = toy.run(tmp_path / "whole", toy.make_config(12))
  toy.run(tmp_path / "moved", toy.make_config(6))
  moved = toy.run(tmp_path / "moved", toy.make_config(12), mesh_sizes=sizes)
  np.testing.assert_allclose(
    moved.params["gen"]["kernel"],
    whole.params["gen"]["kernel"],
    rtol=1e-5,
    atol=1e-6,
  )
