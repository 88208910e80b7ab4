# shellcheck shell=bash
# Step 2: a private Python environment in the cache. It brings what converts models (scripts/requirements.txt) and what
# checks the sources' format; the system's Python is left alone.

venv_dir=$cache_dir/venv

# ensure_python: makes or completes the environment and exports TEOLA_PYTHON, its interpreter.
ensure_python() {
    local requirements=$source_dir/scripts/requirements.txt stamp wanted
    step "Python environment ($venv_dir)"
    wanted=$(python3 --version; sha256sum <"$requirements")
    stamp=$venv_dir/.complete
    if [ -x "$venv_dir/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        note "ready"
    else
        need_network "the Python packages of scripts/requirements.txt"
        note "will install: $(grep -oE '^[a-z][a-z0-9-]+==[0-9.]+' "$requirements" | tr '\n' ' ')"
        rm -rf "$venv_dir"
        run_logged python-venv '.*' python3 -m venv "$venv_dir"
        run_logged python-packages '^(Collecting|Downloading|Installing) .*' \
            "$venv_dir/bin/python" -m pip install --no-cache-dir --disable-pip-version-check --no-deps \
            --only-binary=:all: --require-hashes -r "$requirements"
        printf '%s\n' "$wanted" >"$stamp"
    fi
    export TEOLA_PYTHON=$venv_dir/bin/python
}
