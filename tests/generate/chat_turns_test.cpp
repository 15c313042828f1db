// A chat over several turns: what a session holds is never read again, and equals what training saw.
#include <doctest/doctest.h>

#include "numbers.hpp"
#include "plume/data/chat_encoder.hpp"
#include "plume/generate/generate.hpp"
#include "plume/tokenizer/characters.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"
#include "test_data.hpp"

using namespace plume;

namespace {

Model random_model(const Tokenizer& tokenizer) {
  Config config;
  config.vocabulary = tokenizer.vocabulary();
  config.context = 512;
  config.width = 32;
  config.layers = 2;
  config.hidden = 64;
  config.heads = config.key_heads = 4;
  config.head_width = config.rotary.width = 8;
  Model model{Decoder::described(config), tokenizer};
  initialise(model.decoder, 3);
  return model;
}

double distance(std::span<const float> a, std::span<const float> b) {
  double most = a.size() == b.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) most = std::max(most, std::abs(static_cast<double>(a[i]) - b[i]));
  return most;
}

}  // namespace

TEST_CASE("each turn computes its own tokens only, with the logits of the whole chat read at once") {
  const Tokenizer small = load_tokenizer(plume_test::golden("chats"));
  for (const Tokenizer& tokenizer : {small, byte_tokenizer()})
    for (const ChatTemplate& entry : chat_templates) {
      INFO(std::string(tokenizer.kind()) << ", " << std::string(entry.name));
      const Model model = random_model(tokenizer);
      const ChatEncoder encoder(tokenizer, entry);
      if (!encoder.adds_turns()) continue;  // earlier turns are written into the prompt of each
      Session session(model, {.threads = 1});
      Chat said{{{Role::system, "Be brief."}}};
      std::vector<TokenId> expected;
      for (const std::string question : {"Who are you?", "And now? <|im_end|></s>", ""}) {
        said.messages.push_back({Role::user, question});
        session.feed(session.tokens().empty() ? encoder.prompt(said) : encoder.next_prompt(session.tokens(), said.messages.back()));
        CHECK(session.tokens() == (expected = encoder.prompt(said)));
        session.logits();
        CHECK(session.computed_rows() == static_cast<Index>(session.tokens().size()));
        Session fresh(model, {.threads = 1});
        fresh.feed(expected);
        CHECK(distance(session.logits(), fresh.logits()) <= 1e-5);
        // The model answers with tokens that spell a text and ends, as training would have it.
        said.messages.push_back({Role::assistant, concat("Answer ", said.messages.size())});
        const std::vector<TokenId> whole = encoder.encode(said).ids;
        session.feed(std::span(whole).subspan(expected.size()));
      }
    }
}

TEST_CASE("an answer that was cut off gets its end before the next question") {
  const Tokenizer tokenizer = load_tokenizer(plume_test::golden("chats"));
  const Model model = random_model(tokenizer);
  const ChatEncoder encoder(tokenizer, chat_template("chatml"));
  Session session(model, {.threads = 1});
  session.feed(encoder.prompt({{{Role::user, "Hello"}}}));
  const auto before = session.tokens().size();
  generate(session, {.max_tokens = 5, .sampling = {.temperature = 0}});
  REQUIRE(session.tokens().size() > before);
  const bool ended = session.tokens().back() == *encoder.end_token();
  const auto next = encoder.next_prompt(session.tokens(), {Role::user, "Go on"});
  CHECK((next.front() == *encoder.end_token()) == !ended);
  session.feed(next);
  session.logits();
  CHECK(session.computed_rows() == static_cast<Index>(session.tokens().size()));
}
