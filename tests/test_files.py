# SPDX-License-Identifier: Apache-2.0
"""A file is whole or not there, whatever else happens."""

import errno
import os
import shutil

import pytest

from ns_jax import files
from ns_jax.errors import UnreachableError, UserError


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


class Flaky:
  """Fails a few times before it works."""

  def __init__(self, times, error):
    self.times, self.error, self.calls = times, error, 0

  def __call__(self, *args):
    self.calls += 1
    if self.calls <= self.times:
      raise self.error
    return "done"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
  monkeypatch.setattr(files, "PAUSES_SEC", (0.0, 0.0))


def failed(number):
  return OSError(number, os.strerror(number), "/data/a")


@pytest.mark.parametrize(
  "error",
  [
    failed(errno.EIO),
    failed(errno.ESTALE),
    TimeoutError("no answer"),
    ConnectionResetError("gone"),
    RuntimeError("pread() failed: Input/output error [5]"),
    ValueError("UNAVAILABLE: 503"),
  ],
)
def test_what_may_pass_is_tried_again_with_a_line_for_each_try(error, caplog):
  work = Flaky(2, error)
  assert files.retried("/data: cannot be read", work) == "done"
  lines = [record.getMessage() for record in caplog.records]
  assert len(lines) == 2
  assert all(line.startswith("/data: cannot be read (") for line in lines)


def test_what_does_not_pass_is_one_line_in_the_end():
  work = Flaky(9, failed(errno.EIO))
  with pytest.raises(
    UnreachableError, match=r"^/data: lost .*tried 3 times.*go on$"
  ):
    files.retried("/data: lost", work)
  assert work.calls == 3


@pytest.mark.parametrize(
  "error",
  [failed(errno.ENOSPC), failed(errno.EACCES), KeyError("a"), UserError("EIO")],
)
def test_what_stays_as_it_is_is_not_tried_again(error):
  work = Flaky(1, error)
  with pytest.raises(type(error)):
    files.retried("/data: cannot be read", work)
  assert work.calls == 1


def test_a_part_that_was_written_but_not_kept_stands_once(
  tmp_path, monkeypatch
):
  path = tmp_path / "logs" / "a.log"
  growing = files.Growing(path, b"first\n")
  growing.append(b"second\n")
  sync = os.fsync
  flaky = Flaky(2, failed(errno.EIO))
  monkeypatch.setattr(os, "fsync", lambda fd: flaky() and sync(fd))
  growing.append(b"third\n")
  assert flaky.calls == 3
  growing.append(b"fourth\n")
  assert path.read_text() == "first\nsecond\nthird\nfourth\n"
  shutil.rmtree(path.parent)  # somebody tidied up
  growing.append(b"fifth\n")
  assert path.read_text() == "fifth\n"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_file_on_a_full_disk_stays_as_it_was(tmp_path, monkeypatch, number):
  path = tmp_path / "a.txt"
  files.write(path, b"old")
  full = Flaky(9, failed(number))
  monkeypatch.setattr(os, "fsync", full)
  with pytest.raises(OSError) as caught:
    files.write(path, b"new")
  assert files.is_disk_full(caught.value) and full.calls == 1
  assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]
