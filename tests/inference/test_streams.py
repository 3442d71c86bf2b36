# SPDX-License-Identifier: Apache-2.0
"""A wave in pieces of any size gives what it gives whole."""

import jax
import numpy as np
import pytest

from ns_jax.errors import UserError
from ns_jax.inference import streams
from tests import codecs

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module", params=["waveform", "spectral", "factorised"])
def codec(request):
  return codecs.codec(request.param)


@pytest.mark.parametrize("block_frames", [1, 3, 7])
@pytest.mark.parametrize("num_samples", [1, 200, 1999])
def test_codes_and_wave_equal_those_of_the_whole(
  codec, num_samples, block_frames
):
  wav = 0.1 * RNG.normal(size=num_samples).astype(np.float32)
  codes, latents = codec.encode(wav[None])
  stream = streams.EncoderStream(codec, block_frames=block_frames)
  cuts = np.sort(RNG.integers(0, num_samples + 1, 4))
  parts = [stream.push(piece) for piece in np.split(wav, cuts)]
  parts.append(stream.finish())
  np.testing.assert_array_equal(np.concatenate(parts), codes[0])

  stream = streams.DecoderStream(codec, block_frames=block_frames)
  pieces = np.split(codes[0], [len(codes[0]) // 3])
  parts = [stream.push(piece) for piece in pieces]
  parts.append(stream.finish())
  whole = codec.decode(latents)[0]
  np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)
  parts = list(streams.decode(codec, latents[0], block_frames))
  np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)


def test_codes_come_as_soon_as_promised(codec):
  stream = streams.EncoderStream(codec)
  wav = 0.1 * RNG.normal(size=5 * 200).astype(np.float32)
  known = sum(
    len(stream.push(wav[i : i + 1])) for i in range(stream.delay_samples - 1)
  )
  assert known == 0
  last = stream.delay_samples
  assert len(stream.push(wav[last - 1 : last])) == 1


def test_fewer_codebooks_are_the_first(codec):
  wav = 0.1 * RNG.normal(size=900).astype(np.float32)
  codes, _ = codec.encode(wav[None])
  stream = streams.EncoderStream(codec, num_codebooks=2, block_frames=2)
  fewer = np.concatenate([stream.push(wav), stream.finish()])
  np.testing.assert_array_equal(fewer, codes[0, :, :2])
  np.testing.assert_allclose(
    codec.reconstruct(wav, 2),
    codec.decode(codec.latents(fewer[None]))[0, :900],
    atol=1e-5,
  )


def test_another_wave_compiles_nothing(codec):
  def there_and_back():
    encoder = streams.EncoderStream(codec, block_frames=2)
    decoder = streams.DecoderStream(codec, block_frames=2)
    for _ in range(3):
      decoder.push(encoder.push(np.zeros(700, np.float32)))
    decoder.push(encoder.finish())
    decoder.finish()

  there_and_back()
  compiled = []
  jax.monitoring.register_event_duration_secs_listener(
    lambda event, *_, **__: compiled.append("compile" in event)
  )
  there_and_back()
  assert not any(compiled)


def test_only_codebooks_that_exist_are_used(codec):
  for count in (0, 5, -1):
    with pytest.raises(UserError, match="has 1 to 4"):
      streams.EncoderStream(codec, num_codebooks=count)


def test_nothing_gives_nothing(codec):
  assert streams.EncoderStream(codec).finish().shape == (0, 4)
  assert streams.DecoderStream(codec).finish().shape == (0,)
