# SPDX-License-Identifier: Apache-2.0
"""What a shell completes, and how configs and runs are named in it."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from ns_jax import audio_formats
from ns_jax.apps import cli
from ns_jax.apps.commands import options
from ns_jax.diffusion import samplers
from tests import commands


def _ns_jax(*args, cwd):
  """The command in a process of its own, one device, not in the repository."""
  return subprocess.run(
    [sys.executable, "-m", "ns_jax.apps.cli", *map(str, args)],
    cwd=cwd,
    env={**commands.environment(cwd), "PYTHONPATH": str(commands.ROOT)},
    capture_output=True,
    text=True,
    check=False,
  )


def _completed(*words):
  completing = ShellComplete(cli.cli, {}, "ns-jax", "_NS_JAX_COMPLETE")
  found = completing.get_completions(list(words[:-1]), words[-1])
  return [(item.type, item.value) for item in found]


def test_words_values_and_files_are_completed():
  assert _completed("syn") == [("plain", "synthesize")]
  assert ("plain", "--overwrite") in _completed("synthesize", "--o")
  solvers = [("plain", "euler"), ("plain", "euler_maruyama")]
  assert _completed("synthesize", "--solver", "eu") == solvers
  assert _completed("synthesize", "--prompt", "v") == [("file", "v")]
  assert ("plain", "ns2:tiny") in _completed("train", "ns2")
  assert _completed("train", "my/c") == [("file", "my/c")]
  assert set(options.SOLVERS) == set(samplers.SOLVERS)
  assert set(options.FORMATS) == set(audio_formats.FORMATS)


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash_itself_completes(tmp_path):
  command = tmp_path / "ns-jax"
  command.write_text(
    f'#!/bin/sh\nexec {sys.executable} -m ns_jax.apps.cli "$@"'
  )
  command.chmod(0o755)
  script = """
eval "$(ns-jax completion bash)"
COMP_WORDS=(ns-jax synthesize --solver eu) COMP_CWORD=3
$(complete -p ns-jax | sed 's/.*-F \\([^ ]*\\).*/\\1/') ns-jax 2>&1
echo "${COMPREPLY[@]}"
[[ $COMP_WORDBREAKS == *:* ]] && echo "ns2:t is cut"
"""
  path = f"{tmp_path}:{os.environ['PATH']}"
  result = subprocess.run(
    ["bash", "--norc", "-c", script],
    env={**os.environ, "PATH": path, "PYTHONPATH": str(commands.ROOT)},
    capture_output=True,
    text=True,
    check=False,
  )
  assert result.stdout.split() == ["euler", "euler_maruyama"]


def test_mistakes_of_runs_are_one_line(tmp_path):
  for args, said in (
    (["ns2:no", "--json"], "is no preset"),
    (["ns2", "--bogus"], "'bogus'"),
    (["ns2", "--config.train.nope=1"], "has no field 'nope'"),
    (["ns2", "--config.train.num_step=1"], 'Did you mean "num_steps"'),
  ):
    result = _ns_jax("train", *args, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1 and said in result.stderr
  for args, said in (
    (["train", "--config.seed=1", "ns2"], "name the config before its fields"),
    (["evaluate", str(tmp_path)], "holds no run"),
  ):
    result = CliRunner().invoke(cli.cli, args)
    assert result.exit_code == 2 and said in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
@pytest.mark.nightly
def test_a_run_is_trained_and_measured_again(tmp_path):
  data = "--config.data.dir=data"
  few = ("--config.train.num_steps=2", "--config.eval.num_batches=1", data)
  result = _ns_jax(
    "train", "phoneme_lm:tiny", "--workdir=run", *few, "--json", cwd=tmp_path
  )
  assert result.returncode == 0, result.stderr
  trained = json.loads(result.stdout)
  assert "step/s" not in result.stderr
  assert pathlib.Path(trained["page"]).is_file()
  report = json.loads((tmp_path / "run" / "report.json").read_text())
  assert trained["report"] == report and report["step"] == 2
  again = _ns_jax("evaluate", "run", data, "--json", cwd=tmp_path)
  assert again.returncode == 0, again.stderr
  losses = json.loads(again.stdout)["report"]["losses"]
  assert losses == report["losses"]
