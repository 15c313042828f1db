// SentencePiece's tokenizer.model: ids and texts of the sentencepiece library, special tokens, spans, long lines.
#include "plume/tokenizer/read_sentencepiece.hpp"

#include <algorithm>
#include <ctime>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "malformed/protobuf_writer.hpp"
#include "plume/tokenizer/pipeline_model.hpp"
#include "temporary_folder.hpp"
#include "tokenizer/sentencepiece_samples.hpp"
#include "tokenizer/vectors.hpp"

using namespace plume;
using Ids = std::vector<TokenId>;

TEST_CASE("SentencePiece models of every kind: the first strings") { plume_test::check_sentencepiece(2); }

TEST_CASE("A megabyte in one text: sums of scores are rounded as SentencePiece rounds them") {
  for (const auto& member : plume_test::hashes("sentencepiece/hashes.json").members()) {
    const Json* sum = member.value.find("long");
    const auto path = plume_test::sentencepiece_sample(member.key);
    if (!sum || !path) continue;
    CAPTURE(std::string(member.key));
    const Tokenizer tokenizer = load_tokenizer(*path);
    plume_test::StringGenerator generator(plume_test::spelled(tokenizer), plume_test::special_spellings(tokenizer));
    std::string text;
    for (int i = 0; i < 20'000; ++i) text += generator.next();
    const EncodeOptions alone{.begin = Begin::nothing, .end = End::nothing};
    plume_test::Crc32 ids, with_spans;
    for (const TokenId id : tokenizer.encode(text, alone)) ids.add(id);
    for (const TokenId id : tokenizer.encode_with_spans(text, alone).ids) with_spans.add(id);
    ids.add(TokenId{-1}), with_spans.add(TokenId{-1});
    CHECK(ids.text() == sum->as_text());
    CHECK(with_spans.text() == sum->as_text());
  }
}

// What the pieces of a Unigram model make of a text, as sentencepiece 0.2.3 answered.
static std::vector<std::string> pieces_of(const std::vector<plume_test::ModelPiece>& pieces, std::string_view text) {
  const std::string no_prefix = plume_test::bytes_field(3, plume_test::number_field(3, 0));
  const Tokenizer tokenizer =
      read_sentencepiece(plume_test::pieces_bytes({{"<unk>", 0.0f, 2}}) + plume_test::pieces_bytes(pieces) + no_prefix);
  const Ids ids = tokenizer.encode(text, {.begin = Begin::nothing});
  CHECK(tokenizer.encode_with_spans(text, {.begin = Begin::nothing}).ids == ids);
  std::vector<std::string> out;
  for (const TokenId id : ids) out.push_back(tokenizer.piece(id));
  return out;
}

TEST_CASE("Sums of scores begin anew behind 100,000, with what else ends later") {
  // among sums beyond 65,000, -2.003 and -1 - 1 round to the same: then the longer piece stays
  const std::vector<plume_test::ModelPiece> close = {{"a", -1000.0f}, {"xy", -2.003f}, {"x"}, {"y"}};
  for (const auto& [before, last] :
       {std::pair(0, "y"), {65, "y"}, {66, "xy"}, {100, "xy"}, {101, "y"}, {166, "y"}, {167, "xy"}, {201, "xy"}, {202, "y"}}) {
    const std::string text = std::string(static_cast<std::size_t>(before), 'a') + "xy";
    CAPTURE(text.size());
    CHECK(pieces_of(close, text).back() == last);
  }
  for (const auto& [score, last] : {std::pair(-100'000.0f, "xy"), {-100'000.0078125f, "y"}, {100'000.0f, "xy"}, {100'000.5f, "y"}}) {
    const float first = score;
    CAPTURE(first);
    CHECK(pieces_of({{"a", first}, {"xy", -2.003f}, {"x"}, {"y"}}, "axy").back() == last);
  }
  for (const int before : {99, 100, 101, 102, 201, 202})  // "aq" reaches over the place where a sum begins anew
    for (const auto& [score, last] : {std::pair(-5.0f, "aq"), {-3.0f, "q"}}) {
      const float of_q = score;
      CAPTURE(before);
      CAPTURE(of_q);
      const std::string text = std::string(static_cast<std::size_t>(before), 'a') + "q";
      CHECK(pieces_of({{"a", -1000.0f}, {"aq", -1004.0f}, {"q", of_q}}, text).back() == last);
    }
}

TEST_CASE("The score of a user-defined piece grows by 0.1 a byte, whatever its file says") {
  for (const auto& [text, below, from] : {std::tuple("ab", 0.09999999403953552f, 0.10000000149011612f),
                                          {"abdefgh", 0.5999999642372131f, 0.6000000238418579f},
                                          {"\u4e16\u754c", 0.4999999701976776f, 0.5f},
                                          {"a", -1e-21f, 0.0f}}) {
    const std::string whole = std::string(text) + "c";
    for (const float other : {-20.0f, 20.0f}) {
      CHECK(pieces_of({{text, -5.0f, 4}, {"c", 0.0f}, {whole, below}, {"z", other}}, whole).size() == 2);
      CHECK(pieces_of({{text, -5.0f, 4}, {"c", 0.0f}, {whole, from}, {"z", other}}, whole).size() == 1);
    }
  }
}

TEST_CASE("LLaMA-2: tokenizer.model and tokenizer.bin give the same ids, and llama.cpp's") {
  const auto model = plume_test::test_data("tokenizers/llama2/tokenizer.model"),
             bin = plume_test::test_data("tokenizers/llama2/tokenizer.bin");
  const auto vectors = plume_test::llama_cpp_vectors("llama-spm");
  if (!model || !bin || !vectors) return;
  const Tokenizer one = load_tokenizer(*model), two = load_tokenizer(*bin);
  CHECK(one.kind() == "SentencePiece BPE");
  CHECK(one.vocabulary() == two.vocabulary());
  CHECK(one.bos() == two.bos());
  CHECK(one.eos() == two.eos());
  for (const auto& vector : *vectors) {
    const std::string& text = vector.text;
    const Ids& ids = vector.ids;
    CHECK_MESSAGE(one.encode(text, {.begin = Begin::nothing}) == ids, text);
    CHECK(one.decode(ids) == text);
  }
  plume_test::StringGenerator generator(plume_test::spelled(one), {"<s>", "</s>"});
  for (int i = 0; i < 3000; ++i) {
    const std::string text = generator.next();
    // llama2.c has real spaces in its pieces, so that a U+2581 of the text is none of them
    if (text.find("\xe2\x96\x81") != text.npos) continue;
    REQUIRE(one.encode(text) == two.encode(text));
    REQUIRE(one.encode(text, {.special = SpecialText::recognise}) == two.encode(text, {.special = SpecialText::recognise}));
  }
}

TEST_CASE("No control piece comes out of plain text") {
  for (const auto& member : plume_test::hashes("sentencepiece/hashes.json").members()) {
    const std::string& name = member.key;
    const auto path = plume_test::sentencepiece_sample(name);
    if (!path) continue;
    const Tokenizer tokenizer = load_tokenizer(*path);
    std::optional<TokenId> unknown;
    for (TokenId id = 0; id < tokenizer.vocabulary(); ++id)
      if (tokenizer.piece(id) == "<unk>") unknown = id;
    for (const std::string& special : plume_test::special_spellings(tokenizer))
      for (const std::string& text : {special, "a " + special + " b", special + special, " " + special})
        for (const TokenId id : tokenizer.encode(text, {.begin = Begin::nothing, .end = End::nothing}))
          CHECK_MESSAGE((!tokenizer.is_special(id) || id == unknown), name, ": ", text);
  }
}

TEST_CASE("tokenizer_config.json and added_tokens.json beside the model") {
  const plume_test::TemporaryFolder folder;
  folder.write("tokenizer.model", plume_test::read_all(*plume_test::sentencepiece_sample("bpe_llama")));
  CHECK(has_tokenizer(folder.path()));
  const Ids bare = load_tokenizer(folder.path()).encode("the a");
  CHECK(bare.front() == 1);  // BPE with byte fallback begins with bos, as LLaMA
  folder.write("added_tokens.json", R"({"[pad]": 701, "new": 700})");
  folder.write("tokenizer_config.json",
               R"({"tokenizer_class": "LlamaTokenizer", "legacy": false, "add_bos_token": false, "add_eos_token": true,
      "bos_token": "<s>", "eos_token": {"content": "</s>"}, "added_tokens_decoder": {"701": {"content": "[pad]", "special": true}}})");
  const Tokenizer tokenizer = load_tokenizer(folder.path());
  CHECK(tokenizer.vocabulary() == 702);
  CHECK(tokenizer.eos() == 2);
  CHECK(tokenizer.is_special(701));
  CHECK(!tokenizer.is_special(700));
  const Ids ids = tokenizer.encode("the new[pad]");
  CHECK(ids.back() == 2);
  CHECK(std::count(ids.begin(), ids.end(), 700) == 1);
  CHECK(std::count(ids.begin(), ids.end(), 701) == 0);  // a user's text
  const Ids meant = tokenizer.encode("the new[pad]", {.special = SpecialText::recognise});
  CHECK(meant[meant.size() - 2] == 701);
  CHECK(tokenizer.decode(meant) == "the new");
  const plume_test::TemporaryFolder copy;
  save_tokenizer(tokenizer, copy.path());
  CHECK(load_tokenizer(copy.path()).encode("the new[pad]") == ids);
  folder.write("tokenizer_config.json", R"({"tokenizer_class": "XLMRobertaTokenizer"})");
  CHECK_THROWS_AS(load_tokenizer(folder.path()), ConfigError);
}

