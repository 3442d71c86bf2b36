# SPDX-License-Identifier: Apache-2.0
"""The records that a run reads: found or built, with the layers it needs."""

import os
import pathlib
from typing import Any

from data_pipelines import builder, fetching, records
from data_pipelines.corpora import text
from data_pipelines.corpora.demo import DemoCorpus
from data_pipelines.corpora.text import TextCorpus
from data_pipelines.features import codes, sup_phonemes
from ns_jax import audio, paths, stages
from ns_jax.apps import processes
from ns_jax.errors import UserError
from ns_jax.inference.codec import SpeechCodec
from ns_jax.text import sup_phonemes as tokens

DEMO = "demo"  # config.data.corpus that is built in
_ASKED = 100  # records that tell whether a corpus has several speakers


def split_sizes(config: Any, name: str) -> dict[str, int]:
  """Number of records by split, of a corpus that may not be made yet.

  Args:
    config: of a run.
    name: how the user addresses its fields.

  Raises:
    UserError: there is no such corpus, or it does not fit the config.
  """
  corpus = _built(config)
  if isinstance(corpus, DemoCorpus):
    return corpus.split_sizes
  if corpus:
    _check_fields(config, name, corpus.features)
    folder = _folder(config, corpus)
    if (folder / records.RECORDS_FILE).is_file():
      return records.read_facts(folder)["splits"]
    return corpus.split_sizes()
  path = _given(config)
  if not path.is_dir():
    raise UserError(
      f"{name}.data.corpus={config.data.corpus!r} is neither {DEMO!r} nor a "
      f"{text.SUFFIX} file nor a folder of records; make one with "
      "'ns-jax prepare'"
    )
  facts = records.read_facts(records.base_of(path))
  heard = facts["identity"].get("audio")
  if heard is None:
    _check_fields(config, name, TextCorpus.features)
    return facts["splits"]
  wanted = audio.AudioSpec(**config.audio).grid
  if heard != wanted:
    raise UserError(
      f"{name}.data.corpus={config.data.corpus!r}: its records are of {heard}, "
      f"this run works on {wanted}; make {name}.audio the same"
    )
  return facts["splits"]


def check_one_voice(config: Any, name: str) -> None:
  """Checks that one speaker spoke all of the records, where they are given.

  Raises:
    UserError: there are several.
  """
  if _built(config):
    return
  train = records.Records(_given(config), "train", ("speaker",))
  asked = range(0, len(train), max(1, len(train) // _ASKED))
  speakers = sorted({train[index]["speaker"] for index in asked})
  if len(speakers) > 1:
    raise UserError(
      f"{name}.data.corpus={config.data.corpus!r} has several speakers "
      f"({', '.join(speakers[:3])}{', …' * (len(speakers) > 3)}); "
      f"{config.stage} learns one: prepare the recordings of one alone"
    )


def prepare(config: Any) -> pathlib.Path:
  """The folder of the records; builds the corpus unless it stands."""
  corpus = _built(config)
  if not corpus:
    return _given(config)
  label = "sentences" if isinstance(corpus, TextCorpus) else "demo corpus"
  return processes.first_then_others(
    lambda: builder.build(corpus, _folder(config, corpus), label=label)
  )


def add_codes(
  config: Any, records_dir: pathlib.Path, codec: SpeechCodec
) -> pathlib.Path:
  """Encodes the corpus unless done; returns the new records' folder."""
  return processes.first_then_others(
    lambda: codes.add_codes(
      records_dir,
      codec.encode,
      codec.codec_id,
      spec=audio.AudioSpec(**config.audio),
    )
  )


def needs_sup_phonemes(config: Any) -> bool:
  """Whether a run's stage reads them."""
  return "sup_phonemes" in stages.build(config).features


def add_sup_phonemes(
  config: Any, records_dir: pathlib.Path, run_dir: paths.Path
) -> pathlib.Path:
  """Adds the layer of the run's tokenizer; returns the new records' folder.

  A run keeps the tokenizer it has. Without one it takes that of the layer of
  sup-phonemes it was given as corpus, else it learns one from the train split.

  Raises:
    UserError: the tokenizer has more sup-phonemes than the model.
  """

  def add() -> pathlib.Path:
    own = run_dir / tokens.TOKENIZER_FILE
    given = records_dir / tokens.TOKENIZER_FILE
    wanted = config.model.encoder.num_sup_phonemes
    if own.is_file() or given.is_file():
      tokenizer = tokens.load(own if own.is_file() else given)
    else:
      utterances = sup_phonemes.words_of_records(records_dir)
      tokenizer = sup_phonemes.learn(utterances, wanted)
    size = tokenizer.get_vocab_size()
    if size > wanted:
      raise UserError(
        f"config.model.encoder.num_sup_phonemes={wanted} is less than the "
        f"{size} sup-phonemes of the tokenizer; make it as many"
      )
    layer = sup_phonemes.add_sup_phonemes(records_dir, tokenizer)
    tokens.save(tokenizer, own)
    return layer

  return processes.first_then_others(add)


def _built(config: Any) -> DemoCorpus | TextCorpus | None:
  """The corpus that a run builds itself; None: its records are given.

  Raises:
    UserError: there is no such text or size of the demo.
  """
  if config.data.corpus == DEMO:
    return DemoCorpus(config.data.corpus_size, audio.AudioSpec(**config.audio))
  path = os.path.expanduser(config.data.corpus)
  if paths.is_remote(path):
    return None
  if path.lower().endswith(text.SUFFIX) and not os.path.isdir(path):
    return TextCorpus.of(path)
  return None


def _given(config: Any) -> pathlib.Path:
  """The folder of records that are given; those of a bucket are copied."""
  given = paths.resolve(config.data.corpus)
  if paths.is_remote(given):
    return fetching.fetch(given, _data_dir(config))
  return pathlib.Path(given)


def _data_dir(config: Any) -> pathlib.Path:
  return pathlib.Path(config.data.dir).expanduser().absolute()


def _folder(config: Any, corpus: DemoCorpus | TextCorpus) -> pathlib.Path:
  """Where its records are."""
  if isinstance(corpus, TextCorpus):
    name = corpus.name
  else:
    grid = "_".join(map(str, corpus.spec.grid.values()))
    name = f"demo_{corpus.size}_{grid}"
  return _data_dir(config) / name


def _check_fields(config: Any, name: str, present: tuple[str, ...]) -> None:
  """A text has nothing to be heard."""
  for field in stages.build(config).features:
    if field not in (*present, "sup_phonemes"):
      raise UserError(
        f"{name}.data.corpus={config.data.corpus!r}: a text has no '{field}'; "
        f"{config.stage} is trained on speech"
      )
