# SPDX-License-Identifier: Apache-2.0
"""launch/tpu.sh and what it does on the workers, in a cloud on this machine."""

import subprocess
import time

import pytest

from tests.launch import clouds, shells

KIND = "--accelerator-type=v5litepod-16"
RUN = ("--config=configs/ns2.py:paper", "--workdir=gs://bucket/my runs/'a' $b")
PYTHON = ("-m", "ns_jax.main")
ALL = ["create", "scp", "setup", "start"]  # what it takes to make one train


@pytest.fixture
def cloud(tmp_path):
  """With a TPU of two workers to be had, whose training ends at once."""
  cloud = clouds.Cloud(tmp_path, 2)
  cloud.write("end", "")
  yield cloud
  cloud.write("end", "")  # of what goes on


def until(happened):
  deadline = time.monotonic() + 30
  while not happened():
    assert time.monotonic() < deadline
    time.sleep(0.02)


def train_on(cloud):
  """Starts a training that goes on until it is told to end."""
  (cloud.folder / "end").unlink()
  assert cloud.run("create", KIND).returncode == 0
  assert cloud.run("setup").returncode == 0
  assert cloud.run("run", "--", *RUN).returncode == 0
  until(lambda: all((w / "ns_jax/started").exists() for w in cloud.workers))


def test_up_does_all_of_it(cloud):
  cloud.states("NONE", then=("WAITING_FOR_RESOURCES", "PROVISIONING", "ACTIVE"))
  odd = "--config.eval.evaluators=('losses', \"a b\")"
  done = cloud.run("up", KIND, "--spot", "--", *RUN, odd)
  assert done.returncode == 0, done.stderr
  assert cloud.asked() == [*ALL, "follow"]
  assert "is WAITING_FOR_RESOURCES" in done.stderr
  assert "is PROVISIONING" in done.stderr
  assert done.stdout.count("setup: 8 devices, 4 here") == 2
  assert "trains on worker 0" in done.stdout and "worker 1" not in done.stdout
  assert sorted(cloud.trained()) == [
    [
      *("python", *PYTHON, *RUN, odd, "--coordinator=10.0.0.0:8482"),
      *("--num_processes=2", f"--process_id={worker}"),
    ]
    for worker in range(2)
  ]
  installs = [
    c for c in cloud.shell.calls() if c[:4] == ["python3", "-m", "uv", "pip"]
  ]
  assert [c[-1] for c in installs] == [".[tpu]", ".[tpu]"]


def test_creates_what_is_asked_for(cloud):
  done = cloud.run(
    "create", KIND, "--name=one", "--spot", "--create=--network=my net"
  )
  assert done.returncode == 0, done.stderr
  (created,) = [c for c in cloud.calls() if c[1] == "create"]
  assert created == [
    *("queued-resources", "create", "one"),
    *("--zone=moon-a", "--project=my project", "--node-id=one"),
    *(KIND, "--runtime-version=v2-alpha-tpuv5-lite"),
    *("--spot", "--network=my net"),
  ]


def test_connects_as_it_is_told(cloud):
  cloud.states("ACTIVE")
  assert cloud.run("setup", "--ssh=--internal-ip").returncode == 0
  scp, ssh = cloud.calls()
  where = ["--zone=moon-a", "--project=my project", "--worker=all", "--quiet"]
  assert scp[:2] == ["tpu-vm", "scp"] and scp[3:] == [
    "ns-jax:",
    *where,
    "--internal-ip",
  ]
  assert ssh[:-1] == ["tpu-vm", "ssh", "ns-jax", *where, "--internal-ip"]


@pytest.mark.parametrize(
  ("kind", "runtime"),
  [
    ("v4-8", "tpu-ubuntu2204-base"),
    ("v5litepod-256", "v2-alpha-tpuv5-lite"),
    ("v5p-128", "v2-alpha-tpuv5"),
    ("v6e-1", "v2-alpha-tpuv6e"),
  ],
)
def test_knows_the_software_of_a_tpu(cloud, kind, runtime):
  flag = f"--accelerator-type={kind}"
  done = cloud.run("create", flag, "--dry-run")
  assert f"{flag} --runtime-version={runtime}\n" in done.stdout
  done = cloud.run("create", flag, "--runtime-version=new", "--dry-run")
  assert f"{flag} --runtime-version=new\n" in done.stdout


