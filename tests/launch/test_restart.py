# SPDX-License-Identifier: Apache-2.0
"""launch/restart.sh with real processes that die, end and are told to stop."""

import signal
import subprocess
import time

import pytest

from tests.launch import shells

# Counts its lives in the file `lives`, then goes on as the test wants.
LIFE = """
workdir=${1#--workdir=}
echo >>"$workdir/lives"
life=$(wc -l <"$workdir/lives")
"""
SAVE = 'mkdir -p "$workdir/checkpoints/$((10 * life))"\n'
DIE = "kill -9 $$"
REST = "while :; do sleep 0.05; done"


@pytest.fixture
def shell(tmp_path):
  return shells.Shell(tmp_path)


@pytest.fixture
def workdir(tmp_path):
  path = tmp_path / "my run"
  path.mkdir()
  return path


def command(workdir, script):
  """Words of a command that lives as `script` says."""
  return ["--", "bash", "-c", LIFE + script, "train", f"--workdir={workdir}"]


def lives(workdir):
  return len((workdir / "lives").read_text())


def alive(shell, workdir, script, *options):
  """Starts it and returns once the command itself is running."""
  process = shell.start(
    "restart.sh", "--wait=0", *options, *command(workdir, script)
  )
  deadline = time.monotonic() + 30
  while not (workdir / "ready").exists():
    assert process.poll() is None and time.monotonic() < deadline
    time.sleep(0.01)
  return process


@pytest.mark.parametrize("status", [0, 2, 130, 143])
def test_leaves_at_once(shell, workdir, status):
  done = shell.run("restart.sh", *command(workdir, f"exit {status}"))
  assert (done.returncode, lives(workdir)) == (status, 1)


def test_begins_again_while_there_are_new_checkpoints(shell, workdir):
  """Dies five times, never twice without a new checkpoint."""
  script = f'if [ "$life" -gt 5 ]; then exit 0; fi\n{SAVE}{DIE}'
  done = shell.run(
    "restart.sh", "--tries=1", "--wait=0", *command(workdir, script)
  )
  assert (done.returncode, lives(workdir)) == (0, 6), done.stderr


def test_the_codec_trained_on_the_way_is_progress_too(shell, workdir):
  save = SAVE.replace("$workdir", "$workdir/codec")
  script = f'if [ "$life" -gt 3 ]; then exit 0; fi\n{save}{DIE}'
  done = shell.run(
    "restart.sh", "--tries=1", "--wait=0", *command(workdir, script)
  )
  assert (done.returncode, lives(workdir)) == (0, 4), done.stderr


@pytest.mark.parametrize(
  "leave_behind",
  [
    "",
    'mkdir -p "$workdir/checkpoints/8.orbax-checkpoint-tmp-$life"\n',
    # An older one, as after a corrupt one was set aside.
    'rmdir "$workdir/checkpoints/$((1000 - life))"\n'
    'mkdir "$workdir/checkpoints/$((999 - life))"\n',
  ],
  ids=["nothing", "unfinished", "older"],
)
def test_gives_up_without_progress(shell, workdir, leave_behind):
  (workdir / "checkpoints" / "999").mkdir(parents=True)
  done = shell.run(
    "restart.sh",
    "--tries=3",
    "--wait=0",
    *command(workdir, leave_behind + "exit 7"),
  )
  assert (done.returncode, lives(workdir)) == (7, 3), done.stderr
  assert "gives up" in done.stderr and str(workdir) in done.stderr


def test_progress_gives_all_tries_back(shell, workdir):
  script = f'if [ "$life" = 2 ]; then\n{SAVE}fi\n{DIE}'
  done = shell.run(
    "restart.sh", "--tries=3", "--wait=0", *command(workdir, script)
  )
  # One death for nothing, one with progress, three for nothing.
  assert (done.returncode, lives(workdir)) == (137, 5), done.stderr


def test_looks_for_checkpoints_in_buckets(shell, workdir):
  """As many new ones as gcloud lists, which is one."""
  shell.program(
    "gcloud",
    'n=$(wc -l <"$LIVES")\n[ "$n" = 0 ] || echo "$4checkpoints/400/"\n',
  )
  script = f'echo >>"$LIVES"\n{DIE}'
  log = workdir / "lives"
  log.touch()
  done = shell.run(
    *("restart.sh", "--tries=2", "--wait=0", "--", "bash", "-c", script),
    *("train", "--workdir=gs://bucket/my run/"),
    LIVES=str(log),
  )
  assert (done.returncode, lives(workdir)) == (137, 3), done.stderr
  asked = shell.calls()[0]
  assert asked == ["gcloud", "storage", "ls", "gs://bucket/my run/checkpoints/"]


