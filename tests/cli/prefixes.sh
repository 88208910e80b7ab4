#!/usr/bin/env bash
# A second `teola run` finds the beginnings of its prompts in files and computes fewer tokens.
# Needs TEOLA_PROGRAM and TEOLA_TEST_MODELS; the language model is real, the other engines are emulated.
set -u

program=${TEOLA_PROGRAM:?}
models=${TEOLA_TEST_MODELS:?}
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT

unset "${!TEOLA_@}"
export XDG_CONFIG_HOME=$scratch/config XDG_DATA_HOME=$scratch/data XDG_CACHE_HOME=$scratch/cache LC_ALL=C.UTF-8
export TEOLA_MODELS=$models TEOLA_PROFILE=none
cat >"$scratch/teola.yaml" <<YAML
engines:
  llm: {type: llama, model: smollm2-135m-instruct-q8_0, threads: 1, context_size: 1024, parallel: 2}
  embedder: {type: emulated, device: embedder, scale: 0}
  reranker: {type: emulated, device: reranker, scale: 0}
  store: {type: emulated, device: store, scale: 0, collection_chunks: 2}
  documents: {type: emulated, device: documents, scale: 0}
YAML
cat >"$scratch/short.yaml" <<YAML
name: short
inputs: {question: text}
steps:
  - id: answer
    module: generate
    inputs: {question: \$question}
    max_tokens: 4
    prompt:
      system: Answer in one short sentence, and name the place that is meant in it.
      user: "The question is: {question}"
outputs: {answer: \$answer.text}
YAML

# ask NAME OPTION...: one process, its result in NAME.json
ask() {
    local name=$1
    shift
    "$program" run "$scratch/short.yaml" --config "$scratch/teola.yaml" --question "Who built the bridge?" --format json -q "$@" >"$scratch/$name.json" || { echo "FAILED: teola run ($name)"; exit 1; }
}

ask first
[ "$(stat -c %a "$XDG_CACHE_HOME/teola/prefixes")" = 700 ] || { echo "FAILED: the folder is open to others"; exit 1; }
ask second
ask without --set llm.file_bytes=0
for file in "$XDG_CACHE_HOME"/teola/prefixes/*; do
    printf 'x' | dd of="$file" bs=1 seek=200 conv=notrunc status=none
done
ask wrong
ask again
"$program" doctor --config "$scratch/teola.yaml" >"$scratch/doctor"
grep -q 'prefixes .*teola/prefixes' "$scratch/doctor" || { echo "FAILED: doctor does not show them"; exit 1; }
python3 - "$scratch" <<'PY'
import json, sys
first, second, without, wrong, again = (json.load(open(f"{sys.argv[1]}/{name}.json"))
                                        for name in ("first", "second", "without", "wrong", "again"))
for result, loaded in (first, False), (second, True), (without, False), (wrong, False), (again, True):
    assert (result["usage"]["tokens_loaded"] >= 16) == loaded, result["usage"]
assert second["usage"]["tokens_computed"] < first["usage"]["tokens_computed"], (first["usage"], second["usage"])
assert any("checksum" in str(notice) for notice in wrong.get("notices", [])), wrong.get("notices")
PY
