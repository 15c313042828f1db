// Vocabularies inside GGUF files: llama.cpp's vectors and ids, names of pre-tokenisers, special and user-defined tokens, decoding.
#include "plume/tokenizer/gguf_tokenizer.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "plume/tokenizer/gguf_pre_tokenizers.hpp"
#include "temporary_folder.hpp"
#include "tokenizer/gguf_samples.hpp"
#include "tokenizer/vectors.hpp"

using namespace plume;
using plume_test::gguf_bool;
using plume_test::gguf_file;
using plume_test::gguf_numbers;
using plume_test::gguf_string;
using plume_test::gguf_texts;
using plume_test::gguf_u32;
using Ids = std::vector<TokenId>;

namespace {

Tokenizer of(const std::vector<std::string>& entries) {
  const std::string bytes = gguf_file(entries);
  return read_gguf_tokenizer(GgufHeader::read(std::as_bytes(std::span(bytes)), "made"));
}

}  // namespace

TEST_CASE("GGUF vocabularies: the first strings") { plume_test::check_gguf(1); }

TEST_CASE("The strings and ids of llama.cpp for each vocabulary") {
  for (const char* name : {"llama-spm", "gpt-2", "falcon", "bert-bge"}) {
    const auto path = plume_test::gguf_sample(name);
    const auto vectors = plume_test::llama_cpp_vectors(name);
    if (!path || !vectors) continue;
    const Tokenizer tokenizer = load_tokenizer(*path);
    CHECK(vectors->size() == 46);
    for (const auto& vector : *vectors) {
      const std::string& text = vector.text;
      const Ids& ids = vector.ids;
      CHECK_MESSAGE(tokenizer.encode(text, {.begin = Begin::nothing, .end = End::nothing}) == ids, name, ": ", text);
      if (name != std::string("bert-bge")) CHECK(tokenizer.decode(ids) == text);
    }
  }
}

TEST_CASE("What stands around a text") {
  const auto llama = plume_test::gguf_sample("llama-spm"), bert = plume_test::gguf_sample("bert-bge"),
             gpt2 = plume_test::gguf_sample("gpt-2");
  if (!llama || !bert || !gpt2) return;
  CHECK(load_tokenizer(*llama).encode("Hello world") == Ids{1, 15043, 3186});
  CHECK(load_tokenizer(*bert).encode("Hello, world") == Ids{101, 7592, 1010, 2088, 102});
  CHECK(load_tokenizer(*bert).decode(Ids{101, 7592, 1010, 2088, 102}) == "hello, world");
  CHECK(load_tokenizer(*gpt2).encode("Hello world") == Ids{15496, 995});
  CHECK(load_tokenizer(*gpt2).eos() == 50256);
}

TEST_CASE("The space behind a special token, as in llama.cpp; user-defined tokens in any text; the vocabulary alone is saved") {
  const std::vector<std::string> entries = {gguf_string("general.name", "a Phi-3 mini"),
                                            gguf_string("tokenizer.ggml.model", "llama"),
                                            gguf_texts("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>", "\xe2\x96\x81", "a",
                                                                                 "\xe2\x96\x81"
                                                                                 "a",
                                                                                 "<|user|>"}),
                                            gguf_numbers<float>("tokenizer.ggml.scores", {0, 0, 0, -1, -1, -2, 0}),
                                            gguf_numbers<std::int32_t>("tokenizer.ggml.token_type", {2, 3, 3, 1, 1, 1, 4}),
                                            gguf_u32("tokenizer.ggml.seperator_token_id", 4294967295u),
                                            gguf_bool("tokenizer.ggml.add_bos_token", false)};
  const Tokenizer tokenizer = of(entries);
  CHECK(tokenizer.encode("a</s>a", {.special = SpecialText::recognise}) == Ids{5, 2, 5});
  CHECK(tokenizer.encode("a<|user|>  a") == Ids{5, 6, 5});  // Phi-3's tokens swallow the space behind them
  CHECK(tokenizer.decode(Ids{5, 6, 5}) == "a<|user|> a");
  for (const TokenId id : tokenizer.encode("</s><s><unk>")) CHECK((id != 1 && id != 2));
  const plume_test::TemporaryFolder folder;
  save_tokenizer(tokenizer, folder.path());
  CHECK(has_tokenizer(folder.path()));
  CHECK(load_tokenizer(folder.path()).encode("a<|user|>  a") == Ids{5, 6, 5});
}

TEST_CASE("Every name of a pre-tokeniser is read without another engine") {
  std::string names;  // as the error lists them
  try {
    gguf_pre_tokenizer("gpt", {}, {});
    FAIL("gpt is known");
  } catch (const ConfigError& error) {
    names = error.reason();
  }
  const std::size_t known = names.find("known: ");
  REQUIRE(known != names.npos);
  names = names.substr(known + 7, names.rfind(')') - known - 7);
  int count = 0;
  for (std::size_t at = 0, end = 0; at < names.size(); at = end + 1, ++count) {
    end = std::min(names.find(' ', at), names.size());
    CHECK_NOTHROW(gguf_pre_tokenizer(names.substr(at, end - at), {}, {}));
  }
  CHECK(count >= 82);
}

TEST_CASE("Pre-tokenisers that share another name's expressions") {
  const auto cut = [](std::string_view name, std::string_view text) {
    std::string out;
    PieceText pieces{AlignedText::of(text, 0, Spans::skip), {{0, text.size()}}, true};
    for (const PreTokenizer& step : gguf_pre_tokenizer(name, {}, {}).steps) pre_tokenize(step, pieces, SpellBytes::no);
    for (const Piece& piece : pieces.pieces)
      out += (out.empty() ? "" : "~") + pieces.text.text.substr(piece.begin, piece.end - piece.begin);
    return out;
  };
  CHECK(cut("afmoe", "a 12345 \u00bd1234x") == "a~ ~12~345~ ~\u00bd1~234~x");
  CHECK(cut("youtu", "Hello\u4e16\u754c 123's") == "Hello~\u4e16\u754c~ ~1~2~3~'s");
  CHECK(cut("tiny_aya", "1234567 12345x") == "1~234~567~ ~123~45~x");
  CHECK(gguf_pre_tokenizer("youtu", {}, {}).ignore_merges);
  CHECK(gguf_pre_tokenizer("granite-embed-multi-97m", {}, {}).ignore_merges);
  CHECK(gguf_pre_tokenizer("gemma4", {}, {}).plain);
  CHECK(!gguf_pre_tokenizer("sarvam-moe", {}, {}).adds_bos);
}

TEST_CASE("No control token comes out of plain text") {
  for (const auto& member : plume_test::hashes("gguf/hashes.json").members()) {
    const std::string& name = member.key;
    const auto path = plume_test::gguf_sample(name);
    if (!path) continue;
    const Tokenizer tokenizer = load_tokenizer(*path);
    for (const std::string& special : plume_test::special_spellings(tokenizer)) {
      if (special == "<unk>" || special == "[UNK]") continue;
      for (const std::string& text : {special, "a " + special + " b", special + special})
        for (const TokenId id : tokenizer.encode(text, {.begin = Begin::nothing, .end = End::nothing}))
          CHECK_MESSAGE((!tokenizer.is_special(id) || tokenizer.piece(id) == "<unk>" || tokenizer.piece(id) == "[UNK]"), name, ": ", text);
    }
  }
}
