# SPDX-License-Identifier: Apache-2.0
"""Recognisers and models of voices on Hugging Face, by name."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ns_jax.errors import UserError

RATE_HZ = 16_000
_WINDOW_SEC = 30  # longer speech is recognised in pieces


def load_recogniser(name: str) -> Callable[[np.ndarray], str]:
  """A model for automatic speech recognition.

  Args:
    name: of a repository such as openai/whisper-small, or a folder.

  Returns:
    A function of a wave [S] float32 at 16 kHz.

  Raises:
    UserError: there is no such model.
  """
  import transformers  # pyright: ignore[reportMissingImports]

  recognise = _load(
    "recogniser",
    name,
    lambda: transformers.pipeline(
      "automatic-speech-recognition", model=name, chunk_length_s=_WINDOW_SEC
    ),
  )

  def transcribe(wav: np.ndarray) -> str:
    # The pipeline takes entries out of what it is given.
    return recognise({"raw": wav, "sampling_rate": RATE_HZ})["text"].strip()

  return transcribe


def load_speaker_judge(name: str) -> Callable[[np.ndarray], np.ndarray]:
  """A model of voices, or of audio: then the mean of its last layer is taken.

  Args:
    name: of a repository such as microsoft/wavlm-base-plus-sv, or a folder.

  Returns:
    A function of a wave [S] float32 at 16 kHz; it returns [E] float32.

  Raises:
    UserError: there is no such model.
  """
  import transformers  # pyright: ignore[reportMissingImports]

  def read() -> tuple[Any, Any]:
    names = transformers.AutoConfig.from_pretrained(name).architectures or []
    is_of_voices = any(n.endswith("XVector") for n in names)
    kind = (
      transformers.AutoModelForAudioXVector
      if is_of_voices
      else transformers.AutoModel
    )
    return (
      transformers.AutoFeatureExtractor.from_pretrained(name),
      kind.from_pretrained(name).eval().requires_grad_(False),
    )

  extract, model = _load("speaker_model", name, read)

  def embed(wav: np.ndarray) -> np.ndarray:
    features = extract(wav, sampling_rate=RATE_HZ, return_tensors="pt")
    heard = model(**features)
    if "embeddings" in heard:
      return heard.embeddings[0].numpy()
    return heard.last_hidden_state[0].mean(0).numpy()

  return embed


def _load(field: str, name: str, read: Callable[[], Any]) -> Any:
  """Reads a model; what is wrong becomes one line."""
  try:
    return read()
  # OSError: no such repository, no network, no weights; the others: a model of
  # another kind.
  except (OSError, ValueError, KeyError) as error:
    reason = str(error).strip().split("\n")[0]
    raise UserError(
      f"config.eval.{field}={name!r} cannot be loaded as a model of Hugging "
      f"Face ({reason})"
    ) from error
