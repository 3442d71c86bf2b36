# SPDX-License-Identifier: Apache-2.0
"""Model cards: Markdown with front matter that model hubs read.

A card that nobody wrote says what the run itself knows: sizes, steps and what
its report measured. What it does not know, it says that it does not know.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ns_jax import __version__, files
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError
from ns_jax.inference.restore import Weights
from ns_jax.training import workdir

_RULE = "---\n"
_STAGES = {  # what each does; tags; what hubs call its task
  "codec": (
    "Codes speech and makes speech of codes again.",
    ("audio-codec", "soundstream"),
    "audio-to-audio",
  ),
  "aligner": (
    "Finds when each phoneme of a recording is said.",
    ("forced-alignment",),
    None,
  ),
  "ns1": (
    "NaturalSpeech: says English text in the one voice it has learned.",
    ("naturalspeech", "text-to-speech"),
    "text-to-speech",
  ),
  "ns2": (
    "NaturalSpeech 2: says English text in the voice of a short recording.",
    ("naturalspeech2", "text-to-speech", "voice-cloning"),
    "text-to-speech",
  ),
}
_STAGES["ns2_distilled"] = _STAGES["ns2"]
_USES = {
  "codec": "ns-jax encode in.wav out.nsc --codec FOLDER",
  "aligner": "ns-jax prepare CORPUS --aligner=FOLDER --out=RECORDS",
  "ns1": 'ns-jax synthesize --model FOLDER --text "Hello." --out hello.wav',
  "ns2": (
    'ns-jax synthesize --model FOLDER --text "Hello." --prompt voice.wav '
    "--out hello.wav"
  ),
}
_USES["ns2_distilled"] = _USES["ns2"]


def with_front_matter(
  card: str, stage: str, licence: str | None, datasets: Sequence[str]
) -> str:
  """A card that begins with front matter; its own is kept.

  Args:
    card: Markdown.
    stage: of the model.
    licence: as hubs name it, such as "apache-2.0"; None: nobody said.
    datasets: as hubs name them, such as "openslr/librispeech_asr".

  Raises:
    UserError: the card says itself what is given here.
  """
  if card.startswith(_RULE):
    if licence or datasets:
      raise UserError(
        "the card has front matter of its own; leave out licence and datasets"
      )
    return card
  _, tags, task = _STAGES[stage]
  lines = [
    f"license: {json.dumps(licence or 'unknown')}",
    'language: ["en"]',
    "library_name: ns_jax",
    *([f"pipeline_tag: {task}"] if task else []),
    f"tags: {json.dumps(['jax', 'speech', *tags])}",
    *([f"datasets: {json.dumps([*datasets])}"] if datasets else []),
  ]
  return _RULE + "\n".join(lines) + "\n" + _RULE + "\n" + card


def template(weights: Weights) -> str:
  """What a run says of itself; its report's figures, if they are of it."""
  config, stage = weights.config, weights.config.stage
  leaves = jax.tree.leaves(weights.params["gen"])
  spec = AudioSpec(**config.audio)
  facts = {
    "Stage": f"{stage}, preset `{config.get('preset') or 'demo'}`",
    "Steps of training": f"{weights.step:,}",
    "Parameters": f"{sum(int(np.size(leaf)) for leaf in leaves):,}",
    "Precision": "half, as stored here",
    "Audio": (
      f"{spec.sample_rate_hz:,} Hz, {spec.frame_rate_hz:g} frames a second"
    ),
    "Made by": f"ns_jax {__version__}",
  }
  lines = [f"# {stage}", "", _STAGES[stage][0], "", "| | |", "|---|---|"]
  lines += [f"| {name} | {value} |" for name, value in facts.items()]
  lines += ["", "## Use", "", "```bash", _USES[stage], "```", "", "## Figures"]
  lines += ["", *_figures(weights), "", "## Data and limits", ""]
  lines += [
    "Whoever trained this model has not said here what it was trained on, nor",
    "whose voices it has heard: ask before you use it or pass it on. Do not",
    "use it to pass a made-up recording off as somebody's own words.",
  ]
  return "\n".join(lines) + "\n"


def _figures(weights: Weights) -> list[str]:
  """Summaries of the run's report, as Markdown."""
  path = weights.folder and weights.folder / workdir.REPORT_FILE
  if not path or not path.is_file():
    return ["None: the run has no report."]
  try:
    report: Mapping[str, Any] = json.loads(files.read_text(path))
    summaries = {
      section: found["summary"]
      for section, found in report.items()
      if isinstance(found, Mapping) and found.get("summary")
    }
    step = report["step"]
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    raise UserError(f"{path}: is no report that can be read") from error
  if step != weights.step:
    return [f"None of this step: the run's report is of step {step}."]
  return [
    f"Of held-out test speech, by the run's report at step {step}.",
    "",
    "| evaluator | quantity | value |",
    "|---|---|--:|",
    *(
      f"| {section} | {name} | {'' if value is None else f'{value:.4g}'} |"
      for section, summary in summaries.items()
      for name, value in summary.items()
    ),
  ]
