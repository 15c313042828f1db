#pragma once
// The vocabulary inside a GGUF file [ggml-org/ggml docs/gguf.md; ggml-org/llama.cpp src/llama-vocab.cpp]: tokenizer.ggml.model "llama"
// (SentencePiece BPE), "gpt2" (byte-level BPE), "gemma4" (BPE over characters), "bert" (WordPiece), "t5" (SentencePiece
// Unigram).
#include <span>
#include <string>

#include "plume/base/config.hpp"
#include "plume/base/gguf.hpp"
#include "plume/base/limits.hpp"
#include "plume/tokenizer/text_pattern.hpp"
#include "plume/tokenizer/tokenizer.hpp"

namespace plume::inline PLUME_ABI {

struct GgufTokenizerOptions {
  Limits limits = {};                    // max_vocabulary, max_token_text
  TextPattern::Engine expressions = {};  // for pre-tokenisers that plume does not know
};

// Tokens that the file calls control or unknown are special; plain text never becomes one. User-defined tokens are found in any text.
// Behind a special token of the "llama" kind a text begins with a space, as in llama.cpp.
// ConfigError: no tokens, an unknown kind or pre-tokeniser, an id outside the vocabulary. FormatError: scores or types that do not match
// the tokens, a token that is empty, no UTF-8 or twice, merges that do not fit. LimitError: more than Limits allows.
PLUME_FUNCTION Tokenizer read_gguf_tokenizer(const GgufHeader& header, const GgufTokenizerOptions& options = {});

// The tokenizer of a file, of which only the header is read.
PLUME_FUNCTION Tokenizer load_gguf_tokenizer(const std::string& path, const GgufTokenizerOptions& options = {});

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "plume/base/error.hpp"
#include "plume/base/files.hpp"
#include "plume/base/text.hpp"
#include "plume/base/utf8.hpp"
#include "plume/tokenizer/byte_characters.hpp"
#include "plume/tokenizer/gguf_pre_tokenizers.hpp"
#include "plume/tokenizer/pipeline_model.hpp"
#include "plume/tokenizer/sentencepiece_model.hpp"

namespace plume::inline PLUME_ABI {

class GgufTokenizerReader {
 public:
  GgufTokenizerReader(const GgufHeader& header, const GgufTokenizerOptions& options) : header_(header), options_(options) {}

  Tokenizer read() {
    const std::string_view model = required("tokenizer.ggml.model");
    read_tokens();
    if (model == "llama" || model == "t5")
      read_pieces(model == "t5");
    else if (model == "gpt2" || model == "gemma4")
      read_merged(model);
    else if (model == "bert")
      read_words();
    else
      throw ConfigError(header_.where(*header_.find("tokenizer.ggml.model")),
                        concat("unknown kind of tokenizer ", quoted(model), " (known: llama, gpt2, gemma4, bert, t5)"));
    return finish();
  }

 private:
  static constexpr std::string_view tokens_key = "tokenizer.ggml.tokens", block = SentencePieceRules::block;

  std::string_view required(std::string_view key) const {
    const auto value = header_.text(key);
    if (!value)
      throw ConfigError(Where{.path = header_.path(), .field = std::string(key), .offset = 0}, "is missing: the file holds no tokenizer");
    return *value;
  }
  [[noreturn]] void fail(std::string_view key, const std::string& part, const void* at, std::string_view reason) const {
    throw FormatError(Where{.path = header_.path(), .field = concat(key, part), .offset = offset_of(key, at)}, reason);
  }
  std::uint64_t offset_of(std::string_view key, const void* at) const {  // of a view into the value
    const GgufEntry& entry = *header_.find(key);
    return entry.offset + static_cast<std::uint64_t>(static_cast<const std::byte*>(at) - entry.bytes.data());
  }

