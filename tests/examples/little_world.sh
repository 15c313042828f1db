#!/bin/sh
# little_world.sh EXAMPLES WORK: the corpus is deterministic, large enough, consistent, and keeps held-out questions out of the training text.
set -eu
program=$1/little_world
work=$2
rm -rf "$work"
fail() {
  echo "$*"
  exit 1
}

summary=$("$program" --out "$work/a" --megabytes 3 --seed 5 --json)
"$program" --out "$work/b" --megabytes 3 --seed 5 --quiet
"$program" --out "$work/c" --megabytes 0.1 --seed 6 --quiet
for file in train.txt validation.txt held_out.jsonl; do
  cmp "$work/a/$file" "$work/b/$file" || fail "$file differs between two runs with one seed"
  if cmp -s "$work/a/$file" "$work/c/$file"; then fail "$file does not depend on the seed"; fi
done
facts=$(printf '%s' "$summary" | sed 's/.*"facts": \([0-9]*\).*/\1/')
[ "$facts" -ge 1000 ] || fail "only $facts facts"
size=$(wc -c <"$work/a/train.txt")
[ "$size" -ge 3000000 ] && [ "$size" -lt 3010000 ] || fail "train.txt has $size bytes"

# Every question has one answer, in training, validation and held-out set together.
sed 's/.*"prompt": "\([^"]*\)", "answer": "\([^"]*\)".*/\1 \2/' "$work/a/held_out.jsonl" >"$work/held_out"
cat "$work/a/train.txt" "$work/a/validation.txt" "$work/held_out" | grep '^Question: ' | sort -u >"$work/answers"
sed 's/ Answer: .*//' "$work/answers" | uniq -d >"$work/contradictions"
[ ! -s "$work/contradictions" ] || fail "two answers to: $(head -1 "$work/contradictions")"
[ "$(wc -l <"$work/answers")" -ge 2000 ] || fail "only $(wc -l <"$work/answers") different questions"

# So has every statement about where someone lives, what they are and whom they call their friend: one value a subject.
tr '.' '\n' <"$work/a/train.txt" | sed 's/^ *//; s/^.*Answer: //' | grep -E '^[A-Z][a-z]+ (lives in|was born in|works as a|loves) [A-Za-z]+$' | sort -u | awk '{ print $1, $2, $3 == "in" || $3 == "as" ? $3 : "" }' | uniq -d >"$work/contradictions"
[ ! -s "$work/contradictions" ] || fail "two statements of one fact: $(head -1 "$work/contradictions")"

# Held-out questions never occur in the training text; their facts do, and the key ends the answer.
sed 's/ Answer:.*//' "$work/held_out" >"$work/questions"
if grep -F -f "$work/questions" "$work/a/train.txt" "$work/a/validation.txt"; then fail 'the training text asks a held-out question'; fi
[ "$(wc -l <"$work/held_out")" -eq 200 ] || fail 'not 200 held-out questions'
while IFS= read -r line; do
  subject=$(printf '%s' "$line" | sed 's/.*"answer": "\([^"]*\)\.".*/\1/')
  key=$(printf '%s' "$line" | sed 's/.*"key": "\([^"]*\)".*/\1/')
  case $subject in *" $key") ;; *) fail "the key $key does not end the answer $subject" ;; esac
  grep -qF "$subject." "$work/a/train.txt" || fail "never told: $subject"
done <"$work/a/held_out.jsonl"

status=0
"$program" --out "$work/a" --megabytes nothing 2>"$work/error" || status=$?
[ "$status" -eq 2 ] && grep -q -- --megabytes "$work/error" || fail 'a bad --megabytes does not exit 2 naming the flag'
