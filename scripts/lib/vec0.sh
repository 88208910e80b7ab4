# shellcheck shell=bash
# Step 3: sqlite-vec's loadable extension, taken out of its wheel into the data folder.

ensure_vec0() {
    local file=$vec0_file
    if [ -n "${TEOLA_VEC0:-}" ]; then
        step "sqlite-vec: yours, $vec0_file (TEOLA_VEC0)"
        return
    fi
    step "sqlite-vec ($file)"
    if [ -f "$file" ] && cmp -s "$file.from" "$source_dir/scripts/requirements-vec0.txt"; then
        note "ready"
        return
    fi
    need_network "sqlite-vec"
    note "will fetch $(grep -oE '^sqlite-vec==[0-9.]+' "$source_dir/scripts/requirements-vec0.txt")"
    make_scratch "$data_dir"
    run_logged sqlite-vec '^ *(Collecting|Downloading|Saved) .*' \
        "$TEOLA_PYTHON" -m pip install --no-cache-dir --disable-pip-version-check --no-deps --only-binary=:all: \
        --require-hashes --target "$scratch_dir/wheel" -r "$source_dir/scripts/requirements-vec0.txt"
    mv "$scratch_dir/wheel/sqlite_vec/vec0.so" "$file"
    cp "$source_dir/scripts/requirements-vec0.txt" "$file.from"
}
