# SPDX-License-Identifier: Apache-2.0
"""`ns-jax encode` and `decode` on files as people have them."""

import os

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from ns_jax import audio_files
from ns_jax.apps import cli
from ns_jax.apps.commands import shared
from ns_jax.inference import code_files
from tests import codecs


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
  return codecs.bundle(tmp_path_factory.mktemp("bundle") / "codec")


@pytest.fixture
def run(bundle):
  def run(*args, codec=bundle):
    words = [*map(str, args), f"--codec={codec}"]
    if args[0] == "encode" and "--codebooks" not in args:
      words.append("--codebooks=4")  # it has no more
    return CliRunner().invoke(cli.cli, words)

  return run


def _speech(path, seconds=1.0, rate_hz=16_000, seed=0):
  path.parent.mkdir(parents=True, exist_ok=True)
  rng = np.random.default_rng(seed)
  noise = 0.1 * rng.normal(size=int(seconds * rate_hz))
  soundfile.write(path, noise, rate_hz)
  return path


def test_there_and_back(run, tmp_path):
  wav = _speech(tmp_path / "in.wav", seconds=1.234)
  codes, back = tmp_path / "out.nsc", tmp_path / "back.wav"
  result = run("encode", wav, codes, "--codebooks", 2)
  assert result.exit_code == 0, result.output
  assert "1 file(s), 1.2 s of audio" in result.output
  result = run("decode", codes, back)
  assert result.exit_code == 0, result.output
  samples, rate_hz = soundfile.read(back)
  assert (len(samples), rate_hz) == (int(1.234 * 16_000), 16_000)
  expected = codecs.codec().reconstruct(
    soundfile.read(wav, dtype="float32")[0], 2
  )
  np.testing.assert_allclose(samples, np.clip(expected, -1, 1), atol=1e-3)
  with code_files.Reader(codes) as reader:
    assert reader.header.num_codebooks == 2
    assert reader.header.bits_per_code == 5


def test_long_files_equal_the_whole(run, tmp_path):
  """Longer than a block, of another rate and kind."""
  wav = _speech(tmp_path / "in.flac", seconds=21.5, rate_hz=24_000)
  codes, back = tmp_path / "out.nsc", tmp_path / "back.flac"
  assert run("encode", wav, codes, "--codebooks", 4).exit_code == 0
  assert run("decode", codes, back).exit_code == 0
  samples, rate_hz = soundfile.read(back)
  assert rate_hz == 16_000
  assert abs(len(samples) - 21.5 * 16_000) <= 1
  with code_files.Reader(codes) as reader:
    stored = np.concatenate(list(reader.blocks()))
  codec = codecs.codec()
  read = audio_files.read(wav, codec.spec)
  np.testing.assert_array_equal(stored, codec.encode(read[None])[0][0])
  whole = codec.decode(codec.latents(stored[None]))[0, : len(samples)]
  np.testing.assert_allclose(samples, np.clip(whole, -1, 1), atol=1e-3)


def test_many_files_and_folders(run, tmp_path):
  for i in range(3):
    _speech(tmp_path / "in" / "deep" / f"{i}.wav", 0.1, seed=i)
  (tmp_path / "in" / "broken.wav").write_text("no audio")
  (tmp_path / "in" / "notes.txt").write_text("no audio either")
  alone = _speech(tmp_path / "alone.ogg", 0.1)
  out, back = tmp_path / "codes", tmp_path / "back"
  result = run("encode", tmp_path / "in", alone, out)
  assert result.exit_code == shared.SOME_REJECTED, result.output
  assert "4 file(s)" in result.output
  assert "broken.wav: not readable as audio" in result.output
  written = sorted(str(p.relative_to(out)) for p in out.rglob("*.*"))
  assert written == ["alone.nsc", *(f"deep/{i}.nsc" for i in range(3))]
  assert run("decode", out, back).exit_code == 0
  assert len(list(back.rglob("*.wav"))) == 4


