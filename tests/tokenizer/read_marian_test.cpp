// Marian's two SentencePiece models with vocab.json: ids and texts of transformers 5.24 (tests/golden/make_marian.py).
#include "plume/tokenizer/read_marian.hpp"

#include <filesystem>
#include <string>
#include <vector>

#include "malformed/protobuf_writer.hpp"
#include "plume/tokenizer/stream_decoder.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"
#include "temporary_folder.hpp"
#include "tokenizer/hashed_strings.hpp"

using namespace plume;
using Ids = std::vector<TokenId>;

namespace {

constexpr const char* codes[] = {">>deu<<", ">>zho_Hans<<", ">>x<<", ">><<", ">> deu<<", ">>deu<"};

// The texts of make_marian.py.
std::vector<std::string> marian_texts() {
  const Json names = Json::parse(plume_test::read_all(plume_test::golden("marian/vocab.json")), {});
  std::vector<std::string> pieces(names.size()), special = {"</s>", "<unk>", "<pad>"};
  for (const auto& [piece, id] : names.members()) pieces[static_cast<std::size_t>(id.as_integer())] = piece;
  special.insert(special.end(), std::begin(codes), std::end(codes));
  plume_test::StringGenerator generator(pieces, special);
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < 5000; ++i) texts.push_back((i % 3 == 0 ? codes[i / 3 % 6] : "") + generator.next());
  return texts;
}

// The two kinds of directory.
struct MarianFolder {
  plume_test::TemporaryFolder folder;
  explicit MarianFolder(const std::string& kind) {
    namespace fs = std::filesystem;
    for (const char* name : {"source.spm", "target.spm"}) fs::copy_file(plume_test::golden("marian/") + name, folder / name);
    const std::string from = plume_test::golden(kind == "joint" ? "marian/" : "marian/separate/");
    for (const char* name : {"vocab.json", "target_vocab.json", "tokenizer_config.json"})
      if (fs::exists(from + name)) fs::copy_file(from + name, folder / name);
  }
  const std::string& path() const { return folder.path(); }
};

}  // namespace

