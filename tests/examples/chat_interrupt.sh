#!/bin/sh
# chat_interrupt.sh EXAMPLES WORK: Ctrl-C during an answer stops the answer and the conversation goes on; at the prompt it leaves with 130; the
# end of the input leaves with 0. On a terminal there is a prompt.
set -eu
examples=$1
work=$2
rm -rf "$work"
mkdir -p "$work"
cd "$work"
process=
fail() {
  echo "$*"
  [ -z "$process" ] || kill -9 "$process" 2>/dev/null || true
  exit 1
}

awk 'BEGIN { for (i = 0; i < 200; i++) print "User: Who are you?\nAssistant: I am a small cat.\n" }' >text.txt
printf '{"family": "llama", "layers": 2, "heads": 2, "width": 32, "hidden": 64, "context": 128, "batch": 8, "steps": 150, "learning_rate": 1e-2, "evaluate_every": 150}\n' >small.json
"$examples/pretrain" --data text.txt --config small.json --tokenizer bytes --sequence 96 --validation 0 --threads 1 --out base --quiet

# wait_for WHAT COMMAND...: until the command succeeds
wait_for() {
  what=$1
  shift
  for _ in $(seq 400); do
    if "$@"; then return; fi
    kill -0 "$process" 2>/dev/null || fail "the chat ended while waiting for $what: $(cat err)"
    sleep 0.05
  done
  fail "waited too long for $what: $(cat err)"
}
is_writing() { [ "$(wc -c <out)" -gt "$1" ]; }
figures() { [ "$(grep -c 'tokens/s' err)" -eq "$1" ]; }

# Without a template nothing ends the answer.
begin() {
  rm -f in
  mkfifo in
  : >out  # an earlier one's answer would be taken for this one's, and the signal come before there is a handler
  "$examples/chat" --model base --template text --temperature 0 --threads 1 --context 400000 --max-tokens 390000 <in >out 2>err &
  process=$!
  exec 3>in
}
ends_with() {
  status=0
  wait "$process" || status=$?
  [ "$status" -eq "$1" ] || fail "exit status $status, expected $1: $(cat err)"
  process=
}
begin
echo 'User: Who are you?' >&3
wait_for "an answer" is_writing 200
kill -INT "$process"
wait_for "its end" figures 1
grep -q 'tokens/s, stopped]$' err || fail "does not say that the answer was stopped: $(cat err)"
sleep 0.1
kill -0 "$process" 2>/dev/null || fail "Ctrl-C during an answer left the chat: $(cat err)"
written=$(wc -c <out)
echo '/set max-tokens 5' >&3
echo 'User: Who are you?' >&3
wait_for "a second answer" figures 2
[ "$(wc -c <out)" -gt "$written" ] && [ "$(wc -l <out)" -ge 2 ] || fail "no second answer: $(cat out)"
sleep 1  # at its prompt again
kill -INT "$process"
ends_with 130
exec 3>&-

begin
echo '/set max-tokens 5' >&3
echo 'Who' >&3
wait_for "an answer" figures 1
exec 3>&-
ends_with 0

# SIGTERM leaves, also in an answer.
begin
echo 'Who' >&3
wait_for "an answer" is_writing 200
kill -TERM "$process"
ends_with 130
exec 3>&-

# One turn alone: Ctrl-C leaves.
: >out
"$examples/chat" --model base --template text --threads 1 --context 400000 --max-tokens 390000 --prompt Who >out 2>err &
process=$!
wait_for "an answer" is_writing 200
kill -INT "$process"
ends_with 130

# On a terminal, an error is no end. Without its echo, which may come before a prompt or after it.
command -v script >/dev/null || { echo "SKIP: no program script to make a terminal"; exit 0; }
printf '/nope\nWho are you?\n/quit\n' | NO_COLOR=1 script -qec "stty -echo; '$examples/chat' --model base --temperature 0 --threads 1" /dev/null >typed
grep -q '> error: .*no command' typed || fail "no prompt and error on a terminal: $(cat typed)"
grep -q '> I am a small cat.' typed || fail "no answer on a terminal: $(cat typed)"
if printf '\033' | grep -q -F -f - typed; then fail "colours in spite of NO_COLOR"; fi
