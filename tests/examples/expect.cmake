# What the expected-output tests of the examples share. Each tests/examples/<name>_test.cmake is one ctest, run as a script with
#   PROGRAMS   the directory of the built examples
#   WORK       a directory of its own, emptied here
# and, from the environment, DATA: the test data, which may be absent.
cmake_minimum_required(VERSION 3.22...3.31)
set(DATA "$ENV{PLUME_TEST_DATA}")
file(REMOVE_RECURSE "${WORK}")
file(MAKE_DIRECTORY "${WORK}")

# run(program argument...): sets exit_code, output and errors. An empty value needs the form --flag=.
macro(run program)
  execute_process(COMMAND "${PROGRAMS}/${program}" ${ARGN} WORKING_DIRECTORY "${WORK}"
                  RESULT_VARIABLE exit_code OUTPUT_VARIABLE output ERROR_VARIABLE errors)
  string(REPLACE ";" " " command "${program} ${ARGN}")
endmacro()

# expect_equal(actual expected), expect_match(actual expression): end the test when they fail.
function(expect_equal actual expected)
  if(NOT "${actual}" STREQUAL "${expected}")
    message(FATAL_ERROR "${command}\nexpected: ${expected}\nactual:   ${actual}\nexit code ${exit_code}, stderr: ${errors}")
  endif()
endfunction()
function(expect_match actual expression)
  if(NOT "${actual}" MATCHES "${expression}")
    message(FATAL_ERROR "${command}\nexpected a match of: ${expression}\nactual: ${actual}\nexit code ${exit_code}, stderr: ${errors}")
  endif()
endfunction()
function(expect_success)
  expect_equal("${exit_code}" 0)
endfunction()

# expect_usage_error(flag program argument...): exit code 2 and one line that names the flag.
function(expect_usage_error flag program)
  run(${program} ${ARGN})
  expect_equal("${exit_code}" 2)
  expect_equal("${output}" "")
  expect_match("${errors}" "^error: [^\n]*${flag}[^\n]*\n$")
endfunction()

# expect_failure(text program argument...): exit code 1 and one line that holds the text.
function(expect_failure text program)
  run(${program} ${ARGN})
  expect_equal("${exit_code}" 1)
  expect_equal("${output}" "")
  expect_match("${errors}" "^error: [^\n]*${text}[^\n]*\n$")
endfunction()

# expect_help(program flag...): --help succeeds, names each flag and says its default.
function(expect_help program)
  run(${program} --help)
  expect_success()
  foreach(flag IN LISTS ARGN ITEMS --threads --seed --json --quiet)
    expect_match("${output}" "\n  ${flag}[^\n]*\\((default: [^\n]+|required)\\)\n")
  endforeach()
endfunction()

# need_data(variable name): the path of a test data file, or a visible skip that ends the test.
macro(need_data variable name)
  set(${variable} "${DATA}/${name}")
  if(NOT EXISTS "${${variable}}")
    message("SKIP: ${${variable}} is absent")
    return()
  endif()
endmacro()