def test_nothing_is_lost_unasked(run, tmp_path):
  wav = _speech(tmp_path / "a.wav", 0.1)
  content = wav.read_bytes()
  assert run("encode", wav, tmp_path / "a.nsc").exit_code == 0
  result = run("decode", tmp_path / "a.nsc", wav)
  assert result.exit_code == 2 and "add --overwrite" in result.output
  assert run("encode", tmp_path, tmp_path / "b").exit_code == 0
  result = run("decode", tmp_path / "b", tmp_path)
  assert result.exit_code == 2, result.output
  assert wav.read_bytes() == content
  result = run("decode", tmp_path / "a.nsc", wav, "--overwrite")
  assert result.exit_code == 0 and wav.read_bytes() != content
  wav.rename(tmp_path / "c.nsc")
  itself = run("encode", tmp_path / "c.nsc", tmp_path / "c.nsc", "--overwrite")
  assert itself.exit_code == 2 and "is the source itself" in itself.output


def test_one_strange_file_does_not_stop_the_others(run, tmp_path):
  strange = os.fsencode(tmp_path) + b"/strange\xff.wav"
  _speech(tmp_path / "in" / "a.wav", 0.1).rename(os.fsdecode(strange))
  _speech(tmp_path / "in" / "z.wav", 0.1)
  (tmp_path / "out").mkdir()
  (tmp_path / "out" / "in").write_text("a file where a folder must be")
  _speech(tmp_path / "more" / "in" / "b.wav", 0.1)
  os.mkfifo(tmp_path / "in" / "pipe.wav")
  sources = tmp_path / "in", tmp_path / "more", os.fsdecode(strange)
  result = run("encode", *sources, tmp_path / "out")
  assert result.exit_code == shared.SOME_REJECTED, result.output
  assert "2 file(s)" in result.output and "cannot be written" in result.output
  assert sorted(os.listdir(os.fsencode(tmp_path / "out"))) == [
    b"in",
    b"strange\xff.nsc",
    b"z.nsc",
  ]


def test_mistakes_get_one_clear_line(run, tmp_path):
  wav = _speech(tmp_path / "in.wav", 0.1)
  other = _speech(tmp_path / "other" / "in.wav", 0.1)
  codes = tmp_path / "a.nsc"

  def refused(*args, **options):
    result = run(*args, **options)
    assert result.exit_code == 2, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output

  assert "ends in .nsc" in refused("encode", wav, tmp_path / "out.mp3")
  assert "has 1 to 4" in refused("encode", wav, codes, "--codebooks", 5)
  assert "has 1 to 4" in refused("encode", wav, codes, "--codebooks", 0)
  assert "name a folder" in refused("encode", wav, other, codes)
  assert "would both become" in refused("encode", wav, other, tmp_path / "o")
  assert "no such audio" in refused("encode", tmp_path / "none.wav", codes)
  empty = tmp_path / "empty"
  empty.mkdir()
  assert "holds no" in refused("encode", empty, tmp_path / "o")
  assert "holds no run" in refused("encode", wav, codes, codec=empty)
  assert not codes.exists()
  assert run("encode", wav, codes, "--codebooks", 1).exit_code == 0
  assert "no file of codes" in refused("decode", wav, tmp_path / "b.wav")
  stranger = codecs.bundle(tmp_path / "stranger", seed=1)
  message = refused("decode", codes, tmp_path / "b.wav", codec=stranger)
  assert "was made by the codec" in message
  codes.write_bytes(codes.read_bytes()[:-3])
  assert "is cut off" in refused("decode", codes, tmp_path / "b.wav")
  names = {child.name for child in tmp_path.iterdir()}
  assert names == {"in.wav", "other", "a.nsc", "empty", "stranger"}


def test_codes_beyond_the_codebook_are_damage(run, tmp_path):
  codec = codecs.codec()
  header = code_files.Header(codec.codec_id, codec.spec, 4, 5)
  path = tmp_path / "a.nsc"
  with path.open("wb") as file:
    writer = code_files.Writer(file, header)
    writer.write(np.full((3, 4), 20))
    writer.finish(600)
  result = run("decode", path, tmp_path / "b.wav")
  assert result.exit_code == 2
  assert "is damaged" in result.output
  assert os.listdir(tmp_path) == ["a.nsc"]
