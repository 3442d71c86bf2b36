# SPDX-License-Identifier: Apache-2.0
"""Recorded speech with texts, in any layout: from a folder to records.

Clips that cannot be used are left out and listed in `rejects.tsv` with the
reason; what was measured of the others is in `clips.tsv`.
"""

import dataclasses
import json
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from data_pipelines.builder import CLIPS_FILE, REJECTS_FILE
from data_pipelines.corpora import holdout, listing, tables
from data_pipelines.corpora.corpus import Item, Note, Record
from data_pipelines.corpora.listing import Clip
from data_pipelines.corpora.sources import Decode, Source
from data_pipelines.features import clip_audio, textgrids, transcripts
from data_pipelines.features.clip_audio import CleanClip, Limits
from ns_jax import audio
from ns_jax.audio import AudioSpec
from ns_jax.dsp import pitch
from ns_jax.errors import UserError
from ns_jax.text import symbols
from ns_jax.text.frontend import Reading

VERSION = 1  # of how records are made
MEASURED = (
  *("seconds", "speech_sec", "loudness_lufs"),
  *("peak", "clipped", "dc_offset"),
)
# Beyond these a text is hardly that of its clip.
_FEWEST_PHONES_PER_SEC, _MOST_PHONES_PER_SEC = 1.0, 30.0


