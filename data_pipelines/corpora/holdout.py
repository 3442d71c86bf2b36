# SPDX-License-Identifier: Apache-2.0
"""Which clips are for training, validation and test.

Parts a corpus names itself are kept. What is missing is taken from the
training part: whole speakers where there are many, else single clips, chosen
by a hash of their names, so that the same corpus is always split alike.
"""

import collections
import dataclasses
import hashlib
import heapq
from collections.abc import Callable, Collection, Iterable, Iterator

from data_pipelines.corpora.listing import Clip
from ns_jax.errors import UserError

_SPLITS = {
  "train": ("train",),
  "valid": ("valid", "val", "dev"),
  "test": ("test", "eval"),
}
_MANY_SPEAKERS = 20
_SHARE = 0.05  # of each held-out split
_MOST_SPEAKERS, _MOST_CLIPS = 20, 200


@dataclasses.dataclass(frozen=True)
class EvaluationSet:
  """A set papers report on: some clips of each speaker of a part."""

  subset: str  # of the corpus; "": all
  clips_per_speaker: int
  without: tuple[str, ...] = ()  # speakers


# NaturalSpeech 2, Sec. 5: 600 clips of 40 speakers, 540 of 108. In VCTK the
# two speakers without a second microphone are left out, which gives 108.
EVALUATION_SETS = {
  "librispeech-test-clean": EvaluationSet("test-clean", 15),
  "vctk": EvaluationSet("", 5, without=("p280", "p315")),
}


def assign(
  list_clips: Callable[[], Iterable[Clip]],
  *,
  valid_speakers: Collection[str] = (),
  test_speakers: Collection[str] = (),
) -> Iterator[tuple[str, Clip]]:
  """Gives every clip its split.

  Args:
    list_clips: lists them, always alike; called several times, so that they
      need not all be in memory.
    valid_speakers: held out for validation; then nothing else is.
    test_speakers: held out for tests, likewise.

  Yields:
    (split, clip).

  Raises:
    UserError: a named speaker is not there.
  """
  named = dict.fromkeys(valid_speakers, "valid")
  named |= dict.fromkeys(test_speakers, "test")
  speakers = collections.Counter[str]()
  present = set(named.values())
  for clip in list_clips():
    split = _own_split(clip)
    present.add(split)
    if split == "train":
      speakers[clip.speaker] += 1
  unknown = sorted(set(named) - speakers.keys())
  if unknown:
    raise UserError(
      f"no speaker '{unknown[0]}' in the training part; it has "
      f"{', '.join(sorted(speakers)[:8])}, ..."
    )
  missing = [split for split in ("valid", "test") if split not in present]
  if len(speakers) >= _MANY_SPEAKERS:
    rest = speakers.keys() - named.keys()
    held_out = named | _take(rest, missing, len(rest), _MOST_SPEAKERS)

    def split_of(clip: Clip) -> str:
      return held_out.get(clip.speaker, "train")

  else:
    ids = (
      clip.id
      for clip in list_clips()
      if _own_split(clip) == "train" and clip.speaker not in named
    )
    taken = _take(ids, missing, speakers.total(), _MOST_CLIPS)

    def split_of(clip: Clip) -> str:
      return named.get(clip.speaker) or taken.get(clip.id, "train")

  for clip in list_clips():
    own = _own_split(clip)
    yield (split_of(clip) if own == "train" else own), clip


def evaluation_set(
  list_clips: Callable[[], Iterable[Clip]], name: str
) -> Iterator[tuple[str, Clip]]:
  """Yields ("test", clip) of a set that papers report on.

  Raises:
    UserError: there is no such set.
  """
  if name not in EVALUATION_SETS:
    raise UserError(
      f"no evaluation set '{name}'; choose of {', '.join(EVALUATION_SETS)}"
    )
  chosen = EVALUATION_SETS[name]
  by_speaker = collections.defaultdict[str, list[str]](list)

  def belongs(clip: Clip) -> bool:
    is_part = chosen.subset in ("", clip.subset)
    return is_part and clip.speaker not in chosen.without

  for clip in filter(belongs, list_clips()):
    by_speaker[clip.speaker].append(clip.id)
  picked = {
    clip_id
    for ids in by_speaker.values()
    for clip_id in heapq.nsmallest(chosen.clips_per_speaker, ids, key=_rank)
  }
  for clip in filter(belongs, list_clips()):
    if clip.id in picked:
      yield "test", clip


def _take(
  names: Iterable[str], splits: list[str], total: int, most: int
) -> dict[str, str]:
  """Picks names for the splits that are missing; at least one is left over."""
  count = max(1, min(most, round(_SHARE * total)))
  if total < len(splits) * count + 1:
    return {}
  first = heapq.nsmallest(len(splits) * count, names, key=_rank)
  return {name: splits[i // count] for i, name in enumerate(first)}


def _own_split(clip: Clip) -> str:
  """The split a corpus's part belongs to; "train" where it has no parts."""
  subset = clip.subset.lower()
  for split, prefixes in _SPLITS.items():
    if subset.startswith(prefixes):
      return split
  return "train"


def _rank(name: str) -> bytes:
  return hashlib.sha256(name.encode(errors="surrogatepass")).digest()
