# SPDX-License-Identifier: Apache-2.0
"""The command itself on the tiny preset: train, kill, go on, speak, fail."""

import itertools
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest
import soundfile

from ns_jax.inference.restore import BUNDLES

pytestmark = pytest.mark.slow
ROOT = pathlib.Path(__file__).parents[2]


def command(*flags, config="configs/ns2.py:tiny"):
  return [sys.executable, "-m", "ns_jax.main", f"--config={config}", *flags]


# The runs below compile the same programs: the first one does it for all.
CACHE = tempfile.TemporaryDirectory()


def environment():
  return {
    **os.environ,
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": os.environ["XLA_FLAGS"]
    + " --xla_force_host_platform_device_count=1",
    "JAX_COMPILATION_CACHE_DIR": CACHE.name,
  }


def run(*flags, config="configs/ns2.py:tiny"):
  return subprocess.run(
    command(*flags, config=config),
    cwd=ROOT,
    env=environment(),
    capture_output=True,
    text=True,
    timeout=600,
  )


# Imports once for all commands, and is a fork of itself for each of them.
FORKS = """
import json, os, signal, sys
from ns_jax import main
from ns_jax.apps import jobs  # what the command imports late
for line in sys.stdin:
  sys.argv, log = json.loads(line)
  child = os.fork()
  if not child:
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT), 2)
    signal.alarm(600)
    main.main()
  print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="session")
def attempt(tmp_path_factory):
  """Like `run`, for commands that should end before they train."""
  logs, numbers = tmp_path_factory.mktemp("attempts"), itertools.count()

  def attempt(*flags, config="configs/ns2.py:tiny"):
    argv = command(*flags, config=config)[2:]
    log = logs / f"{next(numbers)}.log"
    process.stdin.write(json.dumps([argv, str(log)]) + "\n")
    process.stdin.flush()
    status = int(process.stdout.readline())
    return subprocess.CompletedProcess(argv, status, stderr=log.read_text())

  with subprocess.Popen(
    [sys.executable, "-c", FORKS],
    cwd=ROOT,
    env=environment(),
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  ) as process:
    yield attempt
    process.stdin.close()


def data_flags(data_dir):
  return f"--config.data.dir={data_dir}"


# Starts sooner; the first run reads with TensorFlow.
NO_TENSORFLOW = "--config.data.reader=array_record"


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
  """A tiny run, finished, and the folder of its records."""
  root = tmp_path_factory.mktemp("trained")
  data, workdir = root / "data", root / "run"
  result = run(data_flags(data), f"--workdir={workdir}")
  assert result.returncode == 0, result.stderr[-3000:]
  # One compilation of ns2, and one of each of the two phases of the codec.
  assert len(list(pathlib.Path(CACHE.name).glob("jit_train_step-*-cache"))) == 3
  return workdir, data


@pytest.fixture(scope="session")
def prompt(trained):
  """A recording of an unseen speaker, from the run's samples."""
  return next((trained[0] / "samples").glob("*.recording.wav"))


def metrics(workdir):
  """What a stage logged, without what depends on the clock."""
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  records = [json.loads(line) for line in lines]
  for record in records:
    del record["timing"]
  return records


def report_of(workdir):
  """What its report says, without what depends on the clock."""
  report = json.loads((workdir / "report.json").read_text())
  del report["timing"]
  return report


def final_results(workdir):
  """Everything a run measured."""
  return metrics(workdir / "codec"), metrics(workdir), report_of(workdir)


def test_leaves_everything_it_promises(trained):
  workdir, _ = trained
  for name in (
    "config.json",
    "metrics.jsonl",
    "report.json",
    "report.md",
    "report.html",
  ):
    assert (workdir / name).stat().st_size > 0
    assert (workdir / "codec" / name).stat().st_size > 0
  assert list((workdir / "checkpoints").iterdir())
  assert list((workdir / "tensorboard").glob("events*"))
  samples = workdir / "samples"
  assert list(samples.glob("*.wav")) and list(samples.glob("*.png"))
  report = (workdir / "report.md").read_text()
  for name in samples.glob("*.own_timing.wav"):
    assert name.name in report
    wav, rate_hz = soundfile.read(name)
    assert rate_hz == 16_000 and np.isfinite(wav).all() and len(wav) > 0


def test_finished_run_says_so_and_changes_nothing(trained, attempt):
  workdir, data = trained
  before = (workdir / "report.json").read_bytes()
  result = attempt(data_flags(data), f"--workdir={workdir}")
  assert result.returncode == 0
  assert "finished" in result.stderr and "report.md" in result.stderr
  assert (workdir / "report.json").read_bytes() == before


