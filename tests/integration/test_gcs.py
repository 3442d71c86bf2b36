# SPDX-License-Identifier: Apache-2.0
"""The command on a workdir in a bucket that fails now and then."""

import subprocess
import sys
import time

import pytest

from tests import commands, gcs

pytestmark = [pytest.mark.slow, pytest.mark.nightly]
# A killed run is not waited for as long as usual.
_SOON = """
from ns_jax.training import remote_lock
remote_lock.BEAT_SEC, remote_lock.STALE_SEC = 0.5, 3.0
"""
_RUN = "gs://bucket/runs/lm"


@pytest.fixture
def bucket(monkeypatch):
  with gcs.used() as storage:
    storage.fail_every = 13
    yield storage


@pytest.fixture
def flags(tmp_path):
  book = tmp_path / "book.txt"
  animals = ("cat", "dog", "cow", "hen", "fox", "owl", "bee", "ant")
  sentences = [f"The {a} saw {i} of the {b}s." for i in range(5)
               for a in animals for b in animals]  # fmt: skip
  book.write_text("\n".join(sentences))
  return [
    f"--config.data.corpus={book}",
    f"--config.data.dir={tmp_path / 'data'}",
    "--config.data.reader=array_record",
    "--config.model.encoder.num_sup_phonemes=0",
    "--config.eval.evaluators=('losses',)",
  ]


def kill_after_a_checkpoint(flags, bucket, folder):
  """Starts the command, and ends it once it has saved."""
  argv = commands.command("phoneme_lm.py:tiny", *flags, f"--workdir={_RUN}")
  script = f"{_SOON}\nfrom ns_jax import main\nmain.main()"
  saved = "runs/lm/checkpoints/4/commit_success.txt"
  with (folder / "killed.log").open("w") as log:
    process = subprocess.Popen(
      [sys.executable, "-c", script, *argv[3:]],
      cwd=commands.ROOT,
      env=commands.environment(folder / "compiled"),
      stderr=log,
    )
    while saved not in bucket.names("bucket") and process.poll() is None:
      time.sleep(0.02)
    process.kill()
    process.wait()
  assert saved in bucket.names("bucket"), (folder / "killed.log").read_text()
  assert "runs/lm/report.json" not in bucket.names("bucket")


def test_a_killed_run_in_a_bucket_goes_on(bucket, flags, tmp_path):
  with commands.forked(tmp_path, prelude=_SOON) as forked:
    run = lambda *more: commands.succeed(
      forked("phoneme_lm.py:tiny", *flags, *more)
    )
    run(f"--workdir={tmp_path / 'here'}")
    kill_after_a_checkpoint(flags, bucket, tmp_path)
    said = run(f"--workdir={_RUN}")
    assert "seeing whether the run that holds it is alive" in said
    stored = bucket.buckets["bucket"]
    assert {name.split("/")[2] for name in stored} >= {
      *("config.json", "checkpoints", "metrics.jsonl", "tensorboard"),
      *("report.json", "report.md", "report.html"),
    }
    there = tmp_path / "there"
    there.mkdir()
    content = stored["runs/lm/metrics.jsonl"].content
    (there / "metrics.jsonl").write_bytes(content)
    assert commands.metrics(there) == commands.metrics(tmp_path / "here")
    del stored["runs/lm/report.json"]
    run(f"--workdir={_RUN}", "--mode=evaluate")
    assert "runs/lm/report.json" in stored
  assert bucket.failed > 10
  assert "runs/lm/.lock" not in stored
