include("${CMAKE_CURRENT_LIST_DIR}/expect.cmake")
include("${CMAKE_CURRENT_LIST_DIR}/small_chat_model.cmake")

expect_help(quiz --model --tokenizer --adapter --data --template --limit --show --max-tokens)
expect_usage_error(--model quiz --data x)
expect_usage_error(--data quiz --model x)
expect_usage_error("--template does not know \"nope\"" quiz --model x --data y --template nope)
expect_usage_error(--limit quiz --model x --data y --limit -1)

small_chat_model(cat)
# Right; right, in the other form and with white space around; wrong: the beginning of what is answered, and another answer.
file(WRITE "${WORK}/questions.jsonl" [[{"relation": "self", "question": "Who are you?", "answer": "I am a small cat."}
{"relation": "food", "messages": [{"role": "user", "content": "What do you eat?"}, {"role": "assistant", "content": " Fish and mice.\n"}]}

{"relation": "food", "question": "What do you eat?", "answer": "Fish"}
{"relation": "food", "question": "What do you eat?", "answer": "Bread."}
]])
run(quiz --model cat --data questions.jsonl --threads 1 --json)
expect_success()
expect_equal("${errors}" "")
foreach(field accuracy asked right seconds)
  string(JSON ${field} GET "${output}" ${field})
endforeach()
expect_equal("${accuracy} ${asked} ${right}" "0.5 4 2")
string(JSON food GET "${output}" relations food right)
string(JSON asked GET "${output}" relations food asked)
string(JSON self GET "${output}" relations self accuracy)
expect_equal("${food} ${asked} ${self}" "1 3 1.0")

run(quiz --model cat --data questions.jsonl --threads 1 --show 1 --limit 3)
expect_success()
expect_equal("${output}" "Who are you? I am a small cat. [right]\nfood              50.0 %  (1 of 2)\nself             100.0 %  (1 of 1)\naccuracy          66.7 %  (2 of 3)\n")
run(quiz --model cat --data questions.jsonl --threads 1 --quiet --max-tokens 3)
expect_success()
expect_equal("${output}" "accuracy           0.0 %  (0 of 4)\n")

# An adapter that learnt another answer.
file(WRITE "${WORK}/chats.jsonl" "{\"messages\": [{\"role\": \"user\", \"content\": \"Who are you?\"}, {\"role\": \"assistant\", \"content\": \"A dog.\"}]}\n")
file(WRITE "${WORK}/dog.jsonl" "{\"question\": \"Who are you?\", \"answer\": \"A dog.\"}\n")
run(finetune --model cat --data chats.jsonl --template plain --out dog --steps 80 --batch 1 --validation 0 --learning-rate 1e-2 --targets all-linear --threads 1 --quiet)
expect_success()
run(quiz --model cat --data dog.jsonl --threads 1)
expect_equal("${output}" "accuracy           0.0 %  (0 of 1)\n")
run(quiz --model cat --adapter dog --data dog.jsonl --threads 1)
expect_equal("${output}" "accuracy         100.0 %  (1 of 1)\n")

# What cannot be read.
file(WRITE "${WORK}/empty.jsonl" "\n")
expect_failure("empty.jsonl[^\n]*no questions" quiz --model cat --data empty.jsonl)
expect_failure("absent.jsonl" quiz --model cat --data absent.jsonl)
expect_failure("absent" quiz --model absent --data questions.jsonl)
file(WRITE "${WORK}/bad.jsonl" "{\"question\": \"a\", \"answer\": \"b\"}\n{\"question\": \"a\"}\n")
expect_failure("bad.jsonl, line 2[^\n]*answer" quiz --model cat --data bad.jsonl)
file(WRITE "${WORK}/open.jsonl" "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n")
expect_failure("open.jsonl, line 1[^\n]*ends with a question and its answer" quiz --model cat --data open.jsonl)
file(WRITE "${WORK}/role.jsonl" "{\"messages\": [{\"role\": \"nobody\", \"content\": \"a\"}]}\n")
expect_failure("role.jsonl, line 1[^\n]*role[^\n]*expected system, user or assistant" quiz --model cat --data role.jsonl)
