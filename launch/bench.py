# SPDX-License-Identifier: Apache-2.0
"""Measures what the documentation claims.

  python launch/bench.py data CORPUS_FOLDER
  python launch/bench.py codec
  python launch/bench.py ns1
  python launch/bench.py ns2
  python launch/bench.py speak
  python launch/bench.py train --config configs/ns2.py configs/codec.py

`taskset -c 0,1 python …` measures on two cores.
"""

import argparse
import importlib
import sys

from benchmarks import timing

from ns_jax.apps import terminal

_BENCHMARKS = ("data", "codec", "ns1", "ns2", "speak", "train")


def main() -> None:
  """Runs the benchmark that was asked for."""
  parser = _parser(__doc__)
  parser.add_argument("what", choices=_BENCHMARKS)
  parser.add_argument("options", nargs=argparse.REMAINDER)
  args = parser.parse_args()
  # Only this one: what the others need may not be installed.
  benchmark = importlib.import_module(f"benchmarks.{args.what}")
  parser = _parser(benchmark.__doc__, prog=f"{parser.prog} {args.what}")
  benchmark.add_arguments(parser)
  options = parser.parse_args(args.options)
  print(f"{timing.machine()}\n")
  benchmark.run(options)


def _parser(
  description: str | None, prog: str | None = None
) -> argparse.ArgumentParser:
  return argparse.ArgumentParser(
    prog=prog,
    description=description,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )


if __name__ == "__main__":
  sys.exit(terminal.guarded(main))
