# Refuses a llama.cpp that lacks a function of llama-api.txt (the list of all that src/engine/llama calls).
# One compilation when all is well; one per function, to name the missing ones, when it is not.
include(CheckSourceCompiles)

set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/llama-api.txt")
file(STRINGS "${CMAKE_CURRENT_LIST_DIR}/llama-api.txt" llama_api REGEX "^[a-z]")
get_target_property(llama_location llama IMPORTED_LOCATION)
string(SHA256 llama_check_key "${llama_location} ${llama_api}")
if(TEOLA_LLAMA_CHECKED STREQUAL llama_check_key)
    return()
endif()

function(teola_llama_compiles result)
    list(TRANSFORM ARGN REPLACE "(.+)" "(const void *)(size_t)&\\1," OUTPUT_VARIABLE uses)
    list(JOIN uses "\n" uses)
    set(CMAKE_REQUIRED_LIBRARIES llama)
    set(CMAKE_REQUIRED_QUIET ON)
    unset(${result}) # a value of an earlier call would be taken for the answer
    unset(${result} CACHE)
    check_source_compiles(C "#include <stddef.h>\n#include <llama.h>\nint main(int argc, char **argv)
        { const void *uses[] = { ${uses} }; (void)argv; return uses[argc % (int)(sizeof uses / sizeof *uses)] == 0; }"
        ${result})
    set(${result} "${${result}}" PARENT_SCOPE)
    unset(${result} CACHE)
endfunction()

teola_llama_compiles(llama_has_all ${llama_api})
if(NOT llama_has_all)
    set(missing "")
    foreach(function IN LISTS llama_api)
        teola_llama_compiles(llama_has_one ${function})
        if(NOT llama_has_one)
            list(APPEND missing ${function})
        endif()
    endforeach()
    list(JOIN missing ", " missing)
    message(FATAL_ERROR "The llama.cpp found (${llama_location}) cannot be used: it lacks ${missing}. "
        "Give another one with -DTEOLA_LLAMA_PREFIX=DIR.")
endif()
set(TEOLA_LLAMA_CHECKED "${llama_check_key}" CACHE INTERNAL "The llama.cpp that has been checked")
message(STATUS "llama.cpp: ${llama_location}")
