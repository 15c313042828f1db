// ChatGLM-6B's ice_text.model: ids and texts of its published tokenizers (tests/golden/make_chatglm.py), what it refuses.
#include "plume/tokenizer/ice_text.hpp"

#include <filesystem>
#include <string>
#include <vector>

#include "malformed/protobuf_writer.hpp"
#include "plume/data/chat_encoder.hpp"
#include "plume/tokenizer/stream_decoder.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"
#include "temporary_folder.hpp"
#include "tokenizer/hashed_strings.hpp"

using namespace plume;
using Ids = std::vector<TokenId>;

namespace {

constexpr const char* special[] = {"[MASK]", "[gMASK]",  "[sMASK]", "<unused_0>", "<sop>", "<eop>",
                                   "<ENC>",  "<dBLOCK>", "<s>",     "</s>",       "<pad>", "<unk>"};
constexpr EncodeOptions plain{.end = End::nothing}, recognised{.special = SpecialText::recognise, .end = End::nothing};

// A directory as it is published: the file and tokenizer_config.json.
struct IceFolder {
  plume_test::TemporaryFolder folder;
  explicit IceFolder(const std::string& config = {}, const std::string& file = "ice_text.model") {
    std::filesystem::copy_file(plume_test::golden("chatglm/" + file), folder / "ice_text.model");
    if (!config.empty()) folder.write("tokenizer_config.json", config);
  }
  Tokenizer load(const LoadTokenizerOptions& options = {}) const { return load_tokenizer(folder.path(), options); }
};

const Json& goldens() { return plume_test::hashes("chatglm/golden.json"); }
IceFolder folder_of(const std::string& name) {
  return IceFolder(dump(goldens().at(name).at("config")), name == "early" ? "early/ice_text.model" : "ice_text.model");
}

// The texts of make_chatglm.py.
std::vector<std::string> ice_texts(const Tokenizer& tokenizer, std::size_t images) {
  std::vector<std::string> pieces = plume_test::spelled(tokenizer), typed(std::begin(special), std::end(special));
  pieces.erase(pieces.begin(), pieces.begin() + static_cast<std::ptrdiff_t>(images));
  for (const char* text : {"<image_5>", "<|blank_81|>", "<|blank_02|>", "<|blank_", "<|blank_7", "<n", "<|tab|", "|>", "<0x41>", "<n>",
                           "<|tab|>", "<|blank_5|>", "<|blank_80|>"})
    typed.emplace_back(text);
  plume_test::StringGenerator generator(pieces, typed);
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < 5000; ++i) {
    std::string text = generator.next();
    if (i % 3 == 0) text.insert(0, i % 170, ' ');
    if (i % 5 == 0) text.insert(0, std::string("\t\n  \n", i % 6 < 5 ? i % 6 : 5));
    if (i % 7 == 0) text.append(i % 90, ' ').append(i % 3, '\n');
    texts.push_back(std::move(text));
  }
  return texts;
}

}  // namespace