TEST_CASE("T5's sentinels stand behind the pieces, the first last") {
  const plume_test::TemporaryFolder folder;
  const std::string bytes = plume_test::read_all(*plume_test::sentencepiece_sample("unigram_map"));
  folder.write("spiece.model", bytes);
  const Index own = load_tokenizer(folder.path()).vocabulary();
  folder.write("tokenizer_config.json", R"({"tokenizer_class": "T5Tokenizer", "extra_ids": 7, "legacy": true})");
  const Tokenizer tokenizer = load_tokenizer(folder.path());
  CHECK(tokenizer.vocabulary() == own + 7);
  CHECK(tokenizer.find("<extra_id_0>") == own + 6);
  CHECK(tokenizer.find("<extra_id_6>") == own);
  std::vector<std::string> pieces = plume_test::spelled(tokenizer);
  pieces.resize(static_cast<std::size_t>(own));
  plume_test::StringGenerator generator(pieces, {"<extra_id_0>", "<extra_id_6>", "<extra_id_7>", "</s>"});
  const Json& sums = plume_test::hashes("sentencepiece/hashes.json").at("unigram_map").at("t5");
  for (std::size_t group = 0; group < 2; ++group) {
    plume_test::Crc32 sum;
    for (int i = 0; i < 1000; ++i) {
      const std::string text = generator.next();
      if (text.find("<s>") != text.npos) continue;
      for (const TokenId id : tokenizer.encode(text, {.special = SpecialText::recognise, .end = End::nothing})) sum.add(id);
      sum.add(TokenId{-1});
    }
    CHECK(sum.text() == sums.at(group).as_text());
  }
  const Ids meant = tokenizer.encode("the <extra_id_3> a", {.special = SpecialText::recognise});
  CHECK(tokenizer.decode(meant, {.special = SpecialTokens::keep}).find("<extra_id_3>") != std::string::npos);
  const auto configured = [&](std::string_view config) {
    folder.write("tokenizer_config.json", config);
    return load_tokenizer(folder.path());
  };
  CHECK(configured(R"({"tokenizer_class": "T5TokenizerFast"})").vocabulary() == own + 100);
  CHECK(configured(R"({"tokenizer_class": "T5Tokenizer", "extra_ids": 0})").vocabulary() == own);
  const std::string listed =
      R"({"tokenizer_class": "T5Tokenizer", "added_tokens_decoder": {")" + std::to_string(own) + R"(": {"content": "<extra_id_0>"}}})";
  CHECK(configured(listed).vocabulary() == own + 1);
  CHECK_THROWS_AS(configured(R"({"tokenizer_class": "T5Tokenizer", "extra_ids": -1})"), ConfigError);
  CHECK_THROWS_AS(configured(R"({"tokenizer_class": "T5Tokenizer", "extra_ids": 100000000})"), LimitError);
}

