# SPDX-License-Identifier: Apache-2.0
"""Corpus to records: a TFDS dataset in array_record shards.

TFDS writes this format without TensorFlow. A dataset directory appears under
its final name only when complete; a lock keeps two processes from building the
same one.
"""

import contextlib
import fcntl
import io
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Mapping

import absl.logging
import numpy as np
import tensorflow_datasets as tfds
import tqdm

from data_pipelines import schema
from data_pipelines.corpora.corpus import Corpus, Record
from ns_jax.errors import UserError

FILE_FORMAT = "array_record"


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """A dataset whose records are handed in."""

  code_path = None  # no checksums to look up: nothing is downloaded

  def __init__(
    self,
    corpus: Corpus,
    features: tfds.features.FeaturesDict,
    splits: Mapping[str, Iterable[Record]],
    data_dir: pathlib.Path,
  ):
    self.name = corpus.name  # pyright: ignore[reportAttributeAccessIssue]
    self.VERSION = tfds.core.Version(corpus.version)
    self._corpus = corpus
    self._features = features
    self._splits = splits
    super().__init__(
      config=tfds.core.BuilderConfig(
        name=corpus.config, version=corpus.version
      ),
      data_dir=data_dir,
      file_format=FILE_FORMAT,
    )

  def _info(self) -> tfds.core.DatasetInfo:
    # Order is the readers' business; on disk it stays the corpus's own.
    return tfds.core.DatasetInfo(
      builder=self,
      description=self._corpus.description,
      features=self._features,
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager):
    del dl_manager
    return {split: self._generate_examples(split) for split in self._splits}

  def _generate_examples(self, split: str):
    for record in self._splits[split]:
      yield record["id"], record
    if self._corpus.finish and split == list(self._splits)[-1]:
      self._corpus.finish(pathlib.Path(self.data_dir))


def prepare(
  corpus: Corpus, data_dir: str | pathlib.Path, *, label: str = ""
) -> pathlib.Path:
  """Builds a corpus unless it stands, with a progress bar.

  Args:
    corpus: what to store.
    data_dir: parent of all datasets; made if missing.
    label: of the progress bar; by default the corpus's name.

  Returns:
    The records' directory, `data_dir/name/config/version`.

  Raises:
    UserError: the directory cannot be written.
  """
  data_dir = pathlib.Path(data_dir).expanduser().absolute()
  records_dir = data_dir / corpus.name / corpus.config / corpus.version
  if is_complete(records_dir):
    return records_dir
  try:
    with _lock(records_dir):
      if not is_complete(records_dir):
        _build(corpus, data_dir, records_dir, label or f"{corpus.name} corpus")
  except OSError as error:
    raise UserError(
      f"{data_dir}: cannot write records there ({error.strerror}); "
      "choose another data directory"
    ) from error
  return records_dir


def is_complete(records_dir: pathlib.Path) -> bool:
  """Whether a build of this directory was finished."""
  return (records_dir / "dataset_info.json").is_file()


def _build(
  corpus: Corpus,
  data_dir: pathlib.Path,
  records_dir: pathlib.Path,
  label: str,
) -> None:
  for leftover in records_dir.parent.glob("incomplete.*"):
    shutil.rmtree(leftover)
  total = sum(corpus.split_sizes.values())
  with tqdm.tqdm(total=total, desc=label, unit="utt") as bar:
    splits = {
      split: _counted(corpus.records(split), bar)
      for split in corpus.split_sizes
    }
    features = _tfds_features(corpus.features)
    with _quiet_tfds():
      _Builder(corpus, features, splits, data_dir).download_and_prepare()


@contextlib.contextmanager
def _quiet_tfds() -> Iterator[None]:
  """Hides what TFDS prints and draws about downloads and shuffling."""
  verbosity = absl.logging.get_verbosity()
  absl.logging.set_verbosity(absl.logging.ERROR)
  tfds.disable_progress_bar()
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      yield
  finally:
    absl.logging.set_verbosity(verbosity)


def _counted(records: Iterable[Record], bar: tqdm.tqdm) -> Iterator[Record]:
  for record in records:
    yield record
    bar.update()


def _tfds_features(names: Iterable[str]) -> tfds.features.FeaturesDict:
  def feature(spec: schema.FeatureSpec):
    if spec.dtype == "str":
      return tfds.features.Text()
    return tfds.features.Tensor(
      shape=(None,) * len(spec.dims.split()),
      dtype=np.dtype(spec.dtype),
      encoding=tfds.features.Encoding.BYTES,
    )

  return tfds.features.FeaturesDict(
    {name: feature(schema.BY_NAME[name]) for name in names}
  )


@contextlib.contextmanager
def _lock(records_dir: pathlib.Path) -> Iterator[None]:
  """Waits for, then holds the right to build one directory."""
  records_dir.parent.mkdir(parents=True, exist_ok=True)
  with open(records_dir.parent / f".{records_dir.name}.lock", "w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)  # released when the process ends
    yield
