# SPDX-License-Identifier: Apache-2.0
"""The codec that comes along: it is there, it is small, speech survives it."""

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from ns_jax import audio
from ns_jax.apps import cli
from ns_jax.dsp import mel
from ns_jax.evaluation import audio_metrics
from ns_jax.inference import code_files
from ns_jax.inference.codec import SpeechCodec
from tests import readers

SPEC = audio.AudioSpec()


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
  """A spoken sentence, 16 kHz."""
  path = tmp_path_factory.mktemp("recording") / "in.wav"
  return readers.record(path, "the kettle is on, come and sit down.")


def test_commands_use_it_and_speech_survives(recording, tmp_path):
  wav, _ = soundfile.read(recording, dtype="float32")
  distances_db = []
  for count in (2, 16):
    codes, back = tmp_path / f"{count}.nsc", tmp_path / f"{count}.wav"
    for words in (
      ["encode", recording, codes, "--codebooks", count],
      ["decode", codes, back],
    ):
      result = CliRunner().invoke(cli.cli, list(map(str, words)))
      assert result.exit_code == 0, result.output
    with code_files.Reader(codes) as reader:
      assert reader.header.codec_id == SpeechCodec.load().codec_id
    decoded, _ = soundfile.read(back, dtype="float32")
    mels = [mel.clip_log_mel(w, SPEC) for w in (decoded, wav)]
    distances_db.append(audio_metrics.log_mel_distance_db(*mels))
  assert distances_db[1] < distances_db[0] < 12
  assert distances_db[1] < 7
  assert audio_metrics.si_sdr_db(decoded, wav) > 3


def test_silence_stays_silent():
  decoded = SpeechCodec.load().reconstruct(np.zeros(16_000, np.float32))
  assert np.abs(decoded).max() < 0.01
