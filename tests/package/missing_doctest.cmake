# Tests asked for without doctest: one message that says what to install.
include("${CMAKE_CURRENT_LIST_DIR}/steps.cmake")
expect_failure("the tests need doctest (Debian: apt install doctest-dev)" ${configure} -S "${SOURCE}" -B "${WORK}/build" ${library_only} -DPLUME_BUILD_TESTS=ON
  "-DCMAKE_IGNORE_PATH=/usr/include\;/usr/local/include")
