# SPDX-License-Identifier: Apache-2.0
"""Trains, evaluates or speaks: `python -m ns_jax.main --config=configs/ns2.py`.

Kept short on purpose: everything else can be imported, tested and used from a
notebook.
"""

import os
import sys
import traceback
from collections.abc import Sequence

import jax
from absl import app, flags

from ns_jax import compiled
from ns_jax.apps import config_files, processes, terminal
from ns_jax.errors import UserError

_CONFIG = config_files.define()
_MODE = flags.DEFINE_enum(
  "mode", "train", ["train", "evaluate", "synthesize"], "What to do."
)
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Folder of the run (default: runs/<stage>-<preset>)."
)
_TEXT = flags.DEFINE_string("text", None, "What to say (mode synthesize).")
_PROMPT = flags.DEFINE_string(
  "prompt", None, "Audio file with the voice to say it in (mode synthesize)."
)
_OUT = flags.DEFINE_string("out", None, "Wave file to write (synthesize).")
_COORDINATOR = flags.DEFINE_string(
  "coordinator", None, "host:port of process 0, on plain hosts."
)
_NUM_PROCESSES = flags.DEFINE_integer(
  "num_processes", None, "Processes in all, on plain hosts."
)
_PROCESS_ID = flags.DEFINE_integer(
  "process_id", None, "Which of them this is, from 0, on plain hosts."
)


def run(argv: Sequence[str]) -> None:
  """Runs one mode.

  Args:
    argv: what absl left over; must hold the program's name alone.

  Raises:
    UserError: for any mistake in what was asked.
  """
  if len(argv) > 1:
    raise UserError(f"unknown argument {argv[1]!r}; see --help")
  if _CONFIG.value is None:
    raise UserError(
      "--config is missing; for the demo: --config=configs/ns2.py"
    )
  if _MODE.value != "synthesize" and any(
    flag.value is not None for flag in (_TEXT, _PROMPT, _OUT)
  ):
    raise UserError(
      "--text, --prompt and --out are for speaking: add --mode=synthesize"
    )
  processes.join(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
  compiled.keep()
  processes.agree_on_versions()
  # After the processes have met, because these reach for devices and data.
  from ns_jax.apps import jobs
  from ns_jax.training import workdir

  config = _CONFIG.value
  run_dir = os.path.expanduser(_WORKDIR.value or workdir.default(config))
  if _MODE.value == "train":
    jobs.train(config, run_dir)
  elif _MODE.value == "evaluate":
    jobs.evaluate(config, run_dir)
  else:
    prompt, out = (
      flag.value and os.path.expanduser(flag.value) for flag in (_PROMPT, _OUT)
    )
    jobs.synthesize(config, run_dir, text=_TEXT.value, prompt=prompt, out=out)


def _guarded(argv: Sequence[str]) -> int | None:
  """Turns mistakes of the user into one line and an exit status."""
  terminal.quiet_libraries()
  try:
    status = terminal.guarded(lambda: run(argv))
  except Exception:
    if not jax.distributed.is_initialized():
      raise
    traceback.print_exc()
    status = terminal.BROKEN
  if status and status != terminal.PREEMPTED:
    processes.leave(status)
  return status


def _parse_flags(argv: list[str]) -> list[str]:
  """Parses flags and the config; a mistake in them is one line too."""
  try:
    rest = flags.FLAGS(argv)
    if _CONFIG.value is not None:
      _CONFIG.value.lock()  # a file that could not be read fails at first use
    return rest
  except UserError as error:
    message = str(error)
  except config_files.MISTAKES as error:
    message = config_files.explain(error)
  print(f"ns_jax: error: {message}", file=sys.stderr)
  sys.exit(2)


def main() -> None:
  """Entry point of `python -m ns_jax.main`."""
  app.run(_guarded, flags_parser=_parse_flags)


if __name__ == "__main__":
  main()
