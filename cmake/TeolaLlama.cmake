# Finds llama.cpp, in this order: TEOLA_LLAMA_PREFIX, what find_package finds (the system's, CMAKE_PREFIX_PATH, llama_DIR),
# the build in Teola's cache, which scripts/llama makes when it is not there yet. Sets TEOLA_LLAMA_BUNDLE to ON when
# `install` must bring llama.cpp along, because it is in a cache that may vanish.
set(TEOLA_LLAMA_PREFIX "$ENV{TEOLA_LLAMA_PREFIX}" CACHE PATH "Where llama.cpp is installed (empty: search)")
option(TEOLA_FETCH_LLAMA "Build llama.cpp into the cache, once, when none is found" ON)
option(TEOLA_SYSTEM_LLAMA "Use a llama.cpp that find_package finds before the one in the cache" ON)
set(TEOLA_LLAMA_BUNDLE OFF)

# The cache is asked anew at each configuration: its key follows the processor and the compiler, so what this build
# directory found on another machine is not to be used.
if(TEOLA_LLAMA_FROM_CACHE)
    unset(llama_DIR CACHE)
    unset(ggml_DIR CACHE)
    unset(llama_LIBRARY CACHE)
endif()

if(TEOLA_LLAMA_PREFIX)
    find_package(llama CONFIG QUIET PATHS "${TEOLA_LLAMA_PREFIX}" NO_DEFAULT_PATH)
    if(NOT llama_FOUND)
        message(FATAL_ERROR "TEOLA_LLAMA_PREFIX is ${TEOLA_LLAMA_PREFIX}, but no llama.cpp is installed there "
            "(no llama-config.cmake below it).")
    endif()
elseif(TEOLA_SYSTEM_LLAMA)
    find_package(llama CONFIG QUIET)
endif()

set(TEOLA_LLAMA_FROM_CACHE OFF CACHE INTERNAL "llama.cpp comes from Teola's cache")
if(NOT llama_FOUND)
    set(llama_script "${PROJECT_SOURCE_DIR}/scripts/llama")
    execute_process(COMMAND "${llama_script}" path
        OUTPUT_VARIABLE llama_prefix OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
    if(failed AND TEOLA_FETCH_LLAMA)
        execute_process(COMMAND "${llama_script}" build
            OUTPUT_VARIABLE llama_prefix OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed)
    endif()
    if(failed)
        message(FATAL_ERROR "llama.cpp was not found. Give -DTEOLA_LLAMA_PREFIX=DIR with the folder it is installed in, "
            "or -DTEOLA_FETCH_LLAMA=ON to have it built once into the cache (scripts/llama build).")
    endif()
    find_package(llama CONFIG REQUIRED PATHS "${llama_prefix}" NO_DEFAULT_PATH)
    set(TEOLA_LLAMA_FROM_CACHE ON CACHE INTERNAL "llama.cpp comes from Teola's cache")
    set(TEOLA_LLAMA_BUNDLE ON)
    set(TEOLA_LLAMA_BUNDLE_FROM "${llama_prefix}")
endif()

include(TeolaLlamaCheck)
