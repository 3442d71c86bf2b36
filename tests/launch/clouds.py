# SPDX-License-Identifier: Apache-2.0
"""A stand-in for gcloud, with a TPU whose workers are folders of this machine.

What is sent to a worker is copied to its folder; what it is told to run is run
there, with stand-ins for what takes long: pip, JAX and the training.
"""

import pathlib
import shutil
import subprocess
import time
from collections.abc import Callable

from tests.launch import shells

# States that `describe` says one after the other; of the last one it stays.
_GCLOUD = r"""
if [[ "$*" != *" --zone=moon-a --project=my project"* ]]; then
  echo "wrong zone or project: $*" >&2
  exit 1
fi
read -r now <"$CLOUD/states"
case $3/$4 in
  queued-resources/describe)
    if [ -s "$CLOUD/trouble" ]; then
      echo "ERROR: (gcloud) $(head -n 1 "$CLOUD/trouble")" >&2
      sed -i 1d "$CLOUD/trouble"
      exit 1
    fi
    [ "$(wc -l <"$CLOUD/states")" = 1 ] || sed -i 1d "$CLOUD/states"
    if [ "$now" = NONE ]; then
      echo "ERROR: (gcloud) NOT_FOUND: what?" >&2
      exit 1
    fi
    echo "$now"
    ;;
  queued-resources/create)
    [ "$now" = NONE ] || { echo "ERROR: ALREADY_EXISTS" >&2; exit 1; }
    cp "$CLOUD/next" "$CLOUD/states"
    for worker in $WORKERS; do mkdir "$CLOUD/$worker"; done
    ;;
  queued-resources/delete)
    echo NONE >"$CLOUD/states"
    for worker in $WORKERS; do rm -rf "${CLOUD:?}/$worker"; done
    ;;
  tpu-vm/scp | tpu-vm/ssh)
    if [ "$now" != ACTIVE ] || [ -s "$CLOUD/no_answer" ]; then
      sed -i 1d "$CLOUD/no_answer"
      echo "ERROR: (gcloud) ssh exited with return code [255]." >&2
      exit 1
    fi
    for word; do
      case $word in
        --worker=all) asked=$WORKERS ;;
        --worker=*) asked=${word#*=} ;;
        --command=*) line=${word#*=} ;;
      esac
    done
    failed=0
    for worker in $asked; do
      cd "$CLOUD/$worker"
      if [ "$4" = scp ]; then
        cp "$5" .
      else
        HOME=$PWD NUMBER=$worker bash -c "$line" </dev/null || failed=$?
      fi
    done
    exit "$failed"
    ;;
esac
"""
# `python3 -m uv venv ... FOLDER` makes a Python there; others do nothing.
SYSTEM_PYTHON = r"""
if [ "$2 $3" = "uv venv" ]; then
  mkdir -p "${*: -1}/bin"
  cp "$CLOUD/venv_python" "${*: -1}/bin/python"
fi
"""
_VENV_PYTHON = r"""
if [ "$1" = - ]; then
  cat >/dev/null
  echo "setup: 8 devices, 4 here"
  exit
fi
echo "trains on worker $NUMBER"
source "$CLOUD/training"
"""
# A training that ends well when the test says so, and saves when it is told to.
TRAINING = r"""
trap 'touch saved; exit 143' TERM
for _ in {1..600}; do
  [ ! -e "$CLOUD/end" ] || exit 0
  touch started
  sleep 0.05
done
exit 1
"""


KIND = "--accelerator-type=v5litepod-16"
RUN = ("--config=configs/ns2.py:paper", "--workdir=gs://bucket/my runs/'a' $b")
ALL = ["create", "scp", "setup", "start"]  # what it takes to make one train


class Cloud:
  """What there is in the cloud, and what is asked of it."""

  def __init__(self, folder: pathlib.Path, workers: int):
    """Args: folder to make it in; workers: machines of a TPU."""
    self.folder = folder
    self.shell = shell = shells.Shell(folder / "a place")
    self.workers = [folder / str(worker) for worker in range(workers)]
    shell.launch = _project(folder / "my project") / "launch"
    shell.environment |= {
      "CLOUD": str(folder),
      "WORKERS": " ".join(map(str, range(workers))),
      "GRACE_SEC": "5",
    }
    for name in ("CLOUDSDK_COMPUTE_ZONE", "CLOUDSDK_CORE_PROJECT"):
      shell.environment.pop(name, None)
    shell.program("gcloud", _GCLOUD)
    shell.program("python3", SYSTEM_PYTHON)
    shell.program("c++")
    shell.program("venv_python", _VENV_PYTHON).rename(folder / "venv_python")
    self.write("training", TRAINING)
    self.states("NONE", then=("ACTIVE",))

  def write(self, name: str, text: str) -> None:
    """Writes a file that the stand-ins read."""
    (self.folder / name).write_text(text)

  def states(self, *states: str, then: tuple[str, ...] = ()) -> None:
    """What `describe` says from now on, and what after the next `create`."""
    self.write("states", "\n".join(states) + "\n")
    if then:
      self.write("next", "\n".join(then) + "\n")
    for worker in self.workers if states[0] != "NONE" else ():
      worker.mkdir(exist_ok=True)

  def run(self, command: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs a command of launch/tpu.sh to its end."""
    where = ("--zone=moon-a", "--project=my project", "--poll=0")
    return self.shell.run("tpu.sh", command, *where, *words)

  def train(self, kind: str, *flags: str) -> None:
    """Has a training go on that ends when it is told to."""
    (self.folder / "end").unlink(missing_ok=True)
    for words in (("create", kind), ("setup",), ("run", "--", *flags)):
      done = self.run(*words)
      assert done.returncode == 0, done.stderr
    until(lambda: all((w / "ns_jax/started").exists() for w in self.workers))

  def calls(self) -> list[list[str]]:
    """What gcloud was called with, from "queued-resources" or "tpu-vm" on."""
    calls = self.shell.calls()
    return [c[3:] for c in calls if c[:3] == ["gcloud", "compute", "tpus"]]

  def asked(self) -> list[str]:
    """In short and in order what gcloud was asked to do, no questions."""
    verbs = {
      "tpu_worker.sh " + w: w for w in ("setup", "start", "stop", "follow")
    }
    asked = []
    for call in self.calls():
      if call[1] == "ssh":
        asked += [w for name, w in verbs.items() if name in call[-1]]
      elif call[1] != "describe":
        asked.append(call[1])
    return asked

  def trained(self) -> list[list[str]]:
    """The words of every training."""
    calls = self.shell.calls()
    return [call for call in calls if call[1:3] == ["-m", "ns_jax.main"]]


def until(happened: Callable[[], bool]) -> None:
  """Returns when it has."""
  deadline = time.monotonic() + 30
  while not happened():
    assert time.monotonic() < deadline
    time.sleep(0.02)


def _project(folder: pathlib.Path) -> pathlib.Path:
  """A project with the scripts and little else."""
  shutil.copytree(
    shells.LAUNCH,
    folder / "launch",
    ignore=lambda _, names: [
      name for name in names if not name.endswith(".sh")
    ],
  )
  git = [
    "git",
    "-C",
    str(folder),
    "-c",
    "user.name=A",
    "-c",
    "user.email=a@b.c",
  ]
  for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "All.")):
    subprocess.run([*git, *words], check=True)
  return folder
