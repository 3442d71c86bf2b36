# SPDX-License-Identifier: Apache-2.0
"""launch/slurm.sh and the job it submits, among stand-ins for Slurm's programs.

They do what Slurm's manual says of theirs: sbatch runs a copy of the script on
the first node, srun starts the tasks and kills them on SIGTERM, scancel hands a
signal to the tasks.
"""

import pytest

from tests.launch import shells

RUN = ("--config=configs/ns2.py:paper", "--workdir=/data/my runs/a 'b' $c")
SBATCH = """
tasks=1 nodes=1 gpus='' folder=.
while [[ $1 = --* ]]; do
  case $1 in
    --nodes=*) nodes=${1#*=} ;;
    --ntasks-per-node=*) tasks=${1#*=} ;;
    --gpus-per-node=*) gpus=${1#*=} ;;
    --cpus-per-task=*) export SLURM_CPUS_PER_TASK=${1#*=} ;;
    --chdir=*) folder=${1#*=} ;;
  esac
  shift
done
cd "$folder"
cp "$1" "$SPOOL/slurm_script"
shift
export SLURM_JOB_ID=77 SLURM_NTASKS=$((tasks * nodes)) TASKS_PER_NODE=$tasks
[ -z "$gpus" ] || export SLURM_GPUS_ON_NODE=$gpus
bash "$SPOOL/slurm_script" "$@" &
echo $! >"$SPOOL/batch.tmp" && mv "$SPOOL/batch.tmp" "$SPOOL/batch"
wait $!
"""
SRUN = """
pids=()
trap 'kill -9 "${pids[@]}"' TERM
while [[ $1 = --* ]]; do shift; done
for ((i = 0; i < SLURM_NTASKS; i++)); do
  SLURM_PROCID=$i SLURM_LOCALID=$((i % TASKS_PER_NODE)) "$@" &
  pids+=($!)
done
echo "${pids[@]}" >"$SPOOL/tasks"
highest=0
for pid in "${pids[@]}"; do
  status=0
  wait "$pid" || status=$?
  [ "$status" -le "$highest" ] || highest=$status
done
exit "$highest"
"""
SCANCEL = 'read -ra pids <"$SPOOL/tasks"; kill -TERM "${pids[@]}"\n'
# A task that trains until it is told to save; the first task does it slowly.
TRAINS = """
trap '[ "$SLURM_PROCID" != 0 ] || sleep 0.3
touch "$SPOOL/saved.$SLURM_PROCID"; exit 143' TERM
touch "$SPOOL/started.$SLURM_PROCID"
while [ ! -e "$SPOOL/end" ]; do
  if [ "$SLURM_PROCID" = 0 ] && [ -e "$SPOOL/started.1" ] &&
    [ -e "$SPOOL/batch" ] && [ ! -e "$SPOOL/sent" ]; then
    touch "$SPOOL/sent"
    kill -"$SENDS" "$(cat "$SPOOL/batch")"
  fi
  sleep 0.05
done
exit 0
"""


@pytest.fixture
def shell(tmp_path):
  shell = shells.Shell(tmp_path / "a place")
  for name in ("JAX_PLATFORMS", "PYTHON"):
    shell.environment.pop(name, None)
  shell.environment["SPOOL"] = str(tmp_path)
  for name, body in {
    "sbatch": SBATCH,
    "srun": SRUN,
    "scancel": SCANCEL,
    "scontrol": "",
  }.items():
    shell.program(name, body)
  return shell


def names(shell):
  """Which programs were called, in order."""
  return [call[0] for call in shell.calls()]


def test_every_process_gets_the_command(shell, tmp_path):
  shell.program(
    "python",
    'if [ "$1" = -c ]; then echo gpu; exit; fi\n'
    'echo "$SLURM_PROCID $SLURM_LOCALID $JAX_PLATFORMS $SLURM_GPU_BIND $PWD" '
    '>"$SPOOL/task.$SLURM_PROCID"\n',
  )
  odd = "--config.eval.evaluators=('losses', \"a b\")"
  done = shell.run("slurm.sh", "--nodes=2", "--gpus=2", "--", *RUN, odd)
  assert done.returncode == 0, done.stderr
  seen = [(tmp_path / f"task.{i}").read_text().strip() for i in range(4)]
  assert seen == [f"{i} {i % 2} cuda,cpu none {shells.ROOT}" for i in range(4)]
  calls = shell.calls()
  assert [c for c in calls if c[1] == "-m"] == 4 * [
    ["python", "-m", "ns_jax.main", *RUN, odd]
  ]
  assert sorted(set(names(shell))) == ["python", "sbatch", "srun"]


def test_a_node_whose_gpus_jax_cannot_use_is_named(shell):
  shell.program("python", "echo 'no such plugin'; exit 1\n")
  done = shell.run("slurm.sh", "--gpus=2", "--", *RUN)
  shells.assert_one_clear_line(done, "JAX finds no GPU here (no such plugin)")
  assert "srun" not in names(shell)


