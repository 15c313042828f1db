#!/bin/sh
# processors.sh INCLUDE_DIR WORK COMPILER OPTIONS...: builds for processors that plume does not serve stop, and the first error says why.
# Preprocessing is enough and asks for no headers of those processors beyond the compiler's own; where a cross compiler is there, it is used.
set -eu
include=$1
work=$2
shift 2
mkdir -p "$work"

refuses() {  # refuses TEXT COMMAND...: the command fails, and TEXT is in its first error
  text=$1
  shift
  if "$@" >/dev/null 2>"$work/errors"; then
    echo "not refused: $*"
    exit 1
  fi
  if ! grep -m 1 'error:' "$work/errors" | grep -qF -- "$text"; then
    echo "expected \"$text\" as the first error of: $*"
    cat "$work/errors"
    exit 1
  fi
  echo "refused: $*"
}

config=$work/config.cpp  # what every other header includes, and all that needs no standard library
everything=$work/everything.cpp
echo '#include "plume/base/config.hpp"' >"$config"
echo '#include "plume/plume.hpp"' >"$everything"
for header in "$config" "$everything"; do
  refuses 'needs a little-endian processor' "$@" -U__BYTE_ORDER__ -D__BYTE_ORDER__=__ORDER_BIG_ENDIAN__ -E -x c++ "$header"
  refuses 'needs a 64-bit build' "$@" -U__SIZEOF_POINTER__ -D__SIZEOF_POINTER__=4 -E -x c++ "$header"
done
refuses 'files by POSIX calls' "$@" -D_WIN32 -E -x c++ "$everything"
refuses 'for x86-64 and AArch64 only' "$@" -U__x86_64__ -U__aarch64__ -E -x c++ "$config"

case $("$@" -dumpmachine) in
  x86_64-*)
    refuses 'needs a 64-bit build' "$@" -m32 -E -x c++ "$config"
    refuses 'needs a 64-bit build' "$@" -mx32 -E -x c++ "$config"
    ;;
esac
cross=aarch64-linux-gnu-g++
if command -v $cross >/dev/null 2>&1; then
  refuses 'needs a little-endian processor' $cross -std=c++20 "-I$include" -mbig-endian -E -x c++ "$config"
  refuses 'needs a 64-bit build' $cross -std=c++20 "-I$include" -mabi=ilp32 -E -x c++ "$config"
fi
# The same switches without the fault: what is refused above is refused for that reason alone.
"$@" -fsyntax-only "$config"
