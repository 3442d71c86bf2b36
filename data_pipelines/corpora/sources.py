# SPDX-License-Identifier: Apache-2.0
"""Where clips and their sound come from: a folder, or TFDS's own copy."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import tensorflow_datasets as tfds

from data_pipelines.corpora import layouts
from data_pipelines.corpora.corpus import Note
from data_pipelines.corpora.listing import Clip
from ns_jax import audio_files
from ns_jax.errors import UserError

Decoded = tuple[np.ndarray, int]  # samples [S, channels] float32, rate in Hz
Decode = Callable[[float], Decoded]  # of the longest acceptable seconds

# Corpora that TFDS can download, with the field of their normal text.
TFDS_TEXTS = {
  "librispeech": "text",
  "libritts": "text_normalized",
  "ljspeech": "text_normalized",
  "vctk": "text",
}


class Source(Protocol):
  """Lists clips, and decodes them later, perhaps on another machine."""

  @property
  def name(self) -> str:
    """What to call the corpus."""
    ...

  def identity(self) -> dict[str, Any]:
    """JSON: what the clips depend on."""
    ...

  def clips(self, notes: list[Note]) -> Iterator[Clip]:
    """All clips in a fixed order."""
    ...

  def decoders(self, clips: list[Clip]) -> Iterator[tuple[Clip, Decode]]:
    """How to get the sound of each; a decoder may raise UserError."""
    ...


@dataclasses.dataclass(frozen=True)
class Folder:
  """Audio files and their texts in one of the layouts."""

  root: pathlib.Path
  layout: str  # of layouts.LAYOUTS

  @classmethod
  def at(cls, path: str | pathlib.Path) -> "Folder":
    """Finds out a folder's layout."""
    root = pathlib.Path(os.path.abspath(os.path.expanduser(path)))
    return cls(root, layouts.find(root))

  @property
  def name(self) -> str:
    """The folder's."""
    return self.root.name

  def identity(self) -> dict[str, Any]:
    """Its place and layout."""
    return dict(corpus=str(self.root), layout=self.layout)

  def clips(self, notes: list[Note]) -> Iterator[Clip]:
    """As the layout lists them."""
    return layouts.LAYOUTS[self.layout](self.root, notes)

  def decoders(self, clips: list[Clip]) -> Iterator[tuple[Clip, Decode]]:
    """Each file by itself.

    Raises:
      UserError: the folder is gone, unmounted perhaps.
    """
    if not self.root.is_dir():
      raise UserError(f"{self.root}: is not there any more")
    for clip in clips:
      yield (
        clip,
        lambda max_sec, clip=clip: audio_files.decode(
          clip.file,
          start_sec=clip.start_sec,
          end_sec=clip.end_sec,
          max_sec=max_sec,
        ),
      )


@dataclasses.dataclass(frozen=True)
class TfdsCopy:
  """A corpus that `tfds build` has downloaded and prepared."""

  name: str  # of TFDS_TEXTS
  data_dir: str

  @classmethod
  def find(cls, name: str, data_dir: str | pathlib.Path) -> "TfdsCopy":
    """Finds the copy.

    Raises:
      UserError: there is none.
    """
    copy = cls(name, str(pathlib.Path(data_dir).expanduser()))
    if not copy._builder().info.splits:
      raise UserError(
        f"{copy.data_dir}: TFDS has no prepared {name} there; run "
        f"'tfds build {name} --data_dir={copy.data_dir}' or give the folder "
        "of an unpacked archive"
      )
    return copy

  def identity(self) -> dict[str, Any]:
    """Name and version in TFDS."""
    return dict(corpus=f"tfds:{self._builder().info.full_name}", layout="tfds")

  def clips(self, notes: list[Note]) -> Iterator[Clip]:
    """All splits; a clip's file names its split and place there."""
    del notes
    builder = self._builder()
    for split in sorted(builder.info.splits):
      for i, row in enumerate(self._rows(split, 0, None, decode_audio=False)):
        yield Clip(
          id=row["id"].decode(),
          speaker=self._speaker(builder, row),
          text=row[TFDS_TEXTS[self.name]].decode(),
          file=f"{split}:{i}",
          subset=split.replace("_", "-"),
        )

  def decoders(self, clips: list[Clip]) -> Iterator[tuple[Clip, Decode]]:
    """Reads a run of neighbours at once."""
    wanted: dict[str, dict[int, Clip]] = {}
    for clip in clips:
      split, _, index = clip.file.rpartition(":")
      wanted.setdefault(split, {})[int(index)] = clip
    rate_hz = self._builder().info.features["speech"].sample_rate
    for split, by_index in wanted.items():
      first, last = min(by_index), max(by_index) + 1
      rows = self._rows(split, first, last, decode_audio=True)
      for i, row in enumerate(rows, first):
        if i in by_index:
          if row["id"].decode() != by_index[i].id:
            raise UserError(f"{self.data_dir}: {self.name} changed; start anew")
          yield by_index[i], _decoder(row["speech"], rate_hz)

  def _builder(self) -> Any:
    try:
      return tfds.builder(self.name, data_dir=self.data_dir)
    except tfds.core.DatasetNotFoundError as error:
      raise UserError(f"TFDS knows no corpus '{self.name}'") from error

  def _rows(
    self, split: str, first: int, last: int | None, *, decode_audio: bool
  ) -> Iterator[dict[str, Any]]:
    """Rows [first, last) of a split."""
    decoders = None if decode_audio else {"speech": tfds.decode.SkipDecoding()}
    dataset = self._builder().as_dataset(
      split=tfds.core.ReadInstruction(split, from_=first, to=last, unit="abs"),
      decoders=decoders,
      shuffle_files=False,
      # Else the order of rows depends on how many are read.
      read_config=tfds.ReadConfig(interleave_cycle_length=1),
    )
    return iter(tfds.as_numpy(dataset))

  def _speaker(self, builder: Any, row: dict[str, Any]) -> str:
    if "speaker_id" in row:
      return str(row["speaker_id"])
    if "speaker" in row:
      return builder.info.features["speaker"].int2str(int(row["speaker"]))
    return self.name


def _decoder(speech: np.ndarray, rate_hz: int) -> Decode:
  def decode(max_sec: float) -> Decoded:
    if len(speech) > max_sec * rate_hz:
      raise UserError(f"is longer than {max_sec:g} s")
    if not len(speech):
      raise UserError("holds no audio samples")
    return speech[:, None].astype(np.float32) / 32768.0, rate_hz

  return decode
