#!/usr/bin/env bash
# The program as users call it: exit statuses, what goes to which stream, messages, signals.
# Needs TEOLA_PROGRAM and TEOLA_SOURCE_DIR; engines are emulated, so no model is read.
set -u

program=${TEOLA_PROGRAM:?}
source=${TEOLA_SOURCE_DIR:?}
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
cd "$source" || exit 1

# Nothing of the user's own configuration, models or collections takes part.
unset "${!TEOLA_@}"
export XDG_CONFIG_HOME=$scratch/config XDG_DATA_HOME=$scratch/data XDG_CACHE_HOME=$scratch/cache LC_ALL=C.UTF-8
export TEOLA_CONFIG=$source/tests/cli/emulated.yaml

checks=0
failures=0

fail() {
    failures=$((failures + 1))
    printf 'FAILED: %s\n  command: %s\n  status: %s\n  stdout: %s\n  stderr: %s\n' \
        "$1" "$command" "$status" "$(head -c 600 "$scratch/out")" "$(head -c 600 "$scratch/err")"
}

# run STATUS ARGUMENT...: runs the program, and checks its exit status.
run() {
    local expected=$1
    shift
    command="teola $*"
    "$program" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null
    status=$?
    checks=$((checks + 1))
    [ "$status" -eq "$expected" ] || fail "expected exit status $expected"
}

stream_has() {
    checks=$((checks + 1))
    grep -qF -e "$2" "$scratch/$1" || fail "$1 lacks: $2"
}
out() { stream_has out "$1"; }
err() { stream_has err "$1"; }
silent() {
    checks=$((checks + 1))
    [ -s "$scratch/$1" ] && fail "std$1 should be empty"
}

# ---- help, version, what is not there ----
run 2; err "Usage: teola COMMAND"; silent out
run 0 help; out "First steps:"; silent err
run 0 --help; out "Usage: teola COMMAND"
run 0 version; out "teola "
run 0 --version; out "teola "
for name in run explain draw validate doctor; do
    run 0 "$name" --help; out "Usage: teola $name"; silent err
    run 0 help "$name"; out "Usage: teola $name"
    run 0 "$name" --version; out "teola "
    run 2 "$name" --no-such-option; err "there is no option --no-such-option"; err "teola $name --help"
done
run 2 rnu; err "did you mean 'run'?"; silent out
run 2 --verison; err "did you mean 'version'?"
run 2 help rnu; err "did you mean 'run'?"
run 2 run --colection x; err "did you mean --collection?"
run 2 run naive-rag --question; err "--question needs a value"
run 2 run naive-rag -c; err "-c needs a value"
run 2 run naive-rag --quiet=3; err "takes no value"
run 2 run naive-rag -Z; err "there is no option -Z"

# ---- validate ----
run 0 validate naive-rag advanced-rag; out "workflow naive-rag is valid"; out "workflow advanced-rag is valid"
run 0 validate -q naive-rag; silent out
run 2 validate; err "which workflow?"
run 2 validate naive-rga; err "did you mean 'naive-rag'?"
run 2 validate "$scratch/none.yaml"; err "no such file"
printf 'name: x\nsteps:\n  - id: a\n    module: serch\n  - id: a\n    modul: embed\n' >"$scratch/bad.yaml"
run 2 validate "$scratch/bad.yaml" naive-rag; err "bad.yaml:4:"; err "bad.yaml:5:"; err "did you mean 'search'?"; out "naive-rag is valid"
run 0 validate --schema; out '"properties"'

# ---- explain and draw ----
run 0 explain naive-rag; out "p-graph"; out 'graph "naive-rag"'; out "plan"; silent err
cp "$scratch/out" "$scratch/first"
run 0 explain naive-rag
cmp -s "$scratch/first" "$scratch/out" || fail "explain differs from one time to the next"
run 0 explain advanced-rag --collection --optimize=off; out "no pass changed anything"
run 0 explain advanced-rag --passes; out "prune"
run 2 explain naive-rag --optimize=fast; err "off, paper or cost"
run 2 explain naive-rag --pass=-prun; err "prun"
run 0 explain naive-rag --format json; out '"critical_path"'; out '"passes"'; silent err
run 2 explain naive-rag --format yaml; err "text or json"
run 2 explain; err "which workflow?"
TEOLA_PASSES=-all run 0 explain naive-rag --passes; out "no pass changed anything"
TEOLA_PASSES=-all run 0 explain naive-rag --passes --pass=+prune; out "prune"
TEOLA_PASSES=-prun run 2 explain naive-rag; err "all, prune, share"
run 0 draw naive-rag --format dot; out "digraph"
run 0 draw naive-rag -o "$scratch/g.dot"; silent out; grep -q digraph "$scratch/g.dot" || fail "no DOT in the file"
run 2 draw naive-rag --format png; err "svg, html or dot"
if command -v dot >/dev/null; then
    run 0 draw advanced-rag -o "$scratch/g.svg"; grep -q '<svg' "$scratch/g.svg" || fail "no SVG in the file"
    run 0 draw advanced-rag -o "$scratch/g.html"; grep -q 'Critical path' "$scratch/g.html" || fail "no page in the file"
