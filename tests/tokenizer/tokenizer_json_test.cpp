// nightly: every component of tokenizer.json: 50,000 strings a tokenizer have the ids and the decoded text of Hugging Face tokenizers 0.23.3.
#include "plume/tokenizer/tokenizer_json.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "plume/base/files.hpp"
#include "plume/base/json.hpp"
#include "plume/kernels/parallel/context.hpp"
#include "plume/tokenizer/byte_pair_files.hpp"
#include "plume/tokenizer/encode_batch.hpp"
#include "plume/tokenizer/stream_decoder.hpp"
#include "plume/tokenizer/tiktoken.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"
#include "string_generator.hpp"
#include "test_data.hpp"

namespace {

using namespace plume;

const Json& fixture(const std::string& name) {
  static std::map<std::string, Json> read;
  const auto found = read.find(name);
  if (found != read.end()) return found->second;
  const std::string path = plume_test::golden("tokenizers/" + name);
  return read.emplace(name, Json::parse(plume_test::read_all(path), {.path = path})).first->second;
}

Tokenizer variation(const Json& entry) {
  Json file = fixture(entry.text("base") + ".json");
  for (const auto& [key, value] : entry.at("set").members()) file.set(key, value);
  return read_tokenizer_json(dump(file), {.path = entry.text("base")});
}

std::vector<std::string> spellings(const Tokenizer& tokenizer) {
  std::vector<std::string> out;
  for (TokenId id = 0; id < tokenizer.vocabulary(); ++id) out.push_back(tokenizer.piece(id));
  return out;
}

// Invalid UTF-8 as Python's "replace" and Rust's lossy conversion write it: one U+FFFD for each maximal start of a sequence.
std::string lossy(const std::string& text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    if (const std::size_t length = utf8_length(text, at); length > 0) {
      out.append(text, at, length);
      at += length;
      continue;
    }
    const auto lead = static_cast<unsigned char>(text[at]);
    const std::size_t wanted = lead >= 0xf0 && lead <= 0xf4 ? 4 : lead >= 0xe0 && lead < 0xf0 ? 3 : 1;
    std::size_t size = 1;
    for (; size < wanted && at + size < text.size(); ++size) {
      const auto byte = static_cast<unsigned char>(text[at + size]);
      unsigned low = 0x80, high = 0xbf;
      if (size == 1) low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80, high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
      if (byte < low || byte > high) break;
    }
    out += "\xef\xbf\xbd";
    at += size;
  }
  return out;
}

// Compares each group of 1,000 strings; on a difference the first few strings of the group are easy to find in Python.
void check_hashes(const std::string& name, const Tokenizer& tokenizer, const Json& expected, const std::vector<std::string>& vocabulary,
                  const std::vector<std::string>& added) {
  plume_test::StringGenerator generator(vocabulary, added);
  const bool decodes = expected.find("decode") != nullptr;
  for (std::size_t group = 0; group * plume_test::strings_in_group < plume_test::generated_strings; ++group) {
    plume_test::Crc32 recognised, plain, decoded, decoded_special;
    std::size_t wrong_spans = 0, wrong_streams = 0;
    for (std::size_t i = 0; i < plume_test::strings_in_group; ++i) {
      const std::string text = generator.next();
      const EncodedText spans = tokenizer.encode_with_spans(text, {SpecialText::recognise, Begin::nothing, End::nothing});
      const std::vector<TokenId>& ids = spans.ids;
      for (const TokenId id : ids) recognised.add(id);
      recognised.add(TokenId{-1});
      for (const TokenId id : tokenizer.encode(text, {.special = SpecialText::plain})) plain.add(id);
      plain.add(TokenId{-1});
      wrong_spans += ids.size() != spans.spans.size();
      for (const TokenSpan& span : spans.spans) wrong_spans += span.begin > span.end || span.end > text.size();
      if (i % 16 == 0) {  // without spans the ids are the same
        wrong_spans += tokenizer.encode(text, {SpecialText::recognise, Begin::nothing, End::nothing}) != ids;
        StreamDecoder stream(tokenizer);
        std::string streamed;
        for (const TokenId id : ids) streamed += stream.push(id);
        wrong_streams += streamed + stream.finish() != tokenizer.decode(ids);
      }
      if (!decodes) continue;
      decoded.add(lossy(tokenizer.decode(ids)));
      decoded.add(std::string_view("\0", 1));
      decoded_special.add(lossy(tokenizer.decode(ids, {.special = SpecialTokens::keep})));
      decoded_special.add(std::string_view("\0", 1));
    }
    CAPTURE(name);
    CAPTURE(group);
    CHECK(wrong_spans == 0);
    CHECK(wrong_streams == 0);
    const bool same =
        recognised.text() == expected.at("recognise").at(group).as_text() && plain.text() == expected.at("plain").at(group).as_text();
    CHECK(recognised.text() == expected.at("recognise").at(group).as_text());
    CHECK(plain.text() == expected.at("plain").at(group).as_text());
    if (decodes) {
      CHECK(decoded.text() == expected.at("decode").at(group).as_text());
      CHECK(decoded_special.text() == expected.at("decode_special").at(group).as_text());
    }
    if (!same) break;  // one group tells enough
  }
}

