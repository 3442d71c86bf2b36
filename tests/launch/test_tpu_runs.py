# SPDX-License-Identifier: Apache-2.0
"""launch/tpu.sh when runs go on, end, or lose their TPU, in a cloud here."""

import subprocess

import pytest

from tests.launch import clouds, shells
from tests.launch.clouds import ALL, KIND, RUN


def test_again_it_does_what_is_left(cloud):
  cloud.train(KIND, *RUN)
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
  clouds.until(lambda: len(cloud.trained()) == 2)


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


def test_up_goes_on_when_the_tpu_is_taken_away_before_it_trains(cloud):
  taken = 'if [ ! -e "$CLOUD/taken" ]; then touch "$CLOUD/taken"\n'
  taken += 'echo SUSPENDED >"$CLOUD/states"; exit 1; fi\n'
  cloud.shell.program("python3", taken + clouds.SYSTEM_PYTHON)
  done = cloud.run("up", KIND, "--", *RUN)
  assert done.returncode == 0, done.stderr
  created = [word for word in cloud.asked() if word in ("create", "delete")]
  assert created == ["create", "delete", "create"]
  assert cloud.asked()[-2:] == ["start", "follow"]
  assert len(cloud.trained()) == 2


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
  cloud.train(KIND, *RUN)
  pid = (cloud.workers[1] / "ns_jax_run/pid").read_text().strip()
  subprocess.run(["pkill", "-KILL", "--session", pid], check=True)
  done = cloud.run("resume", KIND, "--", *RUN)
  assert done.returncode == 0, done.stderr
  assert cloud.asked() == [*ALL, "stop", "scp", "setup", "start"]
  assert (cloud.workers[0] / "ns_jax_run/status").exists() is False
  clouds.until(lambda: len(cloud.trained()) == 4)


def test_stop_lets_it_save(cloud):
  cloud.train(KIND, *RUN)
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
  cloud.train(KIND, *RUN)
  assert cloud.run("stop").stdout.count("run: exit status 130") == 2


def test_logs_follow_one_worker_to_its_end(cloud):
  cloud.write("training", 'sleep 0.3; echo "last of $NUMBER"; exit "5$NUMBER"')
  for words in (("create", KIND), ("setup",), ("run", "--tries=1", "--", *RUN)):
    assert cloud.run(*words).returncode == 0
  done = cloud.run("logs", "--worker=1")
  assert done.returncode == 51 and "last of 1" in done.stdout


def test_logs_come_back_after_the_connection_is_lost(cloud):
  cloud.train(KIND, *RUN)
  cloud.write("no_answer", "once\nand again\n")
  follower = cloud.shell.start(
    *("tpu.sh", "logs", "--zone=moon-a", "--project=my project", "--poll=0")
  )
  clouds.until(lambda: cloud.asked().count("follow") == 2)
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


def test_nothing_to_show_is_said(cloud):
  cloud.states("ACTIVE")
  done = cloud.run("logs")
  assert done.returncode == 2
  assert "nothing was started on ns-jax" in done.stderr.splitlines()[-1]
