# SPDX-License-Identifier: Apache-2.0
"""The one exception a user's mistake becomes: a single clear line."""


class UserError(Exception):
  """Bad input. The message is one line: what is wrong, where, what to do.

  `ns_jax.main` prints it without a traceback and exits with status 2. Anything
  else that escapes is a bug of ours and keeps its traceback.
  """