TEST_CASE("A file of any name opens by what it holds") {
  const plume_test::TemporaryFolder folder;
  const std::string bytes = plume_test::read_all(*plume_test::sentencepiece_sample("unigram_map"));
  CHECK(load_tokenizer(folder.write("vocabulary", bytes)).kind() == "SentencePiece Unigram");
  CHECK(load_tokenizer(folder.write("spiece.model", bytes)).kind() == "SentencePiece Unigram");
  CHECK(load_tokenizer(folder.path()).kind() == "SentencePiece Unigram");
  CHECK_THROWS_AS(load_tokenizer(folder.write("other", "hello")), ConfigError);
}

TEST_CASE("Messages that come in several parts are one, as in protobuf") {
  // trainer_spec and normalizer_spec appended: fields that come later win
  std::string bytes = plume_test::read_all(*plume_test::sentencepiece_sample("bpe_llama"));
  const std::string rules = {0x1a, 0x02, 0x18, 0x00}, surface = {0x12, 0x04, static_cast<char>(0xe2), 0x02, 0x01, '?'};
  const Tokenizer before = read_sentencepiece(bytes), after = read_sentencepiece(bytes + rules + surface);
  CHECK(before.decode(Ids{0}) == " \xe2\x81\x87 ");
  CHECK(after.decode(Ids{0}) == "?");
  CHECK(before.encode("x", {.begin = Begin::nothing}) != after.encode("x", {.begin = Begin::nothing}));
}

