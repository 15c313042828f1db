# Steps of the package tests. Variables come from CMakeLists.txt: SOURCE, HERE, WORK, INSTALLED, CXX, GENERATOR.
cmake_minimum_required(VERSION 3.22)
unset(ENV{CXXFLAGS})
unset(ENV{CFLAGS})
unset(ENV{LDFLAGS})
if(WORK)
  file(REMOVE_RECURSE "${WORK}")
  file(MAKE_DIRECTORY "${WORK}")
endif()

# run(COMMAND...) stops the test when the command fails; its output is in `output`.
macro(run)
  execute_process(COMMAND ${ARGN} OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "failed (${result}): ${ARGN}\n${output}")
  endif()
endmacro()

# expect_failure(TEXT COMMAND...): the command fails, says TEXT, and says nothing else is wrong.
macro(expect_failure text)
  execute_process(COMMAND ${ARGN} OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE result)
  string(REGEX REPLACE "[ \n]+" " " flat "${output}")
  string(FIND "${flat}" "${text}" found)
  string(REGEX MATCHALL "CMake Error" errors "${output}")
  list(LENGTH errors count)
  if(result EQUAL 0 OR found EQUAL -1 OR count GREATER 1)
    message(FATAL_ERROR "expected one failure with the text '${text}', got (${result}):\n${output}")
  endif()
endmacro()

set(configure "${CMAKE_COMMAND}" -G "${GENERATOR}" "-DCMAKE_CXX_COMPILER=${CXX}" -DCMAKE_EXPORT_COMPILE_COMMANDS=ON -DCMAKE_FIND_PACKAGE_NO_PACKAGE_REGISTRY=ON)
set(library_only -DPLUME_BUILD_TESTS=OFF -DPLUME_BUILD_EXAMPLES=OFF -DPLUME_BUILD_BENCH=OFF)
