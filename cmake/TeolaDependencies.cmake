# Finds what libteola stands on (docs/dependencies.md) and sets TEOLA_LIBRARIES.
# A missing one is named with the package that brings it, all of them at once.
find_package(PkgConfig REQUIRED)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

# name in pkg-config, version floor, Debian and Ubuntu package
set(teola_pkg_table
    "libuv|1.42|libuv1-dev"
    "libevent|2.1.8|libevent-dev"
    "libcurl|7.76|libcurl4-openssl-dev"
    "jansson|2.13|libjansson-dev"
    "yaml-0.1|0.2.2|libyaml-dev"
    "sqlite3|3.40|libsqlite3-dev"
    "libutf8proc|2.6|libutf8proc-dev"
    "libxml-2.0|2.9.10|libxml2-dev"
    "md4c|0.4.7|libmd4c-dev"
    "libcrypto|3.0|libssl-dev")

set(TEOLA_LIBRARIES Threads::Threads m)
set(TEOLA_PKG_MODULES "")
set(teola_pkg_names "")
set(missing "")
foreach(row IN LISTS teola_pkg_table)
    string(REPLACE "|" ";" row "${row}")
    list(GET row 0 module)
    list(GET row 1 floor)
    list(GET row 2 package)
    string(MAKE_C_IDENTIFIER "TEOLA_${module}" prefix)
    pkg_check_modules(${prefix} QUIET IMPORTED_TARGET "${module}>=${floor}")
    if(${prefix}_FOUND)
        list(APPEND TEOLA_LIBRARIES "PkgConfig::${prefix}")
        list(APPEND teola_pkg_names "${module}")
        list(APPEND TEOLA_PKG_MODULES "${module} >= ${floor}")
    else()
        string(APPEND missing "\n  ${module} ${floor} or newer (Debian, Ubuntu: ${package})")
    endif()
endforeach()

if(TEOLA_TESTS)
    pkg_check_modules(TEOLA_cmocka QUIET IMPORTED_TARGET cmocka>=1.1.5)
    if(NOT TEOLA_cmocka_FOUND)
        string(APPEND missing "\n  cmocka 1.1.5 or newer (Debian, Ubuntu: libcmocka-dev; or -DTEOLA_TESTS=OFF)")
    endif()
endif()

if(missing)
    message(FATAL_ERROR "Teola needs libraries that were not found:${missing}\n"
        "./scripts/setup installs them all on Debian and Ubuntu.")
endif()

include(TeolaSqlite)
include(TeolaLlama)
list(APPEND TEOLA_LIBRARIES llama)
get_target_property(llama_location llama IMPORTED_LOCATION)
if(llama_location MATCHES "\\.a$")
    # llama.cpp is C++; its shared library brings the C++ runtime, its static one does not.
    list(APPEND TEOLA_LIBRARIES stdc++)
endif()
