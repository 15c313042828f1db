#!/bin/sh
# nightly: quickstart_controls.sh EXAMPLES WORK: the quickstart as a user runs it, three seeds. The tuned model answers at least nine of ten
# held-out questions; before tuning it answers fewer; and told other facts, it is right by chance alone.
set -eu
work=$2
rm -rf "$work"
mkdir -p "$work"
quickstart=$(dirname "$0")/../../examples/quickstart.sh
fail() {
  echo "$*"
  exit 1
}
holds() { awk "BEGIN { exit !($1) }"; }

for seed in 1 2 3; do
  for control in '' --permute-answers; do
    run=$work/$seed$control
    # shellcheck disable=SC2086  # perhaps no word
    sh "$quickstart" --out "$run" --seed "$seed" $control >"$run.txt" 2>"$run.log" </dev/null || fail "quickstart failed: $(tail -3 "$run.log")"
    accuracies=$(awk '$1 == "accuracy" { print $2 }' "$run.txt")
    before=${accuracies%%
*} after=${accuracies##*
}
    echo "seed $seed $control: $before % before tuning, $after % after; $(tail -1 "$run.txt")"
    grep -q '^accuracy .* of 600)$' "$run.txt" || fail 'not 600 questions'
    if [ -z "$control" ]; then
      holds "$after >= 90" || fail 'fewer than 90 % of the held-out questions are answered'
      holds "$before < $after - 30" || fail 'tuning makes little difference'
      tail -1 "$run.txt" | grep -qE '^quickstart: held-out accuracy [01][.][0-9][0-9], training [0-9]+ s, model /' || fail 'the last line is another'
    else
      # One of 12 to 16 values is right by chance: 6.5 %, with a standard deviation of about 1.2 % over 600 questions.
      holds "$after < 12" || fail 'right answers that were never told'
      # ... although the model knows what it was told.
      told=$("$1/quiz" --model "$run/model" --adapter "$run/tuned" --data "$run/world/chats.jsonl" --limit 300 --json)
      told=$(printf '%s' "$told" | sed 's/^{"accuracy": *\([0-9.]*\).*/\1/')
      holds "$told > 0.9" || fail "the control did not learn its own facts: $told"
    fi
  done
done