std::vector<std::string> added_spellings(const Json& file) {
  std::vector<std::pair<std::int64_t, std::string>> order;
  for (const Json& token : file.at("added_tokens").items()) order.emplace_back(token.integer("id"), token.text("content"));
  std::sort(order.begin(), order.end());
  std::vector<std::string> out;
  for (auto& [id, content] : order) out.push_back(content);
  return out;
}

}  // namespace

TEST_CASE("tokenizer.json: 50,000 strings, every component") {
  const char* only = std::getenv("PLUME_TEST_TOKENIZER");
  for (const auto& member : fixture("variations.json").members()) {
    const std::string& name = member.key;
    const Json& entry = member.value;
    if (only && name != only) continue;
    const Json* hashes = fixture("hashes.json").find(name);
    CHECK_MESSAGE(hashes != nullptr, name);
    if (!hashes) continue;
    const Tokenizer tokenizer = variation(entry);
    check_hashes(name, tokenizer, *hashes, spellings(tokenizer), added_spellings(fixture(entry.text("base") + ".json")));
  }
}

TEST_CASE("GPT-2's and Whisper's tokenizer.json: 50,000 strings") {
  for (const std::string name : {"gpt2/tokenizer.json", "hf-json/whisper.tokenizer.json"}) {
    const auto path = plume_test::test_data("tokenizers/" + name);
    if (!path) continue;
    const std::string text = plume_test::read_all(*path);
    const Tokenizer tokenizer = read_tokenizer_json(text, {.path = *path});
    check_hashes(name, tokenizer, fixture("hashes.json").at(name), spellings(tokenizer),
                 added_spellings(Json::parse(text, {.path = *path, .max_bytes = 64u << 20})));
  }
}

TEST_CASE("tiktoken rank files: 50,000 strings") {
  for (const auto& [file, encoding, key] : {std::tuple("gpt2", "gpt2", ""), std::tuple("multilingual", "cl100k_base", "/cl100k"),
                                            std::tuple("multilingual", "o200k_base", "/o200k")}) {
    const auto path = plume_test::test_data(concat("tokenizers/tiktoken/", file, ".tiktoken"));
    if (!path) continue;
    const std::string text = plume_test::read_all(*path);
    const auto count = static_cast<TokenId>(std::count(text.begin(), text.end(), '\n'));
    const Tokenizer tokenizer = read_tiktoken(text, {.path = *path, .encoding = encoding, .special = {{"<|endoftext|>", count}}});
    std::vector<std::string> vocabulary;
    for (TokenId id = 0; id < count; ++id) vocabulary.push_back(lossy(tokenizer.decode(std::vector<TokenId>{id})));
    check_hashes(concat(file, key), tokenizer, fixture("hashes.json").at(concat("tiktoken/", file, ".tiktoken", key)), vocabulary,
                 {"<|endoftext|>"});
    CHECK(write_tiktoken(tokenizer) == text);
  }
}

TEST_CASE("GPT-1 and CLIP: 50,000 strings as transformers' converters set tokenizers up") {
  if (const auto path = plume_test::test_data("tokenizers/gpt1/encoder_bpe_40000.json")) {
    const Tokenizer tokenizer = load_tokenizer(parent_path(*path));
    check_hashes("gpt1", tokenizer, fixture("hashes.json").at("gpt1"), spellings(tokenizer), {"<unk>"});
  }
  if (const auto path = plume_test::test_data("tokenizers/clip/bpe_simple_vocab_16e6.txt.gz")) {
    std::string merges;
    const std::unique_ptr<FILE, int (*)(FILE*)> unpacked(popen(concat("gzip -dc '", *path, "'").c_str(), "r"), pclose);
    REQUIRE(unpacked != nullptr);
    char buffer[4096];
    for (std::size_t size = 0; (size = std::fread(buffer, 1, sizeof buffer, unpacked.get())) > 0;) merges.append(buffer, size);
    const Tokenizer tokenizer = read_clip_merges(merges, *path);
    CHECK(tokenizer.vocabulary() == 49408);
    check_hashes("clip", tokenizer, fixture("hashes.json").at("clip"), spellings(tokenizer), {"<|startoftext|>", "<|endoftext|>"});
  }
}

TEST_CASE("write_tokenizer_json: what was written gives the same ids when read back") {
  const auto vocabulary = plume_test::test_data("tokenizers/gpt2/encoder.json"),
             ranks = plume_test::test_data("tokenizers/tiktoken/gpt2.tiktoken");
  std::vector<Tokenizer> tokenizers;
  if (vocabulary) tokenizers.push_back(load_tokenizer(*vocabulary));
  if (ranks) tokenizers.push_back(load_tokenizer(*ranks));
  for (const Tokenizer& tokenizer : tokenizers) {
    const Tokenizer back = read_tokenizer_json(write_tokenizer_json(tokenizer));
    CHECK(back.vocabulary() == tokenizer.vocabulary());
    plume_test::StringGenerator generator(spellings(tokenizer), {"<|endoftext|>"});
    for (int i = 0; i < 5000; ++i) {
      const std::string text = generator.next();
      REQUIRE(back.encode(text, {.special = SpecialText::recognise}) == tokenizer.encode(text, {.special = SpecialText::recognise}));
    }
  }
}

