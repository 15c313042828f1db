#pragma once
// Tokenizers as key-values of GGUF files, read back before they are believed.      [ggml-org/ggml docs/gguf.md; llama.cpp]
#include "plume/formats/write_gguf.hpp"
#include "plume/tokenizer/tokenizer.hpp"

namespace plume::inline PLUME_ABI {

// Adds tokenizer.ggml.* for a model whose embedding has `rows` rows; ids beyond the tokenizer's become unused tokens. Byte-level BPE is the
// kind "gpt2", BPE of SentencePiece and its likes is "llama"; a tokenizer that came from a GGUF file stays what it was. Normalisation is
// not said: llama.cpp has none for these kinds. ArgumentError: the tokenizer is of another kind, or none of GGUF's pre-tokenisers cuts
// texts as it does.
PLUME_FUNCTION void add_gguf_vocabulary(const Tokenizer& tokenizer, Index rows, GgufKeyValues& keys);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/base/json.hpp"
#include "plume/tokenizer/byte_bpe.hpp"
#include "plume/tokenizer/gguf_pre_tokenizers.hpp"
#include "plume/tokenizer/gguf_tokenizer.hpp"
#include "plume/tokenizer/pipeline_model.hpp"

namespace plume::inline PLUME_ABI {

namespace gguf_vocabulary {

// What pre-tokenisers disagree about: contractions, case, digits, white space, punctuation and scripts. Nothing that NFC changes.
inline constexpr std::string_view probe =
    "Hello world! It's I'M we'LL they'd 'tis don't CamelCaseHTTPServer snake_case x1y22z333 3.14159 1234567 12 345 6789\n\n\n  two  spaces"
    "\t\ttabs \r\n  \n end   "
    "\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xb8\x96\xe7\x95\x8c\xe3\x80\x82\xe3\x81\x93\xe3\x82\x93\xe3\x81\xab\xe3\x81\xa1\xe3"
    "\x81\xaf \xea\xb0\x80\xeb\x82\x98\xeb\x8b\xa4 \xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82 "
    "\xd9\x85\xd8\xb1\xd8\xad\xd8\xa8\xd8\xa7 "
    "\xd9\xa1\xd9\xa2\xd9\xa3\xd9\xa4 \xe0\xa4\xa8\xe0\xa4\xae\xe0\xa4\xb8\xe0\xa5\x8d\xe0\xa4\xa4\xe0\xa5\x87 "
    "\xe0\xb8\xaa\xe0\xb8\xa7\xe0\xb8"
    "\xb1\xe0\xb8\xaa \xf0\x9f\x99\x82\xf0\x9f\x91\x8d\xf0\x9f\x8f\xbd q\xcc\x83"
    "a \xc2\xbd \xc2\xb2 \xe2\x85\xa7 == != <= => /* a/b//c */ {[(\"'`"
    "')]} @#$%^&*~| $100 \xe2\x82\xac"
    "50 ... ?!?! -- __init__ http://a.b/c?d=e&f=1\n\t if (x) {\n\t\treturn 0;\n\t}\n";

inline std::string piece_of(const Vocabulary& vocabulary, TokenId id) { return vocabulary.pieces[static_cast<std::size_t>(id)]; }

// One column a token.
struct Columns {
  std::vector<std::string> tokens;
  std::vector<float> scores;  // empty: none
  std::vector<std::int32_t> types;
  void pad(Index rows) {
    for (std::size_t id = tokens.size(); id < static_cast<std::size_t>(rows); ++id) {
      tokens.push_back(concat("[PAD", id, "]"));
      if (!scores.empty()) scores.push_back(-1000);
      types.push_back(static_cast<std::int32_t>(PieceType::unused));
    }
  }
  void put(GgufKeyValues& keys) const {
    keys.emplace_back("tokenizer.ggml.tokens", tokens);
    if (!scores.empty()) keys.emplace_back("tokenizer.ggml.scores", scores);
    keys.emplace_back("tokenizer.ggml.token_type", types);
  }
};

class Writer {
 public:
  Writer(const Tokenizer& tokenizer, Index rows) : tokenizer_(tokenizer), vocabulary_(tokenizer.model().vocabulary), rows_(rows) {}

