# SPDX-License-Identifier: Apache-2.0
"""The command itself on the tiny preset: train, kill, go on, speak, fail."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time

import numpy as np
import pytest
import soundfile

from ns_jax.inference.restore import BUNDLES
from tests import commands

pytestmark = pytest.mark.slow


NS2 = "ns2.py:tiny"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Logs of commands, and what they compiled."""
  return tmp_path_factory.mktemp("commands")


@pytest.fixture(scope="module")
def forked(folder):
  with commands.forked(folder) as run:
    yield run


@pytest.fixture(scope="module")
def run(forked):
  """Trains or speaks."""
  return lambda *flags: commands.succeed(forked(NS2, *flags))


@pytest.fixture(scope="module")
def attempt(forked):
  """Runs what may fail."""
  return lambda *flags, config=NS2: forked(config, *flags)


def data_flags(data_dir):
  return f"--config.data.dir={data_dir}"


# Starts sooner; the first run reads with TensorFlow.
NO_TENSORFLOW = "--config.data.reader=array_record"


@pytest.fixture(scope="module")
def trained(run, folder, tmp_path_factory):
  """A tiny run, finished, and the folder of its records."""
  root = tmp_path_factory.mktemp("trained")
  data, workdir = root / "data", root / "run"
  run(data_flags(data), f"--workdir={workdir}")
  # One compilation of ns2, and one of each of the two phases of the codec.
  assert len(list(folder.glob("compiled/jit_train_step-*-cache"))) == 3
  return workdir, data


@pytest.fixture(scope="module")
def prompt(trained):
  """A recording of an unseen speaker, from the run's samples."""
  return next((trained[0] / "samples").glob("*.recording.wav"))


def report_of(workdir):
  """What its report says, without what depends on the clock."""
  report = json.loads((workdir / "report.json").read_text())
  del report["timing"]
  return report


def final_results(workdir):
  """Everything a run measured."""
  return (
    commands.metrics(workdir / "codec"),
    commands.metrics(workdir),
    report_of(workdir),
  )


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


