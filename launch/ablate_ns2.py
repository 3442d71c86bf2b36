# SPDX-License-Identifier: Apache-2.0
"""The paper's ablations of NaturalSpeech 2 (Table 6), by short runs.

  python launch/ablate_ns2.py --out=DIR [--corpus=RECORDS]

Trains the demo once for each row of VARIANTS, on the built-in corpus or on
RECORDS, and measures all alike. DIR gets the runs and table.md. When stopped,
the same command goes on.
"""

import argparse
import functools
import json
import pathlib
import sys

import runs

from ns_jax.apps import terminal

# Changes to configs/ns2.py; the first two tell what chance alone does.
VARIANTS: dict[str, dict[str, object]] = {
  "as it is": {},
  "as it is, another seed": {"seed": 1},
  "without CE-RVQ": {"loss.code_ce": 0.0},
  "without prompt in duration and pitch": {
    "model.duration_predictor.hears_prompt": False,
    "model.pitch_predictor.hears_prompt": False,
    "model.relative_pitch": False,
  },
  "without query attention": {"model.denoiser.hears": "frames"},
  "without diffusion prompt": {"model.denoiser.hears": "nothing"},
  "without the phase of the fundamental": {
    "model.pitch_embedding.hears_phase": False
  },
  "pitch not relative to the prompt's": {"model.relative_pitch": False},
  "velocity predicted": {"model.prediction": "velocity"},
  "score weight not capped": {"objective.score_weight": "paper"},
  "score weight of the noise": {"objective.score_weight": "noise"},
  "flow matching": {
    "model.schedule.name": "straight",
    "model.prediction": "flow",
    "objective.score_weight": "flow",
    "loss.diffusion": 0.0,
  },
}
_COLUMNS = (
  *("mel_db_right_prompt", "mel_db_other_prompt", "warped_mel_db"),
  *("f0_error_cents", "duration_error_frames"),
  *("prompt_pitch_mean", "prompt_pitch_std"),
  *("prompt_duration_mean", "prompt_duration_std"),
)


def main() -> None:
  """Runs the variants that have no result yet, and prints the table."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--out", required=True, type=pathlib.Path)
  parser.add_argument("--corpus", type=runs.corpus, default="demo")
  parser.add_argument("--steps", type=int, default=1000)
  args = parser.parse_args()
  args.out = args.out.absolute()
  runs.compare(
    args.out,
    VARIANTS,
    ("diffusion", *_COLUMNS),
    functools.partial(_result, args),
  )


def _result(
  args: argparse.Namespace, directory: pathlib.Path, changes: dict[str, object]
) -> dict[str, float]:
  """Trains and measures one variant, unless that is done."""
  overrides = {
    "train.num_steps": args.steps,
    "optim.decay_steps": args.steps,
    "data.corpus": args.corpus,
    "data.dir": args.out / "data",
    "eval.evaluators": "('losses', 'synthesis')",
    **changes,
  }
  runs.train("ns2", directory, overrides)
  report = json.loads((directory / "report.json").read_text())
  losses = report["losses"]["summary"]
  return {"diffusion": losses["diffusion"], **report["synthesis"]["summary"]}


if __name__ == "__main__":
  sys.exit(terminal.guarded(main))
