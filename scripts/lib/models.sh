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
