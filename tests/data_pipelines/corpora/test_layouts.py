# SPDX-License-Identifier: Apache-2.0
"""Every layout finds the same clips; nothing is heard yet."""

import json

import pytest
import recordings

from data_pipelines.corpora import layouts, sources
from ns_jax.errors import UserError


def _listed(root):
  notes = []
  layout = layouts.find(root)
  found = list(layouts.LAYOUTS[layout](root, notes))
  assert len({clip.id for clip in found}) == len(found)
  return layout, found, notes


def _facts(clips):
  return sorted((clip.speaker, clip.text) for clip in clips)


def test_manifests_with_any_usual_column_names(tmp_path, clips):
  for name, header, line in (
    ("manifest.tsv", "path\tsentence\tclient_id\n", "{0}.wav\t{1}\t{2}\n"),
    ("metadata.csv", "file_name,text,speaker\n", '{0}.wav,"{1}",{2}\n'),
  ):
    root = tmp_path / name
    for clip in clips:
      recordings.write(root / f"{clip.name}.wav", clip.wav)
    (root / name).write_text(
      header + "".join(line.format(c.name, c.text, c.speaker) for c in clips)
    )
    layout, found, notes = _listed(root)
    assert (layout, notes) == ("manifest", [])
    assert _facts(found) == _facts(clips)


def test_json_lines_with_pieces_of_a_long_file(tmp_path, clips):
  recordings.write(tmp_path / "long.wav", clips[0].wav)
  rows = [
    dict(audio_filepath="long.wav", text="one", offset=0.5, duration=1.0),
    dict(audio_filepath="long.wav", text="two", start=1.5, end=2.0, id="b"),
  ]
  (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))
  _, found, notes = _listed(tmp_path)
  assert not notes
  assert [(c.start_sec, c.end_sec) for c in found] == [(0.5, 1.5), (1.5, 2.0)]
  assert {clip.speaker for clip in found} == {tmp_path.name}


def test_common_voice_keeps_its_clips_in_a_folder(tmp_path, clips):
  recordings.write(tmp_path / "clips" / "a.mp3", clips[0].wav, format="MP3")
  (tmp_path / "metadata.tsv").write_text("path\tsentence\na.mp3\thello\n")
  _, (clip,), _ = _listed(tmp_path)
  assert clip.file.endswith("clips/a.mp3")


def test_ljspeech(tmp_path, clips):
  for clip in clips:
    recordings.write(tmp_path / "wavs" / f"{clip.name}.flac", clip.wav)
  lines = [f"{clip.name}|Mr. raw|{clip.text}\n" for clip in clips]
  (tmp_path / "metadata.csv").write_text("".join(lines))
  layout, found, notes = _listed(tmp_path)
  assert (layout, notes) == ("ljspeech", [])
  assert sorted(c.text for c in found) == sorted(c.text for c in clips)
  assert {clip.speaker for clip in found} == {tmp_path.name}


def test_librispeech_and_libritts(tmp_path, clips):
  for corpus in ("LibriSpeech", "LibriTTS"):
    for i, clip in enumerate(clips):
      chapter = tmp_path / corpus / "train-clean" / clip.speaker / "7"
      name = f"{clip.speaker}-7-{i}"
      recordings.write(chapter / f"{name}.wav", clip.wav)
      if corpus == "LibriTTS":
        (chapter / f"{name}.normalized.txt").write_text(clip.text)
      else:
        with (chapter / f"{clip.speaker}-7.trans.txt").open("a") as file:
          file.write(f"{name} {clip.text}\n")
    for root in (tmp_path / corpus, tmp_path / corpus / "train-clean"):
      layout, found, notes = _listed(root)
      assert (layout, notes) == ("librispeech", [])
      assert _facts(found) == _facts(clips)
      assert {clip.subset for clip in found} == {"train-clean"}


@pytest.mark.parametrize("microphone", ["", "_mic1"])
def test_vctk_old_and_new(tmp_path, clips, microphone):
  for i, clip in enumerate(clips):
    name = f"{clip.speaker}_{i:03d}"
    wave = tmp_path / "wav48_silence_trimmed" / clip.speaker
    recordings.write(wave / f"{name}{microphone}.flac", clip.wav)
    text = tmp_path / "txt" / clip.speaker / f"{name}.txt"
    text.parent.mkdir(parents=True, exist_ok=True)
    text.write_text(f"{clip.text}\n")
  layout, found, notes = _listed(tmp_path)
  assert (layout, notes) == ("vctk", [])
  assert _facts(found) == _facts(clips)
  assert all(clip.file.endswith(f"{microphone}.flac") for clip in found)


def test_mls(tmp_path, clips):
  tmp_path = tmp_path / "mls_german"
  for i, clip in enumerate(clips):
    split = tmp_path / ("dev" if i % 2 else "train")
    name = f"{clip.speaker.replace('_', '')}_77_{i:06d}"
    folder = split / "audio" / name.split("_")[0] / "77"
    recordings.write(folder / f"{name}.flac", clip.wav)
    with (split / "transcripts.txt").open("a") as file:
      file.write(f"{name}\t{clip.text}\n")
  layout, found, notes = _listed(tmp_path)
  assert (layout, notes) == ("mls", [])
  assert sorted(c.text for c in found) == sorted(c.text for c in clips)
  assert {clip.subset for clip in found} == {"train", "dev"}
  assert {clip.language for clip in found} == {"german"}


