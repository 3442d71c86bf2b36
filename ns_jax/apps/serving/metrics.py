# SPDX-License-Identifier: Apache-2.0
"""What Prometheus may know of a server: numbers, no text and no names."""

from collections.abc import Callable

from prometheus_client import (
  CollectorRegistry,
  Counter,
  Gauge,
  Histogram,
  PlatformCollector,
  ProcessCollector,
  generate_latest,
)

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100)
_SIZES = (1, 2, 4, 8, 16, 32)


class Metrics:
  """Counters of one server."""

  def __init__(self) -> None:
    """Starts at nothing."""
    self._registry = registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    self.requests = Counter(
      "ns_jax_requests",
      "Requests, by route and HTTP status; 499: the client left.",
      ("route", "status"),
      registry=registry,
    )
    self.seconds = Histogram(
      "ns_jax_request_seconds",
      "From a request to its last byte.",
      ("route",),
      buckets=_SECONDS,
      registry=registry,
    )
    self.first_audio = Histogram(
      "ns_jax_first_audio_seconds",
      "From a request to speak to its first sound.",
      buckets=_SECONDS,
      registry=registry,
    )
    self.audio = Counter(
      "ns_jax_audio_seconds", "Seconds of speech made.", registry=registry
    )
    self.characters = Counter(
      "ns_jax_characters", "Characters of text to speak.", registry=registry
    )
    self._batches = Histogram(
      "ns_jax_batch_pieces",
      "Pieces that were spoken at once.",
      buckets=_SIZES,
      registry=registry,
    )
    self._model_seconds = Counter(
      "ns_jax_model_seconds", "That the model was busy.", registry=registry
    )

  def observe_batch(self, num_pieces: int, seconds: float) -> None:
    """Counts a batch."""
    self._batches.observe(num_pieces)
    self._model_seconds.inc(seconds)

  def watch(self, name: str, what: str, value: Callable[[], float]) -> None:
    """Adds a number that is asked for when it is read."""
    gauge = Gauge(f"ns_jax_{name}", what, registry=self._registry)
    gauge.set_function(value)

  def page(self) -> bytes:
    """All of them, in Prometheus' text format."""
    return generate_latest(self._registry)