def test_kill_and_run_again_gives_the_same_metrics(trained, tmp_path):
  """Killed in both stages; also read without TensorFlow: the same numbers."""
  _, data = trained
  workdir = tmp_path / "killed"
  flags = (data_flags(data), f"--workdir={workdir}", NO_TENSORFLOW)
  for stage_dir in (workdir / "codec", workdir):
    process = subprocess.Popen(
      command(*flags),
      cwd=ROOT,
      env=environment(),
      stderr=subprocess.DEVNULL,
      start_new_session=True,
    )
    deadline = time.monotonic() + 300
    while not (stage_dir / "checkpoints" / "4").exists():
      assert process.poll() is None and time.monotonic() < deadline
      time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (stage_dir / "report.json").exists()
  result = run(*flags)
  assert result.returncode == 0, result.stderr[-3000:]
  assert final_results(workdir) == final_results(trained[0])


def test_two_processes_learn_what_one_does(trained, tmp_path):
  """The same steps on the same batches, whoever reads which half of them."""
  workdir, data = trained
  with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{probe.getsockname()[1]}"
  both = tmp_path / "both"
  processes = [
    subprocess.Popen(
      command(
        data_flags(data),
        f"--workdir={both}",
        f"--config.frozen.codec={workdir / 'codec'}",
        NO_TENSORFLOW,
        f"--coordinator={address}",
        "--num_processes=2",
        f"--process_id={process_id}",
      ),
      cwd=ROOT,
      env=environment(),
      stderr=(tmp_path / f"{process_id}.log").open("w"),
    )
    for process_id in range(2)
  ]
  statuses = [process.wait(timeout=600) for process in processes]
  logs = [path.read_text()[-3000:] for path in tmp_path.glob("*.log")]
  assert statuses == [0, 0], "\n".join(logs)
  pairs = list(zip(metrics(both), metrics(workdir), strict=True))
  pairs.append(
    tuple(report_of(path)["losses"]["summary"] for path in (both, workdir))
  )
  for of_both, of_one in pairs:
    assert of_both.keys() == of_one.keys()
    for name, value in of_one.items():
      np.testing.assert_allclose(
        of_both[name], value, rtol=1e-3, atol=1e-4, err_msg=name
      )


def test_the_codec_that_comes_along_needs_no_training(trained, tmp_path):
  workdir = tmp_path / "run"
  flags = (data_flags(trained[1]), f"--workdir={workdir}", NO_TENSORFLOW)
  shipped = "--config.frozen.codec=shipped"
  result = run(*flags, shipped, "--config.eval.evaluators=('losses',)")
  assert result.returncode == 0, result.stderr[-3000:]
  assert metrics(workdir)
  assert not (workdir / "codec").exists()
  ours = json.loads((workdir / "config.json").read_text())["codec"]
  theirs = json.loads((BUNDLES / "codec" / "config.json").read_text())
  assert ours["model"] == theirs["model"]


def test_speaks(trained, prompt, tmp_path):
  workdir, data = trained
  out = tmp_path / "hello.wav"
  flags = (data_flags(data), f"--workdir={workdir}")
  spoken = run(
    *flags,
    "--mode=synthesize",
    "--text=Hello, it costs $5.",
    f"--prompt={prompt}",
    f"--out={out}",
  )
  assert spoken.returncode == 0, spoken.stderr[-3000:]
  wav, rate_hz = soundfile.read(out)
  assert rate_hz == 16_000 and np.isfinite(wav).all()


