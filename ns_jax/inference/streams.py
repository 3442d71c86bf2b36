# SPDX-License-Identifier: Apache-2.0
"""A codec at work on waves that come in pieces, in constant memory.

What comes out is what the codec makes of the whole wave.
"""

from collections.abc import Iterator

import numpy as np

from ns_jax.inference.codec import SpeechCodec


class EncoderStream:
  """Encodes one wave, piece by piece."""

  def __init__(
    self,
    codec: SpeechCodec,
    *,
    num_codebooks: int | None = None,
    block_frames: int = 1,
  ):
    """Begins a wave.

    Args:
      codec: to encode with.
      num_codebooks: codes in a frame, 1 to Q; None: Q.
      block_frames: encoded at a time. With one, codes come as early as they
        can, see `delay_samples`; more are faster.

    Raises:
      UserError: the codec has fewer codebooks.
    """
    self._codec = codec
    self._num_codebooks = codec.check_count(num_codebooks)
    self._block = codec.spec.num_samples(block_frames)
    self._past = codec.beginning("encode", block_frames)
    self._pending = np.zeros(0, np.float32)
    self._early = codec.module.lookahead_hops  # frames before the first
    self._num_samples, self._num_frames = 0, 0

  @property
  def delay_samples(self) -> int:
    """Samples from the first of a frame to the last its codes wait for."""
    ahead = self._codec.module.lookahead_hops * self._codec.spec.hop_samples
    return self._block + ahead

  def push(self, wav: np.ndarray) -> np.ndarray:
    """Takes samples [S] in [-1, 1]; returns the codes [T, q] now known."""
    self._num_samples += len(wav)
    codes = self._advance(wav)
    self._num_frames += len(codes)
    return codes

  def finish(self) -> np.ndarray:
    """Ends the wave; returns the last codes [T, q]."""
    due = self._codec.spec.num_frames(self._num_samples) - self._num_frames
    silence = np.zeros(self.delay_samples, np.float32)
    return self._advance(silence)[:due]

  def _advance(self, wav: np.ndarray) -> np.ndarray:
    self._pending = np.concatenate([self._pending, wav.astype(np.float32)])
    parts = [np.zeros((0, self._num_codebooks), np.int32)]
    while len(self._pending) >= self._block:
      block, self._pending = np.split(self._pending, [self._block])
      codes, self._past = self._codec.encode_block(
        block, self._past, self._num_codebooks
      )
      parts.append(codes[self._early :])
      self._early = max(0, self._early - len(codes))
    return np.concatenate(parts)


class DecoderStream:
  """Decodes one wave, piece by piece."""

  def __init__(self, codec: SpeechCodec, *, block_frames: int = 1):
    """Begins a wave.

    Args:
      codec: to decode with.
      block_frames: decoded at a time; more are faster.
    """
    self._codec, self._block = codec, block_frames
    self._past = codec.beginning("decode", block_frames)
    self._pending: list[np.ndarray] = []

  def push(self, codes: np.ndarray) -> np.ndarray:
    """Takes codes [T, q]; returns the samples [S] now known."""
    return self.push_latents(self._codec.latents(codes[None])[0])

  def push_latents(self, latents: np.ndarray) -> np.ndarray:
    """Takes latents [T, D]; returns the samples [S] now known."""
    self._pending.extend(latents)
    parts = [np.zeros(0, np.float32)]
    while len(self._pending) >= self._block:
      block = np.stack(self._pending[: self._block])
      del self._pending[: self._block]
      wav, self._past = self._codec.decode_block(block, self._past)
      parts.append(wav)
    return np.concatenate(parts)

  def finish(self) -> np.ndarray:
    """Ends the wave; returns the last samples [S]."""
    due = self._codec.spec.num_samples(len(self._pending))
    if not due:
      return np.zeros(0, np.float32)
    missing = self._block - len(self._pending)
    last = np.stack([self._pending[-1]] * missing)
    return self.push_latents(last)[:due]


def decode(
  codec: SpeechCodec, latents: np.ndarray, block_frames: int
) -> Iterator[np.ndarray]:
  """Decodes latents that are all known, in constant memory.

  Args:
    codec: to decode with.
    latents: [T, D] float32.
    block_frames: decoded at a time.

  Yields:
    Pieces [S] float32, each but the last of `block_frames`.
  """
  stream = DecoderStream(codec, block_frames=block_frames)
  for first in range(0, len(latents), block_frames):
    wav = stream.push_latents(latents[first : first + block_frames])
    if len(wav):
      yield wav
  rest = stream.finish()
  if len(rest):
    yield rest
