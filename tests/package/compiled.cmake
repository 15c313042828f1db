# A consumer that links plume::compiled, and a shared library that does: plume is built once, into the consumer's build, and its files hold
# no bodies.
include("${CMAKE_CURRENT_LIST_DIR}/steps.cmake")
run(${configure} -S "${HERE}/consumer" -B "${WORK}/build" "-DCMAKE_PREFIX_PATH=${INSTALLED}" -DCOMPILED=ON -DCMAKE_POSITION_INDEPENDENT_CODE=ON "-DCMAKE_CXX_FLAGS_DEBUG=-O0" -DCMAKE_BUILD_TYPE=Debug)
run("${CMAKE_COMMAND}" --build "${WORK}/build")
run("${WORK}/build/consumer")
find_program(nm nm)
if(nm)
  file(GLOB_RECURSE objects "${WORK}/build/CMakeFiles/consumer.dir/*.o")
  run("${nm}" -C ${objects})
  if(output MATCHES "[TW] plume::[a-z0-9_]+::linear\\(")
    message(FATAL_ERROR "the consumer's object holds the body of linear()")
  endif()
  if(NOT output MATCHES "U plume::[a-z0-9_]+::linear\\(")
    message(FATAL_ERROR "the consumer's object does not refer to linear()")
  endif()

  # A shared library with hidden names shows the world none of plume's.
  file(GLOB wrapper "${WORK}/build/libwrapper.*")
  run("${nm}" -DC --defined-only ${wrapper})
  if(output MATCHES " [A-Za-z] ((typeinfo|typeinfo name|vtable|guard variable) for )?plume::" OR NOT output MATCHES "use_plume_in_a_shared_library")
    message(FATAL_ERROR "the shared library shows:\n${output}")
  endif()
endif()
