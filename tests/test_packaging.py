# SPDX-License-Identifier: Apache-2.0
"""The package is complete, its requirements too, and the README is true."""

import ast
import importlib.metadata
import os
import pathlib
import re
import runpy
import shutil
import subprocess
import sys

import pytest
import setuptools

import ns_jax
from ns_jax import paths

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("ns_jax", "data_pipelines", "configs")
TEST_COMMAND = "install -q -e '.[dev]'"  # what .ci/run looks for


@pytest.fixture
def setup_arguments(monkeypatch):
  """What setup.py hands to setuptools."""
  arguments = {}
  monkeypatch.setattr(setuptools, "setup", arguments.update)
  monkeypatch.chdir(ROOT)
  runpy.run_path(str(ROOT / "setup.py"))
  return arguments


def _distribution(requirement: str) -> str:
  """Canonical name of the distribution that a requirement asks for."""
  name = re.match(r"[\w.-]+", requirement)
  return re.sub(r"[-_.]+", "-", name.group()).lower()


def _imported_packages(source: str) -> set[str]:
  """First parts of the names that a source file imports."""
  nodes = list(ast.walk(ast.parse(source)))
  names = [a.name for n in nodes if isinstance(n, ast.Import) for a in n.names]
  names += [n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)]
  return {name.split(".")[0] for name in names}


def test_build_copies_every_source_and_data_file(tmp_path):
  subprocess.run(
    [sys.executable, "setup.py", "-q", "build_py", "-d", str(tmp_path)],
    cwd=ROOT,
    check=True,
    capture_output=True,
  )
  wanted = {
    path.relative_to(ROOT)
    for package in PACKAGES
    for path in (ROOT / package).rglob("*")
    if path.suffix in (".py", ".txt", ".typed")
    or {"bundles", "examples"} & set(path.parts)
    if path.is_file()
  }
  built = {p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()}
  assert built == wanted


def test_the_source_distribution_is_the_project(tmp_path):
  subprocess.run(
    [sys.executable, "setup.py", "-q", "egg_info", "-e", str(tmp_path)],
    cwd=ROOT,
    check=True,
    capture_output=True,
  )
  listed = (tmp_path / "ns_jax.egg-info" / "SOURCES.txt").read_text()
  tracked = subprocess.run(
    ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
  ).stdout.splitlines()
  assert set(tracked) - {".gitignore"} <= set(listed.splitlines())


def test_examples_are_links_to_those_that_come_along():
  """Code stays in the repository: it is there to be read."""
  files = (ROOT / "examples").iterdir()
  code = (".py", ".ipynb")
  links = {p.name: p.readlink() for p in files if p.suffix not in code}
  assert links == {
    path.name: pathlib.Path("..", path.relative_to(ROOT))
    for path in paths.EXAMPLES.iterdir()
  }


def test_every_imported_library_is_required(setup_arguments):
  needed = setup_arguments["install_requires"]
  for extra in ("demo", "eval", "gcs", "judges", "serve"):
    needed += setup_arguments["extras_require"][extra]
  required = {_distribution(requirement) for requirement in needed}
  imported = {
    name
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    for name in _imported_packages(path.read_text())
  }
  providers = importlib.metadata.packages_distributions()
  third_party = imported - set(sys.stdlib_module_names) - set(PACKAGES)
  missing = {
    name
    for name in third_party
    # What is not installed here must be required by the name of its import.
    if not required & {_distribution(d) for d in providers.get(name, (name,))}
  }
  assert {"jax", "flax"} < third_party
  assert not missing


def test_upper_bounds_give_a_reason():
  bounds = [
    line
    for line in (ROOT / "setup.py").read_text().splitlines()
    if re.search(r'^ +"[\w-]+.*(<|==|~=)\d', line)
  ]
  assert bounds
  assert all("  # " in line for line in bounds), bounds


def test_version_is_that_of_the_package(setup_arguments):
  assert setup_arguments["version"] == ns_jax.__version__


def test_every_source_file_names_the_licence():
  files = [p for f in (*PACKAGES, "tests") for p in (ROOT / f).rglob("*.py")]
  head = "# SPDX-License-Identifier: Apache-2.0"
  assert not [p for p in files if p.read_text().split("\n", 1)[0] != head]


def test_paths_named_in_the_documents_exist():
  documents = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
  missing = []
  for document in documents:
    text = document.read_text()
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    paths = re.findall(
      r"`((?:ns_jax|data_pipelines|configs|docs|tests|launch)/[\w/.]+)`", text
    )
    missing += [x for x in links if not (document.parent / x).exists()]
    missing += [x for x in paths if not (ROOT / x).exists()]
  assert not missing


def test_readme_has_the_one_line_that_ci_runs():
  lines = (ROOT / "README.md").read_text().splitlines()
  (command,) = [line for line in lines if TEST_COMMAND in line]
  for tool in ("ruff check", "ruff format --check", "pyright", "pytest"):
    assert f"&& {tool}" in command


def test_ci_runs_the_command_elsewhere_and_returns_its_status(tmp_path):
  (tmp_path / ".ci").mkdir()
  shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
  command = f'read -r; echo "{TEST_COMMAND}" .venv; touch .venv/made; exit 7'
  (tmp_path / "README.md").write_text(f"Text.\n{command}\n")
  result = subprocess.run(
    [tmp_path / ".ci" / "run"],
    env={**os.environ, "TMPDIR": str(tmp_path)},
    capture_output=True,
    text=True,
    check=False,
  )
  assert result.returncode == 7, result.stderr
  venv = pathlib.Path(result.stdout.split()[-1])
  assert venv.parent == tmp_path
  assert not venv.exists()
