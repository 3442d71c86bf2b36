# SPDX-License-Identifier: Apache-2.0
"""A folder of speech as a TFDS dataset, for `tfds build` and its Beam options.

  tfds build data_pipelines/speech_records.py --manual_dir=/data/mls_english \
    --data_dir=/data/records \
    --beam_pipeline_options=runner=FlinkRunner,flink_master=localhost:8081

makes the records of `ns-jax prepare --no-align` in
`/data/records/speech_records/1.0.0`, shard by shard, resumable, with every
choice at its default. Workers must see both folders under these names. The
command needs `pip install mlcroissant`.
"""

import pathlib
from typing import Any

import tensorflow_datasets as tfds

from data_pipelines import builder, shards
from data_pipelines.corpora import sources
from data_pipelines.corpora.speech import SpeechCorpus
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError


class SpeechRecords(tfds.core.GeneratorBasedBuilder):
  """What TFDS asks of a dataset; the work is that of `builder`."""

  VERSION = tfds.core.Version("1.0.0")
  MANUAL_DOWNLOAD_INSTRUCTIONS = "--manual_dir is the folder of the corpus."

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      description="Speech with its phonemes and pitch.",
      features=shards.tfds_features(SpeechCorpus.plain_features),
      disable_shuffling=True,
    )

  def download_and_prepare(
    self, *, download_dir: Any = None, download_config: Any = None, **kwargs
  ) -> None:
    """Makes the records in this dataset's folder, or goes on with them.

    Args:
      download_dir: not used: nothing is downloaded.
      download_config: its manual_dir is the corpus; its beam_options and
        beam_runner are Beam's.
      **kwargs: not used.

    Raises:
      UserError: there is no corpus, or nothing in it could be used.
    """
    del download_dir, kwargs
    if download_config is None or not download_config.manual_dir:
      raise UserError("give the corpus: --manual_dir=<its folder>")
    given = download_config.beam_options
    corpus = SpeechCorpus(
      source=sources.Folder.at(str(download_config.manual_dir)),
      spec=AudioSpec(),
    )
    out = pathlib.Path(self.data_path)
    builder.build(
      corpus,
      out,
      label="clips",
      beam_options=() if given is None else given,
    )
    self.info.set_file_format("array_record", override=True)
    self.info.read_from_directory(out)

  def _split_generators(self, dl_manager: Any) -> Any:
    raise NotImplementedError("download_and_prepare makes the records")

  def _generate_examples(self, *args: Any, **kwargs: Any) -> Any:
    raise NotImplementedError("download_and_prepare makes the records")
