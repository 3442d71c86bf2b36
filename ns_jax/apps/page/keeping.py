# SPDX-License-Identifier: Apache-2.0
"""Where the page keeps what visitors leave. Knows nothing of Gradio."""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def private() -> Iterator[pathlib.Path]:
  """Yields a folder of Gradio's that only this user can read, for a while.

  To be entered before Gradio is imported: it makes folders as it starts, by
  default in one that all users of a machine share.
  """
  names = ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED")
  before = {name: os.environ.get(name) for name in names}
  with tempfile.TemporaryDirectory(prefix="ns_jax_page_") as folder:
    os.environ.update(dict(zip(names, (folder, "False"), strict=True)))
    try:
      yield pathlib.Path(folder)
    finally:
      for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
          os.environ[name] = value
