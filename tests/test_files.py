# SPDX-License-Identifier: Apache-2.0
"""A file is whole or not there, whatever else happens."""

import os

import pytest

from ns_jax import files


def test_an_old_file_stays_until_the_new_one_is_whole(tmp_path):
  path = tmp_path / "a.txt"
  path.write_text("old")
  with pytest.raises(RuntimeError, match="stop"), files.appearing(path) as file:
    file.write(b"new")
    raise RuntimeError("stop")
  assert path.read_text() == "old"
  with files.appearing(path) as file:
    file.write(b"new")
    assert path.read_text() == "old"
  assert path.read_text() == "new"
  assert os.listdir(tmp_path) == ["a.txt"]


def test_two_writers_of_one_file_do_not_meet(tmp_path):
  path = tmp_path / "a.txt"
  with files.appearing(path) as first, files.appearing(path) as second:
    first.write(b"first")
    second.write(b"second")
  assert path.read_text() == "first"  # the last to end
  assert os.listdir(tmp_path) == ["a.txt"]


def test_nobodys_files_are_in_the_way(tmp_path):
  (tmp_path / "victim").write_text("mine")
  (tmp_path / "a.txt.part").symlink_to(tmp_path / "victim")
  with files.appearing(tmp_path / "a.txt") as file:
    file.write(b"new")
  assert (tmp_path / "victim").read_text() == "mine"
  assert (tmp_path / "a.txt.part").is_symlink()


def test_a_long_name_is_no_reason_to_fail(tmp_path):
  path = tmp_path / ("a" * 255)
  with files.appearing(path) as file:
    file.write(b"new")
  assert path.read_text() == "new"