  // ---- tokens ----
  void read_tokens() {
    const GgufEntry* entry = header_.find(tokens_key);
    if (entry == nullptr) throw ConfigError(Where{.path = header_.path(), .field = std::string(tokens_key), .offset = 0}, "is missing");
    if (entry->count > options_.limits.max_vocabulary)
      throw LimitError(header_.where(*entry), "max_vocabulary", options_.limits.max_vocabulary, entry->count);
    if (!entry->is_array() || entry->element != GgufType::text) throw FormatError(header_.where(*entry), "expected an array of text");
    const std::vector<std::string_view> tokens = header_.texts(tokens_key);
    const std::vector<float> scores = column("tokenizer.ggml.scores", tokens.size(), true);
    const std::vector<float> types = column("tokenizer.ggml.token_type", tokens.size(), false);
    std::unordered_set<std::string_view> seen;
    for (std::size_t id = 0; id < tokens.size(); ++id) {
      const std::string_view token = tokens[id];
      const std::string part = concat("[", id, "]");
      if (token.size() > options_.limits.max_token_text)
        throw LimitError(Where{.path = header_.path(), .field = concat(tokens_key, part), .offset = offset_of(tokens_key, token.data())},
                         "max_token_text", options_.limits.max_token_text, token.size());
      if (token.empty()) fail(tokens_key, part, token.data(), "is empty");
      if (utf8_error(token) != token.size()) fail(tokens_key, part, token.data(), "is not UTF-8");
      if (!seen.insert(token).second) fail(tokens_key, part, token.data(), concat("duplicate token ", quoted(token)));
      ScoredPiece piece{std::string(token), scores.empty() ? 0 : scores[id], PieceType::normal};
      if (!types.empty()) {
        if (types[id] < 1 || types[id] > 6)
          throw FormatError(Where{.path = header_.path(),
                                  .field = concat("tokenizer.ggml.token_type", part),
                                  .offset = header_.find("tokenizer.ggml.token_type")->offset + 4 * id},
                            concat("unknown type ", types[id], " (known: 1 to 6)"));
        piece.type = static_cast<PieceType>(static_cast<int>(types[id]));
      }
      if (piece.type == PieceType::byte && !byte_of_piece(token))
        fail(tokens_key, part, token.data(), concat(quoted(token), " is no byte: expected <0x00> to <0xFF>"));
      pieces_.push_back(std::move(piece));
    }
    for (const char* role : {"bos", "eos", "eot", "eom", "unknown", "seperator", "separator", "padding", "cls", "mask"}) {
      const auto id = id_of(role);  // files without types mark these only here
      if (!id) continue;
      ScoredPiece& piece = pieces_[static_cast<std::size_t>(*id)];
      if (piece.type == PieceType::normal && looks_special(piece.text)) piece.type = PieceType::control;
    }
  }
  static bool looks_special(std::string_view piece) {
    return piece.size() > 2 && ((piece.front() == '<' && piece.back() == '>') || (piece.front() == '[' && piece.back() == ']'));
  }
  // One number a token; empty where the file has none.
  std::vector<float> column(std::string_view key, std::size_t count, bool real) const {
    const GgufEntry* entry = header_.find(key);
    if (entry == nullptr) return {};
    using enum GgufType;
    const bool fits = entry->is_array() && (entry->element == i32 || (real ? entry->element == f32 : entry->element == u32));
    if (!fits) throw FormatError(header_.where(*entry), real ? "expected an array of f32" : "expected an array of i32");
    if (entry->count != count) throw FormatError(header_.where(*entry), concat("holds ", entry->count, " values for ", count, " tokens"));
    std::vector<float> values = header_.reals(key);
    for (std::size_t i = 0; i < values.size(); ++i)
      if (!std::isfinite(values[i]))
        throw FormatError(Where{.path = header_.path(), .field = concat(key, "[", i, "]"), .offset = entry->offset + 4 * i},
                          "is not finite");
    return values;
  }
  std::optional<TokenId> id_of(std::string_view role) const {
    const std::string key = concat("tokenizer.ggml.", role, "_token_id");
    const auto id = header_.integer(key);
    if (!id || *id == 4294967295 || *id == -1) return std::nullopt;
    if (*id < 0 || *id >= static_cast<std::int64_t>(pieces_.size()))
      throw ConfigError(header_.where(*header_.find(key)), concat("is ", *id, ", the vocabulary has ", pieces_.size(), " tokens"));
    return static_cast<TokenId>(*id);
  }
  std::optional<TokenId> first_of(std::initializer_list<std::string_view> roles) const {
    for (const std::string_view role : roles)
      if (const auto id = id_of(role)) return id;
    return std::nullopt;
  }
  std::optional<TokenId> usual(TokenId id) const {  // what llama.cpp takes where the file says nothing
    return static_cast<std::size_t>(id) < pieces_.size() ? std::optional(id) : std::nullopt;
  }
  bool says(std::string_view name, bool otherwise) const { return header_.boolean(concat("tokenizer.ggml.", name)).value_or(otherwise); }

