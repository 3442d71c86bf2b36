#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Trains on a Cloud TPU: one machine or a slice of a pod.
#
#   launch/tpu.sh COMMAND [OPTION...] [-- FLAGS of ns_jax.main]
#
#   launch/tpu.sh up --zone=us-west4-a --project=mine --spot \
#     --accelerator-type=v5litepod-16 -- --config=configs/ns2.py:paper \
#     --config.data.corpus=gs://bucket/mls --workdir=gs://bucket/runs/ns2
#   launch/tpu.sh delete --zone=us-west4-a --project=mine
#
# Commands; each may be given again and does what is left to do:
#   create   queues for a TPU and waits until there is one
#   setup    takes this project's last commit to all workers and installs it
#   run      starts training on all workers, in the background
#   logs     shows what one says until the run ends; ends with its exit status
#   stop     has it save and end
#   resume   goes on, whatever became of TPU and run: makes another in place of
#            one that was taken away, then setup and run
#   up       resume, then logs; resumes as often as the TPU is taken away
#   delete   gives the TPU back; only then it costs nothing
#
#   --zone=ZONE, --project=ID     or what gcloud calls CLOUDSDK_COMPUTE_ZONE and
#                                 CLOUDSDK_CORE_PROJECT in the environment
#   --accelerator-type=TYPE       v4-N, v5litepod-N, v5p-N, v6e-N
#   --name=ns-jax                 of the TPU
#   --spot                        cheap, and taken away when others want it
#   --runtime-version=VERSION     of its software, where TYPE does not say it
#   --create=OPTION, --ssh=OPTION one more option for gcloud, to create or to
#                                 connect and copy; may be repeated
#   --worker=0                    whose logs
#   --tries=3                     see launch/restart.sh, which begins again what
#                                 dies
#   --poll=30                     seconds between questions
#   --dry-run                     print what would be done, from the start; for
#                                 resume, after a TPU was taken away
set -euo pipefail
# shellcheck source=launch/shell.sh
source "$(dirname "${BASH_SOURCE[0]}")/shell.sh"

# Taken away with all that was on it, or never given.
LOST=(SUSPENDING SUSPENDED PREEMPTED FAILED)
WORKER=ns_jax/launch/tpu_worker.sh # there

runtime_of() { # TYPE: prints the software that Google names for it
  case $1 in
    v4-*) echo tpu-ubuntu2204-base ;;
    v5litepod-*) echo v2-alpha-tpuv5-lite ;;
    v5p-*) echo v2-alpha-tpuv5 ;;
    v6e-*) echo v2-alpha-tpuv6e ;;
  esac
}

act() { # WORD...: does it, or prints it
  if [ -n "$dry_run" ]; then quoted "$@"; else "$@"; fi
}

try() { # WORD...: what may fail while a machine is starting
  local left
  for left in 4 3 2 1 0; do
    "$@" && return
    [ "$left" = 0 ] || sleep "$poll"
  done
  say "error: failed five times, see above"
  return 1
}

queue() { # VERB OPTION...
  act gcloud compute tpus queued-resources "$1" "$name" "${where[@]}" "${@:2}"
}

on() { # WORKERS LINE: of shell, in the home folder
  act gcloud compute tpus tpu-vm ssh "$name" "${where[@]}" --worker="$1" \
    --quiet ${ssh[@]+"${ssh[@]}"} --command="$2"
}

send() { # FILE: to the home folders of all workers
  act gcloud compute tpus tpu-vm scp "$1" "$name:" "${where[@]}" --worker=all \
    --quiet ${ssh[@]+"${ssh[@]}"}
}

state() { # prints what became of the request; NONE if there is none
  local answer left
  if [ -n "$dry_run" ]; then
    printf '%s\n' "$dry_state"
    return
  fi
  for left in 4 3 2 1 0; do
    if answer=$(queue describe --format='value(state.state)' 2>"$scratch/said"); then
      printf '%s\n' "$answer"
      return
    fi
    case $(<"$scratch/said") in
      *NOT_FOUND*) echo NONE && return ;;
      *'gcloud auth login'* | *PERMISSION_DENIED* | *INVALID_ARGUMENT*) left=0 ;;
    esac
    head -n 1 "$scratch/said" >&2
    [ "$left" -gt 0 ] || break
    sleep "$poll"
  done
  say "error: gcloud does not say what became of $name"
  return 1
}

is_lost() { # STATE
  [[ " ${LOST[*]} " = *" $1 "* ]]
}

create() {
  local now before=''
  while now=$(state) || exit 1; [ "$now" = DELETING ]; do sleep "$poll"; done
  [ "$now" != NONE ] || queue create --node-id="$name" \
    --accelerator-type="$type" --runtime-version="$runtime" \
    ${more[@]+"${more[@]}"}
  if [ -n "$dry_run" ]; then
    echo "# every $poll s, until it prints ACTIVE:"
    queue describe --format='value(state.state)'
    return
  fi
  while now=$(state) || exit 1; [ "$now" != ACTIVE ]; do
    if is_lost "$now" || [ "$now" = NONE ]; then
      say "error: $name is $now; launch/tpu.sh resume makes another"
      exit 1
    fi
    [ "$now" = "$before" ] || say "$name is $now"
    before=$now
    sleep "$poll"
  done
}