def test_a_single_machine_needs_no_others(tmp_path):
  cloud = clouds.Cloud(tmp_path, 1)
  cloud.write("end", "")
  assert cloud.run("up", "--accelerator-type=v6e-8", "--", *RUN).returncode == 0
  assert cloud.trained() == [["python", *PYTHON, *RUN]]


def test_again_it_does_what_is_left(cloud):
  train_on(cloud)
  asked = cloud.asked()
  for command in ("create", "resume"):
    done = cloud.run(
      command, KIND, *(("--", *RUN) if command != "create" else ())
    )
    assert done.returncode == 0, done.stderr
  assert cloud.asked() == asked == ALL
  done = cloud.run("run", "--", *RUN)
  assert done.returncode == 0 and done.stderr.count("runs already") == 2
  assert len(cloud.trained()) == 2


def test_asks_again_where_there_was_no_answer(cloud):
  """Of gcloud itself, and of a machine that is still starting."""
  cloud.write("trouble", "UNAVAILABLE: no network\n")
  cloud.write("no_answer", "once\nof\nthe\nfirst\n")
  done = cloud.run("up", KIND, "--", *RUN)
  assert done.returncode == 0, done.stderr
  assert "UNAVAILABLE: no network" in done.stderr
  assert cloud.asked() == [*ALL, "follow"]


@pytest.mark.parametrize(
  ("file", "message", "asked"),
  [
    ("trouble", "gcloud does not say what became of ns-jax", []),
    ("no_answer", "failed five times", ["create"]),
  ],
)
def test_gives_up_where_there_is_never_an_answer(cloud, file, message, asked):
  cloud.write(file, 20 * "never\n")
  done = cloud.run("up", KIND, "--", *RUN)
  assert done.returncode == 1 and message in done.stderr.splitlines()[-1]
  assert cloud.asked() == asked


@pytest.mark.parametrize(
  "message",
  ["PERMISSION_DENIED: not yours", "You are nobody; gcloud auth login"],
)
def test_what_no_waiting_helps_is_asked_once(cloud, message):
  cloud.write("trouble", 2 * f"{message}\n")
  done = cloud.run("delete")
  assert done.returncode == 1 and len(cloud.calls()) == 1
  assert done.stderr.splitlines()[0] == f"ERROR: (gcloud) {message}"


@pytest.mark.parametrize("state", ["FAILED", "SUSPENDED"])
def test_what_was_never_given_or_taken_away_ends_the_waiting(cloud, state):
  cloud.states("NONE", then=("WAITING_FOR_RESOURCES", state))
  done = cloud.run("create", KIND)
  assert done.returncode == 1
  assert f"ns-jax is {state}; launch/tpu.sh resume" in done.stderr
  assert cloud.asked() == ["create"]


@pytest.mark.parametrize(
  "state", ["SUSPENDED", "SUSPENDING", "PREEMPTED", "FAILED", "DELETING"]
)
def test_resume_makes_another(cloud, state):
  cloud.states(state, *(("NONE",) if state == "DELETING" else ()))
  if state == "DELETING":
    for worker in cloud.workers:
      worker.rmdir()
  done = cloud.run("resume", KIND, "--", *RUN)
  assert done.returncode == 0, done.stderr
  asked = ALL if state == "DELETING" else ["delete", *ALL]
  assert cloud.asked() == asked
  until(lambda: len(cloud.trained()) == 2)


LOSES = """
echo >>"$CLOUD/lives"
if [ "$(wc -l <"$CLOUD/lives")" -le 2 ]; then
  until [ "$(wc -l <"$CLOUD/lives")" = 2 ]; do sleep 0.02; done
  sleep 0.2
  echo {state} >"$CLOUD/states"
  {ends}
fi
"""


