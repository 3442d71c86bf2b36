# SPDX-License-Identifier: Apache-2.0
"""Every stage's losses are the same however it is spread (DESIGN, mesh)."""

import functools
import json

import jax
import numpy as np
import pytest

from ns_jax import sharding, stages
from tests import fleet, spread

pytestmark = pytest.mark.slow

MESHES = ((8, 1, 1), (1, 8, 1), (2, 2, 2))
# Of each process: all of them compile everything.
FLEETS = ((2, 4, (2, 2, 2)), (4, 2, (4, 2, 1)))
OFTEN = {
  *((name, (2, 2, 2)) for name in ("aligner", "codec")),
  ("phoneme_lm", FLEETS[0]),
}


def rare(name, layout):
  """A case of the whole matrix; what is not done often is done at night."""
  marks = () if (name, layout) in OFTEN else pytest.mark.nightly
  return pytest.param(name, layout, marks=marks)


@functools.cache
def on_one_device(name):
  sizes = dict.fromkeys(sharding.MESH_AXES, 1)
  mesh = sharding.make_mesh(sizes, jax.devices()[:1])
  return spread.losses(name, mesh)


def assert_same(found, name):
  """Losses to 1e-5; before the first update every term of them."""
  expected = on_one_device(name)
  assert found.keys() == expected.keys()
  for metric, values in expected.items():
    steps = len(values) if metric.endswith("/loss") else 1
    np.testing.assert_allclose(
      found[metric][:steps],
      values[:steps],
      rtol=1e-5,
      atol=1e-7,
      err_msg=metric,
    )


@pytest.mark.parametrize(
  ("name", "sizes"), [rare(n, m) for n in stages.STAGES for m in MESHES]
)
def test_over_devices(name, sizes):
  mesh = sharding.make_mesh(dict(zip(sharding.MESH_AXES, sizes, strict=True)))
  assert_same(spread.losses(name, mesh), name)


MEASURE = """
import json
from ns_jax import sharding
from tests import spread
sizes = dict(zip(sharding.MESH_AXES, json.loads(sys.argv[2])))
found = spread.losses(sys.argv[1], sharding.make_mesh(sizes))
print("found", json.dumps(found))
"""


@pytest.mark.parametrize(
  ("name", "layout"),
  [rare(n, layout) for n in stages.STAGES for layout in FLEETS],
)
def test_over_processes(name, layout, tmp_path):
  count, devices, sizes = layout
  group = fleet.start(
    MEASURE, count, name, json.dumps(sizes), logs=tmp_path, devices=devices
  )
  for text in fleet.succeed(group, tmp_path):
    line = next(t for t in text.splitlines() if t.startswith("found "))
    assert_same(json.loads(line.removeprefix("found ")), name)
