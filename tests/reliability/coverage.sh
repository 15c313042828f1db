#!/bin/sh
# What the tests run of the headers that read foreign bytes (clang's coverage): fails if a place that refuses something was never reached and
# stands in no waiver (tests/reliability/waivers.txt), if a waiver is stale, or if less than 95 % of the lines were run.
# Installs what is missing (see cmake/bootstrap.sh), or with --if-present says SKIP. PLUME_JOBS is the number of jobs.
set -eu
CDPATH= cd -- "$(dirname -- "$0")/../.."
. cmake/bootstrap.sh
present_or_skip "${1-}" doctest nlohmann coverage python
bootstrap doctest nlohmann coverage python

rooms_built='base formats tokenizer malformed data models peft train reliability'
profiles=$PWD/build/coverage/profiles
rm -rf "$profiles"
mkdir -p "$profiles"
export LLVM_PROFILE_FILE="$profiles/%m.profraw" PLUME_COVERAGE_NOTES="$profiles/requirements"
export PLUME_TEST_DATA="${PLUME_TEST_DATA:-$PWD/../shared/data}"
rooms coverage "$rooms_built" "$(printf '%s/ ' $rooms_built)" -DCMAKE_TOOLCHAIN_FILE=cmake/clang.cmake -DPLUME_COVERAGE=ON -DPLUME_OPENMP=OFF
build/coverage/tests/tokenizer '--source-file=*/tokenizer/tokenizer_json_test.cpp'  # a nightly test, but the one of most kinds of tokenizers

clang=$(sed -n 's/^PLUME_CLANG:[A-Z]*=//p' build/coverage/CMakeCache.txt)
tool() { "$clang" -print-prog-name="$1"; }
"$(tool llvm-profdata)" merge -sparse -o "$profiles/all" "$profiles"/*.profraw
set --
for room in $rooms_built; do set -- "$@" -object "build/coverage/tests/$room"; done
shift  # the first program is named without -object
"$(tool llvm-cov)" export -format=text -skip-functions -skip-expansions -instr-profile="$profiles/all" "$@" include/plume >"$profiles/coverage.json"
python3 tests/reliability/error_branches.py "$profiles/coverage.json" "$profiles/requirements"
