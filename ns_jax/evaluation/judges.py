# SPDX-License-Identifier: Apache-2.0
"""Trained listeners: a recogniser, a judge of voices, a judge of quality.

They come with the extra `judges` and are imported where they are used. The
defaults bring their weights inside their wheels; any other name is that of a
model on Hugging Face, or of a folder with one.
"""

import dataclasses
import warnings
from collections.abc import Callable
from importlib import util
from typing import Any

import numpy as np
import soxr

from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError

RATE_HZ = 16_000  # at which all of them listen
MOONSHINE = "moonshine"
RESEMBLYZER = "resemblyzer"
_SHORTEST_SEC = 0.2

Recogniser = Callable[[np.ndarray], str]
SpeakerJudge = Callable[[np.ndarray], np.ndarray]
QualityJudge = Callable[[np.ndarray], float]


@dataclasses.dataclass(frozen=True)
class Judges:
  """Each is given a wave [S] float32 in [-1, 1] at the rate of the run."""

  transcribe: Recogniser
  embed_voice: SpeakerJudge  # [E] of length 1; NaN where nobody speaks
  dnsmos: QualityJudge  # overall quality, 1 to 5

  @classmethod
  def load(cls, options: Any, spec: AudioSpec) -> "Judges":
    """Loads the judges that `options` name, for waves of `spec`.

    Raises:
      UserError: they are not installed, or there are none of such names.
    """
    check("judging", options)
    return cls(
      transcribe=load_recogniser(options.recogniser, spec),
      embed_voice=load_speaker_judge(options.speaker_model, spec),
      dnsmos=load_dnsmos(spec),
    )


def check(what: str, options: Any) -> None:
  """Looks for the packages of the judges that `options` name.

  Args:
    what: needs them.
    options: `config.eval`, or what else has its `recogniser` and
      `speaker_model`.

  Raises:
    UserError: some are not installed.
  """
  needed = ["jiwer", "whisper_normalizer", "speechmos", "onnxruntime", "torch"]
  bundled = {
    MOONSHINE: (options.recogniser, "moonshine_voice"),
    RESEMBLYZER: (options.speaker_model, "resemblyzer"),
  }
  for name, (chosen, package) in bundled.items():
    needed.append(package if chosen == name else "transformers")
  missing = [name for name in dict.fromkeys(needed) if not util.find_spec(name)]
  if missing:
    raise UserError(
      f"{what} needs more packages "
      f"({', '.join(missing)}); pip install 'ns_jax[judges]'"
    )


def load_recogniser(name: str, spec: AudioSpec) -> Recogniser:
  """A recogniser of English speech.

  Args:
    name: "moonshine", or a model for recognition on Hugging Face.
    spec: of the waves it will be given.

  Raises:
    UserError: there is no such model.
  """
  if name == MOONSHINE:
    from ns_jax.evaluation import moonshine

    transcribe = moonshine.Moonshine().transcribe
  else:
    from ns_jax.evaluation import hugging_face

    transcribe = hugging_face.load_recogniser(name)
  return lambda wav: transcribe(_full_scale(_heard(wav, spec)))


def load_speaker_judge(name: str, spec: AudioSpec) -> SpeakerJudge:
  """A model that turns speech into a direction that stands for the voice.

  Args:
    name: "resemblyzer", or a model of voices (x-vectors) or of audio on Hugging
      Face.
    spec: of the waves it will be given.

  Raises:
    UserError: there is no such model.
  """
  if name == RESEMBLYZER:
    embed = _load_resemblyzer()
  else:
    from ns_jax.evaluation import hugging_face

    embed = hugging_face.load_speaker_judge(name)
  return lambda wav: _unit(embed(_heard(wav, spec)))


def load_dnsmos(spec: AudioSpec) -> QualityJudge:
  """DNSMOS P.835, overall quality of waves of `spec`."""
  from speechmos import dnsmos  # pyright: ignore[reportMissingImports]

  def judge(wav: np.ndarray) -> float:
    # Of several waves it would return a table; this is one.
    scores: Any = dnsmos.run(_heard(wav, spec), RATE_HZ)
    return float(scores["ovrl_mos"])

  return judge


def similarity(one: np.ndarray, other: np.ndarray) -> float:
  """Cosine of two voices [E] of length 1, -1 to 1; NaN if one is NaN."""
  return float(one @ other)


def _load_resemblyzer() -> SpeakerJudge:
  with warnings.catch_warnings():
    # The package imports names that SciPy has moved.
    warnings.simplefilter("ignore")
    import resemblyzer  # pyright: ignore[reportMissingImports]
  encoder: Any = resemblyzer.VoiceEncoder("cpu", verbose=False)

  def embed(wav: np.ndarray) -> np.ndarray:
    if not wav.any():
      return np.full(encoder.linear.out_features, np.nan, np.float32)
    speech = resemblyzer.preprocess_wav(wav)
    if not speech.any():
      return np.full(encoder.linear.out_features, np.nan, np.float32)
    return encoder.embed_utterance(speech)

  return embed


def _heard(wav: np.ndarray, spec: AudioSpec) -> np.ndarray:
  """What judges are given: [S] float32 in [-1, 1] at 16 kHz, not too short."""
  if spec.sample_rate_hz != RATE_HZ:
    wav = soxr.resample(wav, spec.sample_rate_hz, RATE_HZ, quality="HQ")
  missing = max(0, round(_SHORTEST_SEC * RATE_HZ) - len(wav))
  return np.clip(np.pad(wav, (0, missing)), -1.0, 1.0).astype(np.float32)


def _full_scale(wav: np.ndarray) -> np.ndarray:
  """Speech [S] as loud as it can be: recognisers learn from such clips."""
  return wav * (0.9 / max(float(np.abs(wav).max()), 1e-4))


def _unit(vector: np.ndarray) -> np.ndarray:
  return vector / max(float(np.linalg.norm(vector)), 1e-9)