@pytest.mark.nightly
def test_kill_and_run_again_gives_the_same_metrics(
  trained, run, folder, tmp_path
):
  """Killed in both stages; also read without TensorFlow: the same numbers."""
  _, data = trained
  workdir = tmp_path / "killed"
  flags = (data_flags(data), f"--workdir={workdir}", NO_TENSORFLOW)
  for stage_dir in (workdir / "codec", workdir):
    process = subprocess.Popen(
      commands.command(NS2, *flags),
      cwd=commands.ROOT,
      env=commands.environment(folder / "compiled"),
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
  run(*flags)
  assert final_results(workdir) == final_results(trained[0])


@pytest.mark.nightly
def test_two_processes_learn_what_one_does(trained, folder, tmp_path):
  """The same steps on the same batches, whoever reads which half of them."""
  workdir, data = trained
  with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{probe.getsockname()[1]}"
  both = tmp_path / "both"
  processes = [
    subprocess.Popen(
      commands.command(
        NS2,
        data_flags(data),
        f"--workdir={both}",
        f"--config.frozen.codec={workdir / 'codec'}",
        "--config.eval.evaluators=('losses',)",
        NO_TENSORFLOW,
        f"--coordinator={address}",
        "--num_processes=2",
        f"--process_id={process_id}",
      ),
      cwd=commands.ROOT,
      env=commands.environment(folder / "compiled"),
      stderr=(tmp_path / f"{process_id}.log").open("w"),
    )
    for process_id in range(2)
  ]
  statuses = [process.wait(timeout=600) for process in processes]
  logs = [path.read_text()[-3000:] for path in tmp_path.glob("*.log")]
  assert statuses == [0, 0], "\n".join(logs)
  pairs = list(
    zip(commands.metrics(both), commands.metrics(workdir), strict=True)
  )
  pairs.append(
    tuple(report_of(path)["losses"]["summary"] for path in (both, workdir))
  )
  for of_both, of_one in pairs:
    assert of_both.keys() == of_one.keys()
    for name, value in of_one.items():
      np.testing.assert_allclose(
        of_both[name], value, rtol=1e-3, atol=1e-4, err_msg=name
      )


@pytest.mark.nightly
def test_the_codec_that_comes_along_needs_no_training(trained, run, tmp_path):
  workdir = tmp_path / "run"
  flags = (data_flags(trained[1]), f"--workdir={workdir}", NO_TENSORFLOW)
  shipped = "--config.frozen.codec=shipped"
  run(*flags, shipped, "--config.eval.evaluators=('losses',)")
  assert commands.metrics(workdir)
  assert not (workdir / "codec").exists()
  ours = json.loads((workdir / "config.json").read_text())["codec"]
  theirs = json.loads((BUNDLES / "codec" / "config.json").read_text())
  assert ours["model"] == theirs["model"]


def test_speaks(trained, run, prompt, tmp_path):
  workdir, data = trained
  out = tmp_path / "hello.wav"
  flags = (data_flags(data), f"--workdir={workdir}")
  run(
    *flags,
    "--mode=synthesize",
    "--text=Hello, it costs $5.",
    f"--prompt={prompt}",
    f"--out={out}",
  )
  wav, rate_hz = soundfile.read(out)
  assert rate_hz == 16_000 and np.isfinite(wav).all()


@pytest.mark.nightly
def test_goes_on_from_a_trained_model(trained, run, attempt, tmp_path):
  """Before its first step it measures what the other measured at its end."""
  workdir, data = trained
  flags = (
    data_flags(data),
    NO_TENSORFLOW,
    f"--config.frozen.codec={workdir / 'codec'}",
    f"--config.init_from={workdir}",
    "--config.eval.evaluators=('losses',)",
  )
  run(*flags, f"--workdir={tmp_path / 'run'}")
  measured = [
    {k: v for k, v in record.items() if k.startswith("valid/")}
    for path in (workdir, tmp_path / "run")
    for record in commands.metrics(path)
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


@pytest.mark.nightly
def test_evaluates_again_as_asked(trained, run, tmp_path):
  workdir = tmp_path / "again"
  shutil.copytree(trained[0], workdir)
  run(
    data_flags(trained[1]),
    f"--workdir={workdir}",
    "--mode=evaluate",
    "--config.eval.num_clips=1",
    NO_TENSORFLOW,
  )
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
  preset = attempt(f"--workdir={tmp_path / 'x'}", config="ns2.py:huge")
  assert_one_clear_line(preset, "no preset")
  typo = attempt(f"--workdir={tmp_path / 'x'}", "--config.train.num_step=3")
  assert typo.returncode != 0 and "num_steps" in typo.stderr
  assert "Traceback" not in typo.stderr
  file = attempt(f"--workdir={tmp_path / 'x'}", config="none.py")
  assert_one_clear_line(file, "configs/none.py")
  silent = attempt(f"--workdir={tmp_path / 'x'}", "--text=Hi.")
  assert_one_clear_line(silent, "add --mode=synthesize")
  assert not (tmp_path / "x").exists()


@pytest.mark.nightly
def test_corrupt_newest_checkpoint_is_named_and_passed_over(
  trained, run, tmp_path
):
  workdir = tmp_path / "hurt"
  shutil.copytree(trained[0], workdir)
  steps = sorted(int(p.name) for p in (workdir / "checkpoints").iterdir())
  newest = workdir / "checkpoints" / str(steps[-1])
  for path in newest.glob("state/d/*"):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
  (workdir / "report.json").unlink()
  said = run(data_flags(trained[1]), f"--workdir={workdir}", NO_TENSORFLOW)
  assert f"checkpoint {steps[-1]}" in said
  assert final_results(workdir) == final_results(trained[0])