def test_kaldi_with_segments_and_a_command(tmp_path, clips):
  recordings.write(tmp_path / "r.wav", clips[0].wav)
  (tmp_path / "wav.scp").write_text(f"r {tmp_path}/r.wav\nq sox x.wav - |\n")
  (tmp_path / "text").write_text("u1 hello there\nu2 no sound\nu3 lost\n")
  (tmp_path / "segments").write_text("u1 r 0.25 1.5\nu2 q 0 1\n")
  (tmp_path / "utt2spk").write_text("u1 ann\nu2 bob\n")
  layout, (clip,), notes = _listed(tmp_path)
  assert layout == "kaldi"
  assert (clip.speaker, clip.text) == ("ann", "hello there")
  assert (clip.start_sec, clip.end_sec) == (0.25, 1.5)
  reasons = {note["id"]: note["reason"] for note in notes}
  assert "command" in reasons["u2"] and "segment" in reasons["u3"]


def test_texts_beside_files(tmp_path, clips):
  for clip, suffix in zip(clips, (".txt", ".lab") * 4, strict=True):
    path = tmp_path / clip.speaker / clip.name
    recordings.write(path.with_suffix(".ogg"), clip.wav, format="OGG")
    path.with_suffix(suffix).write_text(clip.text)
  recordings.write(tmp_path / "alone.wav", clips[0].wav)
  (tmp_path / "README.txt").write_text("About these recordings.")
  (tmp_path / "silent.txt").write_text("Nobody says this.")
  layout, found, notes = _listed(tmp_path)
  assert layout == "folder"
  assert _facts(found) == _facts(clips)
  assert {(note["file"][-10:], note["reason"]) for note in notes} == {
    ("/alone.wav", "has no transcript"),
    ("silent.txt", "has no audio file"),
  }


def test_nothing_to_be_found(tmp_path):
  with pytest.raises(UserError, match="no such folder"):
    layouts.find(tmp_path / "none")
  with pytest.raises(UserError, match="no transcripts found"):
    layouts.find(tmp_path)


def test_a_table_without_the_columns(tmp_path):
  (tmp_path / "metadata.tsv").write_text("file\twho\na.wav\tann\n")
  with pytest.raises(UserError, match="no column for the text"):
    _listed(tmp_path)


def test_pieces_that_begin_at_zero_end_where_they_should(tmp_path, clips):
  recordings.write(tmp_path / "long.wav", clips[0].wav)
  rows = [
    dict(audio_filepath="long.wav", text="one", offset=0.0, duration=1.0),
    dict(audio_filepath="long.wav", text="two", offset=1.0, duration=0.5),
  ]
  (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))
  _, found, notes = _listed(tmp_path)  # with ids of their own
  assert not notes
  assert [(c.start_sec, c.end_sec) for c in found] == [(0.0, 1.0), (1.0, 1.5)]


def test_a_barred_table_with_a_header_is_no_ljspeech(tmp_path, clips):
  recordings.write(tmp_path / "a.wav", clips[0].wav)
  (tmp_path / "metadata.csv").write_text(
    "audio_file|text|speaker_name|speaker\na.wav|hello there|x|ann\n"
  )
  layout, (clip,), _ = _listed(tmp_path)
  assert (layout, clip.text, clip.speaker) == ("manifest", "hello there", "ann")


def test_kaldi_tables_may_have_tabs_and_open_ends(tmp_path, clips):
  recordings.write(tmp_path / "r.wav", clips[0].wav)
  (tmp_path / "wav.scp").write_text("r\tr.wav\n")
  (tmp_path / "text").write_text("u1\thello there\n")
  (tmp_path / "segments").write_text("u1\tr\t0.25\t-1\n")
  _, (clip,), _ = _listed(tmp_path)
  assert (clip.text, clip.start_sec, clip.end_sec) == (
    "hello there",
    0.25,
    None,
  )


def test_hostile_rows_are_rejected_one_by_one(tmp_path, clips):
  recordings.write(tmp_path / "a.wav", clips[0].wav)
  rows = [
    "[" * 60_000,
    "1" * 5000,
    '{"file": "%s.wav", "text": "x"}' % ("x" * 300),
  ]
  good = '{"file": "a.wav", "text": "hello"}'
  (tmp_path / "manifest.jsonl").write_text("\n".join([*rows, good]))
  _, found, notes = _listed(tmp_path)
  assert [clip.text for clip in found] == ["hello"] and len(notes) == 3


def test_a_path_with_dots_is_the_same_folder(tmp_path, clips):
  recordings.write(tmp_path / "a" / "a.wav", clips[0].wav)
  (tmp_path / "a" / "manifest.tsv").write_text("file\ttext\na.wav\thello\n")
  source = sources.Folder.at(tmp_path / "a" / ".." / "a")
  assert source == sources.Folder.at(tmp_path / "a")
  notes = []
  assert len(list(source.clips(notes))) == 1 and not notes
