# SPDX-License-Identifier: Apache-2.0
"""Wheel and source distribution work where there is no repository."""

import os
import pathlib
import subprocess
import sys
import sysconfig
import tarfile
import zipfile

import pytest
import soundfile

import ns_jax
from tests import speakers

ROOT = pathlib.Path(__file__).parents[1]
pytestmark = [pytest.mark.slow, pytest.mark.nightly]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
  """A folder with the source distribution, and the wheel made of it."""
  out = tmp_path_factory.mktemp("built")
  _succeed([sys.executable, "-m", "build", "-o", out, ROOT], ROOT)
  return out


@pytest.fixture(scope="module")
def run(built, tmp_path_factory):
  """Runs a program of an environment with the wheel, in an empty folder."""
  folder = tmp_path_factory.mktemp("clean")
  venv, empty = folder / "venv", folder / "empty"
  empty.mkdir()
  _succeed([sys.executable, "-m", "venv", "--without-pip", venv], folder)
  pip = (sys.executable, "-m", "pip", "--python", venv / "bin" / "python")
  (wheel,) = built.glob("*.whl")
  _succeed([*pip, "install", "-q", "--no-deps", wheel], folder)
  # What it requires is that of this environment, which comes after it; what is
  # editable here is not seen there.
  (site,) = venv.glob("lib/*/site-packages")
  (site / "requirements.pth").write_text(sysconfig.get_path("purelib"))

  def run(name, *args):
    assert (venv / "bin" / name).is_file()
    return _succeed([venv / "bin" / name, *args], empty)

  run.folder = empty
  return run


def _succeed(command, folder):
  """What a command says that must not fail."""
  hidden = ("PYTHONPATH", "JAX_COMPILATION_CACHE_DIR", "XLA_FLAGS")
  done = subprocess.run(
    [str(word) for word in command],
    cwd=folder,
    env={k: v for k, v in os.environ.items() if k not in hidden},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
  return done.stdout


def test_distributions_are_what_an_index_takes(built):
  _succeed(
    [sys.executable, "-m", "twine", "check", "--strict", *built.iterdir()],
    built,
  )
  name = f"ns_jax-{ns_jax.__version__}"
  assert {path.name for path in built.iterdir()} == {
    f"{name}.tar.gz",
    f"{name}-py3-none-any.whl",
  }
  (wheel,) = built.glob("*.whl")
  tops = {path.split("/")[0] for path in zipfile.ZipFile(wheel).namelist()}
  assert tops == {"ns_jax", "data_pipelines", "configs", f"{name}.dist-info"}
  with tarfile.open(built / f"{name}.tar.gz") as archive:
    names = archive.getnames()
  assert f"{name}/tests/test_distributions.py" in names


def test_what_is_installed_is_the_wheel(run):
  said = run("python", "-c", "import ns_jax; print(ns_jax.__file__)")
  assert pathlib.Path(said.strip()).is_relative_to(run.folder.parent)
  assert run("ns-jax", "--version").split()[-1] == ns_jax.__version__
  assert "synthesize" in run("ns-jax", "--help")


def test_it_speaks(run):
  soundfile.write(run.folder / "voice.wav", speakers.voice(2.0), 16_000)
  out = ("--prompt", "voice.wav", "--out", "hello.wav")
  run("ns-jax", "synthesize", "--text", "The kettle is on.", *out)
  wav, rate_hz = soundfile.read(run.folder / "hello.wav")
  assert rate_hz == 16_000 and len(wav) > 8_000 and wav.any()


def test_it_sings_what_comes_along(run):
  code = (
    "from ns_jax.singing.score import read_score; "
    "print(len(read_score('examples/twinkle.musicxml').notes))"
  )
  assert run("python", "-c", code).strip() == "42"


def test_it_trains(run):
  flags = ("--config.train.num_steps=2", "--config.codec.train.num_steps=2")
  run("python", "-m", "ns_jax.main", "--config=configs/ns2.py:tiny", *flags)
  assert (run.folder / "runs" / "ns2-tiny" / "report.html").is_file()
