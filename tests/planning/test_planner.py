# SPDX-License-Identifier: Apache-2.0
"""Plans of whole runs; the slow one compiles for a TPU that is not there."""

import dataclasses
import importlib.util
import json

import jax
import pytest
from click import testing

from ns_jax import sharding
from ns_jax.apps import cli, planning
from ns_jax.errors import UserError
from ns_jax.planning import compiling, estimating, planner, table, topology
from ns_jax.planning.estimating import Candidate

SLICE = topology.find("v5e-4")
NEEDS_LIBTPU = pytest.mark.skipif(
  importlib.util.find_spec("libtpu") is None,
  reason="needs libtpu: pip install -e '.[plan]'",
)


@pytest.fixture(scope="module")
def run():
  return planning.make_run(planning.load_config("configs/ns2.py:tiny", ()))


def test_layouts_cover_the_slice_and_divide_the_batch(run):
  found = list(estimating.candidates(run, SLICE, 4))
  assert {c.mesh for c in found} == {
    (4, 1, 1), (2, 2, 1), (1, 4, 1), (2, 1, 2), (1, 2, 2), (1, 1, 4)
  }  # fmt: skip
  for data, fsdp, _ in (c.mesh for c in found):
    assert 4 % (data * fsdp) == 0
  assert {c.remat for c in found} == {"none", "dots", "full"}
  assert {c.micro_batches for c in found if c.mesh == (4, 1, 1)} == {1}
  assert {c.micro_batches for c in found if c.mesh == (2, 1, 2)} == {1, 2}


def test_chips_share_rows_where_there_are_too_few(run):
  found = list(estimating.candidates(run, topology.find("v5e-16"), 4))
  assert found
  assert min(c.mesh[2] for c in found) == 4


def test_layout_of_a_config(run):
  layout = planner.as_configured(run, SLICE, 8)
  assert layout == Candidate((4, 1, 1), 1, None)
  with pytest.raises(UserError, match="6 rows do not divide"):
    planner.as_configured(run, SLICE, 6)
  config = planning.load_config(
    "configs/ns2.py:tiny", ("--config.mesh.data=3",)
  )
  odd = dataclasses.replace(run, config=config)
  with pytest.raises(UserError, match="'data': 3.* does not fit 4 device"):
    planner.as_configured(odd, SLICE, 6)


@NEEDS_LIBTPU
def test_rows_that_no_layout_divides(run):
  with pytest.raises(UserError, match="5 rows do not divide over the 16 chips"):
    planner.fastest(
      run, topology.find("v5e-16"), num_rows=5, most=1, say=lambda line: None
    )


@pytest.mark.parametrize(
  ("override", "message"),
  [
    ("model.denoiser.remat=some", "config.model.denoiser.remat='some'"),
    ("dtype=float31", "config.dtype='float31' is unknown"),
  ],
)
def test_fields_that_cannot_be_compiled(override, message):
  config = planning.load_config(
    "configs/ns2.py:tiny", (f"--config.{override}",)
  )
  with pytest.raises(UserError, match=message):
    planning.make_run(config)


def test_options_change_policies_and_parts_alone(run):
  changed = run.with_options(2, "dots").config
  assert changed.train.micro_batches == 2
  assert changed.model.denoiser.remat == "dots"
  assert changed.model.phoneme_encoder.remat == "dots"
  assert run.config.model.denoiser.remat == "none"
  again = run.with_options(1, None).config
  assert again.to_json() == run.config.to_json()


@pytest.mark.parametrize(
  ("path", "overrides", "message"),
  [
    ("configs/none.py", (), "configs/none.py"),
    ("configs/ns2.py:huge", (), "no preset"),
    ("configs/ns2.py:tiny", ("--config.train.batch=3",), "batch"),
    ("configs/ns2.py:tiny", ("extra",), "unknown argument 'extra'"),
  ],
)
def test_mistakes_in_configs_are_one_line(path, overrides, message):
  with pytest.raises(UserError, match=message) as error:
    planning.load_config(path, overrides)
  assert "\n" not in str(error.value)


@pytest.mark.parametrize(
  ("complaint", "told"),
  [
    ("the total memory required for HLO temporaries (18.75G) exceeds available "
     "HBM (15.75G).", "needs 20.1 GB or more"),
    ("Ran out of memory in memory space hbm. Used 20.00G of 15.75G hbm. "
     "Exceeded hbm capacity by 4.25G.", "needs 21.5 GB or more"),
    ("no room", "needs more memory"),
  ],
)  # fmt: skip
def test_what_a_compiler_says_of_memory(complaint, told):
  assert told in str(compiling.DoesNotFitError.of(complaint))


def test_unknown_slice_is_one_line():
  result = testing.CliRunner().invoke(
    cli.cli,
    ["plan", "--config", "configs/ns2.py:tiny", "--topology", "v5e-17"],
  )
  assert result.exit_code == 2
  assert "known are" in result.output


@pytest.fixture
def quick():
  """As --quick does."""
  effort = "jax_exec_time_optimization_effort"
  jax.config.update(effort, -1.0)
  yield
  jax.config.update(effort, 0.0)


@NEEDS_LIBTPU
@pytest.mark.slow
@pytest.mark.usefixtures("quick")
@pytest.mark.nightly
def test_tiny_ns2_for_a_slice_that_is_not_there(run):
  lines = []
  step = planner.compile_candidate(
    run,
    SLICE,
    Candidate((4, 1, 1), 1, None),
    num_rows=4,
    phase=0,
    say=lines.append,
  )
  assert step.is_known
  assert step.flops == pytest.approx(step.traced_flops, rel=0.05)
  assert step.model_flops <= step.flops
  state = run.state(4)
  mesh = compiling.make_mesh(SLICE, (4, 1, 1))
  rules = run.stage.partition_rules
  layouts = sharding.tree_shardings(state, mesh, rules)
  held = compiling.shard_bytes(state, layouts)
  assert held <= step.memory.arguments <= 10.0 * held  # tiles add to it
  assert {e.chips for e in step.exchanges} == {4}
  # The gradients of all weights, at least.
  weights = sum(4.0 * leaf.size for leaf in jax.tree.leaves(state.params))
  assert sum(e.bytes for e in step.exchanges) >= 0.7 * weights
  assert 0.0 < step.bound.overlapped_sec < step.bound.serial_sec
  assert json.loads(json.dumps(step.to_json()))["binding"] in (
    "compute", "memory", "interconnect"
  )  # fmt: skip
  assert "model FLOP utilisation" in table.describe(step)
  assert len(lines) == 2
