# Finds llama.cpp: TEOLA_LLAMA_PREFIX, else what find_package finds. Then asks it for every function that
# src/engine/llama uses and names the one that is missing.
set(TEOLA_LLAMA_PREFIX "$ENV{TEOLA_LLAMA_PREFIX}" CACHE PATH "Where llama.cpp is installed (empty: search)")

if(TEOLA_LLAMA_PREFIX)
    find_package(llama CONFIG QUIET PATHS "${TEOLA_LLAMA_PREFIX}" NO_DEFAULT_PATH)
    if(NOT llama_FOUND)
        message(FATAL_ERROR "TEOLA_LLAMA_PREFIX is ${TEOLA_LLAMA_PREFIX}, but no llama.cpp is installed there "
            "(no llama-config.cmake below it).")
    endif()
else()
    find_package(llama CONFIG QUIET)
endif()
if(NOT llama_FOUND)
    message(FATAL_ERROR "llama.cpp was not found. Give -DTEOLA_LLAMA_PREFIX=DIR with the folder it is installed in.")
endif()

include(TeolaLlamaCheck)