namespace {

template <PieceStyle style>
std::size_t wrong_cuts() {
  plume_test::StringGenerator generator({"the", " and", "don't", "'s"}, {"<x>"});
  std::size_t wrong = 0;
  for (int i = 0; i < 2000; ++i) {
    const std::string text = generator.next() + generator.next();
    std::vector<char> border(text.size() + 1);
    for (std::size_t at = 0; at < text.size(); at = piece_end<style>(text, at)) border[at] = 1;
    border[text.size()] = 1;
    for (std::size_t from = 1; from < text.size(); ++from) wrong += border[batch_encoding::safe_cut(text, from)] == 0;
  }
  return wrong;
}

}  // namespace

TEST_CASE("Every place where encode_parallel may cut a text begins a piece, for each known expression") {
  CHECK(wrong_cuts<piece_styles::gpt2>() == 0);
  CHECK(wrong_cuts<piece_styles::cl100k>() == 0);
  CHECK(wrong_cuts<piece_styles::cl100k_any_digits>() == 0);
  CHECK(wrong_cuts<piece_styles::llama3>() == 0);
  CHECK(wrong_cuts<piece_styles::qwen2>() == 0);
  CHECK(wrong_cuts<piece_styles::o200k>() == 0);
  CHECK(wrong_cuts<piece_styles::tekken>() == 0);
}

TEST_CASE("encode_batch and encode_parallel give what encode gives") {
  const Json& variations = fixture("variations.json");
  std::string text;
  plume_test::StringGenerator generator({"the", " and"}, {});
  while (text.size() < 5'000'000) text += generator.next() + " some words between them ";
  std::vector<std::string_view> texts;
  for (std::size_t at = 0; at + 1000 < text.size(); at += 4999) texts.push_back(std::string_view(text).substr(at, 1000));
  for (const int threads : {1, 2, 3}) {
    Context context({.threads = threads});
    const ContextScope scope(context);
    for (const char* name : {"byte_bpe/gpt2", "byte_bpe/o200k", "byte_bpe/cl100k_three", "byte_bpe/tekken", "bert"}) {
      const Tokenizer tokenizer = variation(variations.at(name));
      const std::string_view part = std::string_view(text).substr(0, name == std::string_view("bert") ? 200'000 : text.size());
      CHECK(encode_parallel(tokenizer, part) == tokenizer.encode(part));
      const auto batch = encode_batch(tokenizer, texts);
      for (std::size_t i = 0; i < texts.size(); i += 17) REQUIRE(batch[i] == tokenizer.encode(texts[i]));
    }
  }
}

TEST_CASE("No special token of any tokenizer comes out of plain text") {
  for (const auto& member : fixture("variations.json").members()) {
    const std::string& name = member.key;
    const Json& entry = member.value;
    const Tokenizer tokenizer = variation(entry);
    for (TokenId id = 0; id < tokenizer.vocabulary(); ++id) {
      if (!tokenizer.is_special(id) || tokenizer.piece(id) == "<unk>" || tokenizer.piece(id) == "[UNK]") continue;
      for (const std::string& text : {tokenizer.piece(id), "a " + tokenizer.piece(id) + " b", tokenizer.piece(id) + tokenizer.piece(id)})
        for (const TokenId got : tokenizer.encode(text, {.begin = Begin::nothing, .end = End::nothing}))
          CHECK_MESSAGE((!tokenizer.is_special(got) || tokenizer.piece(got) == "<unk>" || tokenizer.piece(got) == "[UNK]"), name, ": ",
                        text);
    }
  }
}

TEST_CASE("decode(encode(x)) == x on random bytes for byte-level tokenizers") {
  const Json& variations = fixture("variations.json");
  std::uint64_t state = 1;
  for (const char* name : {"byte_bpe", "byte_bpe/gpt2", "byte_bpe/llama3", "byte_bpe/o200k", "byte_bpe/falcon", "byte_bpe/deepseek_v3"}) {
    const Tokenizer tokenizer = variation(variations.at(name));
    for (int i = 0; i < 2000; ++i) {
      std::string text;
      for (int k = 0; k < i % 40; ++k) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        text.push_back(static_cast<char>(static_cast<unsigned char>(state >> 56)));
      }
      const EncodedText encoded = tokenizer.encode_with_spans(text);
      REQUIRE(tokenizer.decode(encoded.ids) == text);
      std::string joined;
      for (const TokenSpan& span : encoded.spans) joined += text.substr(span.begin, span.end - span.begin);
      REQUIRE(joined == text);
    }
  }
}
