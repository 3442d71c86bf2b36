# SPDX-License-Identifier: Apache-2.0
"""`ns-jax synthesize`, `convert`, `enhance` and `sing`: from files to files."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tqdm

from ns_jax import audio
from ns_jax.audio import AudioSpec
from ns_jax.dsp import pitch
from ns_jax.errors import UserError
from ns_jax.inference import convert, narrate, restore, single_voice
from ns_jax.inference.align import SpeechAligner
from ns_jax.inference.single_voice import SingleVoice
from ns_jax.inference.synthesize import Synthesizer
from ns_jax.inference.utterance import Manner, Speaker, Utterance
from ns_jax.models import prosody
from ns_jax.singing import plan
from ns_jax.singing.plan import Rendition
from ns_jax.singing.score import read_score
from ns_jax.text import sentences
from ns_jax.training import workdir

_LONGEST_TEXT = 1_000_000  # characters
_LONGEST_NAME = 240  # bytes, with room for what marks it as unfinished


@dataclasses.dataclass(frozen=True)
class Sampling:
  """Choices of how to sample; None: as the model's config says."""

  solver: str | None = None
  steps: int | None = None
  temperature: float | None = None
  guidance: float | None = None
  max_phonemes: int | None = None  # that a model of ns1 says at once

  @classmethod
  def of(cls, sample: Mapping[str, Any]) -> "Sampling":
    """What a config's section `sample` says of them."""
    names = [field.name for field in dataclasses.fields(cls)]
    return cls(**{name: sample[name] for name in names if name in sample})

  def given(self) -> dict[str, Any]:
    """Those that were chosen."""
    chosen = dataclasses.asdict(self)
    return {name: value for name, value in chosen.items() if value is not None}


def load(model: str, sampling: Sampling | None = None) -> Synthesizer:
  """The model of a bundle or workdir, or the one that comes along."""
  synthesizer = Synthesizer.load(model)
  chosen = (sampling or Sampling()).given()
  synthesizer.options = dataclasses.replace(synthesizer.options, **chosen)
  return synthesizer


def load_speaker(
  model: str, prompts: Sequence[str], sampling: Sampling
) -> Speaker:
  """Somebody who speaks: a model with a voice, or one that hears a prompt.

  Raises:
    UserError: a prompt is missing or too much, or the model takes no such
      choice.
  """
  folder = restore.weights_folder(model, "ns2")
  if workdir.read_config(folder).get("stage") not in single_voice.STAGES:
    if not prompts:
      raise UserError("--prompt is missing: this model speaks in any voice")
    synthesizer = load(model, sampling)
    voices = [audio.read_audio(path, synthesizer.spec) for path in prompts]
    return synthesizer.in_voice(synthesizer.encode_prompt(*voices))
  if prompts:
    raise UserError(
      f"{model}: speaks in a voice of its own; leave out --prompt"
    )
  chosen = sampling.given()
  for name in ("solver", "steps", "guidance"):
    if name in chosen:
      raise UserError(f"{model}: has no diffusion; leave out --{name}")
  speaker = SingleVoice.load(folder)
  speaker.options = dataclasses.replace(speaker.options, **chosen)
  return speaker


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
  into_folder: bool = False,
) -> float:
  """Says texts in the voice of the prompts.

  Args:
    texts: one, or with `into_folder` any number.
    prompts: audio files of one speaker; none where the model has a voice.
    out: the wave file, or the folder of them, made if missing.
    model: bundle or workdir; "shipped": the one that comes along.
    sampling: of the diffusion.
    manner: how to speak.
    seed: of the diffusion's noise.
    overwrite: replace files that are there already.
    into_folder: write 1.wav, 2.wav, ... to `out`.

  Returns:
    Seconds of speech.

  Raises:
    UserError: something is missing or cannot be used.
  """
  targets = (
    _targets(out, len(texts), overwrite)
    if into_folder
    else [_writable_wave(out, overwrite)]
  )
  speaker = load_speaker(model, prompts, sampling)
  for i, text in enumerate(texts):
    try:
      sentences.pieces(text, speaker.max_phonemes)
    except UserError as error:
      where = f"text {i + 1} of {len(texts)}: " if into_folder else ""
      raise UserError(f"{where}{error}") from error
  spec = speaker.spec
  if into_folder:
    _make_folder(targets[0].parent)
  seconds = 0.0
  pairs = list(zip(texts, targets, strict=True))
  for text, target in tqdm.tqdm(
    pairs, desc="speak", unit="text", disable=len(pairs) == 1
  ):
    speech = narrate.narrate(speaker, text, seed=seed, manner=manner)
    _write(target, speech.wav, spec)
    seconds += len(speech.wav) / spec.sample_rate_hz
  return seconds


def read_texts(path: pathlib.Path) -> list[str]:
  """Texts of a file, one a line; empty lines are left out.

  Raises:
    UserError: it cannot be read, or holds nothing.
  """
  audio.check_readable(path)
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
  prompt: str,
  out: str,
  *,
  model: str,
  steps: int,
  overwrite: bool,
) -> None:
  """Says a recording again in the voice of the prompt; see `synthesize`."""
  target = _writable_wave(out, overwrite)
  synthesizer = load(model)
  heard = _listen(source, text, synthesizer.spec)
  voice = audio.read_audio(prompt, synthesizer.spec)
  speech = convert.convert(synthesizer, heard, voice, steps=steps)
  _write(target, speech.wav, synthesizer.spec)


