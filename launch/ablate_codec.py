# SPDX-License-Identifier: Apache-2.0
"""What each choice in the codec's config is worth, by short runs.

  python launch/ablate_codec.py RECORDS --out=DIR

Trains the demo's codec on RECORDS once for each row of _VARIANTS, and measures
all on the test split with all codebooks. DIR gets the runs and table.md. When
stopped, the same command goes on. Needs the extra `eval`.
"""

import argparse
import functools
import json
import pathlib
import sys

import runs

from ns_jax.apps import terminal

_NUM_STEPS = 1000
_COMMON = {
  "train.num_steps": _NUM_STEPS,
  "train.eval_every": _NUM_STEPS,
  "train.save_every": _NUM_STEPS // 2,
  "optim.decay_steps": _NUM_STEPS,
  "model.adversarial.start_step": _NUM_STEPS * 7 // 10,
  "data.reader": "array_record",
  "eval.evaluators": "('losses',)",
}
_NO_JUDGES = {"loss.adversarial": 0.0, "loss.feature": 0.0}


def _balanced(**shares: float) -> dict[str, object]:
  weights = {f"loss.{name}": share for name, share in shares.items()}
  return {"balance_losses": True, **weights}


# Changes to configs/codec.py; the first two tell what chance alone does.
_VARIANTS: dict[str, dict[str, object]] = {
  "as it is": {},
  "as it is, another seed": {"seed": 1},
  "snake": {"model.codec.activation": "snake"},
  "codes in 8 dimensions, L2-normalised": {"model.quantizer.code_dim": 8},
  "bands of three STFTs judged": {
    "model.discriminators.stft_channels": 0,
    "model.discriminators.band_channels": 8,
    "model.discriminators.band_windows": "(512, 1024, 2048)",
  },
  "no discriminators": _NO_JUDGES,
  # Shares of the gradient that the weights as they are have at the end.
  "balanced losses, the same shares": _balanced(
    log_mel=5.0, magnitude=39.0, compressed=51.0, adversarial=4.0, feature=1.0
  ),
  "balanced losses, mostly log-mel": _balanced(
    log_mel=4.0, magnitude=3.0, compressed=1.0, adversarial=1.0, feature=1.0
  ),
  "log-mel loss alone": _NO_JUDGES
  | {"loss.magnitude": 0.0, "loss.compressed": 0.0},
  "the paper's spectral losses": {
    "loss.spectral_linear": 1.0,
    "loss.spectral_log": 1.0,
    "loss.log_mel": 0.0,
    "loss.magnitude": 0.0,
    "loss.compressed": 0.0,
  },
}
_COLUMNS = ("pesq_wb", "estoi", "si_sdr_db", "mel_db", "mcd_db", "f0_cents")


def main() -> None:
  """Runs the variants that have no result yet, and prints the table."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("records", help="folder that `ns-jax prepare` made")
  parser.add_argument("--out", required=True, type=pathlib.Path)
  parser.add_argument("--clips", type=int, default=20)
  args = parser.parse_args()
  args.out = args.out.absolute()
  args.records = pathlib.Path(args.records).absolute()
  runs.compare(args.out, _VARIANTS, _COLUMNS, functools.partial(_result, args))


def _result(
  args: argparse.Namespace, directory: pathlib.Path, changes: dict[str, object]
) -> dict[str, float]:
  """Trains and measures one variant, unless that is done."""
  table = directory / "compared" / "table.json"
  if not table.is_file():
    overrides = _COMMON | {"data.corpus": args.records} | changes
    runs.train("codec", directory, overrides)
    runs.run(
      "launch/compare_codecs.py",
      args.records,
      f"--codec={directory}",
      f"--out={table.parent}",
      f"--clips={args.clips}",
      "--codebooks=8",
      "--opus",
    )
  return json.loads(table.read_text())["rows"][-1]


if __name__ == "__main__":
  sys.exit(terminal.guarded(main))
