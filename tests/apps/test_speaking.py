# SPDX-License-Identifier: Apache-2.0
"""`ns-jax synthesize`, `convert` and `enhance` on files as people have them."""

import json
import re

import av
import pytest
import soundfile
from click.testing import CliRunner

from ns_jax import api
from ns_jax.apps import cli
from ns_jax.models.ns1_sampling import SampleOptions
from tests import narrators, speakers


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A folder with a bundle, a voice and a recording."""
  folder = tmp_path_factory.mktemp("speaking")
  speakers.bundle(folder / "bundle")
  for name, seconds in {"voice": 1.0, "said": 2.0}.items():
    wav = speakers.voice(seconds)
    soundfile.write(folder / f"{name}.wav", wav, 16_000)
  return folder


@pytest.fixture
def run(folder):
  def run(*args):
    words = [*map(str, args), f"--model={folder / 'bundle'}"]
    if "--prompt" not in args:
      words += ["--prompt", str(folder / "voice.wav")]
    return CliRunner().invoke(cli.cli, words)

  return run


def test_a_text(run, folder, tmp_path):
  out = tmp_path / "out.wav"
  result = run("synthesize", "--text", "Come in.", "--out", out)
  assert result.exit_code == 0, result.output
  assert "s of speech" in result.output
  first, rate_hz = soundfile.read(out)
  assert rate_hz == 16_000 and first.any()
  again = run("synthesize", "--text", "Come in.", "--out", out)
  assert again.exit_code != 0 and "--overwrite" in again.stderr
  voice = folder / "voice.wav"
  result = run(
    *("synthesize", "--text", "Come in.", "--out", out, "--overwrite"),
    *("--speed", 0.5, "--solver", "dpmpp_2m", "--steps", 3, "--guidance", 1),
    *("--prompt", voice, "--prompt", voice),
  )
  assert result.exit_code == 0, result.output
  slow, _ = soundfile.read(out)
  assert len(slow) > 1.5 * len(first)


def test_texts_of_a_file(run, tmp_path):
  texts = tmp_path / "texts.txt"
  texts.write_text("\ufeffCome in.\n\n  Sit down. \n", encoding="utf-8")
  out = tmp_path / "spoken"
  words = ("synthesize", "--text-file", texts, "--format", "flac", "--json")
  result = run(*words, "--out", out)
  assert result.exit_code == 0, result.output
  assert sorted(path.name for path in out.iterdir()) == ["1.flac", "2.flac"]
  infos = [soundfile.info(path) for path in out.iterdir()]
  assert {info.format for info in infos} == {"FLAC"}
  facts = {"out": str(out), "audio_sec": sum(info.duration for info in infos)}
  assert json.loads(result.stdout) == pytest.approx(facts)


def test_a_suffix_or_a_pipe(tmp_path):
  """Speech is written as its file is named, or heard while it is made."""
  bundle = narrators.bundle(tmp_path / "reader")

  def call(out, *options):
    words = ["synthesize", "--text", "Come in.", "--model", bundle, *options]
    return CliRunner().invoke(cli.cli, [*map(str, words), "--out", str(out)])

  for name, codec in {"a.mp3": "mp3", "a.ogg": "opus"}.items():
    result = call(tmp_path / name, "--quiet")
    assert (result.exit_code, result.stdout) == (0, ""), result.stderr
    assert _heard(tmp_path / name)[0].startswith(codec)
  result = call("-")
  assert result.exit_code == 0, result.stderr
  (tmp_path / "piped").write_bytes(result.stdout_bytes)
  said = re.search(r"-: (\d+\.\d\d) s of speech", result.stderr)
  codec, seconds = _heard(tmp_path / "piped")
  assert codec == "pcm_s16le"
  assert said and seconds == pytest.approx(float(said[1]), abs=0.01)
  result = call("-", "--json")
  assert (result.exit_code, result.stdout_bytes) == (2, b"")


def _heard(path):
  """Codec and seconds of a file, as FFmpeg's library hears it."""
  with av.open(str(path)) as container:
    frames = list(container.decode(audio=0))
    codec = container.streams.audio[0].codec_context.name
  return codec, sum(frame.samples / frame.sample_rate for frame in frames)


def test_a_model_with_a_voice_of_its_own(tmp_path, folder):
  """It takes no prompt, and no choices of a diffusion that it has not."""
  bundle = narrators.bundle(tmp_path / "reader")
  out = tmp_path / "out.wav"

  def call(*args):
    words = ["synthesize", "--text", "Come in.", "--out", out, "--model"]
    words += [bundle, *args]
    return CliRunner().invoke(cli.cli, [str(word) for word in words])

  result = call("--speed", 2, "--temperature", 0.3, "--energy", -3)
  assert result.exit_code == 0, result.output
  assert soundfile.info(out).frames > 0
  for args, message in {
    ("--prompt", folder / "voice.wav"): "leave out the prompt",
    ("--solver", "euler"): "leave out solver",
    ("--pitch", 2): "no pitch to move",
    ("--temperature", "nan"): "temperature=nan",
  }.items():
    result = call(*args, "--overwrite")
    assert result.exit_code == 2 and message in result.stderr


