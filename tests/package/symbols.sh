#!/bin/sh
# symbols.sh PROGRAM: what of plume's variables can change, found where the linker put it. Allowed by name are the thread-local slot and the
# choices of kernel tables, which are constant after first use; what only the loader writes (.data.rel.ro, references to type information)
# is read-only after that.
set -eu
command -v objdump >/dev/null 2>&1 || { echo 'SKIP: objdump is absent'; exit 0; }
plume='[0-9]*v[0-9_]*_[a-z]*'                              # the inline namespace, as it is mangled
slot=" _ZN5plume${plume}11thread_slotE\$"                   # in .tbss
choice=" _Z(GVZ|Z)N5plume${plume}7kernels[0-9]+[a-z_]+_(table|level)[^ ]*6chosen\$"  # and its guard
symbols=$(objdump -t "$1" | grep -E '_Z[^ ]*5plume' || true)
writable=$(printf '%s\n' "$symbols" | grep -E '[[:space:]]\.(data|bss|tdata|tbss)([[:space:]]|\.)' | grep -vE '[[:space:]]\.data\.rel\.ro| DW\.ref\.' || true)
slots=$(printf '%s\n' "$writable" | grep -E "$slot" | grep -cE '[[:space:]]\.tbss[[:space:]]' || true)
others=$(printf '%s\n' "$writable" | grep -vE "$slot|$choice" | sed '/^$/d' || true)
if [ -n "$others" ]; then
  printf 'variables of plume that can change and are not allowed by name:\n%s\n' "$others"
  exit 1
fi
[ "$slots" -ge 1 ] || { echo "found no thread_slot in $1: this test no longer sees plume's variables"; exit 1; }
echo "thread_slot ($slots of it) and choices of kernel tables alone can change, of $(printf '%s\n' "$symbols" | wc -l) symbols"
