# Makes plume::xsimd from xsimd's include directory alone: the target that Debian 12 exports asks for a library xtl that nothing provides
# (xtensor-stack/xsimd#869). No target is made when xsimd is not found; the caller reports.
if(NOT TARGET plume::xsimd)
  find_package(xsimd 8 QUIET CONFIG)
  if(TARGET xsimd)
    get_target_property(PLUME_XSIMD_INCLUDE_DIR xsimd INTERFACE_INCLUDE_DIRECTORIES)
  else()
    find_path(PLUME_XSIMD_INCLUDE_DIR xsimd/xsimd.hpp)
  endif()
  if(PLUME_XSIMD_INCLUDE_DIR)
    add_library(plume::xsimd INTERFACE IMPORTED)
    target_include_directories(plume::xsimd SYSTEM INTERFACE "${PLUME_XSIMD_INCLUDE_DIR}")
  endif()
endif()
