#!/bin/sh
# headers.sh declarations|bodies INCLUDE_DIR COMPILER OPTIONS...: every public header stands alone and may be included twice: what it declares
# or all of it. Kernels that are included once per instruction-set level belong to the headers that include them.
# Headers that include one another form chains. A chain is parsed in one go, from its innermost header outwards: before each header stands
# only what that header includes itself, so that a name which it forgets to include is missing as if it were alone.
# The bodies of what the headers of a chain include beside the chain are not parsed again; where that is not enough, because bodies share
# details, they are.
set -eu
case $1 in
  declarations) bodies=0 ;;
  bodies) bodies=1 ;;
  *) sed -n '2,3s/^# //p' "$0" >&2; exit 2 ;;
esac
include=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
find "$include/plume" -name '*.hpp' ! -name '*.inl.hpp' ! -name for_each_level.hpp | sort | tr '\n' '\0' | xargs -0 awk -v top="$include/" -v work="$work" -v bodies=$bodies '
  # below[h, g]: header h includes g, directly or not, or is g.
  function close_over(header, parts, count, i, part, key, inner) {
    if (header in size) return
    below[header, header] = 1
    size[header] = 1
    count = split(included[header], parts, " ")
    for (i = 1; i <= count; ++i) {
      close_over(parts[i])
      for (inner = 1; inner <= headers; ++inner)
        if ((parts[i], name[inner]) in below && !((header, name[inner]) in below)) {
          below[header, name[inner]] = 1
          ++size[header]
        }
    }
  }
  FNR == 1 { name[++headers] = substr(FILENAME, length(top) + 1) }
  /^#include "plume\// { split($0, quoted, "\""); included[name[headers]] = included[name[headers]] " " quoted[2] }
  END {
    for (i = 1; i <= headers; ++i) close_over(name[i])
    # Each header, inner ones first, goes behind the largest end of a chain that it includes, or begins a chain.
    for (most = 1; placed < headers; ++most)
      for (i = 1; i <= headers; ++i) {
        if (size[name[i]] != most) continue
        ++placed
        best = 0
        for (chain = 1; chain <= chains; ++chain)
          if ((name[i], end[chain]) in below && (!best || size[end[chain]] > size[end[best]])) best = chain
        if (!best) best = ++chains
        end[best] = name[i]
        whole[best] = whole[best] "#include \"" name[i] "\"\n#include \"" name[i] "\"\n"
        if (lean[best] == "") lean[best] = "#define PLUME_COMPILED 1\n#include \"plume/base/config.hpp\"\n"
        count = split(included[name[i]], parts, " ")
        for (part = 1; part <= count; ++part) lean[best] = lean[best] "#include \"" parts[part] "\"\n"
        lean[best] = lean[best] "#undef PLUME_BODIES\n#define PLUME_BODIES " bodies "\n#include \"" name[i] "\"\n#include \"" name[i] "\"\n"
        lean[best] = lean[best] "#undef PLUME_BODIES\n#define PLUME_BODIES 0\n"
      }
    # The longest work first.
    for (most = headers; most > 0; --most)
      for (chain = 1; chain <= chains; ++chain)
        if (size[end[chain]] == most) {
          printf "%s", lean[chain] >(work "/" chain ".lean.cpp")
          printf "%s", whole[chain] >(work "/" chain ".cpp")
          print chain
        }
  }' >"$work/chains"
echo "$(grep -c . "$work/chains") chains"
[ -s "$work/chains" ]
# shellcheck disable=SC2016  # the inner shell expands them
xargs -P 2 -I {} sh -c '
  chain=$1/$2
  shift 2
  "$@" -fsyntax-only -Wfatal-errors "$chain.lean.cpp" 2>/dev/null || "$@" -fsyntax-only "$chain.cpp" ||
    { echo "one of these does not stand alone:"; cat "$chain.cpp"; exit 1; }
' parse "$work" {} "$@" <"$work/chains"