TEST_CASE("ice_text.model: 5,000 strings have the ids and texts that ChatGLM-6B's tokenizers give them") {
  for (const char* name : {"images_0", "images_20000", "early"}) {
    CAPTURE(name);
    const Json& golden = goldens().at(name);
    const IceFolder folder = folder_of(name);
    REQUIRE(has_tokenizer(folder.folder.path()));
    const Tokenizer tokenizer = folder.load();
    CHECK(tokenizer.vocabulary() == golden.at("vocabulary").as_integer());
    for (const char* token : special) {
      CHECK(tokenizer.find(token) == static_cast<TokenId>(golden.at("tokens").at(token).as_integer()));
      CHECK(tokenizer.is_special(*tokenizer.find(token)));
    }
    const std::vector<std::string> texts = ice_texts(tokenizer, static_cast<std::size_t>(golden.at("images").as_integer()));
    std::size_t wrong = 0, controls = 0;
    for (std::size_t group = 0; group < 5; ++group) {
      CAPTURE(group);
      plume_test::Crc32 ids, as_text, decoded, decoded_ids;
      for (std::size_t i = 0; i < 1000; ++i) {
        const std::string& text = texts[1000 * group + i];
        const Ids meant = tokenizer.encode(text, recognised), typed = tokenizer.encode(text, plain);
        for (const TokenId id : meant) ids.add(id);
        for (const TokenId id : typed) as_text.add(id), controls += tokenizer.is_special(id);
        ids.add(TokenId{-1}), as_text.add(TokenId{-1});
        decoded.add(tokenizer.decode(typed)), decoded_ids.add(tokenizer.decode(meant));
        for (plume_test::Crc32* sum : {&decoded, &decoded_ids}) sum->add(std::string_view("\0", 1));
        wrong += tokenizer.encode(text, plain) != typed;
        if (i % 8 != 0) continue;
        const EncodedText spans = tokenizer.encode_with_spans(text, recognised);
        wrong += spans.ids != meant || spans.spans.size() != meant.size();
        for (const TokenSpan& span : spans.spans) wrong += span.begin > span.end || span.end > text.size();
        StreamDecoder stream(tokenizer);
        std::string streamed;
        for (const TokenId id : typed) streamed += stream.push(id);
        wrong += streamed + stream.finish() != tokenizer.decode(typed);
      }
      CHECK(ids.text() == golden.at("ids").at(group).as_text());
      CHECK(as_text.text() == golden.at("plain").at(group).as_text());
      CHECK(decoded.text() == golden.at("decode").at(group).as_text());
      CHECK(decoded_ids.text() == golden.at("decode_ids").at(group).as_text());
    }
    CHECK(wrong == 0);
    CHECK(controls == 0);  // of what is typed, no id is special
    const auto same = [](const Ids& found, const Json& expected) {
      Ids wanted;
      for (const Json& id : expected.items()) wanted.push_back(static_cast<TokenId>(id.as_integer()));
      CHECK(found == wanted);
    };
    same(tokenizer.encode(""), golden.at("behind"));
    for (const Json& row : golden.at("listed").items()) {
      const std::string& text = row.at("text").as_text();
      CAPTURE(text);
      same(tokenizer.encode(text, recognised), row.at("ids"));
      same(tokenizer.encode(text, plain), row.at("plain"));
      CHECK(tokenizer.decode(tokenizer.encode(text, plain)) == row.at("decoded").as_text());
    }
  }
}

