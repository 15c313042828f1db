#!/bin/sh
# headers.sh INCLUDE_DIR COMPILER OPTIONS...: parses every public header alone, included twice, two at a time. Kernels that are included once
# per instruction-set level belong to the headers that include them.
set -eu
include=$1
shift
find "$include/plume" -name '*.hpp' ! -name '*.inl.hpp' ! -name for_each_level.hpp -print0 | sort -z | xargs -0 -P 2 -I {} sh -c '
  header=${1#"$2/"}
  shift 2
  printf "#include \"%s\"\n#include \"%s\"\n" "$header" "$header" | "$@" -fsyntax-only -x c++ - || { echo "$header does not stand alone"; exit 1; }
' parse {} "$include" "$@"
