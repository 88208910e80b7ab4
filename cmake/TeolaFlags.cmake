# Compiler flags of everything that is ours, as the interface target teola_flags.
add_library(teola_flags INTERFACE)

target_compile_definitions(teola_flags INTERFACE _GNU_SOURCE
    TEOLA_VERSION="${PROJECT_VERSION}"
    TEOLA_DATADIR="${CMAKE_INSTALL_FULL_DATADIR}/teola")

target_compile_options(teola_flags INTERFACE
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wconversion -Wno-sign-conversion
    -fstack-protector-strong
    $<$<BOOL:${TEOLA_WERROR}>:-Werror>
    # Stack traces of sanitizers and profilers need frame pointers; they cost nothing measurable here.
    -fno-omit-frame-pointer)

if(TEOLA_SANITIZE)
    target_compile_options(teola_flags INTERFACE -fsanitize=${TEOLA_SANITIZE} -fno-sanitize-recover=all)
    target_link_options(teola_flags INTERFACE -fsanitize=${TEOLA_SANITIZE})
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug" AND NOT TEOLA_COVERAGE)
    # Fortification hides errors from the sanitizers, so it is for the other builds.
    target_compile_options(teola_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()

if(TEOLA_COVERAGE)
    target_compile_options(teola_flags INTERFACE --coverage -fprofile-update=atomic)
    target_link_options(teola_flags INTERFACE --coverage)
endif()

target_link_options(teola_flags INTERFACE -Wl,-z,relro -Wl,-z,now)