def test_says_where_it_cannot_look(shell):
  done = shell.run(
    *("restart.sh", "--", "bash", "-c", "exit 0", "train"),
    "--workdir=gs://bucket/run",
    PATH=shells.bare_path(shell.folder),
  )
  assert done.returncode == 0
  assert "no gcloud here to see new checkpoints" in done.stderr


@pytest.mark.parametrize("sent", ["TERM", "HUP"])
def test_passes_on_that_it_must_stop(shell, workdir, sent):
  """The command takes its time, ends with a status of its own, and stays so."""
  script = (
    "trap 'sleep 0.3; touch \"$workdir/saved\"; exit 143' TERM\n"
    'touch "$workdir/ready"; ' + REST
  )
  process = alive(shell, workdir, script)
  process.send_signal(getattr(signal, f"SIG{sent}"))
  done = shells.finish(process)
  assert (done.returncode, lives(workdir)) == (143, 1), done.stderr
  assert (workdir / "saved").exists()


def test_a_death_on_being_stopped_is_not_answered(shell, workdir):
  script = "trap 'exit 1' TERM\ntouch \"$workdir/ready\"; " + REST
  process = alive(shell, workdir, script)
  process.terminate()
  done = shells.finish(process)
  assert (done.returncode, lives(workdir)) == (1, 1)


def test_ctrl_c_reaches_python(shell, workdir, tmp_path):
  """What bash starts in the background ignores it, unless it is told not to."""
  program = tmp_path / "train.py"
  program.write_text(
    "import pathlib, sys, time\n"
    "try:\n"
    "  pathlib.Path(sys.argv[1][10:], 'ready').touch()\n"
    "  time.sleep(20)\n"
    "except KeyboardInterrupt:\n"
    "  sys.exit(130)\n"
  )
  process = alive(shell, workdir, f'exec python3 "{program}" "$1"')
  process.send_signal(signal.SIGINT)
  done = shells.finish(process)
  assert (done.returncode, lives(workdir)) == (130, 1), done.stderr


def test_killed_from_outside_begins_again(shell, workdir):
  script = (
    'if [ "$life" = 2 ]; then exit 0; fi\n'
    'echo $$ >"$workdir/ready.tmp"; mv "$workdir/ready.tmp" "$workdir/ready"\n'
    "exec sleep 20"
  )
  process = alive(shell, workdir, script)
  subprocess.run(
    ["kill", "-9", (workdir / "ready").read_text().strip()], check=True
  )
  done = shells.finish(process)
  assert (done.returncode, lives(workdir)) == (0, 2), done.stderr
  assert "exit status 137" in done.stderr


def test_stops_while_it_waits(shell, workdir):
  process = shell.start("restart.sh", "--wait=60", *command(workdir, "exit 1"))
  assert "begins again in 60 s" in process.stderr.readline()
  time.sleep(0.1)
  process.terminate()
  assert shells.finish(process).returncode == 143
  assert lives(workdir) == 1


def test_stops_it_the_way_it_is_told_to(shell, workdir, tmp_path):
  script = (
    'trap : TERM\ntouch "$workdir/ready"\n'
    'until [ -e "$workdir/asked" ]; do sleep 0.02; done; exit 143'
  )
  process = alive(shell, workdir, script, f"--stop=touch '{workdir}/asked'")
  process.terminate()
  assert shells.finish(process).returncode == 143


def test_dry_run_prints_what_it_would_run(shell, workdir):
  words = command(workdir, "exit 1")
  done = shell.run("restart.sh", "--dry-run", *words)
  assert done.returncode == 0
  assert shells.words_of(done.stdout, workdir) == words[1:]
  assert not list(workdir.iterdir())


@pytest.mark.parametrize(
  ("words", "message"),
  [
    ((), "give a command after --"),
    (("--",), "give a command after --"),
    (("--", "true"), "no --workdir"),
    (("--try=3", "--", "true"), "--try=3: unknown"),
    (("--tries=some", "--", "true", "--workdir=x"), "--tries=some"),
    (("--wait=-1", "--", "true", "--workdir=x"), "--wait=-1"),
  ],
)
def test_mistakes_are_one_line(shell, words, message):
  shells.assert_one_clear_line(shell.run("restart.sh", *words), message)


def test_the_workdir_is_found_as_absl_finds_it(shell, tmp_path):
  """Apart from the flag, the last of two, and below the home folder."""
  run = tmp_path / "run"
  run.mkdir()
  script = f'life=1; workdir="{run}"\necho >>"{run}/lives"\n{SAVE}exit 7'
  done = shell.run(
    *("restart.sh", "--tries=1", "--wait=0", "--", "bash", "-c", script),
    *("train", "--workdir=other", "-workdir", "~/run"),
    HOME=str(tmp_path),
  )
  # Its first checkpoint is progress, its second death is not.
  assert (done.returncode, lives(run)) == (7, 2), done.stderr
