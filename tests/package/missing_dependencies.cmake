# A consumer whose machine lacks a dependency stops with a message that names it.
include("${CMAKE_CURRENT_LIST_DIR}/steps.cmake")
set(missing ${configure} -S "${HERE}/minimal" "-DCMAKE_PREFIX_PATH=${INSTALLED}")
expect_failure("plume needs Eigen >= 3.4 (Debian: apt install libeigen3-dev)" ${missing} -B "${WORK}/eigen" -DCMAKE_DISABLE_FIND_PACKAGE_Eigen3=ON)
expect_failure("plume needs OpenMP for" ${missing} -B "${WORK}/openmp" -DCMAKE_DISABLE_FIND_PACKAGE_OpenMP=ON)
expect_failure("plume needs xsimd >= 8 (Debian: apt install libxsimd-dev)" ${missing} -B "${WORK}/xsimd" -DCMAKE_DISABLE_FIND_PACKAGE_xsimd=ON
  "-DCMAKE_IGNORE_PATH=/usr/include\;/usr/local/include")