  // Special tokens are found where they are meant, user-defined ones anywhere.
  void add_added() {
    std::string name(header_.text("general.name").value_or(""));
    for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    const bool phi3 = name.find("phi-3") != name.npos || name.find("phi3") != name.npos;  // its tokens swallow the white space behind them
    for (std::size_t id = 0; id < pieces_.size(); ++id) {
      const ScoredPiece& piece = pieces_[id];
      const bool special = piece.type == PieceType::control || piece.type == PieceType::unknown;
      if (!special && piece.type != PieceType::user_defined) continue;
      AddedToken token;
      token.content = piece.text;
      token.id = static_cast<TokenId>(id);
      token.normalized = false;
      token.special = special;
      token.right_strip = phi3 && piece.text != "<unk>" && piece.text != "<s>" && piece.text != "<|endoftext|>";
      pipeline_.added.push_back(std::move(token));
    }
  }

  // ---- llama, t5 ----
  void read_pieces(bool unigram) {
    SentencePieceVocabulary vocabulary;
    vocabulary.model = unigram ? PieceModel::unigram : PieceModel::bpe;
    vocabulary.unknown = id_of("unknown");
    if (!vocabulary.unknown) vocabulary.unknown = usual(unigram ? 2 : 0);
    add_added();
    for (ScoredPiece& piece : pieces_) {  // user-defined tokens were cut out before; llama.cpp uses unused ones
      if (piece.type == PieceType::user_defined) piece.type = PieceType::added;
      if (piece.type == PieceType::unused && !unigram) piece.type = PieceType::normal;
    }
    vocabulary.pieces = pieces_;
    std::size_t bytes = 0;
    for (const ScoredPiece& piece : pieces_) bytes += piece.type == PieceType::byte ? 1u : 0u;
    if (bytes != 0 && bytes != 256)
      throw FormatError(header_.where(*header_.find(tokens_key)), concat("holds ", bytes, " of 256 byte tokens"));
    vocabulary.byte_fallback = bytes == 256 && !unigram;
    vocabulary.rules.add_dummy_prefix = says("add_space_prefix", true);
    vocabulary.rules.remove_extra_whitespaces = unigram && says("remove_extra_whitespaces", false);
    vocabulary.rules.keep_malformed = !unigram;
    if (!unigram) vocabulary.characters = word_models::ScoredBpe::Characters::first_byte;
    if (unigram) {
      vocabulary.rules.escape_whitespaces = says("escape_whitespaces", true);
      vocabulary.rules.whitespace_as_suffix = says("treat_whitespace_as_suffix", false);
      if (const GgufEntry* map = header_.find("tokenizer.ggml.precompiled_charsmap"); map != nullptr && !map->bytes.empty()) {
        if (!map->is_array() || (map->element != GgufType::u8 && map->element != GgufType::i8))
          throw FormatError(header_.where(*map), "expected an array of u8");
        vocabulary.rules.map =
            PrecompiledMap::read({reinterpret_cast<const char*>(map->bytes.data()), map->bytes.size()}, header_.where(*map));
      }
    }
    add_sentencepiece(vocabulary, pipeline_);
    pipeline_.starts_after_added = true;
    for (const ScoredPiece& piece : pieces_) {
      std::string text = piece.text;
      if (piece.type == PieceType::byte) {
        text.assign(1, static_cast<char>(*byte_of_piece(piece.text)));
      } else if (piece.type == PieceType::normal || piece.type == PieceType::unused) {
        for (std::size_t at = text.find(block); at != text.npos; at = text.find(block, at + 1)) text.replace(at, block.size(), " ");
      }
      bytes_.push_back(std::move(text));
      spelled_.push_back(piece.text);
    }
    pipeline_.decoding = Decoding::bytes;
    pipeline_.adds_leading_space = vocabulary.rules.add_dummy_prefix;
    bos_ = id_of("bos");
    eos_ = id_of("eos");
    if (!unigram && !header_.find("tokenizer.ggml.bos_token_id")) bos_ = usual(1);
    if (!header_.find("tokenizer.ggml.eos_token_id")) eos_ = usual(unigram ? 1 : 2);
    if (says("add_bos_token", !unigram)) put(before_, bos_, "add_bos_token");
    if (says("add_eos_token", unigram)) put(after_, eos_, "add_eos_token");
  }

