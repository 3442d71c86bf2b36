# SPDX-License-Identifier: Apache-2.0
"""`ns-jax inspect`: a page about records, to be read before training."""

import base64
import io
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import jax.numpy as jnp
import matplotlib.figure
import numpy as np

from data_pipelines import builder, records, statistics
from data_pipelines.statistics import Statistics
from ns_jax import audio, figures, files, pages
from ns_jax.apps import preparing
from ns_jax.audio import AudioSpec
from ns_jax.dsp import mel
from ns_jax.errors import UserError
from ns_jax.text import symbols

PAGE = "index.html"
_MOST_SPEAKERS = 60  # in the picture of pitch
_EXAMPLES, _EXAMPLE_SEC = 3, 5.0


def inspect(
  records_dir: pathlib.Path, out: pathlib.Path | None
) -> pathlib.Path:
  """Counts what is in records and writes a page about it.

  Args:
    records_dir: finished records.
    out: folder of the page; None: `inspect` in that of the records.

  Returns:
    The page, one file with everything in it.

  Raises:
    UserError: there are no records, or the page cannot be written.
  """
  records_dir = records.base_of(records_dir.expanduser().absolute())
  facts = records.read_facts(records_dir)
  if "audio" not in facts["identity"]:
    raise UserError(f"{records_dir}: are records of a text, without sound")
  spec = AudioSpec(**facts["identity"]["audio"])
  counted = statistics.collect(records_dir, spec)
  reasons = statistics.top_reasons(preparing.read_rejects(records_dir))
  out = (out or records_dir / "inspect").expanduser().absolute()
  page = _page(records_dir, facts, counted, reasons)
  try:
    out.mkdir(parents=True, exist_ok=True)
    with files.appearing(out / PAGE) as file:
      file.write(page.encode(errors="backslashreplace"))
  except OSError as error:
    raise UserError(f"{out}: cannot be written ({error.strerror})") from error
  return out / PAGE


def _page(
  records_dir: pathlib.Path,
  facts: dict[str, Any],
  counted: Statistics,
  reasons: list[tuple[str, int, str]],
) -> str:
  warnings = counted.warnings()
  parts = [
    pages.paragraph(
      f"{facts['description']} {facts['bytes'] / 1e9:.2f} GB. "
      f"Fields: {', '.join(counted.fields)}."
    ),
    pages.table(
      ("split", "clips", "hours", "speakers", "clip [s]", "phonemes/s"),
      (_split_row(split, counted) for split in counted.voices),
    ),
    pages.heading("Warnings"),
    pages.bullets(warnings) if warnings else pages.paragraph("None."),
    pages.heading("Left out"),
    pages.table(
      ("reason", "clips", "for example"),
      ((r, n, pages.code(e)) for r, n, e in reasons),
    )
    if reasons
    else pages.paragraph(f"Nothing ({builder.REJECTS_FILE})."),
    pages.heading("Clips"),
    _image(_lengths_figure(counted)),
    pages.heading("Phonemes"),
    _image(_phonemes_figure(counted)),
    pages.heading("Pitch by speaker"),
    _image(_pitch_figure(counted)),
    pages.heading("Examples"),
    *map(_image, _example_figures(records_dir, counted)),
  ]
  return pages.document(records_dir.name, parts)


def _split_row(split: str, counted: Statistics) -> Sequence[object]:
  voices = counted.voices[split].values()
  clips = sum(voice.clips for voice in voices)
  seconds = sum(voice.seconds for voice in voices)
  rate = counted.phoneme_counts[split].sum() / seconds
  return (
    split,
    clips,
    f"{seconds / 3600:.2f}",
    len(voices),
    f"{seconds / clips:.1f}",
    f"{rate:.1f}",
  )


def _image(figure: matplotlib.figure.Figure) -> pages.Html:
  content = io.BytesIO()
  figure.savefig(content, format="png", dpi=90)
  encoded = base64.b64encode(content.getvalue()).decode()
  return pages.picture(f"data:image/png;base64,{encoded}")


def _lengths_figure(counted: Statistics) -> matplotlib.figure.Figure:
  figure = matplotlib.figure.Figure(figsize=(10, 2.6))
  axis = figure.subplots()
  edges = statistics.SECONDS_BINS
  axis.stairs(counted.seconds_counts, edges, fill=True, color="tab:blue")
  axis.set_xlabel("seconds in a clip")
  axis.set_ylabel("clips")
  figure.tight_layout()
  return figure


