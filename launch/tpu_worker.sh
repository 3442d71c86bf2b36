#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What launch/tpu.sh does on every worker of a Cloud TPU.
#
#   launch/tpu_worker.sh setup                 Python and this project
#   launch/tpu_worker.sh start TRIES FLAG...   of ns_jax.main; in the background
#   launch/tpu_worker.sh status                prints "run: ..."
#   launch/tpu_worker.sh follow                shows the log until the run ends
#   launch/tpu_worker.sh stop                  lets it save first
#
# The run's log, process and exit status are in ~/ns_jax_run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=launch/shell.sh
source launch/shell.sh

venv=$HOME/ns_jax_venv state=$HOME/ns_jax_run
mkdir -p "$state"
GRACE_SEC=${GRACE_SEC:-180}   # for the last checkpoint
export JAX_PLATFORMS=tpu,cpu # with a list JAX fails where there is no TPU

setup() {
  # The images' own Python is too old, and this one has the headers to build
  # PyWorld with, for which a compiler is needed too.
  python3 -m pip install --user --quiet --upgrade uv
  command -v c++ >/dev/null || {
    sudo apt-get -o DPkg::Lock::Timeout=600 -qq update
    sudo apt-get -o DPkg::Lock::Timeout=600 -qq install -y g++
  }
  [ -x "$venv/bin/python" ] ||
    python3 -m uv venv --quiet --managed-python --python=3.12 "$venv"
  python3 -m uv pip install --quiet --python="$venv/bin/python" '.[tpu,gcs]'
  # All workers at once: a slice answers when they have met.
  "$venv/bin/python" - <<'END'
import jax
from ns_jax.apps import processes

processes.join(None, None, None)
print(f"setup: {jax.device_count()} devices, {jax.local_device_count()} here")
END
}

is_running() {
  # Held by the run and all that it started, so freed however they end.
  ! flock --shared --nonblock "$state/lock" true
}

start() { # TRIES FLAG...
  [ -x "$venv/bin/python" ] || mistake "is not set up; launch/tpu.sh setup"
  if is_running; then
    say "runs already"
    return
  fi
  rm -f "$state/status"
  setsid bash launch/tpu_worker.sh supervise "$@" \
    >>"$state/log" 2>&1 </dev/null &
  local tenth
  for tenth in {1..100}; do
    if [ -e "$state/status" ] || is_running; then return; fi
    sleep 0.1
  done
  say "error: nothing started after $((tenth / 10)) s; see $state/log"
  return 1
}

supervise() { # TRIES FLAG...: what `start` leaves behind
  local tries=$1 status=0
  shift
  exec 9>"$state/lock"
  flock --timeout 10 9 || mistake "another run goes on"
  printf '%s\n' "$$" >"$state/pid"
  trap 'pass_on TERM' TERM
  attend launch/restart.sh --tries="$tries" -- \
    "$venv/bin/python" -m ns_jax.main "$@" || status=$?
  printf '%s\n' "$status" >"$state/status"
}

pass_on() { # SIGNAL
  noted "$1" || return 0
  kill -s "$1" "$attended"
}

status() {
  if is_running; then
    echo "run: going on"
  elif [ -e "$state/status" ]; then
    echo "run: exit status $(<"$state/status")"
  elif [ -e "$state/pid" ]; then
    echo "run: killed" # with all that watched it, as when a machine goes down
  else
    echo "run: none"
  fi
}

follow() {
  if is_running; then
    flock --shared "$state/lock" true & # ends with the run
    tail --lines=20 --follow=name --sleep-interval=0.2 --pid=$! "$state/log"
  elif [ -e "$state/log" ]; then
    tail --lines=20 "$state/log"
  fi
  status
}

stop() {
  if is_running; then
    kill -s TERM "$(<"$state/pid")"
    if ! flock --shared --timeout "$GRACE_SEC" "$state/lock" true; then
      pkill -KILL --session "$(<"$state/pid")"
      flock --shared --timeout 10 "$state/lock" true
    fi
    printf '%s\n' "$STOPPED" >"$state/status"
  fi
  status
}

command=${1-}
case $command in
  setup | start | supervise | status | follow | stop) "$@" ;;
  *) show_help ;;
esac
