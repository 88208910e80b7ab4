# shellcheck shell=bash
# Step 5: the models that the demo and the tests use, by the program's own `models pull`.

demo_models=(smollm2-135m-instruct-q8_0 all-minilm-l6-v2-f16)

ensure_models() {
    local name
    step "Models ($models_dir)"
    for name in "$@"; do
        if [ -f "$models_dir/$name.gguf" ]; then
            note "$name: ready"
            continue
        fi
        need_network "the model $name"
        note "will fetch $name"
        "$source_dir/build/release/teola" models pull "$name" || fail "the model $name could not be fetched"
    done
}

# tune_model NAME: once on each machine, finds the weight format in which the model runs fastest and uses it. Three formats
# and two rounds of timing: some twenty seconds for the demo's model.
tune_model() {
    local name=$1
    [ ! -f "$models_dir/$name.tune.json" ] || return 0
    step "The weight format in which $name runs best on this machine (once)"
    "$source_dir/build/release/teola" models tune --formats f16,q8_0,q4_0 --rounds 2 "$name" ||
        note "that could not be measured; it is used as it is"
}
