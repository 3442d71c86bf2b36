# SPDX-License-Identifier: Apache-2.0
"""Nothing that is loaded may run: no pickles, by any of their names."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
_MODULES = {
  *("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib"),
  *("shelve", "marshal", "pickletools"),
}
# What reads pickles unless told otherwise, or runs what it is given.
_CALLS = {
  *("torch.load", "jnp.load", "jax.numpy.load", "np.lib.format.read_array"),
  *("pd.read_pickle", "pandas.read_pickle", "eval", "exec", "yaml.load"),
  *("yaml.unsafe_load", "yaml.full_load"),
}
_NUMPY_LOADS = {"np.load", "numpy.load"}  # allow_pickle=False has to be said


def findings(source):
  """One line for each import or call that could load a pickle."""
  found = []
  for node in ast.walk(ast.parse(source)):
    names = []
    if isinstance(node, ast.Import):
      names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      names = [node.module or ""]
      names += [f"{node.module}.{alias.name}" for alias in node.names]
    found += [
      name
      for name in names
      if name.split(".")[0] in _MODULES or name in _CALLS | {"numpy.load"}
    ]
    if isinstance(node, ast.Call):
      called = ast.unparse(node.func)
      options = {key.arg: ast.unparse(key.value) for key in node.keywords}
      is_safe = options.get("allow_pickle", "False") == "False"
      if called in _CALLS or not is_safe:
        found.append(called)
      elif called in _NUMPY_LOADS and "allow_pickle" not in options:
        found.append(f"{called} without allow_pickle=False")
  return found


@pytest.mark.parametrize(
  "package", ["ns_jax", "data_pipelines", "configs", "examples", "launch"]
)
def test_nothing_loads_a_pickle(package):
  found = {
    str(path.relative_to(ROOT)): findings(path.read_text())
    for path in sorted((ROOT / package).rglob("*.py"))
  }
  assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
  "source",
  [
    "import pickle",
    "from pickle import load",
    "import cloudpickle as c",
    "from joblib import load",
    "import torch\ntorch.load(path)",
    "from torch import load",
    "np.load(path)",
    "from numpy import load",
    "np.load(path, allow_pickle=True)",
    "read(path, allow_pickle=flag)",
    "eval(text)",
    "yaml.load(text)",
  ],
)
def test_the_search_finds(source):
  assert findings(source)


@pytest.mark.parametrize(
  "source", ["np.load(path, allow_pickle=False)", "json.load(file)"]
)
def test_the_search_allows(source):
  assert findings(source) == []