TEST_CASE("Marian: 5,000 strings have the ids and texts that transformers gives them") {
  const std::vector<std::string> texts = marian_texts();
  for (const char* kind : {"joint", "separate"}) {
    CAPTURE(kind);
    const MarianFolder folder(kind);
    REQUIRE(has_tokenizer(folder.path()));
    const Tokenizer source = load_tokenizer(folder.path()), target = load_tokenizer(folder.path(), {.side = TranslationSide::target});
    CHECK(source.kind() == "Marian");
    const Json& sums = plume_test::hashes("marian/hashes.json").at(kind);
    std::size_t wrong = 0;
    for (std::size_t group = 0; group < 5; ++group) {
      CAPTURE(group);
      plume_test::Crc32 from, to, plain, text, special;
      for (std::size_t i = 0; i < 1000; ++i) {
        const std::string& given = texts[1000 * group + i];
        const Ids ids = source.encode(given, {.special = SpecialText::recognise});
        for (const TokenId id : ids) from.add(id);
        for (const TokenId id : target.encode(given, {.special = SpecialText::recognise})) to.add(id);
        const Ids as_text = source.encode(given);
        for (const TokenId id : as_text) plain.add(id);
        for (plume_test::Crc32* sum : {&from, &to, &plain}) sum->add(TokenId{-1});
        text.add(source.decode(ids));
        special.add(source.decode(ids, {.special = SpecialTokens::keep}));
        for (plume_test::Crc32* sum : {&text, &special}) sum->add(std::string_view("\0", 1));
        wrong += source.encode(given) != as_text;
        if (i % 8 != 0) continue;
        const EncodedText spans = source.encode_with_spans(given, {.special = SpecialText::recognise});
        wrong += spans.ids != ids || spans.spans.size() != ids.size();
        for (const TokenSpan& span : spans.spans) wrong += span.begin > span.end || span.end > given.size();
        StreamDecoder stream(source);
        std::string streamed;
        for (const TokenId id : ids) streamed += stream.push(id);
        wrong += streamed + stream.finish() != source.decode(ids);
      }
      CHECK(from.text() == sums.at("source").at(group).as_text());
      CHECK(to.text() == sums.at("target").at(group).as_text());
      CHECK(plain.text() == sums.at("source_plain").at(group).as_text());
      CHECK(text.text() == sums.at("decode").at(group).as_text());
      CHECK(special.text() == sums.at("decode_special").at(group).as_text());
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("Marian: language codes, pieces that only vocab.json knows, pieces it lacks, spans") {
  const MarianFolder folder("joint");
  const Tokenizer tokenizer = load_tokenizer(folder.path());
  const TokenId unknown = *tokenizer.find("<unk>"), end = *tokenizer.find("</s>"), german = *tokenizer.find(">>deu<<");
  CHECK(tokenizer.eos() == end);
  CHECK(!tokenizer.bos());
  for (const TokenId id : {unknown, end, *tokenizer.find("<pad>")}) CHECK(tokenizer.is_special(id));
  CHECK(!tokenizer.is_special(german));
  const EncodedText encoded = tokenizer.encode_with_spans(">>deu<< the");
  CHECK(encoded.ids.front() == german);
  CHECK(encoded.spans.front() == TokenSpan{0, 7});
  CHECK(encoded.ids.back() == end);
  CHECK(encoded.spans.back() == TokenSpan{11, 11});
  CHECK(encoded.spans[encoded.spans.size() - 2].end == 11);
  CHECK(tokenizer.encode(">>xx<<") == Ids{unknown, end});
  CHECK(tokenizer.encode("") == Ids{end});
  CHECK(tokenizer.encode("  ") == Ids{end});
  // "\u00e9" is no piece of source.spm, but of vocab.json; with another such character it is one unknown piece
  const Ids accent = tokenizer.encode("a \u00e9"), two = tokenizer.encode("a \u00e9\u00e9");
  CHECK(accent[accent.size() - 2] == *tokenizer.find("\u00e9"));
  CHECK(two[two.size() - 2] == unknown);
  CHECK(tokenizer.decode(accent) == "a \u00e9");
  // text is never a special token unless that is asked for
  for (const TokenId id : tokenizer.encode("</s> <pad> a</s>", {.end = End::nothing})) CHECK((id == unknown || !tokenizer.is_special(id)));
  const Ids meant = tokenizer.encode("a</s> a<pad>", {.special = SpecialText::recognise, .end = End::nothing});
  CHECK(meant.back() == *tokenizer.find("<pad>"));
  CHECK(tokenizer.decode(meant) == "a a");
  // target.spm does not know this piece and so drops no space of it
  CHECK(tokenizer.decode(meant, {.special = SpecialTokens::keep}) == "a</s>  a<pad>");
}

TEST_CASE("Marian: the files are written back; a special token that vocab.json lacks comes last; added tokens") {
  MarianFolder folder("separate");
  const Tokenizer tokenizer = load_tokenizer(folder.path());
  CHECK(tokenizer.vocabulary() == static_cast<Index>(plume_test::hashes("marian/separate/target_vocab.json").size()));
  const plume_test::TemporaryFolder copy;
  save_tokenizer(tokenizer, copy.path());
  CHECK(copy.entries() == 5);
  CHECK(load_tokenizer(copy.path()).encode(">>deu<< the cat") == tokenizer.encode(">>deu<< the cat"));
  const MarianFolder joint("joint");
  joint.folder.write("vocab.json", R"({"<unk>": 1, "\u2581the": 0, "cat": 2})");
  const Tokenizer small = load_tokenizer(joint.path());
  CHECK(small.vocabulary() == 5);
  CHECK(small.piece(3) == "</s>");
  CHECK(small.piece(4) == "<pad>");
  CHECK(small.encode("the").back() == 3);
  joint.folder.write("tokenizer_config.json", R"({"eos_token": {"content": "cat"}, "pad_token": null, "added_tokens_decoder":
      {"3": {"content": "<new>", "special": false, "lstrip": true}, "1": {"content": "<unk>", "special": true}}})");
  const Tokenizer grown = load_tokenizer(joint.path());
  CHECK(grown.vocabulary() == 5);
  CHECK(grown.encode("the <new>the", {.end = End::nothing}) == Ids{0, 3, 0});
  CHECK(!grown.is_special(3));
  CHECK(grown.encode("the") == Ids{0, 2});
}

TEST_CASE("Marian: an unknown piece that is spelled as a special token is unk; U+2581 of a special token is a space") {
  const plume_test::TemporaryFolder folder;
  const std::string model = plume_test::pieces_bytes({{"\u2581"}, {"a"}, {"<unk>", 0.0f, 2}});
  folder.write("source.spm", model);
  folder.write("target.spm", model);
  folder.write("vocab.json", R"({"</s>": 0, "<unk>": 1, "a": 2, "?": 3, "!": 4, "x\u2581y": 5})");
  folder.write("tokenizer_config.json", R"({"pad_token": "?", "added_tokens_decoder": {"5": {"content": "x\u2581y", "special": true}}})");
  const Tokenizer tokenizer = load_tokenizer(folder.path());
  CHECK(tokenizer.encode("!") == Ids{1, 4, 0});
  CHECK(tokenizer.encode("?") == Ids{1, 1, 0});
  CHECK(tokenizer.encode("?", {.special = SpecialText::recognise}) == Ids{3, 0});
  CHECK(tokenizer.decode(Ids{2, 5}, {.special = SpecialTokens::keep}) == "ax y");
}