  // ---- gpt2, gemma4 ----
  void read_merged(std::string_view model) {
    const GgufPreTokenizer pre = model == "gemma4" ? gguf_pre_tokenizer(model, {}, {}) : pre_tokenizer();
    if (pre.plain)
      read_plain(pre);
    else
      read_bytes(pre);
  }
  // As Gemma's tokenizer.json: spaces become U+2581, merges run over the whole text, what no token spells becomes bytes.
  void read_plain(const GgufPreTokenizer& pre) {
    std::unordered_map<std::string_view, TokenId> ids;
    std::array<TokenId, 256> bytes;
    bytes.fill(-1);
    word_models::Bpe words{{}, {}, MergeRanks({}), id_of("unknown"), "", "", true, false, std::nullopt};
    std::vector<std::string> usable;
    add_added();
    for (std::size_t id = 0; id < pieces_.size(); ++id) {
      const ScoredPiece& piece = pieces_[id];
      const auto token = static_cast<TokenId>(id);
      const auto byte = byte_of_piece(piece.text);
      const bool special = piece.type == PieceType::control || piece.type == PieceType::unknown;
      ids.emplace(piece.text, token);
      usable.push_back(special ? std::string() : piece.text);
      if (!special) words.ids.emplace(piece.text, token);
      if (byte && !special) bytes[*byte] = token;
      std::string text = piece.text;
      if (byte && piece.type == PieceType::byte)
        text.assign(1, static_cast<char>(*byte));
      else if (piece.type == PieceType::normal || piece.type == PieceType::unused)
        for (std::size_t at = text.find(block); at != text.npos; at = text.find(block, at + 1)) text.replace(at, block.size(), " ");
      bytes_.push_back(std::move(text));
      spelled_.push_back(piece.text);
    }
    words.merges = read_merges(ids, usable);
    words.ranks = MergeRanks(words.merges);
    words.bytes = bytes;
    pipeline_.normalizers.push_back(normalizers::Replace{TextPattern::literal(" "), std::string(block)});
    pipeline_.words = std::move(words);
    pipeline_.kind = "BPE";
    pipeline_.decoding = Decoding::bytes;
    bos_ = id_of("bos");
    eos_ = id_of("eos");
    if (pre.adds_bos || says("add_bos_token", false)) put(before_, bos_, "add_bos_token");
    if (says("add_eos_token", false)) put(after_, eos_, "add_eos_token");
  }
  // A byte that is no token, as in Falcon's vocabulary those of no UTF-8, leaves no trace, as in tokenizers and llama.cpp.
  void read_bytes(const GgufPreTokenizer& pre) {
    ByteLevelModel level;
    std::unordered_map<std::string_view, TokenId> ids;
    add_added();
    for (std::size_t id = 0; id < pieces_.size(); ++id) {
      const ScoredPiece& piece = pieces_[id];
      spelled_.push_back(piece.text);
      ids.emplace(piece.text, static_cast<TokenId>(id));
      const auto text = characters_to_bytes(piece.text);
      const bool plain = (piece.type == PieceType::normal || piece.type == PieceType::unused) && text;
      level.bytes.push_back(plain ? *text : std::string());
      bytes_.push_back(plain ? *text : piece.text);
    }
    level.merges = read_merges(ids, level.bytes);
    level.whole = pre.ignore_merges ? WholePieces::always : WholePieces::if_merges_make_them;
    pipeline_.pre_tokenizers = pre.steps;
    pipeline_.kind = "byte-level BPE";
    if (pre.spelled) {
      word_models::Bpe words{{}, level.merges, MergeRanks(level.merges), std::nullopt, "", "", false, pre.ignore_merges, std::nullopt};
      for (std::size_t id = 0; id < pieces_.size(); ++id)
        if (!level.bytes[id].empty()) words.ids.emplace(pieces_[id].text, static_cast<TokenId>(id));
      pipeline_.words = std::move(words);
    } else {
      pipeline_.byte_level = std::move(level);
    }
    pipeline_.decoding = Decoding::bytes;
    bos_ = id_of("bos");
    eos_ = id_of("eos");
    if (says("add_bos_token", pre.adds_bos)) put(before_, bos_, "add_bos_token");
    if (says("add_eos_token", false)) put(after_, eos_, "add_eos_token");
    if (says("add_sep_token", pre.adds_separator)) put(after_, first_of({"seperator", "separator"}), "add_sep_token");
  }
  std::vector<Merge> read_merges(const std::unordered_map<std::string_view, TokenId>& ids, const std::vector<std::string>& bytes) const {
    constexpr std::string_view key = "tokenizer.ggml.merges";
    const GgufEntry* entry = header_.find(key);
    if (entry == nullptr) throw ConfigError(Where{.path = header_.path(), .field = std::string(key), .offset = 0}, "is missing");
    if (!entry->is_array() || entry->element != GgufType::text) throw FormatError(header_.where(*entry), "expected an array of text");
    std::vector<Merge> merges;
    std::unordered_set<std::uint64_t> seen;
    const std::vector<std::string_view> lines = header_.texts(key);
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const std::string_view line = lines[i];
      const std::string part = concat("[", i, "]");
      const std::size_t space = line.find(' ', 1);
      if (line.size() < 3 || space == line.npos || space + 1 == line.size())
        fail(key, part, line.data(), concat("expected two tokens with a space between them, found ", quoted(line)));
      const auto look_up = [&](std::string_view piece, std::string_view role) {
        const auto found = ids.find(piece);
        if (found == ids.end()) fail(key, part, line.data(), concat("the ", role, " ", quoted(piece), " is not in the vocabulary"));
        return found->second;
      };
      const std::string_view left = line.substr(0, space), right = line.substr(space + 1);
      const TokenId a = look_up(left, "left part"), b = look_up(right, "right part");
      const std::string joined = concat(left, right);
      const TokenId result = look_up(joined, "result");
      if (!seen.insert(std::uint64_t{static_cast<std::uint32_t>(a)} << 32 | static_cast<std::uint32_t>(b)).second) continue;
      const auto usable = [&](TokenId id) { return !bytes[static_cast<std::size_t>(id)].empty(); };
      if (usable(a) && usable(b) && usable(result)) merges.push_back({a, b, result});
    }
    return merges;
  }
  GgufPreTokenizer pre_tokenizer() const {
    constexpr std::string_view key = "tokenizer.ggml.pre";
    const GgufEntry* entry = header_.find(key);
    std::string_view name = header_.text(key).value_or("");
    const Where where = entry ? header_.where(*entry) : header_.where(*header_.find("tokenizer.ggml.model"));
    if (name.empty()) {  // older files; these two architectures have only ever had one
      const std::string_view architecture = header_.text("general.architecture").value_or("");
      name = architecture == "gpt2" || architecture == "gptneox" ? "gpt-2" : "default";
    }
    return gguf_pre_tokenizer(name, where, options_.expressions);
  }

