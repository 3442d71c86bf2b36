# SPDX-License-Identifier: Apache-2.0
"""`ns-jax encode` and `ns-jax decode`: many files, one after the other."""

import dataclasses
import os
import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tqdm

from ns_jax import audio_blocks, audio_files, files
from ns_jax.errors import UserError
from ns_jax.inference import code_files, streams
from ns_jax.inference.codec import SpeechCodec

_BLOCK_FRAMES = 800  # ten seconds at a time
WAVE_SUFFIXES = (".wav", ".flac")


@dataclasses.dataclass(frozen=True)
class Summary:
  """What was done with the files."""

  num_files: int
  audio_sec: float
  num_bytes: int  # of the files written
  seconds: float
  failures: Sequence[str]  # one line per file that could not be used


def encode(
  sources: Sequence[str],
  target: str,
  *,
  codec: SpeechCodec,
  num_codebooks: int,
  overwrite: bool = False,
) -> Summary:
  """Encodes audio files to files of codes.

  Args:
    sources: audio files of any rate, or folders that are searched.
    target: a file for one source; for more, a folder, made if missing.
    codec: to encode with.
    num_codebooks: codes in a frame.
    overwrite: replace files that are there already.

  Returns:
    What was done; a file that failed leaves nothing behind.

  Raises:
    UserError: nothing could be done.
  """
  num_codebooks = codec.check_count(num_codebooks)
  header = code_files.Header(
    codec_id=codec.codec_id,
    spec=codec.spec,
    num_codebooks=num_codebooks,
    bits_per_code=codec.bits_per_code,
  )

  def encode_file(source: pathlib.Path, out: pathlib.Path) -> float:
    stream = streams.EncoderStream(
      codec, num_codebooks=num_codebooks, block_frames=_BLOCK_FRAMES
    )
    num_samples = 0
    with files.appearing(out) as file:
      writer = code_files.Writer(file, header)
      for wav in audio_blocks.read_blocks(source, codec.spec):
        num_samples += len(wav)
        writer.write(stream.push(wav))
      writer.write(stream.finish())
      writer.finish(num_samples)
    return num_samples / codec.spec.sample_rate_hz

  pairs = _pairs(sources, target, audio_files.SUFFIXES, (code_files.SUFFIX,))
  return _each(pairs, encode_file, "encode", overwrite)


def decode(
  sources: Sequence[str],
  target: str,
  *,
  codec: SpeechCodec,
  overwrite: bool = False,
) -> Summary:
  """Decodes files of codes to wave or flac files.

  Args:
    sources: files of codes, or folders that are searched.
    target: a file for one source; for more, a folder, made if missing.
    codec: the one they were encoded with.
    overwrite: replace files that are there already.

  Returns:
    What was done; a file that failed leaves nothing behind.

  Raises:
    UserError: nothing could be done.
  """

  def decode_file(source: pathlib.Path, out: pathlib.Path) -> float:
    with code_files.Reader(source) as reader:
      _check_codec(source, reader.header, codec)
      stream = streams.DecoderStream(codec, block_frames=_BLOCK_FRAMES)
      num_samples = 0
      # Where the wave ends within its last hop, only the end of the file tells.
      held = np.zeros(0, np.float32)
      with (
        files.appearing(out) as file,
        audio_blocks.WaveWriter(file, out, codec.spec) as writer,
      ):
        for codes in reader.blocks():
          if codes.max() >= codec.codebook_size:
            raise code_files.damaged(source)
          wav = np.concatenate([held, stream.push(codes)])
          wav, held = np.split(wav, [max(0, len(wav) - codec.spec.hop_samples)])
          num_samples += len(wav)
          writer.write(wav)
        held = np.concatenate([held, stream.finish()])
        writer.write(held[: reader.num_samples - num_samples])
    return reader.num_samples / codec.spec.sample_rate_hz

  pairs = _pairs(sources, target, (code_files.SUFFIX,), WAVE_SUFFIXES)
  return _each(pairs, decode_file, "decode", overwrite)


