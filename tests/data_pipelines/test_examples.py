# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from data_pipelines import examples
from ns_jax.errors import UserError


def _record(durations, spec):
  """Every value tells its frame or sample."""
  durations = np.array(durations, np.int32)
  num_frames = int(durations.sum())
  frames = np.arange(num_frames)
  return {
    "id": "x",
    "phonemes": np.arange(1, len(durations) + 1, dtype=np.int32),
    "durations": durations,
    "f0": frames.astype(np.float32),
    "codes": np.stack([frames, frames + 500], -1).astype(np.uint16),
    "wav": np.repeat(frames, spec.hop_samples).astype(np.int16),
  }


def _utterance(record, seed, spec, **sizes):
  return examples.utterance(
    record,
    np.random.default_rng(seed),
    features=("f0", "codes", "wav"),
    spec=spec,
    **sizes,
  )


def test_short_utterance_is_padded(spec):
  record = _record([3, 0, 4], spec)
  example = _utterance(record, 0, spec, max_frames=10, max_phonemes=5)
  np.testing.assert_array_equal(example["phonemes"], [1, 2, 3, 0, 0])
  np.testing.assert_array_equal(example["durations"], [3, 0, 4, 0, 0])
  np.testing.assert_array_equal(example["f0"], [*range(7), 0, 0, 0])
  np.testing.assert_array_equal(example["codes"][:7, 1], np.arange(7) + 500)
  assert example["codes"].dtype == np.int32
  assert example["num_phonemes"] == 3 and example["num_frames"] == 7
  assert example["num_samples"] == 7 * spec.hop_samples
  assert example["wav"].shape == (10 * spec.hop_samples,)
  assert all(v.dtype in (np.int32, np.float32) for v in example.values())


def test_of_a_long_utterance_two_windows_are_seen(spec):
  rng = np.random.default_rng(1)
  record = _record(rng.integers(0, 6, 40), spec)
  bounds = np.concatenate([[0], np.cumsum(record["durations"])])
  starts = set()
  for seed in range(60):
    example = _utterance(record, seed, spec, max_frames=20, max_phonemes=12)
    first = int(example["phonemes"][0]) - 1
    assert example["num_phonemes"] == 12
    np.testing.assert_array_equal(
      example["phonemes"], np.arange(first, first + 12) + 1
    )
    np.testing.assert_array_equal(
      example["durations"], record["durations"][first : first + 12]
    )
    frames, start = (
      int(example["num_frames"]),
      int(bounds[first] + example["first_frame"]),
    )
    assert frames == min(20, bounds[first + 12] - bounds[first])
    assert bounds[first] <= start and start + frames <= bounds[first + 12]
    starts.add((first, start))
    np.testing.assert_array_equal(
      example["f0"][:frames], np.arange(start, start + frames)
    )
    np.testing.assert_array_equal(
      example["codes"][:frames, 0], np.arange(start, start + frames)
    )
    np.testing.assert_allclose(
      example["wav"][: frames * spec.hop_samples : spec.hop_samples] * 32767,
      np.arange(start, start + frames),
      atol=1e-3,
    )
  firsts, of_frames = zip(*starts, strict=True)
  assert len(set(firsts)) > 15 and {0, 28} <= set(firsts)
  assert len(set(of_frames)) > 30


def test_phonemes_seen_do_not_tell_how_fast_they_are_spoken(spec):
  """Else a predictor of durations would listen to their number."""
  fast = np.random.default_rng(1).integers(1, 6, 40)
  seen = [
    [
      _utterance(
        _record(durations, spec), seed, spec, max_frames=20, max_phonemes=12
      )["phonemes"]
      for seed in range(20)
    ]
    for durations in (fast, 5 * fast)
  ]
  np.testing.assert_array_equal(*seen)


def test_only_wanted_features(spec):
  record = _record([2, 2], spec)
  del record["codes"]
  example = examples.utterance(
    record,
    np.random.default_rng(0),
    features=("phonemes", "f0"),
    max_frames=5,
    max_phonemes=5,
    spec=spec,
  )
  assert set(example) == {
    *("phonemes", "num_phonemes", "durations"),
    *("num_frames", "first_frame", "f0"),
  }