TEST_CASE("A megabyte without a space takes time and merges in proportion") {
  // what is counted: allocations of the heap are hidden, so the growth of time from 1/4 to 1 MB is bounded far below that of n * n
  for (const char* name : {"bpe_llama", "bpe_unused", "unigram_user", "word"}) {
    const Tokenizer tokenizer = load_tokenizer(*plume_test::sentencepiece_sample(name));
    for (const std::string unit : {"a", " ", "\xcc\x81"}) {
      double seconds[2];
      for (const int part : {0, 1}) {
        std::string text;
        while (text.size() < (part == 0 ? 1u << 18 : 1u << 20)) text += unit;
        const auto start = std::clock();
        const Ids ids = tokenizer.encode(text);
        tokenizer.decode(ids);
        seconds[part] = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
      }
      CHECK_MESSAGE(seconds[1] < 8 * seconds[0] + 0.5, name, " ", unit);
    }
  }
}

TEST_CASE("The character map of a model: the longest key at a place, and a text as tokenizer.json applies it") {
  const plume::Tokenizer tokenizer = plume::load_tokenizer(plume_test::golden("sentencepiece/unigram_map.model"));
  const auto& model = dynamic_cast<const plume::PipelineModel&>(tokenizer.model());
  const plume::PrecompiledMap* map = nullptr;
  for (const plume::Normalizer& step : model.pipeline().normalizers)
    if (const auto* rules = std::get_if<plume::normalizers::SentencePiece>(&step); rules && rules->rules->map) map = &*rules->rules->map;
  REQUIRE(map != nullptr);
  const auto applied = [&](std::string_view text) { return map->apply(plume::AlignedText::of(text, 0, plume::Spans::skip)).text; };
  struct Case {
    std::string_view key, text;
  };
  // Those of make_sentencepiece_hashes.py.
  for (const Case& each : {Case{"\xef\xac\x81", "fi"}, {"\xc3\xa9", "e\xcc\x81"}, {"\xe2\x85\xa0", "I "}, {"\xf0\x9f\x99\x82", " :) "}}) {
    CAPTURE(std::string(each.key));
    CHECK(applied(each.key) == each.text);
    CHECK(applied("c" + std::string(each.key) + "b") == "c" + std::string(each.text) + "b");
    CHECK(map->longest(each.key, 0).text == each.text);
    CHECK(map->longest(each.key, 0).length == each.key.size());
  }
  CHECK(applied("b") == "b");
  CHECK(applied(std::string_view("\0\xef\xac\x81", 4)) == std::string_view("\0fi", 3));
  CHECK(applied("ABC") == "aBC");
  CHECK(map->longest("ABC", 0).text == "z");
  CHECK(map->longest("ABD", 0).text == "xy");
  CHECK(map->longest("bABC", 0).length == 0);
  CHECK(map->longest("bABC", 1).length == 3);
}
