# SPDX-License-Identifier: Apache-2.0
"""`ns-jax synthesize`, `convert`, `enhance` and `sing`: from files to files."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any, BinaryIO

import tqdm

from ns_jax import api, audio_files, audio_formats, watermark
from ns_jax.api import Manner, Rendition, Sampling
from ns_jax.errors import UserError
from ns_jax.text import sentences

_LONGEST_TEXT = 1_000_000  # characters
_LONGEST_NAME = 240  # bytes, with room for what marks it as unfinished


def synthesize(
  texts: Sequence[str],
  prompts: Sequence[str],
  out: str,
  *,
  model: str,
  sampling: Sampling,
  manner: Manner,
  seed: int,
  overwrite: bool,
  mark_key: str | None = None,
  folder_format: str | None = None,
) -> float:
  """Says texts in the voice of the prompts.

  Args:
    texts: one, or with `folder_format` any number.
    prompts: audio files of one speaker; none where the model has a voice.
    out: the file, whose suffix names the format, or the folder of them, made
      if missing.
    model: bundle or workdir; "shipped": the one that comes along.
    sampling: of the diffusion.
    manner: how to speak.
    seed: of the diffusion's noise.
    overwrite: replace files that are there already.
    mark_key: of a mark that `ns-jax detect` finds; None: there is none.
    folder_format: write 1.<format>, 2.<format>, ... to `out`.

  Returns:
    Seconds of speech.

  Raises:
    UserError: something is missing or cannot be used.
  """
  targets = (
    _targets(out, len(texts), folder_format, overwrite)
    if folder_format
    else [_writable(out, overwrite)]
  )
  tts = api.load(model)
  speaker = tts.speaker(prompts or None, sampling)
  for i, text in enumerate(texts):
    try:
      sentences.pieces(text, speaker.model.max_phonemes)
    except UserError as error:
      where = f"text {i + 1} of {len(texts)}: " if folder_format else ""
      raise UserError(f"{where}{error}") from error
  if folder_format:
    _make_folder(targets[0].parent)
  seconds = 0.0
  pairs = list(zip(texts, targets, strict=True))
  hidden: Any = {"disable": True} if len(pairs) == 1 else {}
  for text, target in tqdm.tqdm(pairs, desc="speak", unit="text", **hidden):
    (said,) = tts.say([api.Line(text, speaker, seed, manner)])
    _save(said, target, mark_key)
    seconds += said.seconds
  return seconds


def stream(
  text: str,
  prompts: Sequence[str],
  out: BinaryIO,
  *,
  format: str,
  model: str,
  sampling: Sampling,
  manner: Manner,
  seed: int,
  mark_key: str | None = None,
) -> float:
  """Writes speech while it is made, for who listens; see `synthesize`."""
  tts = api.load(model)
  encoder = audio_formats.Encoder(format, tts.sample_rate_hz)
  num_samples = 0
  pieces = tts.stream(
    text, prompts or None, seed=seed, manner=manner, sampling=sampling
  )
  if mark_key is not None:
    pieces = watermark.marked(pieces, tts.sample_rate_hz, mark_key)
  for wav in pieces:
    num_samples += len(wav)
    out.write(encoder.push(wav))
    out.flush()
  out.write(encoder.finish())
  return num_samples / tts.sample_rate_hz


def read_texts(path: pathlib.Path) -> list[str]:
  """Texts of a file, one a line; empty lines are left out.

  Raises:
    UserError: it cannot be read, or holds nothing.
  """
  path = audio_files.check_readable(path, "text file")
  try:
    content = path.read_text(encoding="utf-8-sig")
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(f"{path}: is no UTF-8 text that can be read") from error
  if len(content) > _LONGEST_TEXT:
    raise UserError(
      f"{path}: {len(content)} characters; cut it to {_LONGEST_TEXT} at most"
    )
  texts = [line.strip() for line in content.splitlines() if line.strip()]
  if not texts:
    raise UserError(f"{path}: holds no text; give one a line")
  return texts


def convert_voice(
  source: str,
  text: str,
  prompts: Sequence[str],
  out: str,
  *,
  model: str,
  steps: int,
  overwrite: bool,
  mark_key: str | None = None,
) -> float:
  """Says a recording again in the voice of the prompts; see `synthesize`."""
  target = _writable(out, overwrite)
  said = api.load(model).convert(source, text, prompts, steps=steps)
  _save(said, target, mark_key)
  return said.seconds


def enhance(
  source: str,
  text: str,
  prompts: Sequence[str],
  noise: str | None,
  out: str,
  *,
  model: str,
  steps: int,
  overwrite: bool,
  mark_key: str | None = None,
) -> float:
  """Says a noisy recording again without the noise; see `synthesize`."""
  target = _writable(out, overwrite)
  tts = api.load(model)
  said = tts.enhance(source, text, prompts, noise, steps=steps)
  _save(said, target, mark_key)
  return said.seconds


def sing(
  song: str,
  text: str | None,
  prompts: Sequence[str],
  out: str,
  *,
  model: str,
  rendition: Rendition,
  seed: int,
  overwrite: bool,
  mark_key: str | None = None,
) -> float:
  """Sings a score, or as another recording does; see `synthesize`.

  Args:
    song: MusicXML or MIDI with lyrics; or, with `text`, a recording.
    text: what is sung in the recording.
    prompts: audio files with the voice, speaking or singing.
    out: the file.
    model: bundle or workdir.
    rendition: transposition, and what a score does not say.
    seed: of the diffusion's noise.
    overwrite: replace a file that is there already.
    mark_key: see `synthesize`.

  Returns:
    Seconds of song.
  """
  target = _writable(out, overwrite)
  tts = api.load(model)
  if text is None:
    sung = tts.sing(song, prompts, rendition=rendition, seed=seed)
  else:
    sung = tts.sing_like(
      song,
      text,
      prompts,
      transpose_semitones=rendition.transpose_semitones,
      seed=seed,
    )
  _save(sung, target, mark_key)
  return sung.seconds


def _save(said: api.Audio, target: pathlib.Path, mark_key: str | None) -> None:
  (said if mark_key is None else said.marked(mark_key)).save(target)


def _targets(
  out: str, count: int, format: str, overwrite: bool
) -> list[pathlib.Path]:
  """Files of a folder, checked as far as can be before the work is done."""
  folder = pathlib.Path(out).expanduser().absolute()
  if folder.suffix in audio_formats.SUFFIXES:
    raise UserError(f"{out}: a file of texts needs a folder to write to")
  digits = len(str(count))
  names = [folder / f"{i + 1:0{digits}}.{format}" for i in range(count)]
  if not folder.exists():
    return names
  if not folder.is_dir():
    raise UserError(f"{out}: is a file; give --out a folder for the texts")
  return [_writable(str(name), overwrite) for name in names]


def _make_folder(folder: pathlib.Path) -> None:
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(f"{folder}: cannot be made ({error.strerror})") from error


def _writable(out: str, overwrite: bool) -> pathlib.Path:
  """Checks what can be known of a file before the work is done.

  Raises:
    UserError: it cannot be written, or is there and may not be replaced.
  """
  target = pathlib.Path(out).expanduser().absolute()
  if target.suffix.lower() not in audio_formats.SUFFIXES:
    names = ", ".join(audio_formats.SUFFIXES)
    raise UserError(f"{out}: give --out a name that ends in one of {names}")
  if len(os.fsencode(target.name)) > _LONGEST_NAME:
    raise UserError(f"{out}: is too long a name; give --out a shorter one")
  if target.is_dir():
    raise UserError(f"{out}: is a folder; give --out a file in it")
  if not target.parent.is_dir():
    raise UserError(f"{out}: its folder does not exist; make it first")
  if not os.access(target.parent, os.W_OK):
    raise UserError(f"{out}: its folder cannot be written to; choose another")
  if target.exists() and not overwrite:
    raise UserError(f"{out}: is there already; add --overwrite to replace it")
  return target
