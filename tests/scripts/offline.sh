#!/usr/bin/env bash
# With TEOLA_OFFLINE=1 the set-up fetches nothing: it names what is missing, fails, and leaves nothing half made.
# Wrong use is told apart by its exit status.
set -euo pipefail
work=$(mktemp -d "$1/offline.XXXXXX")
trap 'rm -rf "$work"' EXIT
scripts=${TEOLA_SOURCE_DIR:?}/scripts
export XDG_CACHE_HOME=$work/cache XDG_DATA_HOME=$work/data TEOLA_OFFLINE=1
unset TEOLA_VEC0 TEOLA_MODELS

# expect STATUS TEXT COMMAND...: the command ends with the status and says the text.
expect() {
    local status=$1 text=$2 rc=0
    shift 2
    "$@" >"$work/out" 2>&1 </dev/null || rc=$?
    if [ "$rc" -ne "$status" ] || ! grep -qF -- "$text" "$work/out"; then
        echo "FAILED: $* ended with $rc (expected $status, saying \"$text\") and said:" >&2
        cat "$work/out" >&2
        exit 1
    fi
}

expect 1 "the Python packages of scripts/requirements.txt" "$scripts/setup" --no-packages
expect 1 "llama.cpp" "$scripts/llama" build
expect 2 "unknown argument: --bogus" "$scripts/setup" --bogus
expect 2 "--question needs a value" "$scripts/demo" --question
expect 2 "no such folder: $work/nowhere" "$scripts/demo" --docs "$work/nowhere" --question x
expect 2 "at least one --question" "$scripts/demo" --docs "$work"
for script in setup demo test; do
    expect 0 "--no-packages" "$scripts/$script" --help
done

mkdir -p "$work/cache" "$work/data"
left=$(find "$work/cache" "$work/data" -type f ! -name '*.lock')
[ -z "$left" ] || {
    echo "FAILED: left behind: $left" >&2
    exit 1
}
echo "nothing fetched, nothing left"
