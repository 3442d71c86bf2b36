# SPDX-License-Identifier: Apache-2.0
"""Voice conversion and speech enhancement without training for either.

A recording is carried along the diffusion's ODE to noise, hearing its own
voice, and from there back to speech, hearing another one, or the same one
without the noise around it (NaturalSpeech 2, Sec. 5).
"""

import dataclasses

import numpy as np

from ns_jax import audio
from ns_jax.audio import AudioSpec
from ns_jax.dsp import pitch
from ns_jax.errors import UserError
from ns_jax.inference.align import SpeechAligner
from ns_jax.inference.synthesize import Synthesizer
from ns_jax.inference.utterance import PitchedSpeech, Utterance, Voice, parts
from ns_jax.models import prosody
from ns_jax.text import pauses, sentences, symbols
from ns_jax.text.frontend import Frontend

STEPS = 25  # of the solver in each direction
_LEAST_SPEECH = 0.01  # share of a recording's power
_LEAST_NOISE_SEC = 0.2
MAX_SEC = 180.0  # of a recording; its alignment is held in memory whole
_EDGE_FRAMES = 2  # where a pause and the speech beside it run together


@dataclasses.dataclass(frozen=True)
class Heard:
  """A recording and what is known of it."""

  wav: np.ndarray  # [S] float32, at the level of records
  phonemes: np.ndarray  # [N] int32 ids, with the pauses that were made
  durations: np.ndarray  # [N] int32 frames, sum ceil(S / hop)
  f0_hz: np.ndarray  # [T] float32, 0 where unvoiced
  f0_phase: np.ndarray  # [T] float32, radians


def listen(
  wav: np.ndarray,
  text: str,
  aligner: SpeechAligner,
  spec: AudioSpec,
  ceil_hz: float = pitch.CEIL_HZ,
) -> Heard:
  """Finds out when each phoneme of a recording is said, and how high.

  Args:
    wav: [S] float32, in [-1, 1].
    text: what is said in it.
    aligner: finds the durations.
    spec: of the wave.
    ceil_hz: highest pitch that is heard.

  Raises:
    UserError: the recording is silent, too long, or too short for the text.
  """
  if not wav.any():
    raise UserError("the recording is silent; give one of someone speaking")
  if len(wav) > MAX_SEC * spec.sample_rate_hz:
    raise UserError(
      f"the recording lasts {len(wav) / spec.sample_rate_hz:.0f} s; "
      f"cut it into pieces of {MAX_SEC:.0f} s at most"
    )
  sentences.check_text(text)
  reading = Frontend().read(text)
  num_phones = int((~symbols.is_pause(reading.phonemes)).sum())
  num_frames = spec.num_frames(len(wav))
  if num_phones > num_frames:
    seconds = len(wav) / spec.sample_rate_hz
    raise UserError(
      f"{num_phones} sounds do not fit into {seconds:.2f} s; "
      "give the text of this recording and no other"
    )
  wav = audio.level(wav)
  offered = pauses.offer(reading.phonemes, reading.word_starts)
  (durations,) = aligner.align([offered.phonemes], [wav])
  settled = pauses.settle(offered, durations)
  f0_hz = pitch.f0(wav, spec, "harvest", ceil_hz)
  return Heard(
    wav=wav,
    phonemes=settled["phonemes"],
    durations=settled["durations"],
    f0_hz=f0_hz,
    f0_phase=pitch.f0_phase(wav, f0_hz, spec),
  )


def convert(
  synthesizer: Synthesizer,
  source: Heard,
  voice: np.ndarray,
  *,
  steps: int = STEPS,
) -> PitchedSpeech:
  """Says what was said in another voice, at its pitch, with the same timing.

  Args:
    synthesizer: the model.
    source: what was said.
    voice: [S] float32, in [-1, 1], a few seconds of whom to say it.
    steps: of the solver in each direction.

  Raises:
    UserError: the voice is silent or too short.
  """
  own, other = map(synthesizer.encode_prompt, (source.wav, voice))
  voice_hz = pitch.f0(voice, synthesizer.spec, "harvest")
  ratio = _middle_hz(voice_hz, "prompt") / _middle_hz(source.f0_hz, "recording")
  f0_hz = (ratio * source.f0_hz).astype(np.float32)
  bounds_hz = prosody.MIN_F0_HZ, prosody.MAX_F0_HZ
  f0_hz = np.where(f0_hz > 0.0, np.clip(f0_hz, *bounds_hz), 0.0)
  return _retell(synthesizer, source, own, other, f0_hz, steps)


