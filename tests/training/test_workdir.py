# SPDX-License-Identifier: Apache-2.0
"""A workdir belongs to one config and to one process at a time."""

import subprocess
import sys

import ml_collections
import pytest

from ns_jax.errors import UserError
from ns_jax.training import workdir


def make_config(**changes):
  config = ml_collections.ConfigDict(
    dict(
      stage="toy",
      model=dict(strides=(2, 4), dim=8),
      data=dict(dir="a"),
      train=dict(num_steps=5, batch_size=2),
    )
  )
  config.update_from_flattened_dict(changes)
  return config


def test_same_config_may_come_back_with_free_fields_changed(tmp_path):
  path = workdir.open_workdir(tmp_path / "run", make_config())
  changed = make_config(**{"train.num_steps": 9, "data.dir": "b"})
  assert workdir.open_workdir(path, changed) == path
  assert workdir.read_config(path).model.dim == 8


def test_another_config_is_refused_and_nothing_changes(tmp_path):
  path = workdir.open_workdir(tmp_path / "run", make_config())
  before = (path / workdir.CONFIG_FILE).read_bytes()
  with pytest.raises(UserError, match=r"config.model.dim is 8 there and 9"):
    workdir.open_workdir(path, make_config(**{"model.dim": 9}))
  assert (path / workdir.CONFIG_FILE).read_bytes() == before


def test_foreign_folders_and_files_are_refused(tmp_path):
  (tmp_path / "thesis.tex").write_text("precious")
  with pytest.raises(UserError, match="holds no run"):
    workdir.open_workdir(tmp_path, make_config())
  with pytest.raises(UserError, match="cannot be used as workdir"):
    workdir.open_workdir(tmp_path / "thesis.tex", make_config())
  with pytest.raises(UserError, match="holds no run"):
    workdir.read_config(tmp_path)


def test_damaged_config_is_named(tmp_path):
  (tmp_path / workdir.CONFIG_FILE).write_text("{")
  with pytest.raises(UserError, match="damaged"):
    workdir.read_config(tmp_path)


def test_two_processes_cannot_share_a_workdir(tmp_path):
  script = (
    "import pathlib, sys\n"
    "from ns_jax.training import workdir\n"
    "with workdir.lock(pathlib.Path(sys.argv[1])):\n"
    "  print('held', flush=True); sys.stdin.readline()\n"
  )
  other = subprocess.Popen(
    [sys.executable, "-c", script, str(tmp_path)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )
  assert other.stdout.readline() == "held\n"
  with pytest.raises(UserError, match="another run"):
    with workdir.lock(tmp_path):
      pass
  other.kill()
  other.wait()
  with workdir.lock(tmp_path):
    pass


def test_a_folder_of_something_else_is_left_as_it_is(tmp_path):
  (tmp_path / "thesis.txt").write_text("mine")
  with pytest.raises(UserError, match="holds no run"), workdir.lock(tmp_path):
    pass
  assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
