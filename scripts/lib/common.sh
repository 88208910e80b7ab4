# shellcheck shell=bash
# What every script shares: folders, messages, locks, and running a long command with its output in a log.
# Sourced, never run. Nothing is written outside the checkout, $cache_dir and $data_dir.
set -euo pipefail

: "${HOME:?HOME must name your home folder}"
source_dir=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
cache_dir=${XDG_CACHE_HOME:-$HOME/.cache}/teola
data_dir=${XDG_DATA_HOME:-$HOME/.local/share}/teola
log_dir=$cache_dir/log
models_dir=${TEOLA_MODELS:-$data_dir/models}
vec0_file=${TEOLA_VEC0:-$data_dir/vec0.so}
export source_dir cache_dir data_dir log_dir models_dir vec0_file
# A user's pip settings must not move packages out of the folders that they are told to go to.
export PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0

step() { printf '==> %s\n' "$*" >&2; }
note() { printf '    %s\n' "$*" >&2; }
fail() {
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    shift
    [ $# -eq 0 ] || printf '    %s\n' "$@" >&2
    exit 1
}

# os_field NAME: a field of /etc/os-release, empty where there is none.
os_field() { sed -n "s/^$1=\"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p" /etc/os-release 2>/dev/null || true; }

offline() { [ "${TEOLA_OFFLINE:-0}" = 1 ]; }
# Ends the script when something must be fetched and TEOLA_OFFLINE=1 forbids it.
need_network() { ! offline || fail "TEOLA_OFFLINE=1, but this is not here yet: $1"; }

# take_lock NAME: waits until no other script holds the lock. It is given back by release_locks or when this shell ends.
locks=()
take_lock() {
    local file=$cache_dir/$1.lock fd
    mkdir -p "$cache_dir"
    exec {fd}>"$file"
    if ! flock --nonblock "$fd"; then
        note "another run is at work here ($1); waiting for it"
        flock "$fd"
    fi
    locks+=("$fd")
}
release_locks() {
    local fd
    for fd in "${locks[@]}"; do
        exec {fd}>&-
    done
    locks=()
}

# What a script leaves behind when it is interrupted: the running command is stopped, scratch folders go.
running_pid=
scratch=()
clean_up() {
    if [ -n "$running_pid" ]; then
        kill -TERM -- "-$running_pid" 2>/dev/null || true
        running_pid=
    fi
    [ ${#scratch[@]} -eq 0 ] || rm -rf -- "${scratch[@]}"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# make_scratch PARENT: sets scratch_dir to a new folder in PARENT that is removed when the script ends. The caller holds
# the lock that guards PARENT; so what is there of the kind was left by a run that was killed, and goes first.
make_scratch() {
    mkdir -p "$1"
    rm -rf -- "$1"/.new.*
    scratch_dir=$(mktemp -d "$1/.new.XXXXXX")
    scratch+=("$scratch_dir")
}

# run_logged NAME PATTERN COMMAND...: runs COMMAND with its output in the log NAME and shows how long it has run and the
# last text in the log that matches PATTERN (an extended regular expression). When it fails, ends the script with the
# log's path and last lines.
run_logged() {
    local name=$1 pattern=$2 log start last rc=0 shown=0 elapsed
    shift 2
    mkdir -p "$log_dir"
    log=$log_dir/$name.log
    start=$SECONDS
    # Its own process group, so that an interrupt can stop all that it started.
    set -m
    "$@" >"$log" 2>&1 </dev/null &
    running_pid=$!
    set +m
    while kill -0 "$running_pid" 2>/dev/null; do
        elapsed=$((SECONDS - start))
        if [ -t 2 ] || [ $((elapsed - shown)) -ge 30 ]; then
            last=$(tail -c 20000 "$log" 2>/dev/null | { grep -aoE "$pattern" || true; } | tail -n 1 | cut -c 1-60)
            if [ -t 2 ]; then
                printf '\r\033[K    %s: %d s  %s' "$name" "$elapsed" "$last" >&2
            else
                note "$name: $elapsed s  $last"
                shown=$elapsed
            fi
        fi
        sleep 0.2
    done
    wait "$running_pid" || rc=$?
    running_pid=
    [ ! -t 2 ] || printf '\r\033[K' >&2
    if [ "$rc" -ne 0 ]; then
        tail -n 25 "$log" >&2
        fail "$name failed after $((SECONDS - start)) s (exit status $rc)" "the whole output: $log"
    fi
    note "$name: done in $((SECONDS - start)) s"
}
