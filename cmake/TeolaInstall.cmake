# Installs the program, the library with its headers, and what find_package(teola) and pkg-config need.
include(CMakePackageConfigHelpers)

set(cmake_dir "${CMAKE_INSTALL_LIBDIR}/cmake/teola")
set(llama_bundle_dir "${CMAKE_INSTALL_LIBDIR}/teola/llama")
file(RELATIVE_PATH bin_to_lib "/${CMAKE_INSTALL_BINDIR}" "/${CMAKE_INSTALL_LIBDIR}")

if(TEOLA_LLAMA_BUNDLE)
    # The cache may vanish, so the installation takes its own copy; "/." takes the content without the folder.
    install(DIRECTORY "${TEOLA_LLAMA_BUNDLE_FROM}/." DESTINATION "${llama_bundle_dir}")
    set_target_properties(libteola PROPERTIES INSTALL_RPATH "$ORIGIN/teola/llama/lib")
    set_target_properties(teola PROPERTIES
        INSTALL_RPATH "$ORIGIN/${bin_to_lib};$ORIGIN/${bin_to_lib}/teola/llama/lib")
    set(llama_pc_dir "\${libdir}/teola/llama/lib")
else()
    set_target_properties(libteola teola PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
    set_target_properties(teola PROPERTIES INSTALL_RPATH "$ORIGIN/${bin_to_lib}")
    get_target_property(llama_location llama IMPORTED_LOCATION)
    get_filename_component(llama_pc_dir "${llama_location}" DIRECTORY)
endif()

install(TARGETS libteola EXPORT teola-targets)
install(TARGETS teola)
install(DIRECTORY include/teola DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.h")
install(DIRECTORY profiles DESTINATION "${CMAKE_INSTALL_DATADIR}/teola")
install(DIRECTORY workflows DESTINATION "${CMAKE_INSTALL_DATADIR}/teola" OPTIONAL)
install(DIRECTORY docs/ DESTINATION "${CMAKE_INSTALL_DOCDIR}" OPTIONAL)
install(FILES LICENSE README.md CHANGELOG.md DESTINATION "${CMAKE_INSTALL_DOCDIR}" OPTIONAL)

install(EXPORT teola-targets NAMESPACE teola:: DESTINATION "${cmake_dir}")
# A shared libteola knows what it needs; a static one leaves that to whoever links it.
set(TEOLA_IS_STATIC ON)
if(BUILD_SHARED_LIBS)
    set(TEOLA_IS_STATIC OFF)
endif()
configure_package_config_file(cmake/teolaConfig.cmake.in "${PROJECT_BINARY_DIR}/teolaConfig.cmake"
    INSTALL_DESTINATION "${cmake_dir}" PATH_VARS llama_bundle_dir)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/teolaConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/teolaConfig.cmake" "${PROJECT_BINARY_DIR}/teolaConfigVersion.cmake"
    DESTINATION "${cmake_dir}")

# What a static libteola needs stands in the public fields: with pkg-config's --static the libraries that it uses would
# be linked statically too, with all that they stand on in turn.
set(pc_requires "")
set(pc_libs "")
if(TEOLA_IS_STATIC)
    list(JOIN TEOLA_PKG_MODULES ", " pc_requires)
    set(pc_libs "-L${llama_pc_dir} -Wl,-rpath,${llama_pc_dir} -lllama -lggml -lggml-cpu -lggml-base -lm -pthread")
endif()
file(RELATIVE_PATH pc_to_prefix "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
string(REGEX REPLACE "/$" "" pc_to_prefix "${pc_to_prefix}")
configure_file(cmake/teola.pc.in "${PROJECT_BINARY_DIR}/teola.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/teola.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