def test_goes_on_from_a_trained_model(trained, attempt, tmp_path):
  """Before its first step it measures what the other measured at its end."""
  workdir, data = trained
  flags = (
    data_flags(data),
    NO_TENSORFLOW,
    f"--config.frozen.codec={workdir / 'codec'}",
    f"--config.init_from={workdir}",
    "--config.eval.evaluators=('losses',)",
  )
  result = run(*flags, f"--workdir={tmp_path / 'run'}")
  assert result.returncode == 0, result.stderr[-3000:]
  measured = [
    {k: v for k, v in record.items() if k.startswith("valid/")}
    for path in (workdir, tmp_path / "run")
    for record in metrics(path)
    if "valid/diffusion" in record
  ]
  end, start = measured[len(measured) // 2 - 1 : len(measured) // 2 + 1]
  assert start == pytest.approx(end, rel=1e-5) and start != measured[0]
  new = f"--workdir={tmp_path / 'new'}"
  assert_one_clear_line(
    attempt(*flags, new, "--config.model.dim=32"), "its model is not this one"
  )
  assert_one_clear_line(
    attempt(*flags, new, f"--config.init_from={tmp_path / 'none'}"),
    "holds no run",
  )
  assert not (tmp_path / "new").exists()


def test_evaluates_again_as_asked(trained, tmp_path):
  workdir = tmp_path / "again"
  shutil.copytree(trained[0], workdir)
  result = run(
    data_flags(trained[1]),
    f"--workdir={workdir}",
    "--mode=evaluate",
    "--config.eval.num_clips=1",
    NO_TENSORFLOW,
  )
  assert result.returncode == 0, result.stderr[-3000:]
  before, after = report_of(trained[0]), report_of(workdir)
  for section in ("reconstruction", "synthesis"):
    assert after[section]["rows"] == before[section]["rows"][:1]
  assert after["losses"] == before["losses"]


def write_prompt(path, wav):
  soundfile.write(path, wav, 16_000)
  return path


@pytest.mark.parametrize(
  ("text", "make_prompt", "message"),
  [
    ("Hi.", lambda p: p / "none.wav", "no such audio file"),
    ("Hi.", lambda p: _text_file(p / "a.wav"), "not readable as audio"),
    (
      "Hi.",
      lambda p: write_prompt(p / "short.wav", _noise(1_600)),
      "only 0.10 s of speech",
    ),
    (
      "Hi.",
      lambda p: write_prompt(p / "quiet.wav", np.zeros(48_000)),
      "silent",
    ),
    ("", lambda p: write_prompt(p / "ok.wav", _noise(48_000)), "text"),
    ("😀 🎉", lambda p: write_prompt(p / "ok.wav", _noise(48_000)), "text"),
  ],
)
def test_bad_requests_are_one_line(
  trained, attempt, tmp_path, text, make_prompt, message
):
  out = tmp_path / "out.wav"
  result = attempt(
    "--mode=synthesize",
    f"--workdir={trained[0]}",
    f"--text={text}",
    f"--prompt={make_prompt(tmp_path)}",
    f"--out={out}",
  )
  assert_one_clear_line(result, message)
  assert not out.exists()


def _text_file(path):
  path.write_text("not audio at all")
  return path


def _noise(samples):
  return 0.1 * np.random.default_rng(0).normal(size=samples)


def assert_one_clear_line(result, message):
  assert result.returncode != 0
  assert "Traceback" not in result.stderr, result.stderr[-3000:]
  lines = [line for line in result.stderr.splitlines() if "error" in line]
  assert len(lines) == 1 and message in lines[0], result.stderr[-3000:]


def test_bad_configs_and_workdirs_are_one_line(trained, attempt, tmp_path):
  workdir, data = trained
  other = attempt(data_flags(data), f"--workdir={workdir}", "--config.seed=7")
  assert_one_clear_line(other, "another config")
  blocked = tmp_path / "file"
  blocked.write_text("in the way")
  assert_one_clear_line(
    attempt(f"--workdir={blocked}"), "cannot be used as workdir"
  )
  assert blocked.read_text() == "in the way"
  untrained = attempt("--mode=evaluate", f"--workdir={tmp_path / 'none'}")
  assert_one_clear_line(untrained, "holds no run")
  preset = attempt(f"--workdir={tmp_path / 'x'}", config="configs/ns2.py:huge")
  assert_one_clear_line(preset, "no preset")
  typo = attempt(f"--workdir={tmp_path / 'x'}", "--config.train.num_step=3")
  assert typo.returncode != 0 and "num_steps" in typo.stderr
  assert "Traceback" not in typo.stderr
  file = attempt(f"--workdir={tmp_path / 'x'}", config="configs/none.py")
  assert_one_clear_line(file, "configs/none.py")
  silent = attempt(f"--workdir={tmp_path / 'x'}", "--text=Hi.")
  assert_one_clear_line(silent, "add --mode=synthesize")
  assert not (tmp_path / "x").exists()


def test_corrupt_newest_checkpoint_is_named_and_passed_over(trained, tmp_path):
  workdir = tmp_path / "hurt"
  shutil.copytree(trained[0], workdir)
  steps = sorted(int(p.name) for p in (workdir / "checkpoints").iterdir())
  newest = workdir / "checkpoints" / str(steps[-1])
  for path in newest.glob("state/d/*"):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
  (workdir / "report.json").unlink()
  result = run(data_flags(trained[1]), f"--workdir={workdir}", NO_TENSORFLOW)
  assert result.returncode == 0, result.stderr[-3000:]
  assert f"checkpoint {steps[-1]}" in result.stderr
  assert final_results(workdir) == final_results(trained[0])
