# SPDX-License-Identifier: Apache-2.0
"""Moonshine tiny for English, by onnxruntime, from the wheel moonshine-voice.

The wheel's own library would load a language model and cut speech at pauses;
its weights alone are read here, one whole clip at a time.
"""

import pathlib
from importlib import util
from typing import Any

import numpy as np

_PACKAGE, _WEIGHTS = "moonshine_voice", pathlib.Path("assets", "tiny-en")
_START, _END = 1, 2  # ids of the tokenizer
_FIRST_TEXT = 3  # the ids below are not text
_HEADS, _HEAD_SIZE = 8, 36
# English is spoken at 3 to 4 tokens a second; a recogniser that is lost would
# go on for ever.
_TOKENS_PER_SEC, _MORE_TOKENS, _RATE_HZ = 6.5, 12, 16_000


class Moonshine:
  """The recogniser, greedy."""

  def __init__(self, num_threads: int = 2):
    """Reads the weights.

    Args:
      num_threads: of one clip's recognition.
    """
    import onnxruntime  # pyright: ignore[reportMissingImports]

    folder = _package_folder() / _WEIGHTS
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.log_severity_level = 3  # errors
    # What they return may be of many kinds; here it is arrays.
    sessions: list[Any] = [
      onnxruntime.InferenceSession(
        str(folder / name), options, providers=["CPUExecutionProvider"]
      )
      for name in ("encoder_model.ort", "decoder_model_merged.ort")
    ]
    self._encoder, self._decoder = sessions
    self._memories = [
      node.name
      for node in self._decoder.get_inputs()
      if node.name.startswith("past_key_values")
    ]
    self._tokens = read_tokens((folder / "tokenizer.bin").read_bytes())

  def transcribe(self, wav: np.ndarray) -> str:
    """Recognises one clip.

    Args:
      wav: [S] float32, in [-1, 1], at 16 kHz, at least 0.1 s.
    """
    heard = {
      "input_values": wav[None, :],
      "attention_mask": np.ones((1, len(wav)), np.int64),
    }
    (states,) = self._encoder.run(None, heard)
    memory = {
      name: np.zeros((0, _HEADS, 1, _HEAD_SIZE), np.float32)
      for name in self._memories
    }
    ids, token = [], _START
    limit = int(_TOKENS_PER_SEC * len(wav) / _RATE_HZ) + _MORE_TOKENS
    for i in range(limit):
      logits, *present = self._decoder.run(
        None,
        {
          "input_ids": np.array([[token]], np.int64),
          "encoder_hidden_states": states,
          "encoder_attention_mask": heard["attention_mask"],
          "use_cache_branch": np.array([i > 0]),
          **memory,
        },
      )
      token = int(logits[0, -1].argmax())
      if token == _END:
        break
      ids.append(token)
      for name, value in zip(self._memories, present, strict=True):
        # What is remembered of the speech does not change after the start.
        if i == 0 or ".decoder." in name:
          memory[name] = value
    text = b"".join(self._tokens[i] for i in ids if i >= _FIRST_TEXT)
    return text.decode(errors="replace").replace("▁", " ").strip()


def example() -> pathlib.Path:
  """A recording of clear speech that comes with the weights."""
  return _package_folder() / "assets" / "beckett.wav"


def read_tokens(content: bytes) -> list[bytes]:
  """Reads Moonshine's table of tokens.

  Args:
    content: token after token, its length before it: one byte below 128, else
      that byte less 128 and 128 times the next.

  Returns:
    UTF-8 of each token, or a part of it, by id; "▁" is a space.
  """
  tokens, place = [], 0
  while place < len(content):
    length = content[place]
    place += 1
    if length >= 128:
      length += 128 * (content[place] - 1)
      place += 1
    tokens.append(content[place : place + length])
    place += length
  return tokens


def _package_folder() -> pathlib.Path:
  # Not imported: that would load its library.
  found = util.find_spec(_PACKAGE)
  if found is None or found.origin is None:
    raise ModuleNotFoundError(_PACKAGE)
  return pathlib.Path(found.origin).parent
