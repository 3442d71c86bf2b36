# SPDX-License-Identifier: Apache-2.0
"""The config of a run that was trained, to be given again.

python -m ns_jax.main --mode=evaluate --workdir=runs/ns2-demo \
    --config=ns_jax/apps/saved_config.py:runs/ns2-demo
"""

from ml_collections import ConfigDict

from ns_jax import paths
from ns_jax.training import workdir


def get_config(run_dir: str) -> ConfigDict:
  """Returns the config in a workdir; its name is what follows the colon."""
  return workdir.read_config(paths.resolve(run_dir))
