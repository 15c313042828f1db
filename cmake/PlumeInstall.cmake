# Installed: the headers, the CMake package (share/cmake/plume: it does not depend on the architecture) and plume.pc. All of it may be moved.
include(CMakePackageConfigHelpers)
set(plume_package_dir "${CMAKE_INSTALL_DATADIR}/cmake/plume")
set(plume_pkgconfig_dir "${CMAKE_INSTALL_DATADIR}/pkgconfig")

install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/plume" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.hpp")
install(TARGETS plume plume_native EXPORT plumeTargets)
install(EXPORT plumeTargets NAMESPACE plume:: DESTINATION "${plume_package_dir}")

configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/plumeConfig.cmake.in" "${PROJECT_BINARY_DIR}/plumeConfig.cmake"
  INSTALL_DESTINATION "${plume_package_dir}" NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/plumeConfigVersion.cmake" COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES "${PROJECT_BINARY_DIR}/plumeConfig.cmake" "${PROJECT_BINARY_DIR}/plumeConfigVersion.cmake" "${CMAKE_CURRENT_LIST_DIR}/PlumeXsimd.cmake"
  "${CMAKE_CURRENT_LIST_DIR}/PlumeCompiled.cmake" "${CMAKE_CURRENT_LIST_DIR}/PlumePcre2.cmake" ${plume_compiled_sources} DESTINATION "${plume_package_dir}")

# pkg-config: the prefix is found from where the file lies.
file(RELATIVE_PATH plume_pkgconfig_prefix "/prefix/${plume_pkgconfig_dir}" "/prefix")
string(REGEX REPLACE "/$" "" plume_pkgconfig_prefix "${plume_pkgconfig_prefix}")
if(PLUME_OPENMP)
  set(plume_pkgconfig_flags "${OpenMP_CXX_FLAGS}")
else()
  set(plume_pkgconfig_flags -pthread)
endif()
configure_file("${CMAKE_CURRENT_LIST_DIR}/plume.pc.in" "${PROJECT_BINARY_DIR}/plume.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/plume.pc" DESTINATION "${plume_pkgconfig_dir}")
