# SPDX-License-Identifier: Apache-2.0
"""Processes meet, agree, take turns, and notice when one of them dies."""

import signal
import time

import jax
import pytest

from ns_jax.apps import processes, terminal
from ns_jax.errors import UnreachableError, UserError
from tests import fleet

ALONE = ("TPU_ML_PLATFORM", "TPU_WORKER_HOSTNAMES", "SLURM_STEP_NODELIST")


@pytest.mark.parametrize(
  ("given", "said"),
  [
    ((None, 2, 0), "--num_processes=2 needs --coordinator"),
    (("localhost:1", 2, None), "needs --coordinator=HOST:PORT of process 0, a"),
    (("localhost:1", None, None), "need --num_processes"),
    ((None, None, 1), "need --num_processes"),
  ],
)
def test_half_an_address_is_one_line(given, said):
  with pytest.raises(UserError, match=said):
    processes.join(*given)


def test_peers_that_cannot_be_reached_are_no_mistake_but_numbers_are(
  monkeypatch,
):
  """So that what restarts runs tries again."""
  problems = [RuntimeError("DEADLINE"), ValueError("Got process_id=5")] * 2

  def fail(**_):
    raise problems.pop(0)

  monkeypatch.setattr(jax.distributed, "initialize", fail)
  with pytest.raises(UnreachableError, match="DEADLINE.*--num_processes=1"):
    processes.join("localhost:1", 2, 1)
  join = lambda: processes.join("localhost:1", 2, 5)
  with pytest.raises(UserError, match="process_id=5"):
    join()
  assert terminal.guarded(join) == terminal.BROKEN == 1
  assert terminal.guarded(join) == terminal.FAILED == 2


@pytest.mark.parametrize(
  ("found", "is_in_one"),
  [
    ({}, False),
    ({"TPU_ML_PLATFORM": "JAX"}, True),
    ({"TPU_ML_PLATFORM": "Tensorflow"}, False),
    ({"TPU_ML_PLATFORM": "JAX", "COLAB_RELEASE_TAG": "1"}, False),
    ({"TPU_WORKER_HOSTNAMES": "localhost"}, False),
    ({"TPU_WORKER_HOSTNAMES": "a,b"}, True),
    # In an sbatch script, before srun has started the tasks of a step.
    ({"SLURM_NTASKS": "4"}, False),
    ({"SLURM_NTASKS": "4", "SLURM_STEP_NODELIST": "n[1-4]"}, True),
    ({"SLURM_NTASKS": "1", "SLURM_STEP_NODELIST": "n1"}, False),
    ({"OMPI_COMM_WORLD_SIZE": "2"}, True),
  ],
)
def test_clusters_are_recognised(monkeypatch, found, is_in_one):
  for name in ALONE:
    monkeypatch.delenv(name, raising=False)
  for name, value in found.items():
    monkeypatch.setenv(name, value)
  assert processes._in_cluster() == is_in_one


TALK = """
from ns_jax.errors import UnreachableError, UserError

def attempt(what, work):
  try:
    print(what, work())
  except UnreachableError as error:
    print(what, "may pass:", error)
  except UserError as error:
    print(what, error)

def fail_on(failing, kind=UserError):
  if index == failing:
    raise kind("no disk")
  return index

attempt("same", lambda: processes.agree({"seed": 1, "zed": None}, ""))
attempt("versions", processes.agree_on_versions)
facts = {"seed": 1} if index < 2 else {"seed": 2, "ever": "longer" * 50}
attempt("other", lambda: processes.agree(facts, "start anew"))
attempt("turns", lambda: processes.first_then_others(lambda: index))
attempt("first", lambda: processes.first_then_others(lambda: fail_on(0)))
attempt("third", lambda: processes.first_then_others(lambda: fail_on(2)))
work = lambda: fail_on(1, UnreachableError)
attempt("second", lambda: processes.first_then_others(work))
attempt("alone", lambda: processes.on_first(lambda: print("done")))
"""


@pytest.mark.slow
def test_they_hear_of_each_other(tmp_path):
  texts = fleet.succeed(fleet.start(TALK, 3, logs=tmp_path), tmp_path)
  for index, text in enumerate(texts):
    lines = [line for line in text.splitlines() if line[0] != "["]
    differ = "other the hosts of this run differ: ever is None on process 0 and"
    assert lines[2].startswith(differ)
    assert lines[2].endswith("on process 2; start anew")
    expected = ["same None", "versions None", lines[2], f"turns {index}"]
    expected += ["first no disk", "third no disk", "second may pass: no disk"]
    assert lines == expected + ["done"] * (index == 0) + ["alone None"]


DIE = """
import os, signal
from ns_jax import main
main.run = lambda argv: signal.default_int_handler(signal.SIGINT, None)
processes._gathered("here")
print("waiting", flush=True)
if index == count - 1:
  """
AFTER = """
processes._gathered("gone")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
  ("end", "status"),
  [
    ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ("processes.leave(2)", 2),
    ("sys.exit(main._guarded([]))", 130),
  ],
)
def test_none_waits_for_a_dead_one(tmp_path, end, status):
  """It is noticed by its heartbeat, here a short one."""
  assert processes._HEARTBEAT_SEC < 60
  prelude = "processes._HEARTBEAT_SEC = 4\n" + fleet.JOIN
  group = fleet.start(DIE + end + AFTER, 2, logs=tmp_path, prelude=prelude)
  assert group[-1].wait(timeout=120) == status
  start = time.monotonic()
  assert group[0].wait(timeout=60) not in (0, None)
  assert "waiting" in (tmp_path / "0.log").read_text()
  assert time.monotonic() - start < 30
