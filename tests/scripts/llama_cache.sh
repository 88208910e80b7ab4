#!/usr/bin/env bash
# The build of llama.cpp in the cache is found again only where its machine code is right, and only when it is complete.
set -euo pipefail
work=$(mktemp -d "$1/llama_cache.XXXXXX")
export XDG_CACHE_HOME=$work/cache TEOLA_OFFLINE=1
# shellcheck source=scripts/lib/common.sh
. "${TEOLA_SOURCE_DIR:?}/scripts/lib/common.sh"
# shellcheck source=scripts/lib/llama.sh
. "$TEOLA_SOURCE_DIR/scripts/lib/llama.sh"
scratch+=("$work")

key=$(llama_key)
[ "$key" = "$(llama_key)" ] || fail "the key is not the same twice"

# expect_other WHAT: in this shell the key is another one.
expect_other() { [ "$(llama_key)" != "$key" ] || fail "$1 does not change the key"; }
(CXXFLAGS=-O1 && expect_other "a compiler flag")
(CXX=$work/c++ && printf '#!/bin/sh\necho "c++ (Other) 99.1"\n' >"$CXX" && chmod +x "$CXX" && expect_other "the compiler")
(llama_options+=' -DGGML_AVX=OFF' && expect_other "an option")
sed 's/^\(flags\|Features\)\([[:space:]]*:\).*/\1\2 fpu only/' /proc/cpuinfo >"$work/cpuinfo"
(llama_cpuinfo=$work/cpuinfo && expect_other "the processor")
# shellcheck disable=SC2317 # called by llama_key
(os_field() { echo "$1 99"; } && expect_other "the distribution")

# The same features in another order are the same processor.
awk '/^(flags|Features)[ \t]*:/ { n = split(substr($0, index($0, ":") + 1), f, " "); printf "flags :"
    for (i = n; i > 0; i--) printf " %s", f[i]; print ""; exit }' /proc/cpuinfo >"$work/cpuinfo"
(llama_cpuinfo=$work/cpuinfo && [ "$(llama_key)" = "$key" ]) || fail "the order of the processor's features changes the key"

dir=$(llama_dir)
mkdir -p "$dir/lib"
! "$TEOLA_SOURCE_DIR/scripts/llama" path >/dev/null || fail "an incomplete folder counts as a build"
mkdir -p "$dir/lib/cmake/llama"
touch "$dir/lib/cmake/llama/llama-config.cmake"
[ "$("$TEOLA_SOURCE_DIR/scripts/llama" path)" = "$dir" ] || fail "a complete folder is not found"
[ "$("$TEOLA_SOURCE_DIR/scripts/llama" build)" = "$dir" ] || fail "a complete folder is built again"

# What pip installs becomes a folder of headers and libraries with links, and nothing else.
package=$work/package
mkdir -p "$package"/{include,bin,llama_cpp,lib/cmake/llama,lib/pkgconfig,llama_cpp_python-1.dist-info/licenses}
touch "$package"/lib/lib{llama,ggml-base}.so{,.0,.0.5.0} "$package/lib/libllama-common.so.0.5.0" \
    "$package/llama_cpp_python-1.dist-info/licenses/LICENSE.md"
llama_keep_libraries "$package"
kept=$(cd "$package" && find . -mindepth 1 \( -type l -printf '%P -> %l\n' -o -printf '%P\n' \) | sort | tr '\n' '|')
expected='include|lib|lib/LICENSE.md|lib/cmake|lib/cmake/llama'
for library in ggml-base llama; do
    expected+="|lib/lib$library.so -> lib$library.so.0|lib/lib$library.so.0 -> lib$library.so.0.5.0|lib/lib$library.so.0.5.0"
done
[ "$(tr '|' '\n' <<<"$kept" | sed '/^$/d' | LC_ALL=C sort)" = "$(tr '|' '\n' <<<"$expected" | LC_ALL=C sort)" ] ||
    fail "kept of the package: $kept"
echo "keys, completeness and contents are right"
