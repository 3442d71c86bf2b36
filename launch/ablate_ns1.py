# SPDX-License-Identifier: Apache-2.0
"""The paper's ablations of NaturalSpeech, and our own, by short runs.

  python launch/ablate_ns1.py --out=DIR [--corpus=RECORDS] [--text=BOOK.TXT]

Trains a short demo once for each row of VARIANTS, on the built-in corpus or on
RECORDS, and measures all alike. Phonemes are pre-trained on a text, or on the
sentences of the corpus. DIR gets the runs and table.md. When stopped, the same
command goes on.
"""

import argparse
import functools
import json
import pathlib
import sys

import runs

from ns_jax.apps import terminal

_NEVER = 10**9
_LM = "phoneme_lm"  # stands for the workdir of the language model

# The demo, in fewer steps.
_SHORT: dict[str, object] = {
  "train.num_steps": 600,
  "optim.warmup_steps": 100,
  "optim.decay_steps": 660,
  "schedule.memory": 200,
  "schedule.durations": 450,
  "schedule.forward": 450,
  "model.adversarial.start_step": 450,
  "schedule.tuning": 590,
}
# Changes to that; the first two tell what chance alone does.
VARIANTS: dict[str, dict[str, object]] = {
  "as it is": {},
  "as it is, another seed": {"seed": 1},
  "with sup-phonemes": {"model.encoder.num_sup_phonemes": 512},
  "with pre-trained sup-phonemes": {"phoneme_lm": _LM},
  "without differentiable durator": {"schedule.durations": _NEVER},
  "without forward flow": {"schedule.forward": _NEVER},
  "without memory": {"schedule.memory": _NEVER},
  "without labels for durations in the main phase": {"loss.anchor": 0.0},
  "without any flow": {"schedule.flow": _NEVER},
  "without the loss of what is said": {"loss.said": 0.0},
  "divergences of draws": {"divergence.form": "sample"},
}
_COLUMNS = (
  *("revoiced_mel_db", "said_mel_db", "warped_mel_db"),
  *("duration_error_frames", "length_ratio"),
)


def main() -> None:
  """Runs the variants that have no result yet, and prints the table."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--out", required=True, type=pathlib.Path)
  parser.add_argument("--corpus", type=runs.corpus, default="demo")
  parser.add_argument("--text", type=runs.corpus)
  args = parser.parse_args()
  args.out = args.out.absolute()
  runs.compare(args.out, VARIANTS, _COLUMNS, functools.partial(_result, args))


def _result(
  args: argparse.Namespace, directory: pathlib.Path, changes: dict[str, object]
) -> dict[str, float]:
  """Trains and measures one variant, unless that is done."""
  shared = {"data.dir": args.out / "data"}
  if changes.get("phoneme_lm") == _LM:
    text = {"data.corpus": args.text or args.corpus}
    runs.train(_LM, args.out / _LM, {**shared, **text})
    changes = {**changes, "phoneme_lm": args.out / _LM}
  overrides = {**_SHORT, **shared, "data.corpus": args.corpus, **changes}
  overrides["eval.evaluators"] = "('reading',)"
  runs.train("ns1", directory, overrides)
  report = json.loads((directory / "report.json").read_text())
  return report["reading"]["summary"]


if __name__ == "__main__":
  sys.exit(terminal.guarded(main))
