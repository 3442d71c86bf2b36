# SPDX-License-Identifier: Apache-2.0
"""Our models behind the server, small and untrained."""

import jax
import numpy as np
import pytest

from ns_jax.apps.serving import engine
from ns_jax.inference import narrate
from ns_jax.inference.narrate import Line
from ns_jax.inference.utterance import Manner
from tests import narrators, speakers

TEXT = "Come in. Sit down, please."


def _say(talker, text, voice, **more):
  """The whole wave, a sentence at a time."""
  asked = {"manner": Manner(), "seed": 0, **more}
  parts = talker.read(text, voice, **asked)
  return np.concatenate([wav for part in parts for wav in talker.say([part])])


def _assert_same(wav, other):
  """But for rounding, which an untrained model makes louder."""
  assert wav.shape == other.shape
  assert np.sum((wav - other) ** 2) < 1e-4 * np.sum(other**2)


@pytest.fixture(scope="module")
def talker():
  return engine.Talker(speakers.synthesizer(), "ns2", max_batch=2)


@pytest.mark.nightly
def test_prepared_it_compiles_nothing_more(talker):
  """And says several at once only from then on."""
  voice = talker.listen(speakers.voice())
  parts = talker.read("Come in. Sit down.", voice, Manner(), 0)
  assert talker.most_at_once(parts[0]) == 1
  for prepare in (*talker.preparations(), *talker.further_preparations()):
    prepare()
  assert talker.most_at_once(parts[0]) == 2
  compiled = []
  jax.monitoring.register_event_duration_secs_listener(
    lambda name, sec, **_: compiled.append(name)
  )
  talker.say(parts[:1])
  talker.say(parts)
  assert "/jax/core/compile/backend_compile_duration" not in compiled


def test_it_says_what_narrate_says(talker):
  voice = talker.listen(speakers.voice())
  speaker = talker.speaker(voice)
  asked = {"seed": 2**31 - 1, "manner": Manner(speed=1.5)}
  expected = narrate.narrate_all([Line(TEXT, speaker, **asked)])[0].wav
  _assert_same(_say(talker, TEXT, voice, **asked), expected)


def test_company_changes_nothing(talker):
  """Of another voice, another seed and another text."""
  first, other = (talker.listen(speakers.voice(seed=i)) for i in (0, 1))
  (one,) = talker.read("Come in.", first, Manner(speed=1.5), 3)
  (two,) = talker.read("Sit down, please.", other, Manner(speed=1.5), 4)
  together = talker.say([one, two])
  for wav, part in zip(together, (one, two), strict=True):
    (alone,) = talker.say([part])
    _assert_same(wav, alone)


@pytest.mark.nightly
def test_a_model_with_a_voice_of_its_own():
  talker = engine.Talker(narrators.speaker(), "ns1", max_batch=2)
  first, *_ = talker.preparations()
  first()
  line = Line(TEXT, talker.own_voice, 5)
  expected = narrate.narrate_all([line])[0].wav
  _assert_same(_say(talker, TEXT, talker.own_voice, seed=5), expected)
