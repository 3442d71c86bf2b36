# SPDX-License-Identifier: Apache-2.0
"""NaturalSpeech 2 in four evaluations, distilled from a trained one.

  python -m ns_jax.main --config=configs/ns2_distilled.py \\
    --config.teacher=runs/ns2-demo

The presets are those of configs/ns2.py; the preset, the corpus and the codec
must be the teacher's. The result speaks like any other workdir of ns2, by this
solver alone; it cannot convert or enhance.

preset   hardware           time     result
(none)   2 CPU cores        10 min   the demo in 4 evaluations instead of 151
:mini    4 CPU cores        45 min   the model that comes along, in 4 instead
                                     of 17
"""

from ml_collections import ConfigDict

from configs import ns2


def get_config(preset: str = "") -> ConfigDict:
  """Returns the stage's config; `preset` is what follows the colon."""
  config = ns2.get_config(preset)
  config.stage = "ns2_distilled"
  config.teacher = "runs/ns2-demo"  # workdir or bundle
  config.distillation = dict(
    steps=3,
    teacher_steps=6,
    temperature=config["sample"].get_ref("temperature"),
    guidance=0.0,
  )
  config.optim.update(
    peak_lr=0.3 * config.optim.peak_lr,
    schedule="cosine",
    warmup_steps=min(50, config.optim.warmup_steps),
    # What is not taught must stay as it is.
    weight_decay=0.0,
  )
  config.train.num_steps = max(config.train.num_steps // 4, 2)
  if preset == "mini":
    # Steps with four evaluations and their teacher's are that much dearer.
    config.train.update(
      num_steps=800, batch_size=8, eval_every=200, save_every=100
    )
    config["distillation"].update(teacher_steps=3)
    config.ema_decay = 0.99
  config.optim.decay_steps = config.train.num_steps
  for section in (config.sample, config.preview):
    section.update(solver="jump", steps=config["distillation"].get_ref("steps"))
  return config
