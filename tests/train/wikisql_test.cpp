// nightly: LoRA on WikiSQL. A small model that has read tables and questions learns to answer them in SQL through an adapter: the loss of
// held-out answers falls below that of the untuned model and below a bigram model of the answers. An adapter tuned on answers written
// backwards is the control.
#include <doctest/doctest.h>

#include <map>

#include "plume/base/random.hpp"
#include "plume/data/chat_dataset.hpp"
#include "plume/data/chats.hpp"
#include "plume/data/token_dataset.hpp"
#include "plume/models/model.hpp"
#include "plume/peft/adapted_model.hpp"
#include "plume/tokenizer/train_byte_bpe.hpp"
#include "plume/train/train.hpp"
#include "test_data.hpp"

using namespace plume;

namespace {

std::vector<Chat> questions(const std::string& path) {
  return read_chats(path, {.schema = ChatSchema::text, .answer_marker = "\nA: "}).chats;
}

std::vector<Chat> backwards(std::vector<Chat> chats) {
  for (Chat& chat : chats) std::reverse(chat.messages.back().content.begin(), chat.messages.back().content.end());
  return chats;
}

Decoder small_model(Index vocabulary, std::uint64_t seed) {
  Config config;
  config.vocabulary = vocabulary;
  config.context = 256;
  config.width = 96;
  config.layers = 2;
  config.hidden = 256;
  config.heads = config.key_heads = 4;
  config.head_width = 24;
  config.rotary.width = 24;
  config.activation = {.kind = ActivationKind::silu};
  config.tied_head = true;
  Decoder decoder = Decoder::described(config);
  initialise(decoder, seed);
  return decoder;
}

// Mean loss of the trained tokens under bigram counts of the training answers, mixed with unigram counts.
double bigram_loss(const ChatDataset& training, const ChatDataset& held_out, Index vocabulary) {
  std::map<std::pair<TokenId, TokenId>, double> pairs;
  std::map<TokenId, double> firsts, seconds;
  double all = 0;
  const auto each = [](const ChatDataset& data, auto&& f) {
    TokenBatch batch;
    for (Index i = 0; i < data.size(); ++i) data.append_to(batch, i);
    for (std::size_t t = 0; t < batch.targets.size(); ++t)
      if (batch.targets[t] >= 0) f(batch.inputs[t], batch.targets[t]);
  };
  each(training, [&](TokenId before, TokenId token) {
    pairs[{before, token}] += 1;
    firsts[before] += 1;
    seconds[token] += 1;
    all += 1;
  });
  double sum = 0, count = 0;
  each(held_out, [&](TokenId before, TokenId token) {
    const double unigram = (seconds[token] + 0.1) / (all + 0.1 * static_cast<double>(vocabulary));
    sum -= std::log((pairs[{before, token}] + 2 * unigram) / (firsts[before] + 2));
    count += 1;
  });
  return sum / count;
}

TrainOptions options(Index steps, double rate, std::uint64_t seed) {
  TrainOptions options{.steps = steps, .batch = 8, .schedule = {rate, rate / 20, steps / 20, steps}, .seed = seed};
  options.optimizer = AdamWOptions{.beta2 = 0.98};
  options.evaluate_every = steps;
  return options;
}

}  // namespace

TEST_CASE("LoRA on WikiSQL: held-out answers, 3 seeds") {
  const auto train_path = plume_test::test_data("sft/wikisql/train.jsonl"), test_path = plume_test::test_data("sft/wikisql/test.jsonl");
  if (!train_path || !test_path) return;
  const std::vector<Chat> training = questions(*train_path), held_out = questions(*test_path);
  REQUIRE(training.size() == 1000);
  REQUIRE(held_out.size() == 100);
  std::string prompts;
  std::vector<std::string> texts;
  for (const Chat& chat : training) {
    REQUIRE(chat.messages.size() == 2);
    prompts.append(chat.messages[0].content).append("\n<|endoftext|>\n");
    texts.push_back(chat.messages[0].content + chat.messages[1].content);
  }
  const Tokenizer tokenizer = train_byte_bpe(texts, {.vocabulary_size = 512});
  const ChatEncoder encoder(tokenizer, chat_template("text"));
  const ChatDataset data(training, encoder, {.sequence = 256}), wrong(backwards(training), encoder, {.sequence = 256}),
      unseen(held_out, encoder, {.sequence = 256});
  const EvaluationChats validation(unseen);
  const double bigram = bigram_loss(data, unseen, tokenizer.vocabulary());
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    Model model{small_model(tokenizer.vocabulary(), seed), tokenizer};
    PackedWindows reading(token_dataset(prompts, tokenizer), {.sequence = 128, .seed = seed});
    train(model, reading, NoEvaluation{}, options(400, 4e-3, seed));
    const double untuned = evaluate_loss(model, validation);
    const auto tuned_on = [&](const ChatDataset& chats) {
      Adapter adapter = attach(model, Lora{.rank = 16, .alpha = 32, .targets = {"all-linear"}, .seed = seed});
      AdaptedModel tuned(model, adapter);
      PackedChats rows(chats, {.seed = seed});
      train(tuned, rows, NoEvaluation{}, options(500, 5e-3, seed));
      return evaluate_loss(tuned, validation);
    };
    const double tuned = tuned_on(data), control = tuned_on(wrong);
    MESSAGE("seed ", seed, ": held-out answers: untuned ", untuned, ", bigram ", bigram, ", LoRA ", tuned,
            ", LoRA on answers written backwards ", control);
    CHECK(tuned < untuned);
    CHECK(tuned < bigram);
    CHECK(control > bigram);
  }
}