  void write(GgufKeyValues& keys) {
    for (const TokenizerFile& file : tokenizer_.model().files())
      if (file.name == "tokenizer.gguf") return copy(file.content, keys);
    const auto* plain = dynamic_cast<const ByteBpeModel*>(&tokenizer_.model());
    const auto* pipeline = dynamic_cast<const PipelineModel*>(&tokenizer_.model());
    columns_.tokens = vocabulary_.pieces;
    columns_.types.assign(vocabulary_.size(), static_cast<std::int32_t>(PieceType::normal));
    if (pipeline)
      for (const AddedToken& token : pipeline->pipeline().added) set_type(token.id, PieceType::user_defined);
    for (const TokenId id : vocabulary_.special()) set_type(id, PieceType::control);
    const BytePairs* const pairs = plain ? &plain->byte_pairs() : pipeline ? pipeline->byte_pairs() : nullptr;
    if (pairs)
      write_byte_level(*pairs, pipeline && pipeline->pipeline().byte_level->whole == WholePieces::always, keys);
    else if (pipeline && pipeline->pipeline().words)
      write_characters(*pipeline->pipeline().words, keys);
    else
      refuse();
    std::string chat_template;
    for (const TokenizerFile& file : tokenizer_.model().files())
      if (file.name == "tokenizer_config.json")
        if (const Json config = Json::parse(file.content, {.path = file.name, .max_bytes = Limits{}.max_tokenizer_bytes});
            const Json* field = config.find("chat_template"))
          if (field->is_text()) chat_template = field->as_text();
    if (!chat_template.empty()) keys.emplace_back("tokenizer.chat_template", chat_template);
  }

 private:
  [[noreturn]] void refuse() const {
    throw ArgumentError(
        concat("[save] GGUF has no kind of vocabulary for a tokenizer of kind ", tokenizer_.kind(), ": save to a directory"));
  }
  void set_type(TokenId id, PieceType type) { columns_.types[static_cast<std::size_t>(id)] = static_cast<std::int32_t>(type); }
  static bool holds(const GgufKeyValues& keys, std::string_view key) {
    return std::any_of(keys.begin(), keys.end(), [&](const auto& entry) { return entry.first == key; });
  }

  // As the file had it.
  void copy(const std::string& content, GgufKeyValues& keys) {
    const GgufHeader header = GgufHeader::read(std::as_bytes(std::span(content)), "tokenizer.gguf");
    for (const GgufEntry& entry : header.entries()) {
      const bool column =
          entry.key == "tokenizer.ggml.tokens" || entry.key == "tokenizer.ggml.scores" || entry.key == "tokenizer.ggml.token_type";
      if (!entry.key.starts_with("tokenizer.") || (column && static_cast<Index>(entry.count) != rows_)) continue;
      std::erase_if(keys, [&](const auto& known) { return known.first == entry.key; });
      keys.emplace_back(std::string(entry.key), entry);
    }
    if (header.find("tokenizer.ggml.pre") == nullptr && header.text("tokenizer.ggml.model") == "gpt2") {  // the architecture had said it
      const std::string_view architecture = header.text("general.architecture").value_or("");
      keys.emplace_back("tokenizer.ggml.pre", architecture == "gpt2" || architecture == "gptneox" ? "gpt-2" : "default");
    }
    if (holds(keys, "tokenizer.ggml.tokens")) return;
    for (const std::string_view token : header.texts("tokenizer.ggml.tokens")) columns_.tokens.emplace_back(token);
    columns_.scores = header.reals("tokenizer.ggml.scores");
    for (const std::int64_t type : header.integers("tokenizer.ggml.token_type")) columns_.types.push_back(static_cast<std::int32_t>(type));
    columns_.types.resize(columns_.tokens.size(), static_cast<std::int32_t>(PieceType::normal));
    columns_.pad(rows_);
    columns_.put(keys);
  }

  void write_byte_level(const BytePairs& pairs, bool whole, GgufKeyValues& keys) {
    std::vector<std::string> merges;
    for (const Merge& merge : pairs.order() == MergeOrder::as_listed ? pairs.merges() : pairs.making_merges())
      merges.push_back(concat(piece_of(vocabulary_, merge.left), " ", piece_of(vocabulary_, merge.right)));
    GgufKeyValues own = common("gpt2");
    own.emplace_back("tokenizer.ggml.merges", merges);
    for (const bool alike : {true, false})  // of those that cut the same way, the one that takes whole pieces as this tokenizer does
      for (const gguf_pre::Row& row : gguf_pre::rows()) {
        if (row.plain || row.spelled || (row.ignore_merges == whole) != alike) continue;
        GgufKeyValues tried = own;
        tried.emplace_back("tokenizer.ggml.pre", row.names.substr(0, row.names.find(' ')));
        if (spells_the_same(tried)) return take(std::move(tried), keys);
      }
    throw ArgumentError("[save] none of GGUF's pre-tokenisers cuts texts as this tokenizer does: save to a directory");
  }

