# SPDX-License-Identifier: Apache-2.0
"""From folders of recordings to records, whatever is wrong with some."""

import collections
import csv
import os

import numpy as np
import pytest
import recordings

from data_pipelines import beam, builder, records
from data_pipelines.corpora import sources
from data_pipelines.corpora.speech import SpeechCorpus
from ns_jax import audio
from ns_jax.errors import UserError
from ns_jax.text import pauses
from ns_jax.text.frontend import Frontend


def _prepare(root, out, spec, **options):
  options = {"pitch_method": "dio", **options}
  return builder.build(
    SpeechCorpus(source=sources.Folder.at(root), spec=spec, **options),
    out,
    label="clips",
    beam_options=beam.THIS_PROCESS,
  )


def _table(path):
  with path.open(newline="") as file:
    return list(csv.DictReader(file, dialect="excel-tab"))


@pytest.fixture
def corpus(tmp_path, clips):
  """A folder with a manifest of eight good clips of two speakers."""
  root = tmp_path / "corpus"
  lines = ["file\ttext\tspeaker"]
  for clip in clips:
    recordings.write(root / "wavs" / f"{clip.name}.wav", clip.wav)
    lines.append(f"wavs/{clip.name}.wav\t{clip.text}\t{clip.speaker}")
  (root / "manifest.tsv").write_text("\n".join(lines) + "\n")
  return root


def test_records_hold_what_was_said(corpus, tmp_path, spec, clips):
  out = _prepare(corpus, tmp_path / "out", spec)
  by_text = {clip.text: clip for clip in clips}
  count = 0
  for split in ("train", "valid", "test"):
    for record in records.Records(out, split):
      count += 1
      clip = by_text[record["text"]]
      assert record["speaker"] == clip.speaker
      reading = Frontend().read(clip.text)
      np.testing.assert_array_equal(record["phonemes"], reading.phonemes)
      np.testing.assert_array_equal(record["word_starts"], reading.word_starts)
      assert len(record["wav"]) % spec.hop_samples == 0
      assert len(record["f0"]) == len(record["wav"]) / spec.hop_samples
      rms = np.sqrt(np.mean(audio.from_int16(record["wav"]) ** 2))
      assert 0.05 < rms < 0.08
  assert count == len(clips)
  measured = _table(out / "clips.tsv")
  assert len(measured) == len(clips)
  for row in measured:
    clip = clips[int(row["id"][-1])]
    assert float(row["seconds"]) == pytest.approx(len(clip.wav) / 16_000)
    assert float(row["peak"]) == pytest.approx(np.abs(clip.wav).max(), abs=1e-3)
  assert _table(out / "rejects.tsv") == []


def test_silence_around_speech_is_cut(tmp_path, spec, clips):
  clip = clips[0]
  hiss = np.random.default_rng(0).normal(0, 1e-4, 32_000).astype(np.float32)
  for name, wav in (
    ("a", clip.wav),
    ("b", np.concatenate([hiss, clip.wav, hiss]) + 0.1),
    ("c", clip.wav),
  ):
    recordings.write(tmp_path / "in" / f"{name}.wav", wav)
    (tmp_path / "in" / f"{name}.txt").write_text(clip.text)
  out = _prepare(tmp_path / "in", tmp_path / "out", spec)
  lengths = {
    record["id"]: len(record["wav"])
    for split in ("train", "valid", "test")
    for record in records.Records(out, split)
  }
  assert abs(lengths["a"] - lengths["b"]) <= 0.2 * spec.sample_rate_hz
  rows = {row["id"]: row for row in _table(out / "clips.tsv")}
  assert float(rows["b"]["dc_offset"]) == pytest.approx(0.1, abs=1e-3)


def test_any_rate_and_any_number_of_channels(tmp_path, spec, clips):
  clip = clips[0]
  recordings.write(tmp_path / "in" / "a.wav", clip.wav)
  times = np.arange(len(clip.wav) * 6) / 6
  fast = np.interp(times, np.arange(len(clip.wav)), clip.wav)
  recordings.write(
    tmp_path / "in" / "b.wav", np.repeat(fast[:, None], 6, axis=1), 96_000
  )
  recordings.write(tmp_path / "in" / "c.wav", clip.wav, subtype="PCM_U8")
  for name in "abc":
    (tmp_path / "in" / f"{name}.txt").write_text(clip.text)
  out = _prepare(tmp_path / "in", tmp_path / "out", spec)
  assert _table(out / "rejects.tsv") == []
  waves = {
    record["id"]: record["wav"].astype(float)
    for split in ("train", "valid", "test")
    for record in records.Records(out, split)
  }
  size = min(map(len, waves.values()))
  for name in "bc":
    assert np.corrcoef(waves["a"][:size], waves[name][:size])[0, 1] > 0.95