def test_a_phoneme_may_be_longer_than_the_window(spec):
  record = _record([2, 50, 2], spec)
  for seed in range(20):
    example = _utterance(record, seed, spec, max_frames=10, max_phonemes=5)
    np.testing.assert_array_equal(example["durations"], [2, 50, 2, 0, 0])
    first = int(example["first_frame"])
    np.testing.assert_array_equal(example["f0"], first + np.arange(10))


def _passage(record, seed, spec, **sizes):
  return examples.passage(
    record,
    np.random.default_rng(seed),
    features=("f0", "wav", "sup_phonemes"),
    spec=spec,
    **sizes,
  )


def _with_sups(record):
  """Sup-phonemes of two phonemes each; the last may have one."""
  count = len(record["phonemes"])
  lengths = [2] * (count // 2) + [1] * (count % 2)
  ids = 100 + np.arange(len(lengths), dtype=np.int32)
  return {**record, "sup_phonemes": ids, "sup_lengths": np.array(lengths)}


def test_a_short_passage_is_the_utterance(spec):
  record = _with_sups(_record([3, 0, 4], spec))
  example = _passage(record, 0, spec, max_frames=10, max_phonemes=5)
  np.testing.assert_array_equal(example["durations"], [3, 0, 4, 0, 0])
  np.testing.assert_array_equal(example["f0"], [*range(7), 0, 0, 0])
  np.testing.assert_array_equal(example["sup_phonemes"], [100, 100, 101, 0, 0])
  np.testing.assert_array_equal(example["span"], [0, 0, 1, 0, 0])
  assert example["num_spans"] == 2
  assert all(v.dtype in (np.int32, np.float32) for v in example.values())


def test_of_a_long_utterance_whole_phonemes_are_taken(spec):
  rng = np.random.default_rng(1)
  record = _with_sups(_record(rng.integers(0, 6, 41), spec))
  bounds = np.concatenate([[0], np.cumsum(record["durations"])])
  firsts, lasts = set(), set()
  for seed in range(200):
    example = _passage(record, seed, spec, max_frames=20, max_phonemes=12)
    count, frames = int(example["num_phonemes"]), int(example["num_frames"])
    first = int(example["phonemes"][0]) - 1
    start, stop = bounds[first], bounds[first + count]
    np.testing.assert_array_equal(
      example["durations"][:count], record["durations"][first : first + count]
    )
    assert example["durations"].sum() == frames == stop - start <= 20
    np.testing.assert_array_equal(
      example["f0"][:frames], np.arange(start, stop)
    )
    # Not one phoneme more would have fitted.
    assert (
      count == 12
      or first + count == 41
      or bounds[first + count + 1] > (start + 20)
    )
    own = np.arange(first, first + count) // 2
    np.testing.assert_array_equal(example["sup_phonemes"][:count], 100 + own)
    np.testing.assert_array_equal(example["span"][:count], own - own[0])
    assert example["num_spans"] == own[-1] - own[0] + 1
    firsts.add(first)
    lasts.add(first + count)
  assert {0} <= firsts and {41} <= lasts and len(firsts) > 20


def test_one_phoneme_longer_than_the_passage_is_cut(spec):
  record = _with_sups(_record([50], spec))
  example = _passage(record, 0, spec, max_frames=10, max_phonemes=5)
  np.testing.assert_array_equal(example["durations"], [10, 0, 0, 0, 0])
  np.testing.assert_array_equal(example["f0"], np.arange(10))


def test_a_passage_is_never_of_pauses_alone_that_last_no_frame(spec):
  """However long what stands beside them."""
  for durations in ([0, 300, 4, 5], [4, 0, 300, 0]):
    record = _with_sups(_record(durations, spec))
    passages = [
      _passage(record, seed, spec, max_frames=240, max_phonemes=16)
      for seed in range(20)
    ]
    assert all(passage["num_frames"] > 0 for passage in passages)
    assert {240} < {int(passage["num_frames"]) for passage in passages}


def _text(record, seed, max_phonemes, features=("phonemes", "sup_phonemes")):
  return examples.text(
    record,
    np.random.default_rng(seed),
    features=features,
    max_phonemes=max_phonemes,
  )


def _texts(lengths, max_phonemes):
  """All examples there should be: the longest runs of whole sup-phonemes."""
  bounds = np.concatenate([[0], np.cumsum(lengths)])
  phonemes = np.arange(1, bounds[-1] + 1)
  found = {}
  for first, begin in enumerate(bounds[:-1]):
    stops = [k for k, end in enumerate(bounds) if end - begin <= max_phonemes]
    stop = max(stops[-1], first + 1)
    end = min(bounds[stop], begin + max_phonemes)
    owners = np.repeat(np.arange(len(lengths)), lengths)[begin:end]
    found[first] = dict(
      phonemes=phonemes[begin:end],
      sup_phonemes=100 + owners,
      span=owners - first,
      num_phonemes=end - begin,
      num_spans=owners[-1] + 1 - first,
    )
    if stop == len(lengths):
      break
  return found


@pytest.mark.parametrize("max_phonemes", [3, 5, 8, 40])
def test_a_text_is_cut_between_sup_phonemes(max_phonemes):
  rng = np.random.default_rng(2)
  lengths = rng.integers(1, 5, 12)
  record = {
    "phonemes": np.arange(1, lengths.sum() + 1, dtype=np.int32),
    "sup_phonemes": 100 + np.arange(len(lengths), dtype=np.int32),
    "sup_lengths": lengths,
  }
  expected = _texts(lengths, max_phonemes)
  seen = set()
  for seed in range(150):
    example = _text(record, seed, max_phonemes)
    first = int(example["sup_phonemes"][0]) - 100
    seen.add(first)
    wanted = expected[first]
    assert example.keys() == wanted.keys()
    for name, values in wanted.items():
      if np.ndim(values):
        values = np.pad(values, (0, max_phonemes - len(values)))
      np.testing.assert_array_equal(example[name], values)
      assert example[name].dtype == np.int32
  assert seen == set(expected)


def test_without_sup_phonemes_every_phoneme_is_a_span():
  record = {"phonemes": np.arange(1, 8, dtype=np.int32)}
  firsts = set()
  for seed in range(40):
    example = _text(record, seed, 5, features=("phonemes",))
    first = int(example["phonemes"][0])
    firsts.add(first)
    np.testing.assert_array_equal(example["phonemes"], first + np.arange(5))
    np.testing.assert_array_equal(example["span"], np.arange(5))
    assert example["num_spans"] == example["num_phonemes"] == 5
    assert "sup_phonemes" not in example
  assert firsts == {1, 2, 3}


def test_whole_utterance_with_a_pause_offered_before_each_word(spec):
  record = _record([2, 3, 4, 5], spec)
  record["word_starts"] = np.array([0, 1, 0, 1], np.uint8)
  record["phonemes"] = np.array([1, 20, 21, 22], np.int32)  # 1: SILENCE
  example = examples.whole(
    record,
    np.random.default_rng(0),
    features=("durations", "wav"),
    max_frames=16,
    max_phonemes=6,
    spec=spec,
  )
  np.testing.assert_array_equal(example["phonemes"], [1, 20, 21, 1, 22, 0])
  np.testing.assert_array_equal(example["durations"], [2, 3, 4, 0, 5, 0])
  np.testing.assert_array_equal(example["is_offer"], [0, 0, 0, 1, 0, 0])
  assert example["num_phonemes"] == 5 and example["num_frames"] == 14
  with pytest.raises(UserError, match="record x: 14 frames"):
    examples.whole(
      record,
      np.random.default_rng(0),
      features=(),
      max_frames=13,
      max_phonemes=6,
      spec=spec,
    )


def test_waveform_crops_anywhere_and_pads(spec):
  record = {"wav": np.arange(1000, dtype=np.int16)}
  starts = set()
  for seed in range(50):
    example = examples.waveform(
      record,
      np.random.default_rng(seed),
      crop_frames=2,
      gain_db=(0.0, 0.0),
      spec=spec,
    )
    assert example["wav"].shape == (400,) and example["num_samples"] == 400
    values = np.rint(example["wav"] * 32767)
    assert (np.diff(values) == 1).all()
    starts.add(values[0])
  assert len(starts) > 30
  example = examples.waveform(
    record,
    np.random.default_rng(0),
    crop_frames=10,
    gain_db=(0.0, 0.0),
    spec=spec,
  )
  assert example["num_samples"] == 1000
  assert (example["wav"][1000:] == 0).all()
