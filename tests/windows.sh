#!/bin/sh
# Builds the part of plume that touches no file for Windows with a cross compiler, and runs it under Wine: matrix products, norms, attention,
# and a model that is trained and speaks. Installs what is missing (see cmake/bootstrap.sh), or with --if-present says SKIP.
# Ends with what was skipped and ctest's summary.
set -eu
CDPATH= cd -- "$(dirname -- "$0")/.."
. cmake/bootstrap.sh
present_or_skip "${1-}" doctest windows wine
bootstrap doctest windows wine
rm -f build/windows/tests.log build/windows/Testing/Temporary/LastTest.log
export WINEPREFIX="$PWD/build/windows/wine" WINEDEBUG=-all

failed=
rooms windows smoke smoke/ -DCMAKE_TOOLCHAIN_FILE=cmake/windows.cmake || failed=' windows'
report windows windows
[ -z "$failed" ]