def _phonemes_figure(counted: Statistics) -> matplotlib.figure.Figure:
  """How often each phoneme is there, and how long it lasts."""
  counts = np.sum(list(counted.phoneme_counts.values()), axis=0)
  order = [i for i in np.argsort(counts)[::-1] if counts[i]]
  labels = [symbols.SYMBOLS[i] for i in order]
  with_durations = bool(counted.duration_counts.any())
  figure = matplotlib.figure.Figure(
    figsize=(max(10, 0.16 * len(order)), 5.2 if with_durations else 2.8)
  )
  axes = figure.subplots(1 + with_durations, 1, squeeze=False)[:, 0]
  axes[0].bar(range(len(order)), counts[order], color="tab:blue")
  axes[0].set_yscale("log")
  axes[0].set_ylabel("times")
  if with_durations:
    milliseconds = np.arange(counted.duration_counts.shape[1]) * (
      counted.spec.frame_period_ms
    )
    shares = np.cumsum(counted.duration_counts[order], axis=1)
    total = np.maximum(shares[:, -1:], 1)
    low, middle, high = (
      milliseconds[np.argmax(shares >= share * total, axis=1)]
      for share in (0.05, 0.5, 0.95)
    )
    axes[1].vlines(range(len(order)), low, high, color="tab:blue", lw=4)
    axes[1].plot(range(len(order)), middle, "k.", markersize=4)
    axes[1].set_ylabel("ms: 5 %, median, 95 %")
    axes[1].set_ylim(0, 600)
  for axis in axes:
    axis.set_xticks(range(len(order)), labels, fontsize=7, rotation=90)
    axis.set_xlim(-1, len(order))
  figure.tight_layout()
  return figure


def _pitch_figure(counted: Statistics) -> matplotlib.figure.Figure:
  """Range of each speaker's pitch, sorted by its middle."""
  ranges = {
    f"{name}" + ("" if split == "train" else f" ({split})"): (
      voice.f0_percentiles_hz((5.0, 50.0, 95.0))
    )
    for split, voices in counted.voices.items()
    for name, voice in voices.items()
    if voice.f0_counts.any()
  }
  names = sorted(ranges, key=lambda name: ranges[name][1])
  if len(names) > _MOST_SPEAKERS:  # evenly, lowest and highest among them
    picked = np.linspace(0, len(names) - 1, _MOST_SPEAKERS).astype(int)
    names = [names[i] for i in picked]
  figure = matplotlib.figure.Figure(figsize=(10, 3.4))
  axis = figure.subplots()
  places = range(len(names))
  axis.vlines(
    places,
    [ranges[name][0] for name in names],
    [ranges[name][2] for name in names],
    color="tab:blue",
    lw=4,
  )
  axis.plot(places, [ranges[name][1] for name in names], "k.", markersize=4)
  axis.set_yscale("log")
  ticks = [60, 100, 150, 200, 300, 400]
  axis.set_yticks(ticks, [str(tick) for tick in ticks])
  axis.set_ylabel("f0 [Hz]: 5 %, median, 95 %")
  axis.set_xticks(places, names, fontsize=7, rotation=90, parse_math=False)
  figure.tight_layout()
  return figure


def _example_figures(
  records_dir: pathlib.Path, counted: Statistics
) -> Iterable[matplotlib.figure.Figure]:
  """Beginnings of clips with phonemes and pitch, to check by eye."""
  split = next(iter(counted.voices))
  stored = records.Records(records_dir, split)
  picked = np.linspace(0, len(stored) - 1, min(_EXAMPLES, len(stored)))
  for index in picked.astype(int):
    record = stored[int(index)]
    title = f"{record['id']}: {record['text']}"[:100]
    frames = counted.spec.seconds_to_frames(_EXAMPLE_SEC)
    samples = record["wav"][: counted.spec.num_samples(frames)]
    log_mel = mel.log_mel(
      jnp.asarray(audio.from_int16(samples))[None], counted.spec
    )
    phonemes = {}
    if "durations" in record:
      count = int(np.searchsorted(np.cumsum(record["durations"]), frames))
      names = symbols.from_ids(record["phonemes"])
      phonemes[title] = (names[:count], record["durations"][:count])
    yield figures.speech_figure(
      {title: np.asarray(log_mel[0])},
      counted.spec,
      f0_hz={title: record["f0"][:frames]},
      phonemes=phonemes,
    )
