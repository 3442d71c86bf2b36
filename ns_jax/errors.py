# SPDX-License-Identifier: Apache-2.0
"""What ends a command early, other than a bug of ours."""


class UserError(Exception):
  """Bad input. The message is one line: what is wrong, where, what to do.

  `ns_jax.main` prints it without a traceback and exits with status 2. Anything
  else that escapes is a bug of ours and keeps its traceback.
  """


class Preempted(Exception):
  """Training was told to stop, and has saved; its argument is the step."""


class UnreachableError(UserError):
  """Storage fails, or the other processes of a run cannot be reached.

  No mistake of the command's, which may do another time: the exit status is 1,
  so that launch/restart.sh gives it again.
  """