  // Pieces of whole characters with scores; where a tokenizer has ranked merges instead, a token's score is that of its first merge.
  void write_characters(const WordModel& model, GgufKeyValues& keys) {
    const auto* scored = std::get_if<word_models::ScoredBpe>(&model);
    const auto* merged = std::get_if<word_models::Bpe>(&model);
    if ((!scored && !merged) || (merged && (!merged->prefix.empty() || !merged->suffix.empty()))) refuse();
    const std::optional<std::array<TokenId, 256>>& bytes = scored ? scored->bytes : merged->bytes;
    const std::optional<TokenId> unknown = scored ? scored->unknown : merged->unknown;
    if (bytes)
      for (const TokenId id : *bytes)
        if (id >= 0) set_type(id, PieceType::byte);
    if (unknown) set_type(*unknown, PieceType::unknown);
    if (scored && scored->space == " ")  // llama2.c's spelling
      for (std::size_t id = 0; id < columns_.tokens.size(); ++id)
        if (columns_.types[id] == static_cast<std::int32_t>(PieceType::normal))
          for (std::size_t at = 0; (at = columns_.tokens[id].find(' ', at)) != std::string::npos;)
            columns_.tokens[id].replace(at, 1, SentencePieceRules::block);
    if (scored) {
      columns_.scores = scored->scores;
      columns_.scores.resize(vocabulary_.size(), 0);
    } else {
      columns_.scores.assign(vocabulary_.size(), 0);
      for (std::size_t rank = merged->merges.size(); rank-- > 0;)
        columns_.scores[static_cast<std::size_t>(merged->merges[rank].result)] = -static_cast<float>(rank);
    }
    GgufKeyValues own = common("llama");
    if (unknown) own.emplace_back("tokenizer.ggml.unknown_token_id", static_cast<std::uint32_t>(*unknown));
    own.emplace_back("tokenizer.ggml.pre", "default");
    for (const bool leading : {true, false}) {
      GgufKeyValues tried = own;
      tried.emplace_back("tokenizer.ggml.add_space_prefix", leading);
      if (spells_the_same(tried)) return take(std::move(tried), keys);
    }
    throw ArgumentError("[save] llama.cpp would not spell texts as this tokenizer does: save to a directory");
  }

  GgufKeyValues common(std::string_view kind) {
    columns_.pad(rows_);
    GgufKeyValues keys{{"tokenizer.ggml.model", kind}};
    columns_.put(keys);
    const auto token = [&](std::string_view role, std::optional<TokenId> id) {
      if (id) keys.emplace_back(concat("tokenizer.ggml.", role, "_token_id"), static_cast<std::uint32_t>(*id));
    };
    token("bos", vocabulary_.bos);
    token("eos", vocabulary_.eos);
    const std::vector<TokenId> before = vocabulary_.before.empty() && vocabulary_.begins_with_bos && vocabulary_.bos
                                            ? std::vector<TokenId>{*vocabulary_.bos}
                                            : vocabulary_.before;
    if ((!before.empty() && before != std::vector<TokenId>{vocabulary_.bos.value_or(-1)}) ||
        (!vocabulary_.after.empty() && vocabulary_.after != std::vector<TokenId>{vocabulary_.eos.value_or(-1)}))
      throw ArgumentError(
          "[save] the tokenizer puts other tokens around a text than bos and eos, which GGUF cannot say: save to a directory");
    keys.emplace_back("tokenizer.ggml.add_bos_token", !before.empty());
    keys.emplace_back("tokenizer.ggml.add_eos_token", !vocabulary_.after.empty());
    keys.emplace_back("tokenizer.ggml.add_sep_token", false);
    return keys;
  }
  // What the tokenizer says of itself wins over what the model's configuration says.
  static void take(GgufKeyValues own, GgufKeyValues& keys) {
    std::erase_if(keys, [&](const auto& entry) { return holds(own, entry.first); });
    for (auto& entry : own) keys.push_back(std::move(entry));
  }
  bool spells_the_same(const GgufKeyValues& keys) const {
    const std::string bytes = gguf_header(keys);
    const Tokenizer read = read_gguf_tokenizer(GgufHeader::read(std::as_bytes(std::span(bytes)), "the file to be written"));
    for (const std::string_view text : {probe, probe.substr(1), probe.substr(6)})
      if (read.encode(text) != tokenizer_.encode(text)) return false;
    return true;
  }

  const Tokenizer& tokenizer_;
  const Vocabulary& vocabulary_;
  Index rows_;
  Columns columns_;
};

}  // namespace gguf_vocabulary

PLUME_FUNCTION void add_gguf_vocabulary(const Tokenizer& tokenizer, Index rows, GgufKeyValues& keys) {
  gguf_vocabulary::Writer(tokenizer, rows).write(keys);
}

}  // namespace plume::inline PLUME_ABI
#endif
