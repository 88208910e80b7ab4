# shellcheck shell=bash
# Step 4: configure and build. Configuring finds llama.cpp, or builds it once (cmake/TeolaLlama.cmake).

# build_preset NAME [CMAKE ARGUMENT...]
build_preset() {
    local preset=$1
    shift
    step "Teola, $preset build (build/$preset)"
    # Not in a log: it is short, and the one long part of it, llama.cpp, shows its own progress.
    (cd "$source_dir" && cmake --preset "$preset" --log-level=WARNING "$@") ||
        fail "cmake --preset $preset failed; what it said is above"
    run_logged "build-$preset" '^\[[0-9]+/[0-9]+\] .*' cmake --build "$source_dir/build/$preset" --parallel "$(nproc)"
}