@dataclasses.dataclass(frozen=True)
class SpeechCorpus:
  """Recordings as the builder sees them; an item is a clip."""

  source: Source
  spec: AudioSpec
  limits: Limits = dataclasses.field(default_factory=Limits)
  pitch_method: str = "harvest"
  textgrid_dir: pathlib.Path | None = None  # durations made elsewhere
  valid_speakers: tuple[str, ...] = ()
  test_speakers: tuple[str, ...] = ()
  evaluation_set: str = ""  # of holdout.EVALUATION_SETS; "": everything
  plain_features = (
    *("id", "speaker", "text", "wav"),
    *("phonemes", "word_starts", "f0", "f0_phase"),
  )
  items_per_shard = (16, 1024)

  @property
  def description(self) -> str:
    """A sentence for the dataset's metadata."""
    return f"Speech from {self.source.name}."

  @property
  def features(self) -> tuple[str, ...]:
    """Durations are there only where TextGrids give them."""
    durations = ("durations",) if self.textgrid_dir else ()
    return (*self.plain_features, *durations)

  def identity(self) -> dict[str, Any]:
    """Where the clips come from and how they are treated."""
    return dict(
      **self.source.identity(),
      version=VERSION,
      audio=self.spec.grid,
      limits=dataclasses.asdict(self.limits),
      pitch_method=self.pitch_method,
      textgrid_dir=str(self.textgrid_dir or ""),
      valid_speakers=sorted(self.valid_speakers),
      test_speakers=sorted(self.test_speakers),
      evaluation_set=self.evaluation_set,
    )

  def plan(self, notes: list[Note]) -> Iterator[tuple[str, Item]]:
    """Lists the clips with their splits; no id twice.

    Raises:
      UserError: there is no clip, or no such speaker or evaluation set.
    """
    seen = set()
    with tempfile.TemporaryFile("w+") as spool:
      for clip in self.source.clips(notes):
        if clip.id in seen:
          listing.reject(
            notes, "its id stands twice", file=clip.file, clip_id=clip.id
          )
          continue
        seen.add(clip.id)
        spool.write(json.dumps(dataclasses.asdict(clip)) + "\n")

      def listed() -> Iterator[Clip]:
        spool.seek(0)
        return (Clip(**json.loads(line)) for line in spool)

      for split, clip in self._splits(listed):
        yield split, dataclasses.asdict(clip)
    if not seen:
      where = self.source.identity()
      raise UserError(
        f"{where['corpus']}: no clip found ({where['layout']} layout)"
      )

  def _splits(
    self, listed: Callable[[], Iterator[Clip]]
  ) -> Iterator[tuple[str, Clip]]:
    if self.evaluation_set:
      return holdout.evaluation_set(listed, self.evaluation_set)
    return holdout.assign(
      listed,
      valid_speakers=self.valid_speakers,
      test_speakers=self.test_speakers,
    )

  def records(self, items: list[Item], notes: list[Note]) -> Iterator[Record]:
    """Makes the records of the clips that can be used."""
    clips = [Clip(**item) for item in items]
    for clip, decode in self.source.decoders(clips):
      try:
        record, measured = self._record(clip, decode)
      except UserError as error:
        reason = str(error).removeprefix(f"{clip.file}: ")
        listing.reject(notes, reason, file=clip.file, clip_id=clip.id)
        continue
      except (OSError, MemoryError):  # the machine's trouble, not the clip's
        raise
      except Exception as error:  # one clip must not stop ten million
        reason = f"failed with {type(error).__name__}: {error}"
        listing.reject(notes, reason, file=clip.file, clip_id=clip.id)
        continue
      facts = {name: round(value, 4) for name, value in measured.items()}
      about = dict(id=clip.id, speaker=clip.speaker)
      notes.append({"kind": "clip", **about, **facts})
      yield record

  def finish(self, directory: pathlib.Path, notes: Iterable[Note]) -> None:
    """Writes `clips.tsv` and `rejects.tsv`."""
    columns = {
      "clip": (CLIPS_FILE, ("id", "speaker", *MEASURED)),
      "reject": (REJECTS_FILE, tables.REJECTS),
    }
    tables.write(directory, columns, notes)

  def _record(
    self, clip: Clip, decode: Decode
  ) -> tuple[Record, dict[str, float]]:
    """One clip's record and what was measured.

    Raises:
      UserError: why the clip cannot be used.
    """
    reading = _read(clip)
    samples, rate_hz = decode(self.limits.max_sec)
    clean = clip_audio.clean(samples, rate_hz, self.spec, self.limits)
    num_frames = self.spec.num_frames(len(clean.wav))
    _check_fit(reading.phonemes, num_frames, clean)
    wav = np.pad(
      clean.wav, (0, self.spec.num_samples(num_frames) - len(clean.wav))
    )
    f0_hz = pitch.f0(wav, self.spec, self.pitch_method)
    record: Record = {
      "id": clip.id,
      "speaker": clip.speaker,
      "text": clip.text,
      "wav": audio.to_int16(wav),
      "phonemes": reading.phonemes,
      "word_starts": reading.word_starts,
      "f0": f0_hz,
      "f0_phase": pitch.f0_phase(wav, f0_hz, self.spec),
    }
    if self.textgrid_dir:
      record |= textgrids.align(
        textgrids.read(self.textgrid_dir, clip),
        reading,
        num_frames,
        self.spec,
        start_sec=clean.lead_sec,
      )
    return record, clean.measured


def _read(clip: Clip) -> Reading:
  """What a clip's transcript sounds like."""
  for what, text in {"id": clip.id, "speaker": clip.speaker}.items():
    transcripts.check_text(text, what)
  if clip.language and not clip.language.lower().startswith("en"):
    raise UserError(f"is in '{clip.language}'; only English can be read")
  return transcripts.read(clip.text, "transcript")


def _check_fit(phonemes: np.ndarray, num_frames: int, clean: CleanClip) -> None:
  """Refuses a text that is too long or too short for its clip."""
  num_phones = int((~symbols.is_pause(phonemes)).sum())
  rate = num_phones / clean.measured["speech_sec"]
  if num_phones > num_frames or rate > _MOST_PHONES_PER_SEC:
    raise UserError(
      f"its text does not fit: {num_phones} phones in "
      f"{clean.measured['speech_sec']:.1f} s of sound are too many"
    )
  if rate < _FEWEST_PHONES_PER_SEC:
    raise UserError(
      f"its text does not fit: {num_phones} phones in "
      f"{clean.measured['speech_sec']:.1f} s of sound are too few"
    )