  // ---- bert ----
  void read_words() {
    const bool lower = says("normalizer.lowercase", true);
    pipeline_.normalizers.push_back(normalizers::Bert{true, true, says("normalizer.strip_accents", lower), lower});
    pipeline_.pre_tokenizers.push_back(pre_tokenizers::Bert{});
    pipeline_.decoders.push_back(token_decoders::WordPiece{"##", true});
    pipeline_.kind = "WordPiece";
    const auto unknown = id_of("unknown") ? id_of("unknown") : usual(100);
    if (!unknown)
      throw ConfigError(Where{.path = header_.path(), .field = "tokenizer.ggml.unknown_token_id", .offset = 0},
                        "is missing: WordPiece needs it");
    word_models::WordPiece model{{}, *unknown, "##", 100, 0};  // BERT's own limit, which the file does not name
    for (std::size_t id = 0; id < pieces_.size(); ++id) {
      ScoredPiece& piece = pieces_[id];  // U+2581 begins a word, what has none goes on; the files of BERT mark the latter with ##
      const bool special = piece.type == PieceType::control || piece.type == PieceType::unknown;
      const bool bracketed = piece.text.front() == '[' && piece.text.back() == ']';
      if (!special && piece.type != PieceType::user_defined && !bracketed)
        piece.text =
            piece.text.starts_with(block) && piece.text.size() > block.size() ? piece.text.substr(block.size()) : "##" + piece.text;
      spelled_.push_back(piece.text);
      bytes_.push_back(piece.text);
      if (special || piece.type == PieceType::user_defined) continue;
      model.ids.emplace(piece.text, static_cast<TokenId>(id));
      model.longest = std::max(model.longest, piece.text.size());
    }
    add_added();
    pipeline_.words = std::move(model);
    bos_ = first_of({"cls", "bos"});
    eos_ = first_of({"seperator", "separator"});
    if (!bos_) bos_ = usual(101);
    if (!eos_) eos_ = usual(102);
    if (says("add_bos_token", true)) put(before_, bos_, "add_bos_token");
    if (says("add_sep_token", true)) put(after_, eos_, "add_sep_token");
  }