def test_without_gpus_there_is_one_process_a_node(shell, tmp_path):
  """And srun, too, hears how many processors it may use."""
  sees = 'echo "$JAX_PLATFORMS $SRUN_CPUS_PER_TASK" >"$SPOOL/$SLURM_PROCID"\n'
  shell.program("python", sees)
  cpus = "--sbatch=--cpus-per-task=7"
  done = shell.run("slurm.sh", "--nodes=3", cpus, "--", *RUN)
  assert done.returncode == 0, done.stderr
  assert [(tmp_path / str(i)).read_text() for i in range(3)] == ["cpu 7\n"] * 3
  assert names(shell).count("python") == 3


def test_saves_and_queues_again_when_the_time_is_nearly_over(shell, tmp_path):
  """Every task gets to save; nothing begins again in this job."""
  shell.program("python", TRAINS)
  done = shell.run("slurm.sh", "--nodes=2", "--", *RUN, SENDS="USR1")
  assert done.returncode == 0, done.stderr
  assert (tmp_path / "saved.0").exists() and (tmp_path / "saved.1").exists()
  assert names(shell).count("srun") == 1
  assert shell.calls()[-2:] == [
    ["scancel", "--signal=TERM", "77"],
    ["scontrol", "requeue", "77"],
  ]


def test_does_not_queue_again_what_slurm_ends(shell, tmp_path):
  """Cancelled by its owner; a job that was preempted Slurm itself requeues."""
  shell.program("python", TRAINS)
  done = shell.run("slurm.sh", "--nodes=2", "--", *RUN, SENDS="TERM")
  assert done.returncode == 143, done.stderr
  assert (tmp_path / "saved.0").exists() and (tmp_path / "saved.1").exists()
  assert "scontrol" not in names(shell) and names(shell).count("srun") == 1


def test_does_not_queue_again_what_is_done(shell, tmp_path):
  ends = TRAINS.replace("exit 143", 'touch "$SPOOL/end"')
  shell.program("python", ends)
  done = shell.run("slurm.sh", "--nodes=2", "--", *RUN, SENDS="USR1")
  assert done.returncode == 0, done.stderr
  assert "scancel" in names(shell) and "scontrol" not in names(shell)


def test_queues_again_what_dies_of_saving(shell):
  """Its last checkpoint is worth going on from; the time is over anyway."""
  shell.program("python", TRAINS.replace("exit 143", "kill -9 $$"))
  done = shell.run("slurm.sh", "--nodes=2", "--", *RUN, SENDS="USR1")
  assert done.returncode == 0, done.stderr
  assert names(shell).count("srun") == 1 and names(shell)[-1] == "scontrol"


def test_begins_again_what_dies_but_not_a_mistake(shell):
  """One task of two ends badly; the job's status is that of the worst."""
  shell.program("python", '[ "$SLURM_PROCID" != 1 ] || exit "$STATUS"\n')
  words = ("--nodes=2", "--tries=2", "--", *RUN)
  wait = shell.program("sleep")  # between the tries
  mistaken = shell.run("slurm.sh", *words, STATUS="2")
  assert mistaken.returncode == 2 and names(shell).count("srun") == 1
  dead = shell.run("slurm.sh", *words, STATUS="139")
  assert dead.returncode == 139 and names(shell).count("srun") == 1 + 2
  assert wait.name in names(shell) and "scontrol" not in names(shell)


def test_dry_run_says_what_would_be_submitted(shell):
  python = shell.program("python")
  done = shell.run(
    *("slurm.sh", "--nodes=4", "--gpus=8", "--time=1-00:00:00", "--grace=60"),
    *("--sbatch=--comment=it's mine", "--sbatch=--partition=gpu", "--tries=5"),
    *("--dry-run", "--", *RUN),
  )
  assert done.returncode == 0 and not shell.calls()
  cd, command = done.stdout.splitlines()
  assert shells.words_of(cd, shell.folder) == ["cd", str(shells.ROOT)]
  words = shells.words_of(command, shell.folder)
  script = words.index("launch/slurm_job.sh")
  assert words[script + 1 :] == [str(python), "5", *RUN]
  assert words[0] == "sbatch" and set(words[1:script]) == {
    "--job-name=ns_jax",
    "--nodes=4",
    "--ntasks-per-node=8",
    "--gpus-per-node=8",
    "--time=1-00:00:00",
    f"--chdir={shells.ROOT}",
    "--requeue",
    "--open-mode=append",
    "--signal=B:USR1@60",
    "--comment=it's mine",
    "--partition=gpu",
  }


@pytest.mark.parametrize(
  ("words", "message"),
  [
    (("--nodes=2",), "--config is missing"),
    (("--nodes=0", "--", *RUN), "--nodes=0: give at least one"),
    (("--gpus=a100", "--", *RUN), "--gpus=a100: is not a whole number"),
    (("--partition=gpu", "--", *RUN), "--partition=gpu: unknown"),
    (("--", *RUN), "there is no nowhere/python here"),
  ],
)
def test_mistakes_are_one_line(shell, words, message):
  done = shell.run("slurm.sh", *words, PYTHON="nowhere/python")
  shells.assert_one_clear_line(done, message)
  assert not shell.calls()


def test_a_machine_without_slurm_is_named(shell):
  path = shells.bare_path(shell.folder)
  done = shell.run("slurm.sh", "--", *RUN, PATH=path)
  shells.assert_one_clear_line(done, "there is no sbatch here")
