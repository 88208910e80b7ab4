#!/bin/sh
# `teola index` as a user runs it: messages, exit statuses, JSON, interrupting and killing the program.
set -eu
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
export TEOLA_MODELS="$TEOLA_TEST_MODELS" XDG_DATA_HOME="$top/data" XDG_CONFIG_HOME="$top/config" TEOLA_EMBEDDER_THREADS=1
unset TEOLA_STORE TEOLA_CONFIG
cd "$top"

fail() { echo "index_command: $*" >&2; exit 1; }

# expect STATUS TEXT COMMAND...: the command exits so and prints the text (on either stream).
expect() {
    status=$1 text=$2
    shift 2
    got=0
    "$@" >out 2>&1 || got=$?
    [ "$got" -eq "$status" ] || { cat out >&2; fail "exit status $got instead of $status: $*"; }
    grep -qF -- "$text" out || { cat out >&2; fail "'$text' is not printed by: $*"; }
}
index() { "$TEOLA_PROGRAM" index "$@"; }

mkdir docs
for i in 01 02 03 04 05 06 07 08 09 10 11 12; do
    printf '# Page %s\n\nThe river number %s flows past stone %s.\n\n## Bridges\n\nIt has %s bridges.\n' $i $i $i $i >docs/$i.md
done
printf '\000\001' >docs/picture.bin

expect 2 "which files" index --collection docs
expect 2 "--collection NAME is needed" index docs
expect 2 "cannot name a collection" index docs --collection 'no such'
expect 2 "no option" index docs --colection docs
expect 2 "expected a number" index docs --collection docs --chunk-size -5
expect 2 "no file or directory" index nowhere --collection docs
expect 2 "exclude" index --list --drop
expect 0 "Usage: teola index" index --help
expect 0 "no collections yet" index --list
expect 1 "there is no store" index --dump --collection docs

expect 0 "12 documents added, 0 replaced, 0 unchanged, 0 removed, 1 skipped" index docs --collection docs
grep -q "skipped .*picture.bin: is binary" out || fail "the skipped file is not named"
[ -f "$top/data/teola/store.db" ] || fail "the store is not where the documentation says"
index --dump --collection docs >whole
grep -c '^document ' whole | grep -qx 12 || fail "the dump has not 12 documents"
expect 0 "12 unchanged" index docs --collection docs
expect 0 '"unchanged": 12' index docs --collection docs --format json
expect 0 '"reason": "is binary' index docs --collection docs --format json
expect 0 "docs " index --list
expect 0 '"documents": 12' index --list --format json
expect 2 "chunks of 256 tokens" index docs --collection docs --chunk-size 100
[ -z "$(index docs --collection docs --quiet 2>&1)" ] || fail "--quiet is not quiet"
other="$TEOLA_TEST_MODELS/smollm2-135m-instruct-q8_0.gguf"
expect 2 "was indexed with the embedding model" index docs --collection docs --embed-model "$other"

mv docs/12.md docs/13.md
expect 0 "1 documents added, 0 replaced, 11 unchanged, 0 removed" index docs --collection docs
expect 0 "removed $top/docs/12.md" index docs --collection docs --prune -v

# Interrupted: 130, and what is said to be in is in. The signal comes when the third document is reported.
interrupt() {
    "$TEOLA_PROGRAM" index docs --collection "$1" --verbose >out 2>&1 & # not the function: its process would be a shell
    process=$!
    while [ "$(grep -c '^added' out)" -lt "$2" ] && kill -0 $process 2>/dev/null; do :; done
    kill "-$3" $process 2>/dev/null || true
    got=0
    wait $process || got=$?
}
index docs --collection undisturbed --quiet 2>&1 || fail "indexing failed"
index --dump --collection undisturbed | sed 1d >whole
for signal in INT TERM KILL; do
    for after in 1 4 7; do
        interrupt halves $after $signal
        case $signal:$got in
        INT:130 | TERM:130 | KILL:137 | *:0) ;; # 0: it was done before the signal came
        *) cat out >&2; fail "exit status $got after SIG$signal" ;;
        esac
        index --dump --collection halves 2>/dev/null | sed 1d >part
        grep -vxFf whole part && fail "something in the collection is not of the documents"
        index docs --collection halves --quiet 2>&1 || fail "the second run failed"
        index --dump --collection halves | sed 1d >part
        cmp whole part || fail "the second run did not complete it"
        expect 0 "dropped" index --drop --collection halves
    done
done
expect 1 "no collection" index --drop --collection halves
echo "index_command: all as documented"
