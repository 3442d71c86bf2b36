#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a training command again, from its last checkpoint, whenever it dies.
#
#   launch/restart.sh [OPTION...] -- COMMAND... --workdir=DIR ...
#
#   launch/restart.sh -- python -m ns_jax.main --config=configs/ns2.py \
#     --workdir=runs/ns2-demo
#
#   --tries=3          give up when it has died so often in a row without a new
#                      checkpoint in DIR; 0: when it dies
#   --wait=10          seconds before it begins again
#   --stop=COMMAND     line of shell that asks it to stop, where a SIGTERM to it
#                      would not do
#   --dry-run          print what would be run
#
# Ends with the command's exit status; at once where that is success (0), a
# mistake of the user (2), or says that somebody stopped it (130, 143). SIGTERM
# is passed on, Ctrl-C too, and SIGHUP as SIGTERM; then it is not run again.
set -euo pipefail
# shellcheck source=launch/shell.sh
source "$(dirname "${BASH_SOURCE[0]}")/shell.sh"

tries=3 wait_sec=10 stop='' dry_run=''
while [ $# -gt 0 ]; do
  case $1 in
    --tries=*) tries=${1#*=} ;;
    --wait=*) wait_sec=${1#*=} ;;
    --stop=*) stop=${1#*=} ;;
    --dry-run) dry_run=1 ;;
    --help) show_help && exit ;;
    --) break ;;
    *) mistake "$1: unknown; see --help" ;;
  esac
  shift
done
[ $# -gt 1 ] || mistake "give a command after --; see --help"
shift
need_count --tries "$tries"
need_count --wait "$wait_sec"
workdir=$(flag_in workdir "$@")
[ -n "$workdir" ] || mistake "the command has no --workdir"
workdir=${workdir%/}
if [[ $workdir = gs://* ]] && ! command -v gcloud >/dev/null; then
  say "note: there is no gcloud here to see new checkpoints with in $workdir"
fi
case $workdir in
  \~ | \~/*) workdir=$HOME${workdir#\~} ;;
esac

checkpoints_in() { # FOLDER: prints what is there
  case $1 in
    # A bucket that does not answer shows no progress, which is safe.
    gs://*) gcloud storage ls "$1/" 2>/dev/null || true ;;
    *) printf '%s\n' "$1"/* ;;
  esac
}

progress() { # prints the steps of the newest checkpoints, added up
  local folder path step newest sum=0
  # A run first trains the codec that it stands on, if it has none.
  for folder in "$workdir"/checkpoints "$workdir"/codec/checkpoints; do
    newest=0
    while read -r path; do
      path=${path%/}
      step=${path##*/}
      # Unfinished ones have longer names.
      [[ $step =~ ^[0-9]+$ ]] && ((10#$step > newest)) && newest=$((10#$step))
    done < <(checkpoints_in "$folder")
    sum=$((sum + newest))
  done
  printf '%s\n' "$sum"
}

pass_on() { # SIGNAL
  noted "$1" || return 0
  if [ -n "$stop" ]; then
    bash -c "$stop" || say "could not ask it to stop: $stop"
  elif [ "$1" = INT ]; then
    kill -s INT -- -"$attended" # all its processes, as the terminal would
  else
    kill -s TERM "$attended"
  fi
}

if [ -n "$dry_run" ]; then
  quoted "$@"
  exit
fi
set -m # else what runs in the background would never hear of Ctrl-C
trap 'pass_on INT' INT
trap 'pass_on TERM' TERM HUP

reached=$(progress) deaths=0
while :; do
  status=0
  attend "$@" || status=$?
  case $status in
    0 | "$MISTAKE" | "$STOPPED" | "$PREEMPTED") exit "$status" ;;
  esac
  [ -z "$signal" ] || exit "$status"
  now=$(progress)
  if [ "$now" -gt "$reached" ]; then
    reached=$now deaths=0
  else
    deaths=$((deaths + 1))
  fi
  if [ "$deaths" -ge "$tries" ]; then
    say "exit status $status; gives up: died $deaths time(s) without a new checkpoint in $workdir"
    exit "$status"
  fi
  say "exit status $status; begins again in $wait_sec s ($deaths of $tries without a new checkpoint)"
  attend sleep "$wait_sec" || exit $?
done