TEST_CASE("ice_text.model: what stands behind a text, images, spans of white space, a second text") {
  const Tokenizer tokenizer = folder_of("images_20000").load();
  const TokenId first = 20'000;
  CHECK(tokenizer.kind() == "SentencePiece Unigram");
  CHECK(tokenizer.bos() == first + 1004);
  CHECK(tokenizer.eos() == first + 1005);
  CHECK(tokenizer.encode("") == Ids{first + 1001, first + 1004});
  CHECK(tokenizer.piece(19'999) == "<image_19999>");
  CHECK(tokenizer.is_special(0));
  CHECK(tokenizer.decode(Ids{7, first + 14}) == "a");
  CHECK(tokenizer.decode(Ids{7, first + 14}, {.special = SpecialTokens::keep}) == "<image_7> a");
  for (const TokenId id : tokenizer.encode("<image_7>", {.special = SpecialText::recognise})) CHECK(id >= first);
  const EncodedText encoded = tokenizer.encode_with_spans("a\n  \tb", plain);
  REQUIRE(encoded.ids.size() == 5);
  CHECK(encoded.spans == std::vector<TokenSpan>{{0, 1}, {1, 2}, {2, 4}, {4, 5}, {5, 6}});
  CHECK(tokenizer.piece(encoded.ids[2]) == "<|blank_2|>");
  // a text behind another begins with a space as well
  Ids later;
  tokenizer.model().encode("a", TextPart::later, later);
  CHECK(later == tokenizer.encode("a", plain));
  CHECK(StreamDecoder(tokenizer).push(first + 4) == "\n");
}

TEST_CASE("ice_text.model: a chat's prompt ends with [gMASK] and <sop>, its answer with <eop>") {
  const Tokenizer tokenizer = folder_of("images_0").load();
  const ChatEncoder encoder(tokenizer, chat_template("chatglm"));
  CHECK(encoder.prompt({{{Role::user, "a"}}}) == tokenizer.encode("a"));
  CHECK(encoder.end_token() == 1005);
  const EncodedChat chat = encoder.encode(Chat{{{Role::user, "a [gMASK]<sop>"}, {Role::assistant, "a"}}});
  Ids expected = tokenizer.encode("a [gMASK]<sop>");
  const auto prompt = static_cast<std::ptrdiff_t>(expected.size());
  expected.insert(expected.end(), {14, 1005});
  CHECK(chat.ids == expected);
  CHECK(std::count(chat.ids.begin(), chat.ids.begin() + prompt, 1004) == 1);  // what is typed is no control id
}

TEST_CASE("ice_text.model: white space in pieces, cut anywhere") {
  whitespace_tokens::Reader reader;
  const std::string spelled = "<n>a<|tab|><|blank_2|><|blank_80|><|blank_81|><|blank_1|><|blank_02|><|blank_|><|blank_123|><<n><|ta<|tab";
  const std::string white = "\na\t  " + std::string(80, ' ') + "<|blank_81|><|blank_1|><|blank_02|><|blank_|><|blank_123|><\n<|ta<|tab";
  for (std::size_t size = 1; size <= spelled.size(); ++size) {
    std::string text;
    for (std::size_t at = 0; at < spelled.size(); at += size) reader.push(std::string_view(spelled).substr(at, size), text);
    reader.finish(text);
    CHECK(text == white);
  }
}

TEST_CASE("ice_text.model: it is written back, other names of tokens, tokens that are added") {
  const Tokenizer early = folder_of("early").load();
  const plume_test::TemporaryFolder copy;
  save_tokenizer(early, copy.path());
  CHECK(copy.entries() == 2);
  CHECK(plume_test::read_all(copy / "ice_text.model") == plume_test::read_all(plume_test::golden("chatglm/early/ice_text.model")));
  CHECK(load_tokenizer(copy.path()).encode("the  boss\n") == early.encode("the  boss\n"));
  CHECK(IceFolder().load().vocabulary() == 21'344);  // without a configuration there are images, as in the published code
  const Tokenizer named =
      IceFolder(R"({"num_image_tokens": 3, "bos_token": {"content": "<ENC>"}, "eos_token": "</s>", "gmask_token": "[MASK]",
      "added_tokens_decoder": {"1347": {"content": "<new>", "special": true}}})")
          .load();
  CHECK(named.vocabulary() == 1348);
  CHECK(named.eos() == 5);
  CHECK(named.encode("") == Ids{1003, 1009});
  CHECK(named.encode("a <new>", recognised) == Ids{17, 1347});
  // the file by another name is a plain SentencePiece model
  const plume_test::TemporaryFolder folder;
  std::filesystem::copy_file(plume_test::golden("chatglm/ice_text.model"), folder / "tokenizer.model");
  const Tokenizer other = load_tokenizer(folder.path());
  CHECK(other.vocabulary() == 1344);
  CHECK(other.encode("a") == Ids{14});
  CHECK(read_sentencepiece(plume_test::read_all(folder / "tokenizer.model"), {.ice_text = true}).vocabulary() == 21'344);
}

TEST_CASE("ice_text.model: what is refused") {
  const auto refused = [](const std::string& config, const char* reason) {
    CHECK_THROWS_WITH_AS(IceFolder(config).load(), doctest::Contains(reason), ConfigError);
  };
  refused(R"({"remove_space": true})", "remove_space: is true, which is not supported");
  refused(R"({"do_lower_case": true})", "do_lower_case: is true, which is not supported");
  refused(R"({"num_image_tokens": -1})", "num_image_tokens: must be 0 to 20000");
  refused(R"({"num_image_tokens": 20001})", "num_image_tokens: must be 0 to 20000");
  refused(R"({"bos_token": "sop"})", "has no special token \"sop\"");
  refused(R"({"eop_token": "the"})", "has no special token \"the\"");
  refused(R"({"gmask_token": "gmask"})", "has no special token \"gmask\"");
  LoadTokenizerOptions few;
  few.limits.max_vocabulary = 2000;
  CHECK_THROWS_WITH_AS(IceFolder().load(few), doctest::Contains("max_vocabulary"), LimitError);
  CHECK_THROWS_WITH_AS(IceFolder(R"({"num_image_tokens": 700})").load(few), doctest::Contains("num_image_tokens"), LimitError);
  CHECK(IceFolder(R"({"num_image_tokens": 0})").load(few).vocabulary() == 1344);
  few.limits.max_vocabulary = 1000;  // the file's own pieces fit, not those that are added
  CHECK_THROWS_WITH_AS(IceFolder(R"({"num_image_tokens": 0})", "early/ice_text.model").load(few), doctest::Contains("max_vocabulary"),
                       LimitError);
  // a file that has byte pieces, and no special tokens
  const plume_test::TemporaryFolder folder;
  std::vector<plume_test::ModelPiece> pieces = {{"<unk>", 0.0f, 2}, {"\u2581"}, {"a"}, {"<|tab|>"}};
  for (const plume_test::ModelPiece& piece : plume_test::byte_pieces()) pieces.push_back(piece);
  folder.write("ice_text.model", plume_test::pieces_bytes(pieces) + plume_test::bytes_field(2, plume_test::number_field(35, 1)));
  CHECK(load_tokenizer(folder.path()).vocabulary() == 20'000 + 260 + 8 + 79);
}
