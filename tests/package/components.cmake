# Versions and components of the moved package: what it has is found; what it lacks, or the machine lacks, is refused with a reason.
include("${CMAKE_CURRENT_LIST_DIR}/steps.cmake")
file(STRINGS "${SOURCE}/include/plume/base/version.hpp" lines REGEX "^#define PLUME_VERSION_")
string(REGEX REPLACE "#define PLUME_VERSION_[A-Z]+ " "" version "${lines}")
string(REPLACE ";" "." version "${version}")
run(${configure} -S "${HERE}/requests" -B "${WORK}/build" "-DCMAKE_PREFIX_PATH=${INSTALLED}" "-DVERSION=${version}")

# A machine without a dependency: the reason reaches the user.
set(missing ${configure} -S "${HERE}/minimal" "-DCMAKE_PREFIX_PATH=${INSTALLED}")
expect_failure("plume needs Eigen >= 3.4 (Debian: apt install libeigen3-dev)" ${missing} -B "${WORK}/eigen" -DCMAKE_DISABLE_FIND_PACKAGE_Eigen3=ON)
expect_failure("plume needs OpenMP for" ${missing} -B "${WORK}/openmp" -DCMAKE_DISABLE_FIND_PACKAGE_OpenMP=ON)
expect_failure("plume needs xsimd >= 8 (Debian: apt install libxsimd-dev)" ${missing} -B "${WORK}/xsimd" -DCMAKE_DISABLE_FIND_PACKAGE_xsimd=ON
  "-DCMAKE_IGNORE_PATH=/usr/include\;/usr/local/include")

# With PCRE2, an expression that plume does not know by itself.
if(EXISTS "${WORK}/build/no_pcre2")
  message("SKIP: component pcre2 is not built: PCRE2 is absent (Debian: apt install libpcre2-dev)")
  return()
endif()
run("${CMAKE_COMMAND}" --build "${WORK}/build")
run("${WORK}/build/program")
