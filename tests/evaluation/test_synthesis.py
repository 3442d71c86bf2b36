# SPDX-License-Identifier: Apache-2.0
"""Which sentence is spoken with whose voice."""

import numpy as np
import pytest

from ns_jax.errors import UserError
from ns_jax.evaluation import clips, synthesis


def make_records(speakers, sentences):
  return [
    {
      "speaker": speaker,
      "text": f"sentence {i}",
      "wav": np.zeros(100 + i),
      "id": f"{speaker}-{i}",
    }
    for speaker in speakers
    for i in range(sentences)
  ]


def test_trials_pair_each_sentence_with_other_words():
  records = make_records("abc", 4)
  trials = synthesis.choose_trials(records, 9)
  assert len(trials) == 9
  assert {target["speaker"] for target, _, _ in trials[:3]} == {"a", "b", "c"}
  assert len({target["id"] for target, _, _ in trials}) == 9
  for target, prompt, other in trials:
    assert prompt["speaker"] == target["speaker"] != other["speaker"]
    assert target["text"] not in (prompt["text"], other["text"])


def test_records_are_taken_in_turn():
  records = [*make_records("b", 1), *make_records("a", 3)]
  order = [record["id"] for record in clips.in_turn(records)]
  assert order == ["a-0", "b-0", "a-1", "a-2"]


def test_a_sentence_without_a_prompt_is_left_out():
  records = [*make_records("ab", 3), *make_records("c", 1)]
  trials = synthesis.choose_trials(records, 9)
  assert {target["speaker"] for target, _, _ in trials} == {"a", "b"}


def test_one_voice_cannot_be_compared():
  with pytest.raises(UserError, match="two test speakers"):
    synthesis.choose_trials(make_records("a", 3), 2)
