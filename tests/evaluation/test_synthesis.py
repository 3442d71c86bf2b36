# SPDX-License-Identifier: Apache-2.0
"""Which sentence is spoken with whose voice."""

import numpy as np

from ns_jax.evaluation import synthesis


def test_trials_pair_each_sentence_with_other_words():
  records = [
    {
      "speaker": speaker,
      "text": f"sentence {i}",
      "wav": np.zeros(100 + i),
      "id": f"{speaker}-{i}",
    }
    for speaker in ("a", "b", "c")
    for i in range(4)
  ]
  trials = synthesis.choose_trials(records, 9)
  assert len(trials) == 9
  assert {target["speaker"] for target, _, _ in trials[:3]} == {"a", "b", "c"}
  assert len({target["id"] for target, _, _ in trials}) == 9
  for target, prompt, other in trials:
    assert prompt["speaker"] == target["speaker"] != other["speaker"]
    assert target["text"] not in (prompt["text"], other["text"])
