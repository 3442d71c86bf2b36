# SPDX-License-Identifier: Apache-2.0
"""Plans in words."""

from collections.abc import Iterator, Sequence

from ns_jax.planning.plan import Step
from ns_jax.planning.work import Work

NOT_KNOWN = "not known"


def describe(step: Step) -> str:
  """A table of one step's figures."""
  return "\n".join(
    f"{name:<26} {value}".rstrip() for name, value in _lines(step)
  )


def operations(work: Work, count: int) -> str:
  """The operations that move most, with what of the model they came from."""
  lines = [f"{'HBM GB':>8} {'TFLOP':>7} {'runs':>6}  operation"]
  for o in sorted(work.operations, key=lambda o: -o.hbm_bytes)[:count]:
    lines.append(
      f"{o.hbm_bytes / 1e9:8.3f} {o.flops / 1e12:7.3f} {o.times:6.0f}  "
      f"{o.name} {o.source[-90:]}"
    )
  lines.append(f"{'sent GB':>8} {'chips':>7} {'runs':>6}  exchange")
  for c in sorted(work.collectives, key=lambda c: -c.sent_bytes)[:count]:
    lines.append(
      f"{c.sent_bytes / 1e9:8.3f} {len(c.group):7} {c.times:6.0f}  "
      f"{c.kind} {c.source[-90:]}"
    )
  return "\n".join(lines)


def span(values: Sequence[float | None], form: str, scale: float = 1.0) -> str:
  """A range, or one value where both ends look the same."""
  if any(value is None for value in values):
    return NOT_KNOWN
  low, high = (format(scale * (value or 0.0), form) for value in values)
  return low if low == high else f"{low} to {high}"


def _lines(step: Step) -> Iterator[tuple[str, str]]:
  memory, bound = step.memory, step.bound
  yield (
    f"{step.stage}, phase {step.phase}",
    f"steps {step.first_step:,} to {step.first_step + step.num_steps:,}",
  )
  yield "slice", f"{step.slice_name}, {step.chips} chips"
  yield "layout", step.layout
  yield (
    "global batch",
    f"{step.rows} rows"
    + (
      ""
      if step.audio_sec is None
      else f", {step.audio_sec / 60:.1f} min of audio"
    ),
  )
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
  whole = step.is_known
  products = f"{step.flops / 1e12:.4g} TFLOP"
  if step.traced_flops is not None:
    products += f" ({step.traced_flops / 1e12:.4g} before compiling)"
  yield "products of a chip", products if whole else NOT_KNOWN
  yield (
    "  the model's own",
    (
      NOT_KNOWN
      if step.model_flops is None
      else f"{step.model_flops / 1e12:.4g} TFLOP"
    ),
  )
  yield (
    "HBM traffic of a chip",
    f"{step.traffic_bytes / 1e9:.3g} GB" if whole else NOT_KNOWN,
  )
  for exchange in step.exchanges:
    yield (
      f"  {exchange.kind}",
      f"{exchange.count:,.0f} x over {exchange.chips} chips, "
      f"{exchange.bytes / 1e9:.3g} GB sent by each, "
      f"{1e3 * exchange.seconds:.3g} ms",
    )
  if not whole:
    for reason in step.unknown or ("the two counts of products differ",):
      yield "", reason
    return
  yield "compute", f"{1e3 * bound.compute_sec:.3g} ms"
  yield "memory", f"{1e3 * bound.memory_sec:.3g} ms"
  yield "interconnect", f"{1e3 * bound.interconnect_sec:.3g} ms"
  times = (bound.overlapped_sec, bound.serial_sec)
  yield "step", f"{span(times, '.3g', 1e3)} ms, {bound.binding} binds"
  expected = step.expected_sec
  yield (
    "  the compiler expects",
    f"{1e3 * expected:.3g} ms, of it {1e3 * step.compiler_sec:.3g} without "
    "exchanges",
  )
  yield (
    "model FLOP utilisation",
    span([step.utilisation(t) for t in reversed(times)], ".0f", 100.0) + " %",
  )
  yield (
    "  as the compiler expects",
    span([step.utilisation(expected)] * 2, ".0f", 100.0) + " %",
  )
  yield (
    "audio hours an hour",
    span([step.audio_hours_per_hour(t) for t in reversed(times)], ",.0f"),
  )
  yield "days of this phase", span([step.days(t) for t in times], ".2f")
