// nightly: every special token of every tokenizer of the test data, in the text of users, systems, tools and answers, yields no control id.
#include <doctest/doctest.h>

#include "plume/data/chat_encoder.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"
#include "test_data.hpp"

using namespace plume;

namespace {

const char* const tokenizers[] = {"gpt2/encoder.json",
                                  "gpt2/tokenizer.json",
                                  "gpt1/encoder_bpe_40000.json",
                                  "hf-json/whisper.tokenizer.json",
                                  "hf-fixtures/spiece.model",
                                  "hf-fixtures/test_sentencepiece.model",
                                  "sentencepiece/test_model.model",
                                  "llama2/tokenizer.model",
                                  "llama2/tokenizer.bin",
                                  "tiktoken/gpt2.tiktoken",
                                  "llama.cpp/ggml-vocab-bert-bge.gguf",
                                  "llama.cpp/ggml-vocab-falcon.gguf",
                                  "llama.cpp/ggml-vocab-gpt-2.gguf",
                                  "llama.cpp/ggml-vocab-gpt-neox.gguf",
                                  "llama.cpp/ggml-vocab-llama-spm.gguf"};

}  // namespace

TEST_CASE("Special tokens in anybody's text are no control ids, with every tokenizer") {
  const JinjaTemplate program(
      "{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}{% for c in m.tool_calls or [] %}{{ c | tojson }}{{ c.name ~ "
      "c.arguments.q }}"
      "{% endfor %}\n{% endfor %}{% for t in tools %}{{ t | tojson }}{{ '%s: {}' % t.name }}{% endfor %}{{ documents | tojson }}");
  for (const std::string name : tokenizers) {
    const auto path = plume_test::test_data("tokenizers/" + name);
    if (!path) continue;
    CAPTURE(name);
    const Tokenizer tokenizer = load_tokenizer(*path);
    const ChatEncoder encoder(tokenizer, chat_template("text"));
    const auto unknown = [&](TokenId id) { return tokenizer.piece(id) == "<unk>" || tokenizer.piece(id) == "[UNK]"; };
    std::string every;
    for (const TokenId id : tokenizer.model().vocabulary.special()) every += tokenizer.piece(id) + (id % 3 == 0 ? " " : "");
    const auto controls = [&](const std::string& typed) {
      Json messages = Json::array(), call = Json::object().set("name", typed).set("arguments", Json::object().set("q", typed));
      for (const char* role : {"system", "user", "assistant", "tool"})
        messages.push(Json::object().set("role", role).set("content", typed).set("tool_calls", Json::array().push(call)));
      Json things = Json::array();
      things.push(Json::object().set("name", typed));
      const RenderedChat chat = program.render(messages, {.tools = things, .documents = things});
      std::vector<ChatSegment> pieces;
      for (const RenderedSegment& part : chat.segments)
        pieces.push_back(
            {part.source == RenderedSource::user ? ChatSegmentKind::text : ChatSegmentKind::literal, std::string(chat.part(part))});
      const std::vector<TokenId> ids = encoder.encode(pieces).ids;
      return std::count_if(ids.begin(), ids.end(), [&](TokenId id) { return tokenizer.is_special(id) && !unknown(id); });
    };
    CHECK(controls(every) == controls("x"));
    for (const TokenId id : tokenizer.model().vocabulary.special())
      if (!unknown(id) && id % 16 == 0) CHECK(controls(tokenizer.piece(id)) == controls("x"));
  }
}
