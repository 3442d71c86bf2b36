# SPDX-License-Identifier: Apache-2.0
"""The loop: resume, fallback, divergence, compilations, processes, meshes."""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import textwrap

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import pytest
import toy

from ns_jax import sharding
from ns_jax.errors import UserError
from ns_jax.training import checkpoint, loop, writers
from tests import commands


def run(workdir, config, stage=None, mesh_sizes=None):
  mesh = sharding.make_mesh(mesh_sizes or config.mesh)
  with jax.set_mesh(mesh):
    return loop.fit(
      config,
      stage or toy.make_stage(),
      toy.make_feeds(),
      pathlib.Path(workdir),
      mesh=mesh,
      frozen=toy.FROZEN,
    )


def test_learns_and_averages(tmp_path):
  state = run(tmp_path, toy.make_config(200, log_every=50, save_every=100))
  valid = [
    r["valid/mse"] for r in writers.read_metrics(tmp_path) if "valid/mse" in r
  ]
  assert valid[-1] < 0.5 * valid[0]
  ema, raw = state.ema_params["gen"]["kernel"], state.params["gen"]["kernel"]
  assert not np.allclose(ema, raw)


def test_resume_is_bit_exact(tmp_path):
  whole = run(tmp_path / "whole", toy.make_config(12))
  run(tmp_path / "parts", toy.make_config(6))
  # Lines a killed run wrote after its last checkpoint must not survive twice.
  with (tmp_path / "parts" / writers.METRICS_FILE).open("a") as file:
    file.write('{"step": 7, "gen/loss": 0.0, "timing": {}}\n{"step": 8, "ge')
  parts = run(tmp_path / "parts", toy.make_config(12))
  for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
    if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
      a, b = jax.random.key_data(a), jax.random.key_data(b)
    np.testing.assert_array_equal(a, b)
  expected = commands.metrics(tmp_path / "whole")
  assert commands.metrics(tmp_path / "parts") == expected


def test_corrupt_newest_checkpoint_falls_back(tmp_path, caplog):
  whole = run(tmp_path / "whole", toy.make_config(12))
  run(tmp_path / "hurt", toy.make_config(9))
  newest = tmp_path / "hurt" / checkpoint.CHECKPOINTS_DIR / "9"
  for path in newest.glob("state/d/*"):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
  again = run(tmp_path / "hurt", toy.make_config(12))
  assert "checkpoint 9" in caplog.text
  assert list((tmp_path / "hurt" / checkpoint.SET_ASIDE_DIR).iterdir())
  np.testing.assert_array_equal(
    again.params["gen"]["kernel"], whole.params["gen"]["kernel"]
  )


def test_whole_checkpoint_of_another_state_is_kept(tmp_path):
  run(tmp_path, toy.make_config(3))
  stage = toy.make_stage()
  bigger = dataclasses.replace(
    stage,
    init_fn=lambda key, batch, frozen: (
      stage.init_fn(key, batch, frozen)[0],
      {"seen": jnp.zeros(()), "new": jnp.zeros(3)},
    ),
  )
  with pytest.raises(UserError, match="is whole but cannot be restored"):
    run(tmp_path, toy.make_config(6), bigger)
  assert checkpoint.read_newest(tmp_path)[0] == 3
  assert not (tmp_path / checkpoint.SET_ASIDE_DIR).exists()


def test_killed_before_the_first_checkpoint_starts_its_metrics_anew(tmp_path):
  run(tmp_path, toy.make_config(3))
  expected = commands.metrics(tmp_path)
  shutil.rmtree(tmp_path / checkpoint.CHECKPOINTS_DIR)
  run(tmp_path, toy.make_config(3))
  assert commands.metrics(tmp_path) == expected


def test_divergence_keeps_the_last_good_checkpoint(tmp_path):
  with pytest.raises(UserError, match="gen/loss|gen/grad_norm|gen/mse"):
    run(tmp_path, toy.make_config(12), toy.make_stage(poison_step=7))
  step, state = checkpoint.read_newest(tmp_path)
  assert step == 6
  assert all(
    np.isfinite(leaf).all() for leaf in jax.tree.leaves(state["params"])
  )


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
  run(tmp_path, toy.make_config(9), toy.make_stage(phases=phases))
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
  whole = run(tmp_path / "whole", toy.make_config(9), stage)
  seen = [
    record["disc/seen"]
    for record in writers.read_metrics(tmp_path / "whole")
    if "disc/seen" in record
  ]
  assert [round(value, -2) for value in seen] == [0.0] * 4 + [100.0] * 2 + [
    200.0
  ] * 3
  plain = run(tmp_path / "plain", toy.make_config(9))
  for kernels in (whole.params, whole.ema_params):
    moved = kernels["gen"]["kernel"] - plain.params["gen"]["kernel"]
    assert np.abs(moved).mean() > 0.3
  # Replaced, not averaged with what was there before.
  between = whole.params["gen"]["kernel"] - whole.ema_params["gen"]["kernel"]
  assert np.abs(between).max() < 0.1
  run(tmp_path / "parts", toy.make_config(6), stage)  # the last step's state
  parts = run(tmp_path / "parts", toy.make_config(9), stage)
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
  whole = run(tmp_path / "whole", toy.make_config(12))
  run(tmp_path / "moved", toy.make_config(6))
  moved = run(tmp_path / "moved", toy.make_config(12), mesh_sizes=sizes)
  np.testing.assert_allclose(
    moved.params["gen"]["kernel"],
    whole.params["gen"]["kernel"],
    rtol=1e-5,
    atol=1e-6,
  )


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
  single = run(tmp_path / "one", toy.make_config(6))
  script = textwrap.dedent("""
    import pathlib, sys
    import jax
    index, port, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    jax.distributed.initialize(f"localhost:{port}", 2, index)
    import numpy as np
    import toy
    from ns_jax import sharding
    from ns_jax.training import loop
    mesh = sharding.make_mesh(dict(data=-1, fsdp=1, tensor=1))
    jax.set_mesh(mesh)
    rows = slice(0, 8) if index == 0 else slice(8, 16)
    state = loop.fit(toy.make_config(6), toy.make_stage(),
                     toy.make_feeds(rows), pathlib.Path(out), mesh=mesh,
                     frozen=toy.FROZEN)
    if index == 0:
      np.save(out + "/kernel.npy", state.params["gen"]["kernel"])
  """)
  port = _free_port()
  here = pathlib.Path(__file__).parent
  env_path = f"{here}:{here.parents[1]}"
  processes = [
    subprocess.Popen(
      [sys.executable, "-c", script, str(i), str(port), str(tmp_path / "two")],
      env={
        "PYTHONPATH": env_path,
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": os.environ["XLA_FLAGS"]
        + " --xla_force_host_platform_device_count=4",
      },
    )
    for i in range(2)
  ]
  assert [p.wait(timeout=240) for p in processes] == [0, 0]
  np.testing.assert_allclose(
    np.load(tmp_path / "two" / "kernel.npy"),
    single.params["gen"]["kernel"],
    rtol=1e-5,
    atol=1e-6,
  )
  one = commands.metrics(tmp_path / "one")
  two = commands.metrics(tmp_path / "two")
  assert [r["step"] for r in one] == [r["step"] for r in two]
  for a, b in zip(one, two, strict=True):
    np.testing.assert_allclose(
      list(a.values()), list(b.values()), rtol=1e-4, atol=1e-7
    )


def _free_port() -> int:
  import socket

  with socket.socket() as s:
    s.bind(("localhost", 0))
    return s.getsockname()[1]
