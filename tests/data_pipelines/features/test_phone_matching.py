# SPDX-License-Identifier: Apache-2.0
import numpy as np

from data_pipelines.features import phone_matching


def test_arpabet_and_mfa_ipa_are_recognised():
  ours = ["_", "h", "ə", "l", "ˈoʊ", ",", "w", "ˈɜː", "l", "d", "."]
  arpabet = ["sil", "HH", "AH0", "L", "OW1", "sp", "W", "ER1", "L", "D", ""]
  mfa = ["", "h", "ə", "ɫ", "ow", "", "w", "ɝ", "ɫ", "d", ""]
  for theirs in (arpabet, mfa):
    assert phone_matching.match(ours, theirs) == list(range(11))


def test_what_only_one_side_has_is_left_out():
  ours = ["_", "k", "ˈɑːɹ", "_", "z", "."]
  theirs = ["K", "AA1", "R", "Z", "sil"]
  found = phone_matching.match(ours, theirs)
  assert found == [None, 0, 1, None, 3, 4]


def test_matches_the_cheapest_of_all_alignments():
  """Against brute force over short random sequences."""
  rng = np.random.default_rng(0)
  phones = ["p", "t", "s", "ˈæ", "ɪ", "n", "_"]

  def cheapest(a, b):
    if not a or not b:
      return phone_matching._GAP * (len(a) + len(b))
    return min(
      cheapest(a[1:], b[1:])
      + phone_matching._cost(
        phone_matching._plain(a[0]), phone_matching._plain(b[0])
      ),
      cheapest(a[1:], b) + phone_matching._GAP,
      cheapest(a, b[1:]) + phone_matching._GAP,
    )

  for _ in range(30):
    a, b = (list(rng.choice(phones, rng.integers(1, 6))) for _ in range(2))
    found = phone_matching.match(a, b)
    pairs = [(i, j) for i, j in enumerate(found) if j is not None]
    assert all(j < k for (_, j), (_, k) in zip(pairs, pairs[1:], strict=False))
    cost = phone_matching._GAP * (len(a) + len(b) - 2 * len(pairs)) + sum(
      phone_matching._cost(
        phone_matching._plain(a[i]), phone_matching._plain(b[j])
      )
      for i, j in pairs
    )
    np.testing.assert_allclose(cost, cheapest(a, b))


def test_starts_are_shared_between_phones_without_counterpart():
  ours = ["_", "k", "æ", "_", "t", "."]
  found = [0, 1, None, None, None, 2]
  starts = phone_matching.transfer_starts(ours, found, [0.0, 1.0, 4.0], 5.0)
  # k, æ and t last one second each; the pause nothing.
  np.testing.assert_allclose(starts, [0.0, 1.0, 2.0, 3.0, 3.0, 4.0])
