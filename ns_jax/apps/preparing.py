# SPDX-License-Identifier: Apache-2.0
"""`ns-jax prepare`: from a corpus to records that a model can be trained on.

Every part looks on disk for its own result first, so a command that was
stopped, however it was, goes on when it is given again.
"""

import contextlib
import csv
import dataclasses
import logging
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import jax

from configs import aligner as aligner_config
from data_pipelines import builder, records
from data_pipelines.corpora import sources
from data_pipelines.corpora.demo import DemoCorpus
from data_pipelines.corpora.speech import SpeechCorpus
from data_pipelines.features import alignment, clip_audio, codes, sup_phonemes
from ns_jax.apps import jobs
from ns_jax.apps.corpora import DEMO
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError
from ns_jax.inference import restore
from ns_jax.inference.align import SpeechAligner
from ns_jax.inference.codec import SpeechCodec
from ns_jax.text.frontend import Frontend
from ns_jax.training import workdir

RECORDS = "records"  # sup-phonemes are learned from the records themselves
ALIGNER_DIR = "aligner"  # in the records' folder: the run of their aligner

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Request:
  """What to prepare, and how."""

  source: str  # DEMO, a name of sources.TFDS_TEXTS, or a folder
  out: pathlib.Path
  tfds_dir: str = "~/tensorflow_datasets"
  limits: clip_audio.Limits = dataclasses.field(
    default_factory=clip_audio.Limits
  )
  pitch_method: str = "harvest"
  textgrid_dir: pathlib.Path | None = None
  valid_speakers: tuple[str, ...] = ()
  test_speakers: tuple[str, ...] = ()
  evaluation_set: str = ""
  align: bool = True
  aligner: str = ""  # workdir of a trained one; "": train one on the corpus
  codec: str = ""  # bundle, workdir or "shipped"; "": no codes
  sup_phonemes: str = ""  # a text file, or RECORDS; "": none
  beam_options: tuple[str, ...] = ()  # "": all cores


@dataclasses.dataclass(frozen=True)
class Summary:
  """What came of it."""

  records_dir: pathlib.Path
  clips: dict[str, int]  # by split
  num_rejects: int


def prepare(request: Request) -> Summary:
  """Prepares a corpus.

  Raises:
    UserError: the request makes no sense, or nothing could be used.
  """
  spec = AudioSpec()
  out = request.out.expanduser().absolute()
  corpus = _corpus(request, spec)
  _check(request, spec)
  builder.stands(corpus, out)  # or it is somebody else's folder
  with builder.lock(out, builder.PREPARE_LOCK_FILE):
    builder.build(corpus, out, label="clips", beam_options=request.beam_options)
    if "durations" not in corpus.features and request.align:
      _add_durations(request, out)
    if request.codec:
      codec = SpeechCodec.load(request.codec)
      codes.add_codes(out, codec.encode, codec.codec_id, spec=spec)
    if request.sup_phonemes:
      _add_sup_phonemes(request, out)
  return Summary(
    records_dir=out,
    clips=records.read_facts(out)["splits"],
    num_rejects=sum(1 for _ in read_rejects(out)),
  )


def _check(request: Request, spec: AudioSpec) -> None:
  """Refuses what could not be done, before hours of work."""
  for stage in ("aligner", "codec"):
    path = getattr(request, stage)
    if not path:
      continue
    config = workdir.read_config(restore.weights_folder(path, stage))
    if config.stage != stage:
      raise UserError(f"{path}: is a run of {config.stage}, not of {stage}")
    if AudioSpec(**config.audio).grid != spec.grid:
      raise UserError(
        f"{path}: works on {AudioSpec(**config.audio).grid}, records are of "
        f"{spec.grid}"
      )
  if request.aligner and (request.textgrid_dir or not request.align):
    raise UserError("--aligner goes with neither --textgrids nor --no-align")
  of_recordings = (
    *(request.textgrid_dir, request.valid_speakers, request.test_speakers),
    *(request.evaluation_set, request.aligner),
  )
  if request.source == DEMO and any(of_recordings):
    raise UserError("demo is as it is: it takes no choice but --codec")
  if request.evaluation_set and request.align and not request.aligner:
    raise UserError(
      "an evaluation set is too small to train an aligner on; give a trained "
      "--aligner, or --no-align"
    )
  if request.sup_phonemes not in ("", RECORDS):
    if not _text_file(request).is_file():
      raise UserError(f"{request.sup_phonemes}: no such text file")


