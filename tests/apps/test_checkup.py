# SPDX-License-Identifier: Apache-2.0
"""`ns-jax doctor` finds what is broken, on machines broken on purpose."""

import json

import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement

from ns_jax.apps import checkup, cli, requirements
from ns_jax.apps.checkup import ABSENT, BROKEN, NOTE, OK, Check, Finding
from ns_jax.errors import UserError
from ns_jax.inference import restore
from tests import codecs


def _look(subject):
  (check,) = [c for c in checkup.CHECKS if c.subject == subject]
  return list(checkup.findings([check]))


def _install(folder, name, version, *lines):
  """What pip leaves of a package that holds nothing."""
  info = folder / f"{name}-{version}.dist-info"
  info.mkdir(parents=True)
  head = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
  (info / "METADATA").write_text("\n".join([*head, *lines, ""]))


def test_what_is_missing_or_old_is_named(tmp_path, monkeypatch):
  _install(
    tmp_path, "probe", "1.0",
    "Provides-Extra: gpu",
    "Requires-Dist: part>=1",
    "Requires-Dist: nothere; python_version < '3'",
    "Requires-Dist: part[fast]>=3; extra == 'gpu'",
    "Requires-Dist: lost; extra == 'gpu'",
    "Requires-Dist: torn; extra == 'gpu'",
  )  # fmt: skip
  _install(
    tmp_path, "part", "3.1", "Requires-Dist: gone; extra == 'fast'"
  )  # fmt: skip
  monkeypatch.syspath_prepend(str(tmp_path))

  def unmet(text):
    return list(requirements.unmet(Requirement(text)))

  assert unmet("part>=3") == []
  assert unmet("part>=4") == ["part is 3.1, to be >=4"]
  assert unmet("gone>=1") == ["gone is not installed"]
  assert unmet("part[fast]>=3") == ["gone is not installed"]
  assert requirements.extras("probe") == ["gpu"]
  assert [r.name for r in requirements.required("probe")] == ["part"]
  extra = requirements.required("probe", "gpu")
  assert [r.extras for r in extra] == [{"fast"}, set(), set()]
  monkeypatch.setattr(checkup, "_PACKAGE", "probe")
  (found,) = _look("extras")
  assert found.grade == ABSENT
  assert found.what == "gone is not installed, and 2 more"
  assert found.remedy == "pip install 'ns_jax[gpu]'"


def test_what_is_well_here():
  for subject in ("Python", "device", "espeak-ng", "PyWorld", "libsndfile",
                  "FFmpeg"):  # fmt: skip
    assert [found.grade for found in _look(subject)] == [OK], subject
  assert {found.grade for found in _look("room")} <= {OK, NOTE}


def test_an_idle_gpu_is_noted(tmp_path, monkeypatch):
  smi = tmp_path / "nvidia-smi"
  smi.write_text("#!/bin/sh\necho NVIDIA H100\n")
  smi.chmod(0o755)
  monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
  monkeypatch.setenv("JAX_PLATFORMS", "cpu")
  (found,) = _look("device")
  assert found.grade == NOTE and "leaves NVIDIA H100 idle" in found.what
  assert found.remedy == "unset JAX_PLATFORMS, which is cpu"
  monkeypatch.delenv("JAX_PLATFORMS")
  monkeypatch.setattr(checkup, "_unmet_of", lambda extra: iter(["plugin"]))
  assert _look("device")[0].remedy == "pip install 'ns_jax[cuda]'"
  monkeypatch.setattr(checkup, "_unmet_of", lambda extra: iter([]))
  assert "says why" in _look("device")[0].remedy
  smi.write_text("#!/bin/sh\necho no driver; exit 9\n")
  assert _look("device")[0].grade == OK


def test_a_damaged_bundle_is_broken(tmp_path, monkeypatch):
  weights = codecs.bundle(tmp_path / "codec") / "model.safetensors"
  monkeypatch.setattr(restore, "BUNDLES", tmp_path)
  assert [found.grade for found in _look("bundle")] == [OK]
  weights.write_bytes(weights.read_bytes()[:-9])
  (found,) = _look("bundle")
  assert found.grade == BROKEN and "--force-reinstall" in found.remedy


def test_a_cache_that_cannot_be_written_is_noted(tmp_path, monkeypatch):
  (tmp_path / "file").touch()
  monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "file" / "x"))
  (found,) = _look("compiled")
  assert found.grade == NOTE and "JAX_COMPILATION_CACHE_DIR" in found.remedy


@pytest.fixture
def ill(monkeypatch):
  """Something noted, and two things that fail in ways of their own."""

  def wrong():
    yield Finding(NOTE, "one", "is odd", "change it")
    raise UserError("cannot be read;\nget another")

  def bug():
    raise ZeroDivisionError("by nought")

  checks = (Check("one", wrong, "buy a new one"), Check("two", bug))
  monkeypatch.setattr(checkup, "CHECKS", checks)


@pytest.mark.usefixtures("ill")
def test_nothing_stops_the_doctor_and_the_status_tells():
  result = CliRunner().invoke(cli.cli, ["doctor"])
  assert result.exit_code == 1
  assert result.stdout == (
    "! one  is odd\n       -> change it\n"
    "✗ one  cannot be read; get another\n       -> buy a new one\n"
    "✗ two  ZeroDivisionError('by nought')\n"
    "\n2 found broken.\n"
  )
  result = CliRunner().invoke(cli.cli, ["doctor", "--json"])
  assert result.exit_code == 1
  findings = json.loads(result.stdout)["findings"]
  assert [found["grade"] for found in findings] == [NOTE, BROKEN, BROKEN]


@pytest.mark.slow
@pytest.mark.nightly
def test_all_is_well_and_measured_here():
  result = CliRunner().invoke(cli.cli, ["doctor", "--json"])
  assert result.exit_code == 0, result.stdout
  found = {f["subject"]: f for f in json.loads(result.stdout)["findings"]}
  assert found["synthesis"]["grade"] == found["packages"]["grade"] == OK
  result = CliRunner().invoke(cli.cli, ["bench", "--json"])
  assert result.exit_code == 0, result.stderr
  figures = json.loads(result.stdout)["figures"]
  assert all(figure["value"] > 0.0 for figure in figures)
  names = {figure["name"].split()[0] for figure in figures}
  assert names == {"matmul", "codec", "synthesis", "first"}