def _damage(root, clips):
  """Adds all kinds of damage; returns id or file -> what its reason says."""
  good = clips[0].wav
  wavs = root / "wavs"
  expected, rows = {}, []

  def add(name, reason, text="A good day to you.", file=None, more=""):
    rows.append(f"{file or f'wavs/{name}.wav'}\t{text}\tx{more}")
    expected[file or f"{name}.wav"] = reason

  (wavs / "empty.wav").write_bytes(b"")
  add("empty", "is empty")
  recordings.write(wavs / "short.wav", good)
  content = (wavs / "short.wav").read_bytes()
  (wavs / "short.wav").write_bytes(content[: len(content) // 2])
  add("short", "is cut off")
  (wavs / "text.wav").write_text("I am no sound at all. " * 100)
  add("text", "not readable as audio")
  recordings.write(wavs / "zero.wav", good[:0])
  add("zero", "no audio samples")
  recordings.write(wavs / "hours.wav", np.zeros(3 * 3600 * 800), 800)
  add("hours", "longer than 30 s")
  recordings.write(wavs / "silent.wav", np.zeros(16_000))
  add("silent", "is silent")
  nan = good.copy()
  nan[500:600] = np.nan
  recordings.write(wavs / "nan.wav", nan, subtype="FLOAT")
  add("nan", "NaN or infinite")
  recordings.write(wavs / "loud.wav", np.clip(50 * good, -1, 1))
  add("loud", "is clipped")
  recordings.write(wavs / "tick.wav", good[8000:9600])
  add("tick", "too short")
  add("lost", "no such audio file")
  recordings.write(wavs / "untold.wav", good)
  expected["untold.wav"] = "no transcript"
  recordings.write(wavs / "mute.wav", good)
  add("mute", "no transcript", text="")
  add("again", "stands twice", file="wavs/clip0.wav")
  recordings.write(wavs / "latin.wav", good)
  expected["latin.wav"] = "no transcript"  # its line cannot be read, either
  expected["manifest.tsv:24"] = "not UTF-8"
  recordings.write(wavs / "bell.wav", good)
  add("bell", "control characters", text="ring \x07 the bell")
  recordings.write(wavs / "russian.wav", good)
  add("russian", "only English", text="Добрый день")
  (wavs / "folder.wav").mkdir()
  add("folder", "is a folder")
  os.mkfifo(wavs / "pipe.wav")
  add("pipe", "special file")
  (wavs / "loop.wav").symlink_to("loop.wav")
  add("loop", "symbolic links")
  (wavs / "round").symlink_to(root)
  expected["round"] = "links back"
  recordings.write(wavs / "huge.wav", good)
  expected["manifest.tsv:25"] = "longer than 65536 bytes"
  expected["huge.wav"] = "no transcript"
  recordings.write(root.parent / "secret.wav", good)
  add("", "outside the corpus", file="../secret.wav")
  recordings.write(wavs / "wordy.wav", good)
  add("wordy", "too many", text="one two three four five six seven " * 20)
  with (root / "manifest.tsv").open("ab") as file:
    before = rows[:14]
    file.write(("\n".join(before) + "\n").encode())
    file.write("wavs/latin.wav\tcafé\tx\n".encode("latin-1"))
    file.write(b"wavs/huge.wav\t" + b"word " * 40_000 + b"\tx\n")
    file.write(("\n".join(rows[14:]) + "\n").encode())
  return expected


def test_every_kind_of_damage_is_survived_and_named(
  corpus, tmp_path, spec, clips
):
  expected = _damage(corpus, clips)
  out = _prepare(corpus, tmp_path / "out", spec)
  assert len(_table(out / "clips.tsv")) == len(clips)
  found = collections.defaultdict(list)
  for row in _table(out / "rejects.tsv"):
    name = (
      row["file"] if row["file"][:3] == "../" else row["file"].split("/")[-1]
    )
    found[
      name if row["reason"] != "its id stands twice" else "wavs/clip0.wav"
    ].append(row["reason"])
  for name, reason in expected.items():
    assert any(reason in said for said in found.get(name, [])), (name, found)
  assert found.keys() == expected.keys()


def test_only_bad_clips_is_an_error_that_says_where_to_look(tmp_path, spec):
  (tmp_path / "in").mkdir()
  (tmp_path / "in" / "a.wav").write_text("no sound")
  (tmp_path / "in" / "a.txt").write_text("Hello there.")
  with pytest.raises(UserError, match="nothing could be used.*rejects.tsv"):
    _prepare(tmp_path / "in", tmp_path / "out", spec)
  (row,) = _table(tmp_path / "out" / "rejects.tsv")
  assert "not readable" in row["reason"]


def test_a_file_name_that_is_not_utf8(tmp_path, spec, clips):
  for clip in clips[:3]:
    recordings.write(tmp_path / "in" / f"{clip.name}.wav", clip.wav)
    (tmp_path / "in" / f"{clip.name}.txt").write_text(clip.text)
  folder = os.fsencode(tmp_path / "in")
  for suffix in (b".wav", b".txt"):
    os.rename(folder + b"/clip1" + suffix, folder + b"/\xff" + suffix)
  out = _prepare(tmp_path / "in", tmp_path / "out", spec)
  (row,) = _table(out / "rejects.tsv")
  assert row["reason"] == "its id is not UTF-8" and "\\udcff" in row["file"]


def test_splits_a_user_names_and_those_of_the_corpus(corpus, tmp_path, spec):
  _, ann, bob = [
    line.split("\t")[2]
    for line in (corpus / "manifest.tsv").read_text().splitlines()
  ][:9:4]
  out = _prepare(corpus, tmp_path / "out", spec, test_speakers=(bob,))
  assert {r["speaker"] for r in records.Records(out, "test")} == {bob}
  assert {r["speaker"] for r in records.Records(out, "train")} == {ann}
  with pytest.raises(UserError, match="no speaker 'eve'"):
    _prepare(corpus, tmp_path / "b", spec, test_speakers=("eve",))


def test_textgrids_give_durations(tmp_path, spec, clips, records_dir):
  stored = records.Records(records_dir, "train")
  for i, clip in enumerate(clips):
    recordings.write(tmp_path / "in" / f"{clip.name}.wav", clip.wav)
    (tmp_path / "in" / f"{clip.name}.txt").write_text(clip.text)
    recordings.write_textgrid(
      tmp_path / "grids" / f"{clip.name}.TextGrid", stored[i], spec
    )
  (tmp_path / "grids" / "clip7.TextGrid").unlink()
  out = _prepare(
    tmp_path / "in", tmp_path / "out", spec, textgrid_dir=tmp_path / "grids"
  )
  (reject,) = _table(out / "rejects.tsv")
  assert reject["id"] == "clip7" and "no clip7.TextGrid" in reject["reason"]
  for split in ("train", "valid", "test"):
    for record in records.Records(out, split):
      true = stored[int(record["id"][-1])]
      np.testing.assert_array_equal(record["phonemes"], true["phonemes"])
      # Ends in the middle are where they were; silence around was cut.
      found, exact = record["durations"][2:-2], true["durations"][2:-2]
      assert np.abs(found - exact).max() <= 1


def test_offered_pauses_settle():
  reading = Frontend().read("we all know, that he came")
  offered = pauses.offer(reading.phonemes, reading.word_starts)
  assert offered.is_offer.sum() == reading.word_starts.sum() - 2
  durations = np.where(offered.is_offer, 0, 9)
  first, second = np.flatnonzero(offered.is_offer)[:2]
  durations[first], durations[second] = 20, pauses.LEAST_FRAMES - 1
  settled = pauses.settle(offered, durations)
  assert settled["durations"].sum() == durations.sum()
  assert len(settled["phonemes"]) == len(reading.phonemes) + 1
  assert settled["durations"][first] == 20
  assert settled["durations"][second] == 9 + pauses.LEAST_FRAMES - 1


def test_textgrids_of_a_whole_recording(tmp_path, spec, clips, records_dir):
  """Two clips in one file, with one TextGrid for both."""
  stored = [records.Records(records_dir, "train")[i] for i in range(3)]
  waves = [audio.from_int16(record["wav"]) for record in stored]
  recordings.write(tmp_path / "in" / "long.wav", np.concatenate(waves))
  whole = {
    name: np.concatenate([record[name] for record in stored])
    for name in ("phonemes", "durations")
  }
  recordings.write_textgrid(tmp_path / "grids" / "long.TextGrid", whole, spec)
  ends = np.cumsum([len(wav) / 16_000 for wav in waves])
  rows = ["file\ttext\tstart\tend\tid"] + [
    f"long.wav\t{clip.text}\t{end - len(wav) / 16_000}\t{end}\t{i}"
    for i, (clip, wav, end) in enumerate(zip(clips, waves, ends, strict=False))
  ]
  (tmp_path / "in" / "manifest.tsv").write_text("\n".join(rows) + "\n")
  out = _prepare(
    tmp_path / "in", tmp_path / "out", spec, textgrid_dir=tmp_path / "grids"
  )
  for split in ("train", "valid", "test"):
    (record,) = records.Records(out, split)
    true = stored[int(record["id"])]
    found, exact = record["durations"][2:-2], true["durations"][2:-2]
    assert np.abs(found - exact).max() <= 1


def test_trouble_of_the_machine_is_no_reject(
  corpus, tmp_path, spec, monkeypatch
):
  def full(*args):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr("ns_jax.dsp.pitch.f0", full)
  with pytest.raises(Exception, match="No space left"):
    _prepare(corpus, tmp_path / "out", spec)
  assert not list((tmp_path / "out" / "plan").glob("*.done"))