@pytest.mark.parametrize(
  ("state", "ends"),
  [
    ("SUSPENDED", "exit 143"),
    ("SUSPENDING", 'pkill -KILL --session "$(<"$HOME/ns_jax_run/pid")"'),
    # Only the machine was restarted.
    ("ACTIVE", 'pkill -KILL --session "$(<"$HOME/ns_jax_run/pid")"'),
  ],
  ids=["it saved", "it vanished", "it was restarted"],
)
def test_up_goes_on_when_the_tpu_is_taken_away(cloud, state, ends):
  cloud.write("training", LOSES.format(state=state, ends=ends))
  done = cloud.run("up", KIND, "--", *RUN)
  assert done.returncode == 0, done.stderr
  again = ALL[1:] if state == "ACTIVE" else ["delete", *ALL]
  assert cloud.asked() == [*ALL, "follow", *again, "follow"]
  assert len(cloud.trained()) == 4
  assert "taken away; goes on from the last checkpoint" in done.stderr


def test_up_ends_with_the_status_of_the_run(cloud):
  cloud.write("training", "echo 'ns_jax: error: no such preset'; exit 2")
  done = cloud.run("up", KIND, "--", *RUN)
  assert done.returncode == 2 and "no such preset" in done.stdout
  assert "launch/tpu.sh delete gives ns-jax back" in done.stderr
  assert cloud.asked() == [*ALL, "follow"]


def test_a_run_that_dies_begins_again_by_itself(cloud):
  cloud.write("training", "kill -9 $$")
  cloud.shell.program("sleep")  # between the tries
  done = cloud.run("up", KIND, "--tries=2", "--", *RUN)
  assert done.returncode == 137 and "gives up" in done.stdout
  assert len(cloud.trained()) == 4


def test_resume_begins_anew_where_one_worker_is_left_behind(cloud):
  train_on(cloud)
  pid = (cloud.workers[1] / "ns_jax_run/pid").read_text().strip()
  subprocess.run(["pkill", "-KILL", "--session", pid], check=True)
  done = cloud.run("resume", KIND, "--", *RUN)
  assert done.returncode == 0, done.stderr
  assert cloud.asked() == [*ALL, "stop", "scp", "setup", "start"]
  assert (cloud.workers[0] / "ns_jax_run/status").exists() is False
  until(lambda: len(cloud.trained()) == 4)


def test_stop_lets_it_save(cloud):
  train_on(cloud)
  done = cloud.run("stop")
  assert done.returncode == 0, done.stderr
  assert done.stdout.split("\n")[:2] == ["run: exit status 130"] * 2
  assert all((worker / "ns_jax/saved").exists() for worker in cloud.workers)
  assert cloud.run("logs").returncode == 130


def test_stop_ends_what_does_not_listen(cloud):
  cloud.shell.environment["GRACE_SEC"] = "1"
  cloud.write(
    "training", "trap '' TERM\n" + clouds.TRAINING.split("TERM", 1)[1]
  )
  train_on(cloud)
  assert cloud.run("stop").stdout.count("run: exit status 130") == 2


def test_logs_follow_one_worker_to_its_end(cloud):
  cloud.write("training", 'sleep 0.3; echo "last of $NUMBER"; exit "5$NUMBER"')
  for words in (("create", KIND), ("setup",), ("run", "--tries=1", "--", *RUN)):
    assert cloud.run(*words).returncode == 0
  done = cloud.run("logs", "--worker=1")
  assert done.returncode == 51 and "last of 1" in done.stdout


def test_logs_come_back_after_the_connection_is_lost(cloud):
  train_on(cloud)
  cloud.write("no_answer", "once\nand again\n")
  follower = cloud.shell.start(
    *("tpu.sh", "logs", "--zone=moon-a", "--project=my project", "--poll=0")
  )
  until(lambda: cloud.asked().count("follow") == 2)
  cloud.write("end", "")
  done = shells.finish(follower)
  assert done.returncode == 0 and "lost the connection" in done.stderr


def test_results_outlive_what_is_sent_anew(cloud):
  cloud.states("ACTIVE")
  for worker in cloud.workers:
    (worker / "ns_jax/runs/ns2").mkdir(parents=True)
    (worker / "ns_jax/old").mkdir()
  assert cloud.run("setup").returncode == 0
  for worker in cloud.workers:
    assert sorted(p.name for p in (worker / "ns_jax").iterdir()) == [
      "launch",
      "runs",
    ]
    assert (worker / "ns_jax/runs/ns2").is_dir()


