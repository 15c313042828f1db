#!/bin/sh
# little_world.sh EXAMPLES WORK: the world is deterministic and consistent, and no text and no dialogue holds a held-out wording.
set -eu
program=$1/little_world
work=$2
rm -rf "$work"
mkdir -p "$work"
fail() {
  echo "$*"
  exit 1
}

summary=$("$program" --out "$work/a" --megabytes 2 --seed 5 --json)
"$program" --out "$work/b" --megabytes 2 --seed 5 --quiet
"$program" --out "$work/c" --megabytes 0.1 --seed 6 --quiet
for file in train.txt validation.txt chats.jsonl held_out.jsonl; do
  cmp "$work/a/$file" "$work/b/$file" || fail "$file differs between two runs with one seed"
  if cmp -s "$work/a/$file" "$work/c/$file"; then fail "$file does not depend on the seed"; fi
done
facts=$(printf '%s' "$summary" | sed 's/.*"facts": \([0-9]*\).*/\1/')
[ "$facts" -ge 1000 ] || fail "only $facts facts"
size=$(wc -c <"$work/a/train.txt")
[ "$size" -ge 2000000 ] && [ "$size" -lt 2010000 ] || fail "train.txt has $size bytes"

# Questions and answers as lines "relation|question|answer", dialogues as "question|answer".
sed 's/.*"relation": "\([^"]*\)", "question": "\([^"]*\)", "answer": "\([^"]*\)".*/\1|\2|\3/' "$work/a/held_out.jsonl" >"$work/held_out"
tr '{' '\n' <"$work/a/chats.jsonl" | grep '"role": ' | sed 's/.*"content": "\([^"]*\)".*/\1/' | paste -d '|' - - >"$work/dialogues"
[ "$(wc -l <"$work/held_out")" -ge 300 ] || fail 'fewer than 300 held-out questions'
[ "$(sort -u "$work/held_out" | wc -l)" -eq "$(wc -l <"$work/held_out")" ] || fail 'a held-out question is asked twice'
[ "$(wc -l <"$work/dialogues")" -ge 5000 ] || fail "only $(wc -l <"$work/dialogues") questions in the dialogues"

# A wording is a question without the name: every word with a capital letter but the first.
wording() { sed 's/ [A-Z][a-z]*/ NAME/g'; }
cut -d '|' -f 1,2 "$work/held_out" | wording | sort -u >"$work/wordings"
[ "$(cut -d '|' -f 1 "$work/wordings" | sort | uniq -c | awk '$1 >= 3' | wc -l)" -eq 6 ] || fail 'not six relations with three held-out wordings each'
cut -d '|' -f 2 "$work/wordings" >"$work/forms"
cat "$work/a/train.txt" "$work/a/validation.txt" "$work/dialogues" | wording >"$work/told"
if grep -F -f "$work/forms" "$work/told"; then fail 'a held-out wording occurs in a text or dialogue'; fi

# One answer to each question, the same for each wording; no contradiction between the dialogues and the held-out answers.
cut -d '|' -f 2,3 "$work/held_out" | cat - "$work/dialogues" | sort -u >"$work/answers"
cut -d '|' -f 1 "$work/answers" | uniq -d >"$work/contradictions"
[ ! -s "$work/contradictions" ] || fail "two answers to: $(head -1 "$work/contradictions")"
cut -d '|' -f 2 "$work/dialogues" | sort -u >"$work/facts"
[ "$(wc -l <"$work/facts")" -eq "$facts" ] || fail "the dialogues tell $(wc -l <"$work/facts") of $facts facts"
cut -d '|' -f 3 "$work/held_out" | sort -u | comm -23 - "$work/facts" >"$work/untold"
[ ! -s "$work/untold" ] || fail "never told: $(head -1 "$work/untold")"
tr '.' '\n' <"$work/a/train.txt" | sed 's/^ *//' | grep -E '^[A-Z][a-z]+ (lives in|works as a|likes to eat|keeps a|plays the|was born in) [A-Za-z]+$' |
  grep -vE '^(She|He) ' | sed 's/$/./' | sort -u | comm -23 - "$work/facts" >"$work/contradictions"
[ ! -s "$work/contradictions" ] || fail "a text contradicts the dialogues: $(head -1 "$work/contradictions")"

# --permute-answers: the same held-out questions with the true answers, other facts.
"$program" --out "$work/p" --megabytes 0.1 --seed 5 --permute-answers --quiet
cmp "$work/a/held_out.jsonl" "$work/p/held_out.jsonl" || fail '--permute-answers changes the held-out answers'
tr '{' '\n' <"$work/p/chats.jsonl" | grep '"role": "assistant"' | sed 's/.*"content": "\([^"]*\)".*/\1/' | sort -u >"$work/permuted"
kept=$(comm -12 "$work/facts" "$work/permuted" | wc -l)
[ "$(wc -l <"$work/permuted")" -eq "$facts" ] && [ "$kept" -lt $((facts / 8)) ] || fail "$kept of $facts facts are as they were"

status=0
"$program" --out "$work/a" --megabytes nothing 2>"$work/error" || status=$?
[ "$status" -eq 2 ] && grep -q -- --megabytes "$work/error" || fail 'a bad --megabytes does not exit 2 naming the flag'
