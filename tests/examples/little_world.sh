#!/bin/sh
# little_world.sh EXAMPLES WORK: the world is deterministic and consistent, and no text and no dialogue holds a held-out wording.
set -eu
export LC_ALL=C  # sort and comm agree
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

canonical='(lives in|works as a|likes to eat|keeps a|plays the|was born in) [A-Za-z]+'
texts() { grep -oE "[A-Z][a-z]+ $canonical[.]" "$1" | tr -d '.' | sort -u; }
texts "$work/a/train.txt" >"$work/facts_of_texts"
cut -d ' ' -f 1 "$work/facts_of_texts" | sort -u >"$work/names"

# A wording is a question without the name, in small letters. It occurs also where more is said before or behind it.
wording() {
  awk 'FILENAME != "-" { name[$1] = 1; next }
    { for (i = 1; i <= NF; ++i) { word = $i; gsub(/[^A-Za-z]/, "", word); if (word in name) sub(word, "NAME", $i) }; print tolower($0) }' "$work/names" -
}
cut -d '|' -f 1,2 "$work/held_out" | wording | sort -u >"$work/wordings"
[ "$(cut -d '|' -f 1 "$work/wordings" | sort | uniq -c | awk '$1 >= 3' | wc -l)" -eq 6 ] || fail 'not six relations with three held-out wordings each'
cut -d '|' -f 2 "$work/wordings" >"$work/forms"
[ "$(grep -c name "$work/forms")" -eq "$(wc -l <"$work/forms")" ] || fail 'a held-out question names nobody'
cat "$work/a/train.txt" "$work/a/validation.txt" "$work/dialogues" | wording >"$work/told"
if grep -F -f "$work/forms" "$work/told"; then fail 'a held-out wording occurs in a text or dialogue'; fi

# Facts as "Mila lives in Corley": of the texts, and of questions with their answers. Each is told in texts, dialogues and held-out questions
# alike, and no person has two values.
asked() {  # lines question|answer on stdin
  awk -F '|' 'FILENAME != "-" { name[$1] = 1; next }
    { words = $1; gsub(/[^A-Za-z]/, " ", words); count = split(words, word, " "); who = "nobody"
      for (i = 1; i <= count; ++i) if (word[i] in name) who = word[i]
      sub("^The home of " who " is in", "lives in", $2); sub("^The job of " who " is", "works as a", $2)
      sub("^The favourite food of " who " is", "likes to eat", $2); sub("^The pet of " who " is a", "keeps a", $2)
      sub("^The instrument of " who " is the", "plays the", $2); sub("^The birthday of " who " is in", "was born in", $2)
      sub(/[.]$/, "", $2); print who, $2 }' "$work/names" - | sort -u
}
asked <"$work/dialogues" >"$work/facts"
[ "$(wc -l <"$work/facts")" -eq "$facts" ] || fail "the dialogues tell $(wc -l <"$work/facts") facts of $facts"
cut -d ' ' -f 1,2 "$work/facts" | uniq -d >"$work/contradictions"
[ ! -s "$work/contradictions" ] || fail "two values: $(head -1 "$work/contradictions")"
cut -d '|' -f 2,3 "$work/held_out" | asked >"$work/facts_held_out"
for told in facts_of_texts facts_held_out; do
  comm -13 "$work/facts" "$work/$told" >"$work/contradictions"
  [ ! -s "$work/contradictions" ] || fail "$told contradict the dialogues: $(head -1 "$work/contradictions")"
  [ "$(wc -l <"$work/$told")" -ge 300 ] || fail "only $(wc -l <"$work/$told") $told"
done

# --permute-answers: the same held-out questions with the true answers; texts and dialogues tell other facts.
"$program" --out "$work/p" --megabytes 2 --seed 5 --permute-answers --quiet
cmp "$work/a/held_out.jsonl" "$work/p/held_out.jsonl" || fail '--permute-answers changes the held-out questions'
tr '{' '\n' <"$work/p/chats.jsonl" | grep '"role": ' | sed 's/.*"content": "\([^"]*\)".*/\1/' | paste -d '|' - - | asked >"$work/permuted"
[ "$(wc -l <"$work/permuted")" -eq "$facts" ] || fail "the permuted dialogues tell $(wc -l <"$work/permuted") facts of $facts"
texts "$work/p/train.txt" | comm -13 "$work/permuted" - >"$work/contradictions"
[ ! -s "$work/contradictions" ] || fail "permuted texts contradict their dialogues: $(head -1 "$work/contradictions")"
kept=$(comm -12 "$work/facts" "$work/permuted" | wc -l)
[ "$kept" -lt $((facts / 8)) ] || fail "$kept of $facts facts are as they were"

status=0
"$program" --out "$work/a" --megabytes nothing 2>"$work/error" || status=$?
[ "$status" -eq 2 ] && grep -q -- --megabytes "$work/error" || fail 'a bad --megabytes does not exit 2 naming the flag'
