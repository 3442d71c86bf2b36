#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the scripts of this folder share; they source it, nobody runs it.

# shellcheck disable=SC2034 # each script uses some
{
  # Exit statuses of ns_jax.main that say: not again. (Others are crashes.)
  MISTAKE=2     # of the user, told in one line
  STOPPED=130   # by Ctrl-C
  PREEMPTED=143 # by SIGTERM, after a checkpoint

  # For JAX_PLATFORMS. With it JAX fails where it cannot use a GPU that is there;
  # where there is none, it takes the processor without a word.
  GPU_PLATFORMS=cuda,cpu
}

say() { # TEXT
  printf '%s: %s\n' "${0##*/}" "$*" >&2
}

mistake() { # TEXT: ends the script
  say "error: $*"
  exit "$MISTAKE"
}

show_help() { # prints the comment that the script begins with
  sed -n '3,/^[^#]/s/^#\( \|$\)//p' "$0"
}

need() { # PROGRAM WHY
  command -v "$1" >/dev/null || mistake "there is no $1 here; $2"
}

need_count() { # OPTION VALUE
  [[ $2 =~ ^(0|[1-9][0-9]{0,8})$ ]] || mistake "$1=$2: is not a whole number"
}

need_gpus() { # [NAME=VALUE...] PYTHON: with what the training has
  local said
  said=$(env "$@" -c 'import jax; print(jax.default_backend())' 2>&1) ||
    true
  [ "${said##*$'\n'}" = gpu ] ||
    mistake "JAX finds no GPU here (${said##*$'\n'}); is the extra cuda installed?"
}

quoted() { # WORD...: prints them as a line of shell that means just them
  local word line='' quote="'\\''"
  for word; do
    # What needs no quotes gets none, so that it can be read.
    [[ $word =~ ^[[:alnum:]_@%+=:,./-]+$ ]] || word="'${word//\'/$quote}'"
    line+=" $word"
  done
  printf '%s\n' "${line# }"
}

flag_in() { # NAME WORD...: prints the last value of --NAME, as absl reads it
  local name=$1 word value='' is_next=''
  shift
  for word; do
    if [ -n "$is_next" ]; then
      value=$word is_next=''
      continue
    fi
    case $word in
      -"$name"=* | --"$name"=*) value=${word#*=} ;;
      -"$name" | --"$name") is_next=1 ;;
    esac
  done
  printf '%s\n' "$value"
}

need_run() { # FLAG...: of ns_jax.main; a run has a config and a folder
  [ -n "$(flag_in config "$@")" ] ||
    mistake "--config is missing; after --, for the demo: --config=configs/ns2.py"
  [ -n "$(flag_in workdir "$@")" ] ||
    mistake "--workdir is missing; after --, the folder of checkpoints and results"
}

attended='' # process that `attend` waits for
signal=''   # the last that came
_again=''

attend() { # COMMAND...: waits for its end, whatever signals come meanwhile
  local status='' last
  "$@" </dev/null &
  attended=$!
  # One may have come before there was anybody to pass it on to.
  [ -z "$signal" ] || pass_on "$signal"
  while :; do
    _again=''
    last=0
    wait "$attended" 2>/dev/null || last=$? # bash would tell of its death
    # 127: its status was known, and forgotten, before the last signal came.
    [ -n "$status" ] && [ "$last" = 127 ] || status=$last
    # What ends `wait` need not end the process: a signal to us, or Ctrl-Z.
    [ -n "$_again" ] && continue
    kill -0 "$attended" 2>/dev/null || break
    sleep 1
  done
  attended=''
  return "$status"
}

noted() { # SIGNAL: for `pass_on`, which the script's traps call and it defines
  signal=$1
  _again=1
  [ -n "$attended" ] # else there is nobody to pass it on to yet
}