def test_delete_gives_back_what_there_is(cloud):
  cloud.states("ACTIVE")
  assert cloud.run("delete").returncode == 0
  assert cloud.run("delete").returncode == 0
  (delete,) = [c for c in cloud.calls() if c[1] == "delete"]
  assert delete == [
    *("queued-resources", "delete", "ns-jax"),
    *("--zone=moon-a", "--project=my project", "--force", "--quiet"),
  ]


@pytest.mark.parametrize(
  ("command", "steps"),
  [
    ("create", ["create", "describe"]),
    ("setup", ["archive", "scp", "ssh"]),
    ("run", ["ssh"]),
    ("logs", ["ssh"]),
    ("stop", ["ssh"]),
    (
      "resume",
      ["delete", "create", "describe", "archive", "scp", "ssh", "ssh"],
    ),
    ("up", ["create", "describe", "archive", "scp", "ssh", "ssh", "ssh"]),
    ("delete", ["delete"]),
  ],
)
def test_dry_run_does_nothing_but_say_what(cloud, command, steps):
  takes_kind = command in ("create", "resume", "up")
  takes_run = command in ("run", "resume", "up")
  done = cloud.run(
    command,
    *([KIND] if takes_kind else []),
    "--dry-run",
    *(["--", *RUN] if takes_run else []),
  )
  assert done.returncode == 0, done.stderr
  assert not cloud.shell.calls()
  lines = [line for line in done.stdout.splitlines() if line[0] != "#"]
  words = [shells.words_of(line, cloud.folder) for line in lines]
  assert [w[1] if w[0] == "git" else w[4] for w in words] == steps
  if takes_run:
    (start,) = [w for w in words if "tpu_worker.sh start" in w[-1]]
    line = start[-1].removeprefix("--command=")
    there = ["ns_jax/launch/tpu_worker.sh", "start", "3", *RUN]
    assert shells.words_of(line, cloud.folder) == there


@pytest.mark.parametrize(
  ("words", "message"),
  [
    (("upp",), "upp: no such command"),
    (("up", "--zone=z"), "--project is missing"),
    (("up", "--project=p"), "--zone is missing"),
    (("up", "--zone=z", "--project=p"), "--accelerator-type is missing"),
    (
      ("create", "--zone=z", "--project=p", "--accelerator-type=v5e-16"),
      "--accelerator-type=v5e-16: give v4-N, v5litepod-N, v5p-N or v6e-N",
    ),
    (("run", "--zone=z", "--project=p"), "--config is missing"),
    (
      ("run", "--zone=z", "--project=p", "--", "--config=configs/ns2.py"),
      "--workdir is missing",
    ),
    (("logs", "--zone=z", "--project=p", "--worker=all"), "--worker=all"),
    (("run", "--zone=z", "--project=p", RUN[0]), "come after --"),
  ],
)
def test_mistakes_are_one_line(cloud, words, message):
  shells.assert_one_clear_line(cloud.shell.run("tpu.sh", *words), message)
  assert not cloud.shell.calls()


def test_nothing_to_show_is_said(cloud):
  cloud.states("ACTIVE")
  done = cloud.run("logs")
  assert done.returncode == 2
  assert "nothing was started on ns-jax" in done.stderr.splitlines()[-1]


def test_a_machine_without_gcloud_is_named(cloud):
  cloud.shell.environment["PATH"] = shells.bare_path(cloud.folder)
  shells.assert_one_clear_line(cloud.run("delete"), "there is no gcloud here")


def test_zone_and_project_may_come_from_where_gcloud_has_them(cloud):
  cloud.states("ACTIVE")
  done = cloud.shell.run(
    *("tpu.sh", "delete", "--poll=0"),
    CLOUDSDK_COMPUTE_ZONE="moon-a",
    CLOUDSDK_CORE_PROJECT="my project",
  )
  assert done.returncode == 0 and cloud.asked() == ["delete"]
