# SPDX-License-Identifier: Apache-2.0
"""As a TFDS dataset, and from TFDS's own copies."""

import numpy as np
import pytest
import recordings
import tensorflow_datasets as tfds

from data_pipelines import beam, builder, records, speech_records
from data_pipelines.corpora import sources
from data_pipelines.corpora.speech import SpeechCorpus
from ns_jax.errors import UserError


def test_tfds_makes_the_records_of_a_folder(tmp_path, clips):
  from apache_beam.options.pipeline_options import PipelineOptions

  for clip in clips:
    recordings.write(tmp_path / "in" / f"{clip.name}.wav", clip.wav)
    (tmp_path / "in" / f"{clip.name}.txt").write_text(clip.text)
  dataset = speech_records.SpeechRecords(data_dir=tmp_path / "out")
  options = PipelineOptions(list(beam.THIS_PROCESS))
  config = tfds.download.DownloadConfig(
    manual_dir=tmp_path / "in", beam_options=options
  )
  dataset.download_and_prepare(download_config=config)
  out = tmp_path / "out" / "speech_records" / "1.0.0"
  assert len(records.Records(out, "train")) == 6
  assert dataset.info.splits["train"].num_examples == 6
  (row,) = dataset.as_data_source(split="test")
  assert row["text"].decode() in {clip.text for clip in clips}
  with pytest.raises(UserError, match="manual_dir"):
    dataset.download_and_prepare()


def _write_tfds(data_dir, rows, per_shard):
  """A LibriSpeech as `tfds build` leaves it: {subset: rows}."""
  of_tfds = tfds.builder("librispeech", data_dir=data_dir)
  directory = tfds.core.Path(of_tfds.data_dir)
  directory.mkdir(parents=True)
  writer = tfds.core.SequentialWriter(
    of_tfds.info, max_examples_per_shard=per_shard
  )
  writer.initialize_splits(list(rows))
  writer.add_examples(
    {
      subset: [row | {"chapter_id": 3} for row in rows[subset]]
      for subset in rows
    }
  )
  writer.close_all()
  # TFDS's own builds may be read in any order, unlike those of this writer.
  info = directory / "dataset_info.json"
  info.write_text(info.read_text().replace('"disableShuffling": true,', ""))


@pytest.mark.slow
def test_a_copy_that_tfds_prepared_is_read(tmp_path, clips, spec):
  parts = dict(
    train_clean100=clips[:5], dev_clean=clips[5:7], test_clean=clips[7:]
  )
  rows = {
    subset: [
      {
        "speech": (clip.wav * 32767).astype(np.int64),
        "text": clip.text.upper(),
        "speaker_id": 7 + i % 2,
        "id": clip.name,
      }
      for i, clip in enumerate(chosen)
    ]
    for subset, chosen in parts.items()
  }
  _write_tfds(tmp_path, rows, per_shard=3)
  corpus = SpeechCorpus(
    source=sources.TfdsCopy.find("librispeech", tmp_path),
    spec=spec,
    pitch_method="dio",
  )
  out = builder.build(
    corpus, tmp_path / "out", label="x", beam_options=beam.THIS_PROCESS
  )
  by_name = {clip.name: clip for clip in clips}
  facts = records.read_facts(out)
  assert facts["splits"] == {"test": 1, "train": 5, "valid": 2}
  for split in facts["splits"]:
    for record in records.Records(out, split):
      clip = by_name[record["id"]]
      assert record["text"] == clip.text.upper()
      assert record["speaker"] in ("7", "8")
      size = min(len(record["wav"]), len(clip.wav))
      rho = np.corrcoef(record["wav"][:size], clip.wav[:size])[0, 1]
      assert rho > 0.99


@pytest.mark.slow
def test_any_rows_of_a_copy_are_those_that_were_listed(tmp_path):
  """TFDS mixes its shards unless it is told not to."""
  rows = [
    {
      "speech": np.zeros(1000 + i, np.int64),
      "text": "A",
      "speaker_id": 1,
      "id": str(i),
    }
    for i in range(60)
  ]
  _write_tfds(tmp_path, {"train_clean100": rows}, per_shard=20)
  source = sources.TfdsCopy.find("librispeech", tmp_path)
  listed = list(source.clips([]))
  assert len(listed) == 60
  for some in (listed[:9], listed[15:45], listed[50:]):
    lengths = {c.id: len(d(1.0)[0]) for c, d in source.decoders(some)}
    assert lengths == {c.id: 1000 + int(c.id) for c in some}


def test_a_copy_that_is_not_there(tmp_path):
  with pytest.raises(UserError, match="tfds build vctk"):
    sources.TfdsCopy.find("vctk", tmp_path)
