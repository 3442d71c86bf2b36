# SPDX-License-Identifier: Apache-2.0
"""launch/tpu.sh and what it does on the workers, in a cloud on this machine."""

import pytest

from tests.launch import shells
from tests.launch.clouds import ALL, KIND, RUN


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
  train = ["python", "-m", "ns_jax.main", *RUN, odd]
  assert cloud.trained() == [train, train]
  installs = [
    c for c in cloud.shell.calls() if c[:4] == ["python3", "-m", "uv", "pip"]
  ]
  assert [c[-1] for c in installs] == [".[tpu,gcs]", ".[tpu,gcs]"]


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
