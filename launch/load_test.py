# SPDX-License-Identifier: Apache-2.0
"""Many clients at once at a server on this machine: is nothing mixed up?

  ns-jax serve --voice anna=anna.wav --port 8000
  python launch/load_test.py http://127.0.0.1:8000 --clients 50 --seconds 60

First every text is asked for alone. Then all clients ask for texts in turn, and
every answer is compared with what was said alone: as long, and the same sound
but for rounding, which other company in a batch may change.
"""

import argparse
import asyncio
import collections
import dataclasses
import itertools
import json
import sys
import time
import urllib.parse

import httpx
import numpy as np

from ns_jax.apps import addresses

TEXTS = (
  "The kettle is on.",
  "Come and sit down.",
  "We walked along the shore until the light was gone.",
  "Nobody knew where the road would lead.",
  "Please close the door behind you. It is cold.",
  "Seven ships came in.",
  "She read the letter twice, and then she laughed.",
  "Rain fell all night.",
)
_TOLERANCE = 0.01  # of a difference's energy, relative to the sound's


@dataclasses.dataclass
class Report:
  """What happened."""

  counts: collections.Counter
  seconds: list[float]  # until the last byte of each answer
  first_sec: list[float]  # until its first
  audio_sec: float = 0.0

  def facts(self, duration_sec: float) -> dict[str, object]:
    """In numbers."""
    told: dict[str, object] = dict(sorted(self.counts.items()))
    for name, values in (
      ("latency_sec", self.seconds),
      ("first_audio_sec", self.first_sec),
    ):
      for percent in (50, 90, 99):
        value = float(np.percentile(values, percent)) if values else None
        told[f"{name}_p{percent}"] = value and round(value, 3)
    told["audio_sec_per_sec"] = round(self.audio_sec / duration_sec, 2)
    return told


def requests(voices: list[str], count: int) -> list[dict[str, object]]:
  """Different ones: each text with other voices and seeds."""
  pairs = itertools.product(range(count), TEXTS)
  return [
    {
      "input": text,
      "voice": voices[i % len(voices)],
      "seed": seed,
      "response_format": "pcm",
    }
    for i, (seed, text) in enumerate(itertools.islice(pairs, count))
  ]


def is_same(heard: np.ndarray, alone: np.ndarray) -> bool:
  """Whether two waves [S] int16 are the same speech but for rounding."""
  if len(heard) != len(alone):
    return False
  difference = heard.astype(float) - alone
  return bool(
    np.sum(difference**2) <= _TOLERANCE * np.sum(alone.astype(float) ** 2)
  )


async def ask(
  client: httpx.AsyncClient, request: dict[str, object], report: Report
) -> np.ndarray | None:
  """Asks once; counts what came of it; the wave [S] int16, if any."""
  begun_sec, parts, first_sec = time.monotonic(), [], 0.0
  try:
    async with client.stream(
      "POST", "/v1/audio/speech", json=request
    ) as answer:
      if answer.status_code != 200:
        report.counts[f"status {answer.status_code}"] += 1
        wait_sec = float(answer.headers.get("retry-after", 1))
        await asyncio.sleep(min(wait_sec, 1.0))
        return None
      async for part in answer.aiter_raw():
        first_sec = first_sec or time.monotonic() - begun_sec
        parts.append(part)
  except httpx.HTTPError as error:
    report.counts[f"lost ({type(error).__name__})"] += 1
    return None
  report.seconds.append(time.monotonic() - begun_sec)
  report.first_sec.append(first_sec)
  wav = np.frombuffer(b"".join(parts), "<i2")
  report.audio_sec += len(wav) / float(answer.headers["x-sample-rate"])
  return wav


async def run(
  url: str, num_clients: int, duration_sec: float, num_requests: int, key: str
) -> dict[str, object]:
  """Loads a server; returns what was counted and measured."""
  headers = {"Authorization": f"Bearer {key}"} if key else {}
  async with httpx.AsyncClient(
    base_url=url,
    headers=headers,
    timeout=600,
    limits=httpx.Limits(max_connections=None),
  ) as client:
    model = (await _listed(client, "/v1/models"))[0]["id"]
    listed = await _listed(client, "/v1/audio/voices")
    if not listed:
      sys.exit("the server has no voices: start it with --voice NAME=FILE")
    names = [voice["id"] for voice in listed]
    alone = Report(collections.Counter(), [], [])
    known = []
    for request in requests(names, num_requests):
      asked = {"model": model, **request}
      wav = await ask(client, asked, alone)
      if wav is None:
        sys.exit(f"alone, a request failed: {dict(alone.counts)}")
      known.append((asked, wav))
    report = Report(collections.Counter(), [], [])
    turns = itertools.cycle(range(len(known)))
    begun_sec = time.monotonic()

    async def visit() -> None:
      while time.monotonic() - begun_sec < duration_sec:
        asked, expected = known[next(turns)]
        heard = await ask(client, asked, report)
        if heard is None:
          continue
        if np.array_equal(heard, expected):
          report.counts["same bytes"] += 1
        elif is_same(heard, expected):
          report.counts["same sound"] += 1
        else:
          report.counts["mixed up"] += 1

    await asyncio.gather(*(visit() for _ in range(num_clients)))
    return {
      "alone_latency_sec": round(float(np.median(alone.seconds)), 3),
      "alone_first_audio_sec": round(float(np.median(alone.first_sec)), 3),
      **report.facts(time.monotonic() - begun_sec),
    }


async def _listed(client: httpx.AsyncClient, path: str) -> list[dict]:
  answer = await client.get(path)
  return answer.raise_for_status().json()["data"]


def is_local(url: str) -> bool:
  """Whether a server is on this machine."""
  return addresses.is_own(urllib.parse.urlsplit(url).hostname or "")


def main() -> int:
  """Prints one JSON object; the status is 1 if anything was lost or wrong."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("url", help="of a server on this machine")
  parser.add_argument("--clients", type=int, default=50)
  parser.add_argument("--seconds", type=float, default=60.0)
  parser.add_argument("--requests", type=int, default=16, help="that differ")
  parser.add_argument("--key", default="")
  args = parser.parse_args()
  if not is_local(args.url):
    parser.error(f"{args.url} is not of this machine: load your own only")
  try:
    facts = asyncio.run(
      run(args.url, args.clients, args.seconds, args.requests, args.key)
    )
  except (httpx.ConnectError, httpx.HTTPStatusError) as error:
    sys.exit(f"{args.url}: {error}")
  print(json.dumps(facts, indent=1))
  bad = any(k == "mixed up" or k.startswith("lost") for k in facts)
  return 1 if bad else 0


if __name__ == "__main__":
  sys.exit(main())