def _check_codec(
  source: pathlib.Path, header: code_files.Header, codec: SpeechCodec
) -> None:
  if header.codec_id != codec.codec_id:
    raise UserError(
      f"{source}: was made by the codec {header.codec_id}, this is "
      f"{codec.codec_id}; give --codec the bundle or workdir of the other"
    )
  fits = header.spec.grid == codec.spec.grid
  if not fits or header.num_codebooks > codec.num_codebooks:
    raise code_files.damaged(source)


def _pairs(
  sources: Sequence[str],
  target: str,
  source_suffixes: Sequence[str],
  target_suffixes: Sequence[str],
) -> list[tuple[pathlib.Path, pathlib.Path]]:
  """Which file becomes which."""
  paths = [pathlib.Path(source).expanduser() for source in sources]
  out = pathlib.Path(target).expanduser()
  is_folder = os.path.isdir  # where Path.is_dir raises, this says no
  if len(paths) == 1 and not is_folder(paths[0]) and not is_folder(out):
    if out.suffix not in target_suffixes:
      wanted = " or ".join(target_suffixes)
      raise UserError(f"{target}: give it a name that ends in {wanted}")
    pairs = [(paths[0], out)]
  else:
    if out.suffix in target_suffixes and not is_folder(out):
      raise UserError(f"{target}: for several files, name a folder")
    pairs = [
      (file, out / name.with_suffix(target_suffixes[0]))
      for path in paths
      for file, name in _files(path, source_suffixes)
    ]
  if not pairs:
    raise UserError(f"{', '.join(sources)}: holds no {source_suffixes[0]} file")
  origin: dict[pathlib.Path, pathlib.Path] = {}
  for source, written in pairs:
    other = origin.setdefault(written, source)
    if other != source:
      raise UserError(
        f"{other} and {source} would both become {written}; "
        "give them one by one"
      )
  return pairs


def _files(
  path: pathlib.Path, suffixes: Sequence[str]
) -> list[tuple[pathlib.Path, pathlib.Path]]:
  """A file, or those in a folder, with their names relative to it."""
  if not os.path.isdir(path):
    return [(path, pathlib.Path(path.name))]
  if not os.access(path, os.R_OK | os.X_OK):
    raise UserError(f"{path}: its files cannot be seen; ask for the right to")
  return [
    (file, file.relative_to(path))
    for file in sorted(path.rglob("*"))
    if file.suffix.lower() in suffixes and file.is_file()
  ]


def _each(
  pairs: Sequence[tuple[pathlib.Path, pathlib.Path]],
  work: Callable[[pathlib.Path, pathlib.Path], float],
  label: str,
  overwrite: bool,
) -> Summary:
  """Works on every file; one that cannot be used does not stop the others."""
  audio_sec, num_bytes, failures = 0.0, 0, []
  start = time.perf_counter()
  hidden: Any = {"disable": True} if len(pairs) == 1 else {}
  bar = tqdm.tqdm(pairs, desc=label, unit="file", **hidden)
  for source, out in bar:
    try:
      audio_sec += _do(work, source, out, overwrite)
      num_bytes += out.stat().st_size
    except UserError as error:
      if len(pairs) == 1:
        raise
      failures.append(str(error))
      bar.write(f"ns-jax: {error}", file=sys.stderr)
  if len(failures) == len(pairs):
    raise UserError(f"none of the {len(pairs)} files could be used")
  return Summary(
    num_files=len(pairs) - len(failures),
    audio_sec=audio_sec,
    num_bytes=num_bytes,
    seconds=time.perf_counter() - start,
    failures=failures,
  )


def _do(
  work: Callable[[pathlib.Path, pathlib.Path], float],
  source: pathlib.Path,
  out: pathlib.Path,
  overwrite: bool,
) -> float:
  """Works on one file; what the system says against it is a UserError."""
  try:
    if os.path.lexists(out):
      _check_target(source, out, overwrite)
    out.parent.mkdir(parents=True, exist_ok=True)
    return work(source, out)
  except OSError as error:
    raise UserError(f"{out}: cannot be written ({error.strerror})") from error


def _check_target(
  source: pathlib.Path, out: pathlib.Path, overwrite: bool
) -> None:
  """Nothing is lost unless that was asked for, and a source never."""
  if out.exists() and source.exists() and out.samefile(source):
    raise UserError(f"{out}: is the source itself; choose another name")
  if not overwrite:
    raise UserError(f"{out}: is there already; add --overwrite to replace it")
