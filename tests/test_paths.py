# SPDX-License-Identifier: Apache-2.0
"""Paths of this machine and of a bucket."""

import pathlib
import sys

import pytest

from ns_jax import audio_files, files, paths
from ns_jax.errors import UserError
from tests import gcs


@pytest.fixture
def bucket():
  with gcs.used() as storage:
    yield storage


def test_paths_of_this_machine_are_as_ever(monkeypatch, tmp_path):
  monkeypatch.setenv("HOME", str(tmp_path))
  monkeypatch.chdir(tmp_path)
  assert paths.resolve("~/run") == tmp_path / "run"
  assert paths.resolve("run") == tmp_path / "run"
  assert paths.as_path("~/run") == pathlib.Path("~/run")
  assert isinstance(paths.resolve("run"), pathlib.PosixPath)
  assert paths.names(tmp_path / "none") == []


def test_examples_are_found_from_anywhere(monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)
  shipped = paths.EXAMPLES / "twinkle.musicxml"
  name = pathlib.Path("examples/twinkle.musicxml")
  assert paths.or_example(str(name)) == shipped and shipped.is_file()
  none = pathlib.Path("examples/none.wav")
  assert paths.or_example(none) == none
  with pytest.raises(UserError, match="examples/none.wav: no such audio file"):
    audio_files.decode(none)
  with pytest.raises(UserError, match="twinkle.musicxml: not readable"):
    audio_files.decode(name)
  name.parent.mkdir()
  name.touch()  # what is there comes first
  assert paths.or_example(name) == name


def test_what_buckets_need_is_said(monkeypatch):
  monkeypatch.setitem(sys.modules, "gcsfs", None)
  paths.file_system.cache_clear()
  with pytest.raises(UserError, match=r"gcsfs.*pip install 'ns_jax\[gcs\]'"):
    paths.resolve("gs://another/run")


def test_a_bucket_that_is_not_there_is_named(bucket):
  with pytest.raises(UserError, match="gs://none: no such bucket"):
    paths.resolve("gs://none/run")


def test_files_of_a_bucket(bucket, tmp_path):
  folder = paths.resolve("gs://bucket/run")
  assert str(folder / "a") == "gs://bucket/run/a"
  assert paths.names(folder) == [] and not folder.exists()
  folder.mkdir(parents=True, exist_ok=True)
  with files.appearing(folder / "a") as file:
    file.write(b"one")
    assert paths.names(folder) == []
  with pytest.raises(RuntimeError), files.appearing(folder / "a") as file:
    file.write(b"two")
    raise RuntimeError
  assert files.read_text(folder / "a") == "one"
  for number in range(2 * gcs.PAGE):
    files.write(folder / "b" / str(number), bytes(number))
  assert sorted(paths.names(folder)) == ["a", "b"]
  found = paths.objects(folder)
  assert len(found) == 2 * gcs.PAGE + 1 and found["b/5"]["size"] == 5
  paths.move(folder / "b", folder / "c" / "d")
  assert sorted(paths.names(folder)) == ["a", "c"]
  with paths.local(folder / "a") as here:
    assert here.read_text() == "one"
  assert not here.exists()


def test_a_file_of_a_bucket_grows_by_being_put_anew(bucket):
  path = paths.resolve("gs://bucket/run/log")
  growing = files.Growing(path, b"one\n")
  growing.append(b"two\n")
  bucket.fail_every = 2
  growing.append(b"three\n")
  assert bucket.buckets["bucket"]["run/log"].content == b"one\ntwo\nthree\n"
