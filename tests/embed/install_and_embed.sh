#!/usr/bin/env bash
# Installs the build into a folder of its own, builds examples/embed against it by find_package and by pkg-config, runs
# both over a document, and expects an answer with that document among its sources.
#   install_and_embed.sh BUILD COMPILER SANITIZERS COVERAGE
set -euo pipefail
build=$1 compiler=$2 sanitizers=$3 coverage=$4
source_dir=${TEOLA_SOURCE_DIR:?}
work=$(mktemp -d "$build/embed.XXXXXX")
trap 'rm -rf "$work"' EXIT

flags=-g
[ -z "$sanitizers" ] || flags+=" -fsanitize=$sanitizers"
[ "$coverage" != ON ] || flags+=" --coverage"

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

cmake --install "$build" --prefix "$work/prefix" >"$work/install.log" || fail "install: $(tail -n 5 "$work/install.log")"
prefix=$work/prefix
pc=$(find "$prefix" -name teola.pc)
[ -n "$pc" ] || fail "no teola.pc below $prefix"

# The installed program stands on its own: it finds its libraries without this build's folders.
version=$("$prefix/bin/teola" --version) || fail "the installed program does not start"
[[ $version == *[0-9].[0-9]* ]] || fail "--version says: $version"

cp -r "$source_dir/examples/embed" "$work/example"
if ! { cmake -S "$work/example" -B "$work/by-cmake" -DCMAKE_C_COMPILER="$compiler" -DCMAKE_PREFIX_PATH="$prefix" \
    -DCMAKE_C_FLAGS="$flags" && cmake --build "$work/by-cmake"; } >"$work/log" 2>&1; then
    fail "the example does not build by find_package(teola): $(cat "$work/log")"
fi
PKG_CONFIG_PATH=$(dirname "$pc") make -C "$work/example" CC="$compiler" CFLAGS="$flags" >"$work/log" 2>&1 ||
    fail "the example does not build by pkg-config: $(cat "$work/log")"

mkdir "$work/docs"
cat >"$work/docs/lighthouse.md" <<'TEXT'
# The lighthouse of Carrow Point

The lighthouse of Carrow Point was built in 1847. Its lamp burns whale oil. The keeper is called Ada Finch.
TEXT
for program in "$work/by-cmake/embed" "$work/example/embed"; do
    "$program" "$source_dir/workflows/advanced-rag.yaml" "Who keeps the lighthouse?" "$work/docs" >"$work/out" 2>"$work/err" ||
        fail "$program: $(cat "$work/err")"
    python3 - "$work/out" <<'PYTHON' || fail "$program wrote: $(cat "$work/out")"
import json
import sys

answer, result = open(sys.argv[1]).read().rstrip("\n").rsplit("\n", 1)
result = json.loads(result)
assert answer.strip(), "nothing was streamed"
assert result["status"] == "done", result["status"]
assert "lighthouse" in json.dumps(result["outputs"]), "the document is not among the sources"
PYTHON
done

rc=0
"$work/example/embed" "$work/missing.yaml" question "$work/docs" >"$work/out" 2>"$work/err" || rc=$?
{ [ "$rc" -eq 1 ] && grep -q missing.yaml "$work/err"; } || fail "a missing workflow: exit $rc, $(cat "$work/err")"
echo "installed, embedded twice, answered"
