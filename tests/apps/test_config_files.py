# SPDX-License-Identifier: Apache-2.0
"""--config finds the configs that come along, and says which these are."""

import pathlib

import pytest

from ns_jax.apps import config_files, planning
from ns_jax.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
  """An empty folder."""
  monkeypatch.chdir(tmp_path)
  return tmp_path


def test_configs_that_come_along_are_found_from_anywhere():
  wanted = ROOT / "configs" / "ns2.py"
  assert config_files.find("configs/ns2.py") == str(wanted)
  for name in ("configs/ns2.py:tiny", "ns2.py:tiny", "ns2:tiny"):
    assert config_files.find(name) == f"{wanted}:tiny"
  config = planning.load_config(
    "configs/ns2.py:tiny", ["--config.train.batch_size=7"]
  )
  assert config.preset == "tiny" and config.train.batch_size == 7


def test_a_file_that_is_there_comes_first(elsewhere):
  mine = elsewhere / "configs" / "ns2.py"
  mine.parent.mkdir()
  mine.write_text(
    "from configs import ns1\n"
    "def get_config(preset=''):\n"
    "  return ns1.get_config(preset)\n"
  )
  assert config_files.find("configs/ns2.py:a:b") == "configs/ns2.py:a:b"
  assert planning.load_config("configs/ns2.py:tiny", []).stage == "ns1"


@pytest.mark.parametrize(
  "name",
  ["configs/no.py", "my/ns2.py", "/configs/ns2.py", "ns2.txt", "configs", ""],
)
def test_other_files_are_one_line_that_names_those_that_come_along(name):
  with pytest.raises(UserError) as caught:
    planning.load_config(f"{name}:tiny", [])
  message = str(caught.value)
  assert message.startswith(f"--config={name}: ") and "\n" not in message
  for path in (ROOT / "configs").glob("*.py"):
    assert (f"configs/{path.name}" in message) == (path.stem != "common")