delete() {
  local now
  now=$(state) || exit 1
  case $now in
    NONE) return ;;
    DELETING) ;;
    *) queue delete --force --quiet ;;
  esac
  dry_state=NONE
  while now=$(state) || exit 1; [ "$now" != NONE ]; do sleep "$poll"; done
}

setup() {
  # What stays there are results in runs/.
  local unpack='mkdir -p ns_jax'
  unpack+=' && find ns_jax -mindepth 1 -maxdepth 1 ! -name runs -exec rm -rf {} +'
  unpack+=" && tar -xzf ns_jax.tar.gz -C ns_jax && $WORKER setup"
  [ -z "$(git status --porcelain)" ] ||
    say "note: what is not committed is not taken along"
  act git archive --format=tar.gz --output="$scratch/ns_jax.tar.gz" HEAD
  try send "$scratch/ns_jax.tar.gz" || exit 1
  try on all "$unpack" || exit 1
}

run() {
  case $(flag_in workdir "${flags[@]}") in
    gs://*) ;;
    *) say "note: --workdir is on disks that go with the TPU; gs://BUCKET/FOLDER stays" ;;
  esac
  try on all "$(quoted "$WORKER" start "$tries" "${flags[@]}")" || exit 1
}

stop() {
  on all "$WORKER stop"
}

said_by() { # WORKERS: prints once each what they say of the run
  on "$1" "if [ -e $WORKER ]; then $WORKER status; else echo run: none; fi" |
    grep '^run: ' | sort -u
}

resume() {
  local now said=''
  now=$(state) || exit 1
  if is_lost "$now"; then delete; fi
  create
  [ -n "$dry_run" ] || said=$(try said_by all) || exit 1
  case $said in
    'run: going on') return ;;
    *'run: going on'*) stop ;; # on some only, who wait for the others
  esac
  setup
  run
}

logs() {
  local now said
  while :; do
    on "$worker" "$WORKER follow" || true
    [ -z "$dry_run" ] || return 0
    said=$(said_by "$worker") || said=''
    case $said in
      'run: exit status '*) return "${said##* }" ;;
      'run: none') mistake "nothing was started on $name; launch/tpu.sh run" ;;
      'run: killed') return "$PREEMPTED" ;; # the machine itself went down
    esac
    now=$(state) || exit 1
    if [ "$now" != ACTIVE ]; then
      say "$name is $now; launch/tpu.sh resume goes on"
      return "$PREEMPTED"
    fi
    say "lost the connection; the run goes on"
    sleep "$poll"
  done
}

up() {
  local status
  while :; do
    set +e # with `resume ||` it would go on after what fails
    (set -e; resume)
    status=$?
    set -e
    if [ "$status" = 0 ]; then
      logs || status=$?
      [ "$status" = "$PREEMPTED" ] || break
    else # maybe because it was taken away meanwhile
      [[ $(state) = SUSPEND* ]] || exit "$status"
    fi
    say "taken away; goes on from the last checkpoint"
    sleep "$poll"
  done
  [ -n "$dry_run" ] || say "exit status $status; launch/tpu.sh delete gives $name back"
  return "$status"
}

command=${1-} name=ns-jax type='' runtime='' poll=30 worker=0 tries=3 dry_run=''
zone=${CLOUDSDK_COMPUTE_ZONE-} project=${CLOUDSDK_CORE_PROJECT-} more=() ssh=()
case $command in
  create | setup | run | logs | stop | resume | up | delete) shift ;;
  --help | '') show_help && exit ;;
  *) mistake "$command: no such command; see --help" ;;
esac
while [ $# -gt 0 ]; do
  case $1 in
    --zone=*) zone=${1#*=} ;;
    --project=*) project=${1#*=} ;;
    --accelerator-type=*) type=${1#*=} ;;
    --name=*) name=${1#*=} ;;
    --spot) more+=(--spot) ;;
    --runtime-version=*) runtime=${1#*=} ;;
    --create=*) more+=("${1#*=}") ;;
    --ssh=*) ssh+=("${1#*=}") ;;
    --worker=*) worker=${1#*=} ;;
    --tries=*) tries=${1#*=} ;;
    --poll=*) poll=${1#*=} ;;
    --dry-run) dry_run=1 ;;
    --help) show_help && exit ;;
    --) shift && break ;;
    *) mistake "$1: unknown; flags of ns_jax.main come after --; see --help" ;;
  esac
  shift
done
flags=("$@") where=(--zone="$zone" --project="$project")
[ -n "$zone" ] || mistake "--zone is missing, say --zone=us-central2-b"
[ -n "$project" ] || mistake "--project is missing: the project that pays"
for option in worker tries poll; do
  need_count "--$option" "${!option}"
done
case $command in
  create | resume | up)
    [ -n "$type" ] || mistake "--accelerator-type is missing, say v5litepod-16"
    [[ $type =~ ^(v4|v5p|v5litepod|v6e)-[1-9][0-9]*$ ]] || [ -n "$runtime" ] ||
      mistake "--accelerator-type=$type: give v4-N, v5litepod-N, v5p-N or v6e-N, or --runtime-version too"
    runtime=${runtime:-$(runtime_of "$type")}
    ;;
esac
case $command in run | resume | up) need_run "$@" ;; esac
dry_state=NONE
if [ "$command" = resume ] || [ "$command" = delete ]; then
  dry_state=SUSPENDED
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scratch=${TMPDIR:-/tmp}
if [ -z "$dry_run" ]; then
  need gcloud "install the Google Cloud CLI and log in"
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
fi
"$command"
