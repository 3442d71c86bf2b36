# SPDX-License-Identifier: Apache-2.0
"""Measures what the documentation claims.

  python launch/bench.py data CORPUS_FOLDER
  python launch/bench.py codec
  python launch/bench.py ns1
  python launch/bench.py ns2

`taskset -c 0,1 python …` measures on two cores.
"""

import argparse
import sys

from benchmarks import codec, data, ns1, ns2, timing

from ns_jax.apps import terminal

_BENCHMARKS = {"data": data, "codec": codec, "ns1": ns1, "ns2": ns2}


def main() -> None:
  """Runs the benchmark that was asked for."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  what = parser.add_subparsers(dest="what", required=True)
  for name, benchmark in _BENCHMARKS.items():
    benchmark.add_arguments(
      what.add_parser(
        name,
        description=benchmark.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
      )
    )
  args = parser.parse_args()
  print(f"{timing.machine()}\n")
  _BENCHMARKS[args.what].run(args)


if __name__ == "__main__":
  sys.exit(terminal.guarded(main))
