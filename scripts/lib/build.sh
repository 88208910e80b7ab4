# shellcheck shell=bash
# Step 4: configure and build. Configuring finds llama.cpp, or builds it once (cmake/TeolaLlama.cmake).

# build_preset NAME [CMAKE ARGUMENT...]
build_preset() {
    local preset=$1
    shift
    step "Teola, $preset build (build/$preset)"
    # Short, but for llama.cpp, which shows its own progress (on stderr, as all that goes wrong).
    mkdir -p "$log_dir"
    (cd "$source_dir" && cmake --preset "$preset" "$@" >"$log_dir/configure-$preset.log") ||
        fail "cmake --preset $preset failed; what it said is above and in $log_dir/configure-$preset.log"
    run_logged "build-$preset" '^\[[0-9]+/[0-9]+\] .*' cmake --build "$source_dir/build/$preset" --parallel "$(nproc)"
}
