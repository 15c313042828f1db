// A program that reads and writes no file: it trains a model of its own and lets it speak. tests/windows.sh builds it for Windows too.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "plume/generate/generate.hpp"
#include "plume/models/model.hpp"
#include "plume/modules/initialise.hpp"
#include "plume/optim/adamw.hpp"
#include "plume/tokenizer/tiktoken.hpp"

using namespace plume;

namespace {

const std::string sentence = "Sphinx of black quartz, judge my vow.";

// A token for each byte.
Tokenizer bytes_as_tokens() {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string ranks;
  for (std::size_t byte = 0; byte < 256; ++byte)
    ranks += concat(digits.substr(byte >> 2, 1), digits.substr((byte & 3) << 4, 1), "== ", byte, "\n");
  return read_tiktoken(ranks, {.pattern = R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"});
}

// The model after `steps` steps on the sentence, and the loss before the first and at the last.
struct Trained {
  Model model;
  double first = 0, last = 0;
};
Trained train_on_sentence(int threads, int steps) {
  const Context context({.threads = threads});
  const ContextScope scope(context);
  const Tokenizer tokenizer = bytes_as_tokens();
  Config config;
  config.vocabulary = tokenizer.vocabulary();
  config.context = 64;
  config.width = 48;
  config.layers = 2;
  config.hidden = 96;
  config.heads = 4;
  config.key_heads = 2;
  config.head_width = 12;
  config.rotary.width = 12;
  Decoder decoder = Decoder::described(config);
  initialise(decoder, 7);
  Trained out{{decoder, tokenizer}};
  AdamW optimizer(out.model, {.learning_rate = 4e-3});
  const std::vector<TokenId> ids = tokenizer.encode(sentence);
  for (int step = 0; step < steps; ++step) {
    Pass pass;
    Tape tape;
    const Tensor loss = out.model.loss(std::span(ids).first(ids.size() - 1), std::span(ids).subspan(1), pass);
    out.last = loss.item();
    if (step == 0) out.first = out.last;
    optimizer.step(tape.backward(loss));
  }
  return out;
}

}  // namespace

TEST_CASE("a model learns a sentence by heart and says it, on any number of threads with the same bits") {
  const Trained one = train_on_sentence(1, 120), three = train_on_sentence(3, 120);
  CHECK(one.first > 4);  // ln 256 is 5.5
  CHECK(one.last < 0.02);
  CHECK(one.last == three.last);
  for (const int threads : {1, 2}) {
    Session session(one.model, {.threads = threads});
    session.feed(one.model.tokenizer.encode(sentence.substr(0, 9)));
    std::string said;
    generate(session, {.max_tokens = static_cast<Index>(sentence.size()) - 9, .sampling = {.temperature = 0}},
             [&](std::string_view piece) { said += piece; });
    CHECK(said.substr(0, sentence.size() - 9) == sentence.substr(9));
  }
}

TEST_CASE("errors are caught with their text") {
  const Trained trained = train_on_sentence(1, 1);
  CHECK_THROWS_WITH_AS(trained.model.logits(std::vector<TokenId>{100000}), doctest::Contains("100000"), ArgumentError);
}
