# SPDX-License-Identifier: Apache-2.0
"""Workflows, citation and Dockerfile, as the programs that read them see."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from tests import documents

ROOT = pathlib.Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def _run(name: str, *args: object) -> None:
  """Runs a linter that is installed beside this Python."""
  path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
  program = shutil.which(name, path=path)
  assert program, f"{name} comes with the extra dev"
  done = subprocess.run(
    [program, *map(str, args)], capture_output=True, text=True, check=False
  )
  assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
  ("schema", "files"),
  [
    ("github-workflows", WORKFLOWS),
    ("citation-file-format", [ROOT / "CITATION.cff"]),
  ],
)
def test_files_follow_their_schemas(schema, files):
  assert files
  _run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *files)


def test_hadolint_finds_nothing():
  _run("hadolint", ROOT / "docker" / "Dockerfile")


def test_images_are_pinned_and_hold_what_extras_there_are():
  text = (ROOT / "docker" / "Dockerfile").read_text()
  images = re.findall(r"^FROM (\S+)(?: AS (\S+))?$", text, re.MULTILINE)
  stages = {stage for _, stage in images}
  outside = {image for image, _ in images} - stages
  assert {"cpu", "cuda", "tpu"} <= stages
  assert outside and all(re.search(r":\d", image) for image in outside)
  extras = re.findall(r"'\.\[([\w,]+)\]'", text)
  assert {e for found in extras for e in found.split(",")} <= documents.extras()


def test_what_an_image_is_built_of_is_there():
  lines = (ROOT / ".dockerignore").read_text().splitlines()
  kept = [line[1:] for line in lines if line.startswith("!")]
  assert "*" in lines and {"setup.py", "ns_jax", "configs"} <= set(kept)
  assert all((ROOT / path).exists() for path in kept)


def test_the_version_is_written_once():
  """The package has it; releases are tags, and citations name no version."""
  assert not re.search("^version:", (ROOT / "CITATION.cff").read_text(), re.M)
  assert "version=re.search" in (ROOT / "setup.py").read_text()