def _text_file(request: Request) -> pathlib.Path:
  return pathlib.Path(request.sup_phonemes).expanduser()


def _add_sup_phonemes(request: Request, out: pathlib.Path) -> None:
  utterances = (
    sup_phonemes.words_of_records(out)
    if request.sup_phonemes == RECORDS
    else sup_phonemes.words_of_text(_text_file(request), Frontend())
  )
  sup_phonemes.add_sup_phonemes(out, sup_phonemes.learn(utterances))


def read_rejects(records_dir: pathlib.Path) -> Iterator[dict[str, str]]:
  """Rows of `rejects.tsv`: id, file, reason; none for a built-in corpus."""
  path = records_dir / builder.REJECTS_FILE
  with contextlib.ExitStack() as stack:
    if path.is_file():
      file = stack.enter_context(path.open(newline=""))
      yield from csv.DictReader(file, dialect="excel-tab")


def _corpus(request: Request, spec: AudioSpec) -> DemoCorpus | SpeechCorpus:
  if request.source == DEMO:
    return DemoCorpus("full", spec)
  textgrids = request.textgrid_dir
  if textgrids and not textgrids.expanduser().is_dir():
    raise UserError(f"{textgrids}: no such folder of TextGrids")
  is_name = request.source in sources.TFDS_TEXTS
  return SpeechCorpus(
    source=sources.TfdsCopy.find(request.source, request.tfds_dir)
    if is_name
    else sources.Folder.at(request.source),
    spec=spec,
    limits=request.limits,
    pitch_method=request.pitch_method,
    textgrid_dir=textgrids and textgrids.expanduser().absolute(),
    valid_speakers=request.valid_speakers,
    test_speakers=request.test_speakers,
    evaluation_set=request.evaluation_set,
  )


def _add_durations(request: Request, out: pathlib.Path) -> None:
  """By the aligner that was given, or by one trained on these records."""
  run_dir = out / ALIGNER_DIR
  is_done = (
    out / records.LAYERS / "durations" / records.RECORDS_FILE
  ).is_file()
  if request.aligner:
    run_dir = restore.weights_folder(request.aligner, "aligner")
  elif is_done:
    return  # these records may have been moved since; they stay as they are
  else:
    jobs.train(_aligner_config(out), run_dir)
  for layer in sup_phonemes.layers_of(out) if not is_done else ():
    _logger.info("sup-phonemes are removed: alignment adds pauses to phonemes")
    shutil.rmtree(layer)
  aligner = SpeechAligner.load(run_dir)
  alignment.add_durations(out, aligner.align, aligner.aligner_id)


def _aligner_config(out: pathlib.Path) -> Any:
  """The aligner's config with the sizes of the corpus.

  Raises:
    UserError: a split has too few clips.
  """
  run_dir = out / ALIGNER_DIR
  if (run_dir / workdir.CONFIG_FILE).is_file():
    return workdir.read_config(run_dir)  # begun, on other devices perhaps
  facts = records.read_facts(out)
  devices = jax.device_count()
  for split in ("train", "valid", "test"):
    if facts["splits"].get(split, 0) < devices:
      raise UserError(
        f"{out}: {facts['splits'].get(split, 0)} clips in split '{split}' are "
        f"too few to train an aligner on {devices} device(s); prepare more, "
        "hold out others, or give a trained --aligner"
      )
  config = aligner_config.get_config("corpus")
  config.data.corpus = str(out)
  config.data.max_frames = AudioSpec().num_frames(facts["longest"]["wav"])
  config.data.max_phonemes = facts["longest"]["phonemes_and_words"]
  for field, splits in (("train", ("train",)), ("eval", ("valid", "test"))):
    fewest = min(facts["splits"][split] for split in splits)
    batch_size = min(config[field].batch_size, fewest) // devices * devices
    config[field].batch_size = max(batch_size, devices)
  return config
