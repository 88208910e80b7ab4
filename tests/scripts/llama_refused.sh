#!/usr/bin/env bash
# A llama.cpp that lacks functions that Teola calls is refused by the configuration, which names each of them.
set -euo pipefail
work=$(mktemp -d "$1/llama_refused.XXXXXX")
trap 'rm -rf "$work"' EXIT
have=$(dirname -- "$(dirname -- "${LLAMA_LIBRARY:?}")")

# The same llama.cpp but for two functions, as an older one would be.
mkdir -p "$work/llama/lib"
cp -r "$have/include" "$work/llama/include"
cp -r "$have/lib/cmake" "$work/llama/lib/cmake"
ln -s "$have"/lib/*.so "$work/llama/lib/"
sed -i 's/llama_model_quantize(/former_quantize(/; s/llama_attach_threadpool(/former_attach(/' "$work/llama/include/llama.h"

rc=0
cmake -S "${TEOLA_SOURCE_DIR:?}" -B "$work/build" -DTEOLA_TESTS=OFF -DTEOLA_LLAMA_PREFIX="$work/llama" >"$work/log" 2>&1 ||
    rc=$?
said=$(tr -s ' \n' '  ' <"$work/log")
if [ "$rc" -eq 0 ] || [[ $said != *"it lacks llama_attach_threadpool, llama_model_quantize."* ]]; then
    echo "FAILED: exit status $rc; it said: $said" >&2
    exit 1
fi
echo "refused by name"
