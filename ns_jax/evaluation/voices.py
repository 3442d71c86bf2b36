# SPDX-License-Identifier: Apache-2.0
"""The test speakers' voices as a judge of voices hears them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tqdm

from ns_jax.evaluation import clips
from ns_jax.evaluation.judges import SpeakerJudge

MOST_CLIPS = 5  # recordings that stand for a speaker


class Voices:
  """Test speakers as judged from their recordings."""

  def __init__(
    self,
    records: Sequence[Mapping[str, Any]],
    embed_voice: SpeakerJudge,
  ):
    """Listens to the first recordings of each speaker."""
    self._voices: dict[str, dict[str, np.ndarray]] = {}
    for record in tqdm.tqdm(records, desc="voices", unit="clip"):
      heard = self._voices.setdefault(record["speaker"], {})
      # One more, for where one of them is what was spoken.
      if len(heard) <= MOST_CLIPS:
        voice = embed_voice(clips.reference_wav(record))
        if np.isfinite(voice).all():
          heard[record["id"]] = voice

  def is_nearest(self, voice: np.ndarray, speaker: str, spoken: str) -> float:
    """Whether a voice is nearer to a speaker than to any other.

    Args:
      voice: [E] of length 1.
      speaker: who it should be.
      spoken: id of the recording to leave out.

    Returns:
      1 or 0; NaN where there is nobody else.
    """
    likeness = {}
    for name, heard in self._voices.items():
      others = [v for clip, v in heard.items() if clip != spoken]
      if others:
        centre = np.mean(others[:MOST_CLIPS], axis=0)
        likeness[name] = float(voice @ centre / np.linalg.norm(centre))
    if not np.isfinite(voice).all() or len(likeness) < 2:
      return float("nan")
    return float(max(likeness, key=likeness.__getitem__) == speaker)