def sing(
  song: str,
  text: str | None,
  prompt: str,
  out: str,
  *,
  model: str,
  rendition: Rendition,
  seed: int,
  overwrite: bool,
) -> float:
  """Sings a score, or as another recording does; see `synthesize`.

  Args:
    song: MusicXML or MIDI with lyrics; or, with `text`, a recording.
    text: what is sung in the recording.
    prompt: audio file with the voice, speaking or singing.
    out: wave file.
    model: bundle or workdir.
    rendition: transposition, and what a score does not say.
    seed: of the diffusion's noise.
    overwrite: replace a file that is there already.

  Returns:
    Seconds of song.
  """
  target = _writable_wave(out, overwrite)
  if text is None:
    score = read_score(song)
    synthesizer = load(model)
    planned = plan.plan(score, synthesizer.spec, rendition)
    phonemes, durations = planned.phonemes, planned.durations
    f0_hz = planned.f0_hz
  else:
    synthesizer = load(model)
    heard = _listen(song, text, synthesizer.spec, pitch.CEIL_SUNG_HZ)
    phonemes, durations = heard.phonemes, heard.durations
    f0_hz = heard.f0_hz * 2.0 ** (rendition.transpose_semitones / 12.0)
    sounding_hz = f0_hz[f0_hz > 0.0]
    if (
      (sounding_hz < prosody.MIN_F0_HZ) | (sounding_hz > prosody.MAX_F0_HZ)
    ).any():
      raise UserError(
        f"the song reaches from {sounding_hz.min():.0f} to "
        f"{sounding_hz.max():.0f} Hz; {prosody.MIN_F0_HZ:.0f} to "
        f"{prosody.MAX_F0_HZ:.0f} Hz can be sung: transpose it"
      )
  voice = audio.read_audio(prompt, synthesizer.spec)
  sung = narrate.perform(
    synthesizer,
    Utterance(
      phonemes,
      synthesizer.encode_prompt(voice),
      durations,
      f0_hz.astype(np.float32),
    ),
    seed=seed,
  )
  _write(target, sung.wav, synthesizer.spec)
  return len(sung.wav) / synthesizer.spec.sample_rate_hz


def enhance(
  source: str,
  text: str,
  prompt: str,
  noise: str | None,
  out: str,
  *,
  model: str,
  steps: int,
  overwrite: bool,
) -> None:
  """Says a noisy recording again without the noise; see `synthesize`."""
  target = _writable_wave(out, overwrite)
  synthesizer = load(model)
  spec = synthesizer.spec
  recording = audio.read_audio(source, spec)
  heard = _listen(source, text, spec)
  voice = audio.read_audio(prompt, spec)
  alone: np.ndarray | None = None
  if noise is not None:
    # As loud as in the recording, which was brought to the level of records.
    gain = _rms(heard.wav) / _rms(recording)
    alone = (gain * audio.read_audio(noise, spec)).astype(np.float32)
  speech = convert.enhance(synthesizer, heard, voice, alone, steps=steps)
  _write(target, speech.wav, spec)


def _write(target: pathlib.Path, wav: np.ndarray, spec: AudioSpec) -> None:
  """Writes a wave; trouble with the disk is one line."""
  try:
    audio.write_wav(target, wav, spec)
  except OSError as error:
    raise UserError(
      f"{target}: cannot be written ({error.strerror})"
    ) from error


def _listen(
  source: str, text: str, spec: AudioSpec, ceil_hz: float = pitch.CEIL_HZ
) -> convert.Heard:
  recording = audio.read_audio(source, spec)
  aligner = SpeechAligner.load(restore.SHIPPED)
  return convert.listen(recording, text, aligner, spec, ceil_hz)


def _rms(wav: np.ndarray) -> float:
  return float(np.sqrt(np.mean(np.square(wav)))) or 1.0


def _targets(out: str, count: int, overwrite: bool) -> list[pathlib.Path]:
  """Waves of a folder, checked as far as can be before the work is done."""
  folder = pathlib.Path(out).expanduser().absolute()
  if folder.suffix == ".wav":
    raise UserError(f"{out}: a file of texts needs a folder to write to")
  digits = len(str(count))
  names = [folder / f"{i + 1:0{digits}}.wav" for i in range(count)]
  if not folder.exists():
    return names
  return [_writable_wave(str(name), overwrite) for name in names]


def _make_folder(folder: pathlib.Path) -> None:
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(f"{folder}: cannot be made ({error.strerror})") from error


def _writable_wave(out: str, overwrite: bool) -> pathlib.Path:
  """Checks what can be known of a file before the work is done.

  Raises:
    UserError: it cannot be written, or is there and may not be replaced.
  """
  target = pathlib.Path(out).expanduser().absolute()
  if target.suffix != ".wav":
    raise UserError(f"{out}: is no .wav; give --out a name that ends so")
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