def enhance(
  synthesizer: Synthesizer,
  source: Heard,
  voice: np.ndarray,
  noise: np.ndarray | None = None,
  *,
  steps: int = STEPS,
) -> PitchedSpeech:
  """Says what was said without the noise around it.

  Args:
    synthesizer: the model.
    source: a noisy recording.
    voice: [S] float32, in [-1, 1], a few clean seconds of the speaker.
    noise: [S] float32, the noise alone at the level of `source.wav`; None: what
      is heard in its pauses.
    steps: of the solver in each direction.

  Raises:
    UserError: the voice is silent or too short, or there is no pause to hear
      the noise in.
  """
  other = synthesizer.encode_prompt(voice)
  if noise is None:
    noise = noise_in_pauses(source, synthesizer.spec)
  # The level of the recording is that of speech and noise together.
  share = 1.0 - np.mean(noise**2) / np.mean(source.wav**2)
  clean = np.sqrt(max(share, _LEAST_SPEECH)) * audio.level(voice)
  noisy = (clean + np.resize(noise, len(clean))).astype(np.float32)
  own = synthesizer.encode_prompt(noisy)
  return _retell(synthesizer, source, own, other, source.f0_hz, steps)


def noise_in_pauses(source: Heard, spec: AudioSpec) -> np.ndarray:
  """What is heard of a recording while nobody speaks, [S] float32.

  Raises:
    UserError: there is too little of it.
  """
  ends = np.cumsum(source.durations)
  quiet = [
    source.wav[
      spec.num_samples(start + _EDGE_FRAMES) : spec.num_samples(
        end - _EDGE_FRAMES
      )
    ]
    for start, end, is_pause in zip(
      ends - source.durations,
      ends,
      symbols.is_pause(source.phonemes),
      strict=True,
    )
    if is_pause and end - start > 2 * _EDGE_FRAMES
  ]
  noise = np.concatenate([*quiet, np.zeros(0, np.float32)])
  if len(noise) < _LEAST_NOISE_SEC * spec.sample_rate_hz:
    raise UserError(
      "the recording has no pause long enough to hear the noise in; "
      "give a recording of the noise alone"
    )
  return noise


def _retell(
  synthesizer: Synthesizer,
  source: Heard,
  own: Voice,
  other: Voice,
  f0_hz: np.ndarray,
  steps: int,
) -> PitchedSpeech:
  """Retells a recording, part after part where it is long.

  Args:
    synthesizer: the model.
    source: the recording.
    own: what it hears on the way to noise.
    other: what it hears on the way back.
    f0_hz: [T] float32, pitch of what is made.
    steps: of the solver in each direction.
  """
  latents = synthesizer.encode(source.wav)
  told = []
  for phonemes, frames in parts(
    source.phonemes, source.durations, synthesizer.max_phonemes
  ):
    utterance = Utterance(
      source.phonemes[phonemes],
      own,
      source.durations[phonemes],
      source.f0_hz[frames],
      source.f0_phase[frames],
    )
    told.append(
      synthesizer.retell(
        utterance, latents[frames], other, f0_hz[frames], steps=steps
      )
    )
  wav = np.concatenate([speech.wav for speech in told])
  return PitchedSpeech(wav[: len(source.wav)], source.durations, f0_hz)


def _middle_hz(f0_hz: np.ndarray, where: str) -> float:
  """Median pitch of the voiced frames."""
  voiced = f0_hz[f0_hz > 0.0]
  if not voiced.size:
    raise UserError(f"no pitch is heard in the {where}; give one of speech")
  return float(np.median(voiced))
