# SPDX-License-Identifier: Apache-2.0
"""Plans in words."""

from collections.abc import Iterator, Sequence

from ns_jax.planning.plan import Step

NOT_KNOWN = "not known"
_REASONS = 5  # that are told


def describe(step: Step) -> str:
  """A table of one step's figures."""
  return "\n".join(
    f"{name:<26} {value}".rstrip() for name, value in _lines(step)
  )


def span(values: Sequence[float | None], form: str, scale: float = 1.0) -> str:
  """A range, or one value where both ends look the same."""
  if any(value is None for value in values):
    return NOT_KNOWN
  low, high = (format(scale * (value or 0.0), form) for value in values)
  return low if low == high else f"{low} to {high}"


def _lines(step: Step) -> Iterator[tuple[str, str]]:
  rows = f"{step.rows} rows"
  if step.audio_sec is not None:
    rows += f", {step.audio_sec / 60:.1f} min of audio"
  yield (
    f"{step.stage}, phase {step.phase}",
    f"steps {step.first_step:,} to {step.first_step + step.num_steps:,}",
  )
  yield "slice", f"{step.slice_name}, {step.chips} chips"
  yield "layout", step.layout
  yield "global batch", rows
  yield from _memory(step)
  yield from _counts(step)
  if step.is_known:
    yield from _times(step)
    return
  differ = "the two counts of products differ"
  if step.traced_flops is None:
    differ = "a loop's products were not counted before compiling"
  for reason in step.unknown[:_REASONS] or (differ,):
    yield "", reason
  if len(step.unknown) > _REASONS:
    yield "", f"and {len(step.unknown) - _REASONS} more"


def _memory(step: Step) -> Iterator[tuple[str, str]]:
  memory = step.memory
  yield (
    "memory of a chip",
    f"{memory.total / 1e9:.2f} of {step.hbm_bytes / 1e9:.2f} GB "
    f"({memory.total / step.hbm_bytes:.0%})",
  )
  for name, value in (
    ("arguments", memory.arguments),
    ("outputs", memory.outputs),
    ("  in arguments' place", memory.aliased),
    ("temporaries", memory.temporaries),
    ("code", memory.code),
  ):
    yield f"  {name}", f"{value / 1e9:.3f} GB"


def _counts(step: Step) -> Iterator[tuple[str, str]]:
  products, traffic = NOT_KNOWN, NOT_KNOWN
  if step.is_known:
    products = (
      f"{step.flops / 1e12:.4g} TFLOP "
      f"({(step.traced_flops or 0.0) / 1e12:.4g} before compiling)"
    )
    traffic = f"{step.traffic_bytes / 1e9:.3g} GB"
  own = NOT_KNOWN
  if step.model_flops is not None:
    own = f"{step.model_flops / 1e12:.4g} TFLOP"
  yield "products of a chip", products
  yield "  the model's own", own
  yield "HBM traffic of a chip", traffic
  for exchange in step.exchanges:
    yield (
      f"  {exchange.kind}",
      f"{exchange.count:,.0f} x over {exchange.chips} chips, "
      f"{exchange.bytes / 1e9:.3g} GB sent by each, "
      f"{1e3 * exchange.seconds:.3g} ms",
    )


def _times(step: Step) -> Iterator[tuple[str, str]]:
  bound, expected = step.bound, step.expected_sec
  yield "compute", f"{1e3 * bound.compute_sec:.3g} ms"
  yield "memory", f"{1e3 * bound.memory_sec:.3g} ms"
  yield "interconnect", f"{1e3 * bound.interconnect_sec:.3g} ms"
  times = (bound.overlapped_sec, bound.serial_sec)
  yield "step", f"{span(times, '.3g', 1e3)} ms, {bound.binding} binds"
  yield (
    "  the compiler expects",
    f"{1e3 * expected:.3g} ms, of it {1e3 * step.compiler_sec:.3g} without "
    "exchanges",
  )
  for name, ends in (
    ("model FLOP utilisation, %", times[::-1]),
    ("  as the compiler expects", (expected, expected)),
  ):
    yield name, span([step.utilisation(t) for t in ends], ".0f", 100.0)
  yield (
    "audio hours an hour",
    span([step.audio_hours_per_hour(t) for t in times[::-1]], ",.0f"),
  )
  yield "days of this phase", span([step.days(t) for t in times], ".2f")
