#!/bin/sh
# headers.sh INCLUDE_DIR COMPILER OPTIONS...: parses every public header alone, two at a time. Kernels that are included once per
# instruction-set level belong to the headers that include them.
# The bodies of all headers below each header would be parsed hundreds of times. So the headers that this one includes are parsed as
# declarations; where that is not enough, because its bodies share details with theirs, everything is parsed.
set -eu
include=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
find "$include/plume" -name '*.hpp' ! -name '*.inl.hpp' ! -name for_each_level.hpp -print0 | sort -z | xargs -0 -P 2 -I {} sh -c '
  header=${1#"$2/"}
  lean=$3/$$.lean.cpp whole=$3/$$.cpp
  printf "#include \"%s\"\n#include \"%s\"\n" "$header" "$header" >"$whole"
  {
    printf "#define PLUME_COMPILED 1\n#include \"plume/base/config.hpp\"\n"
    grep "^#include \"plume/" "$1" || true
    printf "#undef PLUME_BODIES\n#define PLUME_BODIES 1\n"
    cat "$whole"
  } >"$lean"
  shift 3
  "$@" -fsyntax-only "$lean" 2>/dev/null || "$@" -fsyntax-only "$whole" || { echo "$header does not stand alone"; exit 1; }
' parse {} "$include" "$work" "$@"
