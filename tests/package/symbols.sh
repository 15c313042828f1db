#!/bin/sh
# symbols.sh PROGRAM: what of plume's variables can change, found where the linker put it. DECISIONS 24 allows one by name, the thread-local
# slot; tables are constant, and what only the loader writes (.data.rel.ro) is read-only after that.
set -eu
command -v objdump >/dev/null 2>&1 || { echo 'SKIP: objdump is absent'; exit 0; }
symbols=$(objdump -t "$1" | grep -E '_Z[^ ]*5plume' || true)
# objdump: address, flags, section, size, name
writable=$(printf '%s\n' "$symbols" | grep -E '[[:space:]]\.(data|bss|tdata|tbss)([[:space:]]|\.)' | grep -v '[[:space:]]\.data\.rel\.ro' || true)
slots=$(printf '%s\n' "$writable" | grep -cE '[[:space:]]\.tbss[[:space:]].* _ZN5plume[0-9]+v[0-9]+_[0-9]+_[a-z]+11thread_slotE$' || true)
others=$(printf '%s\n' "$writable" | grep -vE '[[:space:]]\.tbss[[:space:]].* _ZN5plume[0-9]+v[0-9]+_[0-9]+_[a-z]+11thread_slotE$' | sed '/^$/d' || true)
if [ -n "$others" ]; then
  printf 'variables of plume that can change and are not allowed by name:\n%s\n' "$others"
  exit 1
fi
[ "$slots" -ge 1 ] || { echo "found no thread_slot in $1: this test no longer sees plume's variables"; exit 1; }
echo "thread_slot alone ($slots of it) can change, of $(printf '%s\n' "$symbols" | wc -l) symbols"