fi

# ---- run: wrong use ----
run 2 run; err "which workflow?"
run 2 run naive-rag -c x; err "no question"
run 2 run naive-rag --question Q; err "answer from what?"
run 2 run naive-rag --question "  " -c x; err "'question' is empty"
run 2 run naive-rag --question Q -c x --docs .; err "exclude each other"
run 2 run naive-rag Q extra -c x; err "one word too many"
run 2 run naive-rag --question Q -c x --timeout soon; err "such as 30s"
run 2 run naive-rag --question Q -c x --input nonsense; err "NAME=VALUE"
run 2 run naive-rag --question Q -c x --input qestion=1; err "did you mean 'question'?"
run 2 run naive-rag --question Q -c x --format xml; err "text or json"
run 2 run naive-rag --question Q -c x --set llm.typ=x; err "llm"
run 2 run naive-rag --question Q -c x --config "$scratch/none.yaml"; err "none.yaml"
run 1 run naive-rag --question Q --docs "$scratch/none"; err "No such file"
run 1 run naive-rag --question Q -c x --set store.collection_chunks=0; err "there is no collection 'x'"; err "search/"

# ---- run: answers ----
run 0 run naive-rag --question "What is amber?" -c x; out "Sources:"; out "[1] x"; out "bytes "; silent err
cp "$scratch/out" "$scratch/first"
run 0 run naive-rag "What is amber?" -c x
cmp -s "$scratch/first" "$scratch/out" || fail "the answer differs when the question is a word"
printf 'What is amber?\n' | "$program" run naive-rag --question - -c x >"$scratch/out" 2>"$scratch/err" || fail "question from stdin"
cmp -s "$scratch/first" "$scratch/out" || fail "the answer differs when the question comes from standard input"
printf 'What is amber?' >"$scratch/q"
run 0 run naive-rag --input question=@"$scratch/q" -c x
cmp -s "$scratch/first" "$scratch/out" || fail "the answer differs when the question comes from a file"
run 0 run naive-rag -q "What is amber?" -c x; checks=$((checks + 1)); grep -q Sources "$scratch/out" && fail "-q shows sources"
run 0 run advanced-rag --question Q --docs workflows README.md; out "README.md"
run 0 run advanced-rag --question Q -c x --timeline; err "Where the time went"; err "answer/"
run 0 run advanced-rag --question Q -c x -v; err "Where the time went"
run 0 run naive-rag --question "What is amber?" -c x -o "$scratch/answer"; silent out
cmp -s "$scratch/first" "$scratch/answer" || fail "the answer in the file differs"
run 0 run naive-rag --question Q -c x --format json --trace "$scratch/trace.json"
python3 - "$scratch/out" "$scratch/trace.json" <<'PY' || fail "JSON or trace is not as promised"
import json, sys
result, trace = (json.load(open(path)) for path in sys.argv[1:])
assert result["status"] == "done" and result["outputs"]["answer"] == result["text"], result
assert len(result["items"]) == sum(event["ph"] == "X" for event in trace["traceEvents"]) > 0
assert trace["displayTimeUnit"] == "ms"
PY
for level in off paper cost; do
    run 0 run naive-rag --optimize=$level --question "What is amber?" -c x
    cmp -s "$scratch/first" "$scratch/out" || fail "--optimize=$level changes the answer"
done

# ---- run: failures, deadline, signals ----
run 1 run naive-rag --question Q -c x --set llm.fail_every=2; err "emulated failure"; err "answer/"
run 1 run naive-rag --question Q -c x --set llm.hang=true --timeout 50ms; err "deadline"
run 1 run naive-rag --question Q -c x --set llm.fail_every=2 --format json; out '"status": "failed"'

# A list that breaks off: the run goes on with what is whole, or fails where the workflow wants that; at every level alike.
{ cat "$source/workflows/advanced-rag.yaml"; echo "on_error: fail"; } >"$scratch/fail.yaml"
for level in off paper; do
    run 0 run advanced-rag --optimize=$level --question Q -c x --set llm.list_broken=1
    cp "$scratch/out" "$scratch/broken-$level"
    run 1 run "$scratch/fail.yaml" --optimize=$level --question Q -c x --set llm.list_broken=1
    err "expand/decode"; err "breaks off after"
    run 0 run "$scratch/fail.yaml" --optimize=$level --question Q -c x
done
cmp -s "$scratch/broken-off" "$scratch/broken-paper" || fail "a broken list makes the levels' answers differ"

