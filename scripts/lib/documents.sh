# shellcheck shell=bash
# Finds the SQLite documentation of the package sqlite3-doc and sets `documents` to its folder. Minimal images tell dpkg
# to leave documentation out; then the pages are taken from the package file itself into the cache.

find_sqlite_documentation() {
    local installed=/usr/share/doc/sqlite3 unpacked=$cache_dir/sqlite3-doc
    if [ -f "$installed/lang.html" ]; then
        documents=$installed
        return
    fi
    documents=$unpacked/usr/share/doc/sqlite3
    [ ! -f "$documents/lang.html" ] || return 0
    step "SQLite documentation ($unpacked)"
    need_network "the package sqlite3-doc"
    command -v apt-get >/dev/null || fail "the SQLite documentation is not here: give --docs DIR and --question"
    note "this system leaves documentation out when it installs packages; will unpack sqlite3-doc itself"
    make_scratch "$cache_dir"
    chmod 755 "$scratch_dir" # apt fetches as another user
    run_logged sqlite3-doc '^Get:.*' env -C "$scratch_dir" apt-get download sqlite3-doc
    dpkg-deb -x "$scratch_dir"/sqlite3-doc_*.deb "$scratch_dir/unpacked"
    [ -f "$scratch_dir/unpacked/usr/share/doc/sqlite3/lang.html" ] || fail "sqlite3-doc no longer holds lang.html"
    rm -rf "$unpacked"
    mv -T "$scratch_dir/unpacked" "$unpacked"
}

# choose_sqlite_pages: sets `paths` to the pages of scripts/demo-documents.txt that this version has.
choose_sqlite_pages() {
    local page
    paths=()
    while read -r page; do
        case $page in
        '' | '#'*) ;;
        *) [ ! -f "$documents/$page" ] || paths+=("$documents/$page") ;;
        esac
    done <"$source_dir/scripts/demo-documents.txt"
    [ ${#paths[@]} -ge 20 ] || fail "of the pages of scripts/demo-documents.txt only ${#paths[@]} are in $documents"
}