  void put(std::vector<TokenId>& around, std::optional<TokenId> id, std::string_view key) const {
    if (!id)
      throw ConfigError(Where{.path = header_.path(), .field = concat("tokenizer.ggml.", key), .offset = 0},
                        "the file names no such token");
    around.push_back(*id);
  }

  Tokenizer finish() {
    std::vector<TokenId> special;
    for (std::size_t id = 0; id < pieces_.size(); ++id)
      if (pieces_[id].type == PieceType::control || pieces_[id].type == PieceType::unknown) special.push_back(static_cast<TokenId>(id));
    Vocabulary vocabulary(std::move(spelled_), std::move(bytes_), special);
    vocabulary.bos = bos_;
    vocabulary.eos = eos_;
    vocabulary.before = before_;
    vocabulary.after = after_;
    vocabulary.begins_with_bos = bos_ && before_ == std::vector<TokenId>{*bos_};
    pipeline_.files.push_back({"tokenizer.gguf", vocabulary_file()});
    return Tokenizer(std::make_shared<PipelineModel>(std::move(vocabulary), std::move(pipeline_)));
  }
  // The entries that this reader uses, as a GGUF file without tensors.
  std::string vocabulary_file() const {
    std::string out = "GGUF", entries;
    std::uint64_t count = 0;
    const auto put_number = [](std::string& into, auto value) { into.append(reinterpret_cast<const char*>(&value), sizeof value); };
    for (const GgufEntry& entry : header_.entries()) {
      if (!entry.key.starts_with("tokenizer.") && entry.key != "general.architecture" && entry.key != "general.name") continue;
      ++count;
      put_number(entries, static_cast<std::uint64_t>(entry.key.size()));
      entries.append(entry.key);
      put_number(entries, static_cast<std::uint32_t>(entry.type));
      if (entry.is_array()) {
        put_number(entries, static_cast<std::uint32_t>(entry.element));
        put_number(entries, entry.count);
      }
      entries.append(reinterpret_cast<const char*>(entry.bytes.data()), entry.bytes.size());
    }
    put_number(out, std::uint32_t{3});
    put_number(out, std::uint64_t{0});
    put_number(out, count);
    return out + entries;
  }

  const GgufHeader& header_;
  const GgufTokenizerOptions& options_;
  std::vector<ScoredPiece> pieces_;
  Pipeline pipeline_;
  std::vector<std::string> spelled_, bytes_;
  std::optional<TokenId> bos_, eos_;
  std::vector<TokenId> before_, after_;
};

PLUME_FUNCTION Tokenizer read_gguf_tokenizer(const GgufHeader& header, const GgufTokenizerOptions& options) try {
  return GgufTokenizerReader(header, options).read();
} catch (...) {
  rethrow_memory_failure("a tokenizer");
}

PLUME_FUNCTION Tokenizer load_gguf_tokenizer(const std::string& path, const GgufTokenizerOptions& options) try {
  const auto file = FileMapping::open(path);
  return read_gguf_tokenizer(GgufHeader::read(file->bytes(), path, options.limits), options);
} catch (...) {
  rethrow_memory_failure("a tokenizer");
}

}  // namespace plume::inline PLUME_ABI
#endif