# A slow answer is interrupted after its first words: they are kept.
command="teola run (interrupted)"
rm "$scratch/out" # so that only what the program writes is waited for
"$program" run naive-rag --question Q -c x --set llm.scale=1 --set llm.answer_tokens=100000 --set llm.iteration_ms=5 \
    --set llm.prompt_token_ms=0 >"$scratch/out" 2>"$scratch/err" </dev/null &
child=$!
for _ in $(seq 600); do
    [ -s "$scratch/out" ] && break
    kill -0 $child 2>/dev/null || break
    sleep 0.05
done
kill -INT $child
wait $child
status=$?
checks=$((checks + 1))
[ $status -eq 130 ] || fail "expected exit status 130"
err "cancelled; the answer is not complete"
[ -s "$scratch/out" ] || fail "the partial answer is lost"

# The first Ctrl-C cannot hurry what an engine is just at; the second ends the program all the same.
command="teola run, interrupted twice"
"$program" run naive-rag --question Q -c x --set llm.scale=1 --set llm.iteration_ms=60000 --set llm.answer_tokens=3 \
    --set llm.prompt_token_ms=0 -v >"$scratch/out" 2>"$scratch/err" </dev/null &
child=$!
# wait_until COMMAND...: until it succeeds, as long as the program runs.
wait_until() {
    for _ in $(seq 400); do
        "$@" && return
        kill -0 $child 2>/dev/null || return
        sleep 0.05
    done
}
wait_until grep -q "engine llm" "$scratch/err"
sleep 0.2 # it is at work by then; if not, the program is loading, and the first signal ends it
kill -INT $child
wait_until grep -q cancelled "$scratch/err"
kill -INT $child
wait_until false
kill -KILL $child 2>/dev/null
wait $child
status=$?
checks=$((checks + 1))
[ $status -eq 130 ] || fail "expected exit status 130"

# A reader that goes away ends the run too.
command="teola run | head -c 1"
set -o pipefail
"$program" run naive-rag --question Q -c x --set llm.scale=1 --set llm.iteration_ms=5 --set llm.answer_tokens=2000 \
    --set llm.prompt_token_ms=0 2>"$scratch/err" </dev/null | head -c 1 >"$scratch/out"
status=$?
checks=$((checks + 1))
[ $status -eq 1 ] || fail "expected exit status 1"
set +o pipefail

# A full disk ends it too, and says so.
command="teola run >/dev/full"
"$program" run naive-rag --question Q -c x >/dev/full 2>"$scratch/err" </dev/null
status=$?
checks=$((checks + 1))
[ $status -eq 1 ] || fail "expected exit status 1"
err "standard output: No space left on device"

# ---- names of files ----
: >"$scratch/"$'red\033[31m\302\233.txt'
run 0 run naive-rag --question Q -d "$scratch/"$'red\033[31m\302\233.txt'; out 'red\x1b[31m\x9b.txt'
checks=$((checks + 1))
grep -q $'\033' "$scratch/out" && fail "a file's name reaches the terminal as it is"

# ---- profile ----
cat >"$scratch/measured.yaml" <<'YAML'
engines:
  llm: {type: emulated}
  embedder: {type: emulated}
  reranker: {type: emulated}
  store: {type: emulated}
  documents: {type: documents, tokenizer: approximate}
YAML
run 2 profile --budget soon; err "expected a time such as 120s"
run 2 profile --engine nobody; err "there is no engine 'nobody'; there are: "
run 2 profile --set profile=none; err "say with -o where it goes"
run 2 profile extra; err "takes no arguments"
run 0 profile --config "$scratch/measured.yaml" --budget 1s
out "not measured: emulated: its times are its settings"
out "chunk"
checks=$((checks + 1))
for written in profile.json profile.svg; do
    [ -s "$XDG_DATA_HOME/teola/$written" ] || fail "$written is there"
done
run 0 profile --config "$scratch/measured.yaml" --engine documents --budget 1s --format json -o "$scratch/other.json"
out '"documents": {'
sed -i 's/"unit": [^,]*,/"unit": "slow",/' "$XDG_DATA_HOME/teola/profile.json"
"$program" doctor --config "$scratch/measured.yaml" >"$scratch/out" 2>"$scratch/err"
command="teola doctor"
out 'engines.documents.kinds.chunk.fit.unit is "slow", expected a number from 0 on'
rm -r "$XDG_DATA_HOME/teola"

# ---- configuration and doctor ----
printf 'engines:\n  llm: {tpye: emulated}\n' >"$scratch/c.yaml"
run 2 run naive-rag --question Q -c x --config "$scratch/c.yaml"; err "c.yaml:2:"; err "did you mean"
run 2 doctor extra; err "not expected"
"$program" doctor >"$scratch/out" 2>"$scratch/err"
status=$?
command="teola doctor"
out "config"; out "emulated.yaml"; out "llm"
checks=$((checks + 1))
grep -q $'\033' "$scratch/out" && fail "colours although this is no terminal"

printf '%d checks, %d failures\n' "$checks" "$failures"
[ "$failures" -eq 0 ]
