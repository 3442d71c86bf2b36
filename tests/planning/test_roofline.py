# SPDX-License-Identifier: Apache-2.0
"""Slices, and bounds worked out by hand."""

import dataclasses

import numpy as np
import pytest

from ns_jax.errors import UserError
from ns_jax.planning import roofline, topology, work
from ns_jax.planning.collectives import Collective

CHIP = topology.Chip(
  flops_per_sec=100.0,
  flops_per_cycle=10.0,
  hbm_bytes=1000.0,
  hbm_bytes_per_sec=50.0,
  link_bytes_per_sec=4.0,
  wraps_at=4,
)
SQUARE = topology.Slice("test:2x4", CHIP, (2, 4))
PLACES = [(i, j) for i in range(2) for j in range(4)]


def operation(flops, pass_flops, hbm_bytes):
  return work.Operation("name", 1.0, flops, pass_flops, hbm_bytes, 0.0)


def exchange(kind, size, group, times=1.0):
  return Collective(kind, size, tuple(group), times)


@pytest.mark.parametrize(
  ("group", "links"),
  [
    (range(8), 3),  # a joined side of four, and one of two
    (range(4), 2),  # the joined side alone
    ((0, 4), 1),
    ((0, 1), 1),  # a part of a side is not joined
  ],
)
def test_links_into_a_group(group, links):
  assert SQUARE.ingress([PLACES[i] for i in group]) == 4.0 * links


@pytest.mark.parametrize(
  ("sides", "links"),
  [((4, 4, 4), 6), ((2, 4, 4), 3), ((4, 4, 8), 6), ((2, 2, 1), 2)],
)
def test_only_whole_cubes_are_joined(sides, links):
  everywhere = list(np.ndindex(*sides))
  found = topology.Slice("test", CHIP, sides).ingress(everywhere)
  assert found == 4.0 * links


@pytest.mark.parametrize(
  ("kind", "share"),
  [
    ("all-reduce", 1.5),
    ("all-gather", 0.75),
    ("reduce-scatter", 0.75),
    ("all-to-all", 0.75),
  ],
)
def test_seconds_of_an_exchange(kind, share):
  one = exchange(kind, 160.0, range(4), times=3.0)
  seconds = roofline.collective_sec(one, SQUARE, PLACES)
  assert seconds == pytest.approx(3.0 * 160.0 * share / 8.0)


def test_seconds_of_a_shift():
  one = exchange("collective-permute", 12.0, (0, 1))
  assert roofline.collective_sec(one, SQUARE, PLACES) == 3.0


def test_bound():
  done = work.Work(
    (operation(200.0, 400.0, 100.0), operation(0.0, 0.0, 50.0)),
    (exchange("all-gather", 32.0, (0, 4)),),
    (),
  )
  bound = roofline.bound(done, SQUARE, PLACES)
  assert bound == roofline.Bound(4.0, 3.0, 4.0)
  assert bound.overlapped_sec == 4.0
  assert bound.serial_sec == 11.0
  assert dataclasses.replace(bound, memory_sec=9.0).binding == "memory"


@pytest.mark.parametrize(
  ("name", "full", "chips"),
  [
    ("v5e-16", "v5e:4x4", 16),
    ("v5e:16x16", "v5e:16x16", 256),
    ("v4-8", "v4:2x2x1", 4),
    ("v6e:2x4", "v6e:2x4", 8),
  ],
)
def test_names_of_slices(name, full, chips):
  found = topology.find(name)
  assert (found.name, found.num_chips) == (full, chips)


@pytest.mark.parametrize("name", ["v9-8", "v5e", "v5e-17", "h100:2x2"])
def test_unknown_slices_are_one_line(name):
  with pytest.raises(UserError, match=r"known are .*v5e-256 \(v5e:16x16\)"):
    topology.find(name)


def test_every_short_name_is_of_a_slice():
  for short in topology.SLICES:
    found = topology.find(short)
    cores = 2 if short.startswith(("v4", "v5p")) else 1
    assert found.num_chips * cores == int(short.partition("-")[2])


def test_without_libtpu(monkeypatch):
  monkeypatch.setattr(topology.importlib.util, "find_spec", lambda name: None)
  with pytest.raises(UserError, match="pip install"):
    topology.devices(topology.find("v5e-16"))
