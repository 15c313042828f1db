# FetchContent takes the installed package where there is one, else the source.
include("${CMAKE_CURRENT_LIST_DIR}/steps.cmake")
if(CMAKE_VERSION VERSION_LESS 3.24)
  message("SKIP: FIND_PACKAGE_ARGS needs cmake 3.24, this is ${CMAKE_VERSION}")
  return()
endif()
set(fetch ${configure} -S "${HERE}/fetch_content" "-DPLUME_SOURCE=${SOURCE}")
run(${fetch} -B "${WORK}/installed" "-DCMAKE_PREFIX_PATH=${INSTALLED}" -DEXPECT_IMPORTED=TRUE)
run(${fetch} -B "${WORK}/source" -DCMAKE_DISABLE_FIND_PACKAGE_plume=ON -DEXPECT_IMPORTED=FALSE)
