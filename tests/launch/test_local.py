# SPDX-License-Identifier: Apache-2.0
"""launch/local.sh: which devices, which command, whose exit status."""

import pytest

from tests.launch import shells

RUN = ("--config=configs/ns2.py:tiny", "--workdir=my runs/a 'b' $c")
# What a training sees of its devices.
SEES = (
  'if [ "$1" = -c ]; then echo "${BACKEND-gpu}"; exit; fi\n'
  'echo "${JAX_PLATFORMS-unset} ${CUDA_VISIBLE_DEVICES-unset} $PWD"\n'
)


@pytest.fixture
def shell(tmp_path):
  """Without what the tests themselves run on."""
  shell = shells.Shell(tmp_path)
  for name in ("JAX_PLATFORMS", "CUDA_VISIBLE_DEVICES", "PYTHON"):
    shell.environment.pop(name, None)
  return shell


@pytest.mark.parametrize(
  ("options", "platforms", "gpus"),
  [
    ((), "unset", "unset"),
    (("--gpus=none",), "cpu", "unset"),
    (("--gpus=all",), "cuda,cpu", "unset"),
    (("--gpus=0,3",), "cuda,cpu", "0,3"),
  ],
)
def test_trains_on_the_devices_that_are_asked_for(
  shell, options, platforms, gpus
):
  shell.program("python", SEES)
  odd = "--config.eval.evaluators=('losses', \"a b\")"
  done = shell.run("local.sh", *options, "--", *RUN, odd)
  assert done.returncode == 0, done.stderr
  assert done.stdout.split() == [platforms, gpus, str(shells.ROOT)]
  assert [call for call in shell.calls() if call[1] != "-c"] == [
    ["python", "-m", "ns_jax.main", *RUN, odd]
  ]


@pytest.mark.parametrize("options", [("--gpus=all",), ("--gpus=1",)])
def test_does_not_train_on_the_processor_instead_of_a_gpu(shell, options):
  """JAX would, without a word, where there is none."""
  shell.program("python", SEES)
  done = shell.run("local.sh", *options, "--", *RUN, BACKEND="cpu")
  shells.assert_one_clear_line(done, "JAX finds no GPU here (cpu)")
  done = shell.run("local.sh", "--gpus=none", "--", *RUN, BACKEND="cpu")
  assert done.returncode == 0, done.stderr


def test_begins_again_what_dies_and_returns_its_status(shell):
  shell.program("my python", "exit 5\n")
  done = shell.run("local.sh", "--tries=1", "--", *RUN, PYTHON="my python")
  assert done.returncode == 5 and "gives up" in done.stderr
  assert len(shell.calls()) == 1


def test_dry_run_says_what_a_run_would_do(shell):
  done = shell.run("local.sh", "--gpus=0", "--tries=4", "--dry-run", "--", *RUN)
  assert done.returncode == 0 and not shell.calls()
  cd, command = done.stdout.splitlines()
  assert shells.words_of(cd, shell.folder) == ["cd", str(shells.ROOT)]
  assert shells.words_of(command, shell.folder) == [
    *("env", "JAX_PLATFORMS=cuda,cpu", "CUDA_VISIBLE_DEVICES=0"),
    *("launch/restart.sh", "--tries=4", "--"),
    *("python", "-m", "ns_jax.main", *RUN),
  ]


@pytest.mark.parametrize(
  ("words", "message"),
  [
    ((), "--config is missing"),
    (("--", "--config=configs/ns2.py"), "--workdir is missing"),
    (RUN, f"{RUN[0]}: unknown; flags of ns_jax.main come after --"),
    (("--gpus=two", "--", *RUN), "--gpus=two: give all, none, or numbers"),
    (("--tries=", "--", *RUN), "--tries=: is not a whole number"),
    (("--", *RUN), "no nowhere/python here; activate the virtual environment"),
  ],
)
def test_mistakes_are_one_line(shell, words, message):
  done = shell.run("local.sh", *words, PYTHON="nowhere/python")
  shells.assert_one_clear_line(done, message)
