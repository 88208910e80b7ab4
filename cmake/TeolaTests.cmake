# Unit tests: src/<folder>/x_test.c is the test <folder>_x (target <folder>_x_test), labelled unit.
# Other tests: tests/<area>/CMakeLists.txt each add their own. src/**/x_test_support.c and tests/support/*.c are linked
# into all of them, and only into them.
#
# teola_test_environment(NAME...) gives tests the variables by which they find models and the program, and a cache of
# their own below the build folder: nothing that a test computes is left to the user's programs, or taken from them.
# teola_add_test(NAME SOURCE... [LABEL label] [TIMEOUT seconds]) adds one cmocka program as a test.
set(teola_data_home "$ENV{XDG_DATA_HOME}")
if(NOT teola_data_home)
    set(teola_data_home "$ENV{HOME}/.local/share")
endif()
set(teola_cache_home "$ENV{XDG_CACHE_HOME}")
if(NOT teola_cache_home)
    set(teola_cache_home "$ENV{HOME}/.cache")
endif()
set(TEOLA_TEST_MODELS "${teola_data_home}/teola/models" CACHE PATH "Folder with the models that tests use")
set(TEOLA_TEST_VEC0 "${teola_data_home}/teola/vec0.so" CACHE FILEPATH "sqlite-vec extension that tests use")
set(TEOLA_TEST_SETUP "${teola_cache_home}/teola" CACHE PATH "Folder with the Python and the documents that tests use")
find_program(teola_python python3 HINTS "${TEOLA_TEST_SETUP}/venv/bin" NO_CACHE REQUIRED)

file(GLOB support_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/support/*.c")
file(GLOB_RECURSE own_support_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/*_test_support.c")
list(APPEND support_sources ${own_support_sources})
add_library(teola_test_support INTERFACE)
target_include_directories(teola_test_support INTERFACE
    "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}/tests")
target_link_libraries(teola_test_support INTERFACE teola_flags ${TEOLA_LIBRARIES} PkgConfig::TEOLA_cmocka)
if(support_sources)
    add_library(teola_test_objects STATIC ${support_sources})
    target_link_libraries(teola_test_objects PRIVATE teola_test_support)
    target_link_libraries(teola_test_support INTERFACE teola_test_objects)
endif()
if(TARGET libteola)
    target_link_libraries(teola_test_support INTERFACE libteola)
endif()

function(teola_test_environment)
    set_property(TEST ${ARGN} APPEND PROPERTY ENVIRONMENT
        "TEOLA_TEST_MODELS=${TEOLA_TEST_MODELS}"
        "TEOLA_VEC0=${TEOLA_TEST_VEC0}"
        "TEOLA_TEST_SETUP=${TEOLA_TEST_SETUP}"
        "TEOLA_PYTHON=${teola_python}"
        "XDG_CACHE_HOME=${PROJECT_BINARY_DIR}/tests/cache"
        "TEOLA_SOURCE_DIR=${PROJECT_SOURCE_DIR}"
        "TEOLA_BUILD_DIR=${PROJECT_BINARY_DIR}"
        "TEOLA_PROGRAM=${PROJECT_BINARY_DIR}/teola"
        "TEOLA_PROFILE=none"
        "PYTHONUTF8=1"
        "ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1"
        "UBSAN_OPTIONS=print_stacktrace=1"
        "TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:suppressions=${PROJECT_SOURCE_DIR}/tests/tsan.supp")
endfunction()

function(teola_add_test name)
    cmake_parse_arguments(arg "" "LABEL;TIMEOUT" "" ${ARGN})
    if(NOT arg_LABEL)
        set(arg_LABEL unit)
    endif()
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 120)
    endif()
    add_executable(${name}_test ${arg_UNPARSED_ARGUMENTS})
    target_link_libraries(${name}_test PRIVATE teola_test_support)
    set_target_properties(${name}_test PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
    add_test(NAME ${name} COMMAND ${name}_test WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
    set_tests_properties(${name} PROPERTIES LABELS "${arg_LABEL}" TIMEOUT ${arg_TIMEOUT})
    teola_test_environment(${name})
endfunction()

file(GLOB_RECURSE unit_tests CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/*_test.c")
foreach(source IN LISTS unit_tests)
    file(RELATIVE_PATH name "${PROJECT_SOURCE_DIR}/src" "${source}")
    string(REGEX REPLACE "_test\\.c$" "" name "${name}")
    string(REPLACE "/" "_" name "${name}")
    teola_add_test(${name} "${source}")
    if(source MATCHES "/src/cli/" AND TARGET teola)
        add_dependencies(${name}_test teola)
    endif()
endforeach()

file(GLOB areas CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/*/CMakeLists.txt")
foreach(area IN LISTS areas)
    get_filename_component(area "${area}" DIRECTORY)
    file(RELATIVE_PATH relative "${PROJECT_SOURCE_DIR}" "${area}")
    add_subdirectory("${area}" "${PROJECT_BINARY_DIR}/${relative}.dir")
endforeach()