def test_a_config_says_how_a_model_with_a_voice_samples(tmp_path):
  sample = {"temperature": 0.5, "max_phonemes": 7}
  tts = api.load(narrators.bundle(tmp_path))
  model = tts.sampled(api.Sampling.of(sample))
  assert model.options == SampleOptions(**sample)
  assert model.max_phonemes == 7


def test_a_model_of_any_voice_needs_one(tmp_path, folder):
  result = CliRunner().invoke(
    cli.cli,
    [
      *("synthesize", "--text", "Hi.", "--out", str(tmp_path / "x.wav")),
      *("--model", str(folder / "bundle")),
    ],
  )
  assert result.exit_code == 2 and "the prompt is missing" in result.stderr


def test_conversion_and_enhancement(run, folder, tmp_path):
  said = folder / "said.wav"
  for verb in ("convert", "enhance"):
    out = tmp_path / f"{verb}.wav"
    result = run(
      *(verb, said, "--text", "Come and sit down.", "--out", out),
      *("--steps", 2),
      *(("--noise", folder / "voice.wav") if verb == "enhance" else ()),
    )
    assert result.exit_code == 0, result.output
    assert soundfile.info(out).frames == 32_000


def test_a_score_and_a_recording_are_sung(run, folder, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)  # where there are no examples
  score = "examples/twinkle.musicxml"
  out = tmp_path / "song.wav"
  result = run("sing", score, "--out", out, "--transpose", -5)
  assert result.exit_code == 0, result.output
  assert soundfile.info(out).duration == pytest.approx(29.2, abs=0.02)
  said = folder / "said.wav"
  result = run(
    "sing", said, "--text", "Come and sit down.", "--out", tmp_path / "a.wav"
  )
  assert result.exit_code == 0, result.output
  assert soundfile.info(tmp_path / "a.wav").frames == 32_000
  result = run("sing", said, "--out", tmp_path / "b.wav")
  assert result.exit_code != 0 and "said.wav" in result.stderr


@pytest.mark.parametrize(
  ("args", "message"),
  [
    (["--text", "Hi."], "Missing option '--out'"),
    (["--out", "x.wav"], "give one of --text and --text-file"),
    (["--text", "Hi.", "--out", "x.txt"], "ends in one of"),
    (["--text", "Hi.", "--out", "nowhere/x.wav"], "folder does not exist"),
    (["--text", "...", "--out", "x.wav"], "nothing in it that can be spoken"),
    (["--text", "Hi.", "--out", "x.wav", "--prompt", "no.wav"], "no.wav"),
    (["--text", "Hi.", "--out", "x.wav", "--solver", "rk4"], "'rk4'"),
    (["--text", "Hi.", "--out", "x.wav", "--steps", "0"], "0 is not in"),
    (["--text", "Hi.", "--out", "x.wav", "--seed", "-1"], "-1 is not in"),
    (["--text", "Hi.", "--out", "x.wav", "--guidance", "nan"], "guidance=nan"),
    (["--text", "Hi.", "--out", "x.wav", "--temperature", "inf"], "finite"),
    (["--text", "caf\udce9", "--out", "x.wav"], "no UTF-8, from character 4"),
    (["--text", "Hi.", "--out", "x" * 250 + ".wav"], "too long a name"),
    (["--text", "Hi.", "--out", "x.wav", "--speed", "0"], "speed=0.0"),
    (["--text", "Hi.", "--out", "x.wav", "--steps", "20000"], "not in the"),
    (["--text-file", "none.txt", "--out", "x"], "none.txt: no such text file"),
    (["--text-file", "/", "--out", "x"], "/: is a folder, no text file"),
  ],
)
def test_mistakes_are_one_line(run, tmp_path, monkeypatch, args, message):
  monkeypatch.chdir(tmp_path)
  result = run("synthesize", *args)
  assert result.exit_code == 2
  assert message in result.stderr
  assert "Traceback" not in result.output
  assert list(tmp_path.iterdir()) == []


def test_texts_do_not_go_to_a_file(run, tmp_path):
  texts = tmp_path / "texts.txt"
  texts.write_text("Come in.\n")
  result = run("synthesize", "--text-file", texts, "--out", texts)
  assert result.exit_code == 2
  assert "is a file; give --out a folder" in result.stderr


def test_a_bad_line_is_named_before_anything_is_written(run, tmp_path):
  texts = tmp_path / "texts.txt"
  texts.write_text("Come in.\n...\n")
  result = run("synthesize", "--text-file", texts, "--out", tmp_path / "said")
  assert result.exit_code == 2
  assert "text 2 of 2: " in result.stderr
  assert not (tmp_path / "said").exists()
