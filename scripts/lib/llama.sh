# shellcheck shell=bash
# llama.cpp, built once into the cache. CMake (cmake/TeolaLlama.cmake) asks for it, by scripts/llama, when neither the user
# nor the system has one.
#
# A build is kept under a key of all that its machine code depends on: version, options, the processor's features (it is
# compiled for exactly this processor), the compiler and the distribution release. A cache that came from another machine
# has another key and is never run.

llama_requirements=$source_dir/scripts/requirements-llama.txt
llama_options='-DLLAVA_BUILD=OFF -DGGML_NATIVE=ON -DGGML_OPENMP=OFF'
llama_cpuinfo=/proc/cpuinfo
llama_recipe=1 # counted up when the steps below change what they leave behind

llama_version() { sed -n 's/^llama-cpp-python==\([0-9.]*\).*/\1/p' "$llama_requirements"; }

llama_key() {
    {
        echo "$llama_recipe"
        cat "$llama_requirements"
        echo "$llama_options ${CFLAGS:-} ${CXXFLAGS:-}"
        uname -m
        grep -m1 -E '^(flags|Features)[[:space:]]*:' "$llama_cpuinfo" | cut -d: -f2 | tr ' ' '\n' | sort
        "${CXX:-c++}" --version 2>/dev/null | head -n 1 || echo 'no compiler'
        os_field ID
        os_field VERSION_ID
    } | sha256sum | cut -c 1-16
}

# The folder in which the build for this machine is, or will be.
llama_dir() { printf '%s/llama/%s-%s\n' "$cache_dir" "$(llama_version)" "$(llama_key)"; }
llama_complete() { [ -f "$1/lib/cmake/llama/llama-config.cmake" ]; }

# Keeps of the installed Python package in $1 what C programs need: headers, libraries (once each, the other names as
# links) and their CMake files, which find everything relative to themselves.
llama_keep_libraries() {
    local dir=$1 real base soname
    cp "$dir"/llama_cpp_python-*.dist-info/licenses/LICENSE* "$dir/lib/" 2>/dev/null || true
    find "$dir" -mindepth 1 -maxdepth 1 ! -name include ! -name lib -exec rm -rf {} +
    find "$dir/lib" -name 'libllama-common*' -delete
    rm -rf "$dir/lib/pkgconfig"
    for real in "$dir"/lib/lib*.so.*.*.*; do
        base=${real##*/}
        soname=${base%.*.*}
        ln -sf "$base" "$dir/lib/$soname"
        ln -sf "$soname" "$dir/lib/${soname%.*}"
    done
}

llama_jobs() {
    # A compiler process takes up to 1 GiB: no more of them than the memory holds.
    local jobs memory
    jobs=$(nproc)
    memory=$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo)
    [ "$memory" -ge 1 ] || memory=1
    echo $((jobs < memory ? jobs : memory))
}

# llama_build: builds into llama_dir unless it is there. An interrupted build leaves nothing that looks complete: the
# folder gets its name by a rename, as the last act.
llama_build() {
    local dir tool
    dir=$(llama_dir)
    ! llama_complete "$dir" || return 0
    take_lock llama
    ! llama_complete "$dir" || return 0
    need_network "llama.cpp ($dir)"
    for tool in cc c++ python3; do
        command -v "$tool" >/dev/null || fail "building llama.cpp needs $tool; ./scripts/setup installs it"
    done
    note "will build llama.cpp (llama-cpp-python $(llama_version)) for this processor: once, about four minutes"
    make_scratch "$cache_dir/llama"
    run_logged llama-venv '.*' python3 -m venv "$scratch_dir/venv"
    # No package cache: it would hand out a library that was built for another processor or with other options.
    run_logged llama-build '\[[0-9]+/[0-9]+\]|^ *(Collecting|Downloading|Installing) .*' \
        env CMAKE_ARGS="$llama_options" CMAKE_BUILD_PARALLEL_LEVEL="$(llama_jobs)" TMPDIR="$scratch_dir" \
        "$scratch_dir/venv/bin/python" -m pip install -v --no-cache-dir --disable-pip-version-check --no-deps \
        --no-binary llama-cpp-python --target "$scratch_dir/prefix" -r "$llama_requirements"
    llama_keep_libraries "$scratch_dir/prefix"
    llama_complete "$scratch_dir/prefix" || fail "the package llama-cpp-python $(llama_version) brought no llama-config.cmake"
    sync -f "$scratch_dir/prefix"
    rm -rf "$dir"
    mv -T "$scratch_dir/prefix" "$dir"
}
