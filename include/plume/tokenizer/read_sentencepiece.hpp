#pragma once
// Reading SentencePiece's tokenizer.model [google/sentencepiece src/sentencepiece_model.proto]: Unigram, BPE, words and characters, with
// the character map, byte fallback, user-defined, control and unused pieces. Ids and texts are those of the sentencepiece library.
#include <string>
#include <string_view>

#include "plume/base/config.hpp"
#include "plume/base/limits.hpp"
#include "plume/tokenizer/tokenizer.hpp"

namespace plume::inline PLUME_ABI {

// What text behind a special token begins with. no: nothing, only the start of a text gets a space. yes: a space, as at the start; what
// transformers calls legacy, and what llama.cpp does. no also reads U+2581 as a space and keeps spaces at the start, as transformers does
// with legacy = false. as_configured: what tokenizer_config.json says under "legacy"; without it as no, but U+2581 is itself, as in
// SentencePiece.
enum class LegacySpaces : std::uint8_t { as_configured, yes, no };

struct SentencePieceOptions {
  std::string path = {};    // named in errors
  std::string config = {};  // the text of tokenizer_config.json; may be empty
  std::string added = {};   // the text of added_tokens.json; may be empty
  LegacySpaces legacy = LegacySpaces::as_configured;
  bool ice_text = false;  // of ChatGLM-6B or GLM-130B, whatever its name
  Limits limits = {};     // max_tokenizer_bytes, max_vocabulary, max_token_text
};

// The file says nothing about what stands around a text. tokenizer_config.json does (add_bos_token, add_eos_token); without it bos stands
// before the text where the model is BPE with byte fallback and has one, as for LLaMA, and nothing elsewhere. A T5Tokenizer's pieces are
// followed by its sentinels, <extra_id_0> last: extra_ids of them, or 100.
// With ice_text, ids are those of ChatGLM-6B: they begin behind num_image_tokens images, or 20,000; line breaks, tabs and runs of spaces
// are tokens, and come back when decoded; every text begins with a space, also behind another; [gMASK] and <sop> stand behind it. What a
// file of the first revision lacks is added. All special tokens are recognised where special text is meant, not only those that are named
// in tokenizer_config.json. Decoding takes no spaces away before
// punctuation.
// FormatError: not such a file, a piece without text, score or a known type, or twice, no unknown piece or two, byte pieces missing, a
// broken character map. ConfigError: an unknown model type, a tokenizer class that renumbers the pieces; of ice_text, a named token that is
// not special, or a text that is to be changed. LimitError: more than Limits allows.
PLUME_FUNCTION Tokenizer read_sentencepiece(std::string_view file, const SentencePieceOptions& options = {});

// Whether a file begins as tokenizer.model does: a first piece with a text.
PLUME_FUNCTION bool looks_like_sentencepiece(std::string_view beginning);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>
#include <optional>
#include <unordered_set>
#include <utility>
#include <vector>

#include "plume/base/error.hpp"
#include "plume/base/json.hpp"
#include "plume/base/protobuf.hpp"
#include "plume/base/text.hpp"
#include "plume/base/utf8.hpp"
#include "plume/tokenizer/ice_text.hpp"
#include "plume/tokenizer/sentencepiece_model.hpp"

namespace plume::inline PLUME_ABI {

class SentencePieceReader {
 public:
  SentencePieceReader(std::string_view file, const SentencePieceOptions& options) : file_(file), options_(options) {}

  Tokenizer read() {
    read_file();
    if (options_.ice_text) bytes_ += complete_ice_text(vocabulary_);
    check();
    read_config();
    Pipeline pipeline;
    SentencePieceVocabulary& vocabulary = vocabulary_;
    vocabulary.rules.keep_leading_space = legacy_ == LegacySpaces::no;
    if (ice_) pipeline.normalizers.push_back(normalizers::WhitespaceTokens{});
    add_sentencepiece(vocabulary, pipeline);
    pipeline.added = std::move(added_);
    pipeline.starts_after_added = legacy_ == LegacySpaces::yes;
    pipeline.starts_always = ice_.has_value();
    pipeline.decoding = Decoding::sentencepiece;
    SentencePieceDecoding& decoding = pipeline.sentencepiece;
    using enum SentencePieceDecoding::LeadingSpace;
    decoding.leading_space = vocabulary.rules.remove_extra_whitespaces ? drop_all : vocabulary.rules.add_dummy_prefix ? drop_one : keep;
    decoding.unknown = vocabulary.unknown;
    decoding.unknown_text = unknown_text_;
    for (const ScoredPiece& piece : vocabulary.pieces) decoding.is_byte.push_back(piece.type == PieceType::byte ? 1 : 0);
    if (denormalizer_.map) decoding.denormalizer = std::make_shared<SentencePieceRules>(denormalizer_);
    decoding.whitespace_tokens = ice_.has_value();
    pipeline.files.push_back({ice_ ? "ice_text.model" : "tokenizer.model", std::string(file_)});
    if (!options_.config.empty()) pipeline.files.push_back({"tokenizer_config.json", options_.config});
    if (!options_.added.empty()) pipeline.files.push_back({"added_tokens.json", options_.added});
    Vocabulary entries = sentencepiece_entries(vocabulary);
    entries.bos = named(entries, bos_name_);
    entries.eos = named(entries, eos_name_);
    surround(entries);
    return Tokenizer(std::make_shared<PipelineModel>(std::move(entries), std::move(pipeline)));
  }

 private:
  // ---- tokenizer.model ----
  static std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }
  std::string_view whole(ProtobufReader& message, std::string_view name) {  // as long as the file lets it be
    return message.text(name, "max_tokenizer_bytes", options_.limits.max_tokenizer_bytes);
  }

  void read_file() {
    if (file_.empty()) throw FormatError(Where{.path = options_.path, .offset = 0}, "the file is empty");
    if (file_.size() > options_.limits.max_tokenizer_bytes)
      throw LimitError(Where{.path = options_.path, .offset = 0}, "max_tokenizer_bytes", options_.limits.max_tokenizer_bytes, file_.size());
    ProtobufReader model(bytes_of(file_), options_.path);
    while (model.next()) {
      if (model.number() == 1)
        read_piece(model.message(concat("pieces[", vocabulary_.pieces.size(), "]")), model.offset());
      else if (model.number() == 2)
        read_trainer(model.message("trainer_spec"));
      else if (model.number() == 3)
        read_rules(model.message("normalizer_spec"), vocabulary_.rules, map_, map_at_);
      else if (model.number() == 5)
        read_rules(model.message("denormalizer_spec"), denormalizer_, reverse_map_, reverse_map_at_);
    }
    if (!map_.empty()) vocabulary_.rules.map = PrecompiledMap::read(map_, map_at_);
    if (!reverse_map_.empty()) denormalizer_.map = PrecompiledMap::read(reverse_map_, reverse_map_at_);
  }

  void read_piece(ProtobufReader message, std::uint64_t offset) {
    const std::size_t id = vocabulary_.pieces.size();
    if (id == options_.limits.max_vocabulary)
      throw LimitError(message.where("piece"), "max_vocabulary", options_.limits.max_vocabulary, id + 1);
    ScoredPiece piece;
    bool scored = false;
    const auto fail = [&](std::string_view field, std::uint64_t at, std::string_view reason) {
      throw FormatError(Where{.path = options_.path, .field = message.here(field), .offset = at}, reason);
    };
    while (message.next()) {
      if (message.number() == 1) {
        piece.text = message.text("piece", "max_token_text", options_.limits.max_token_text);
        if (piece.text.find('\0') != piece.text.npos) fail("piece", message.offset(), "holds a NUL byte");
        if (utf8_error(piece.text) != piece.text.size()) fail("piece", message.offset(), "is not UTF-8");
      } else if (message.number() == 2) {
        piece.score = message.real("score");
        scored = true;
        if (!std::isfinite(piece.score)) fail("score", message.offset(), concat("the score ", piece.score, " is not finite"));
      } else if (message.number() == 3) {
        const std::uint64_t type = message.integer("type");
        if (type < 1 || type > 6) fail("type", message.offset(), concat("unknown type ", type, " (known: 1 to 6)"));
        piece.type = static_cast<PieceType>(type);
      }
    }
    if (piece.text.empty()) fail("piece", offset, "is empty");
    if (!scored && piece.type == PieceType::normal) fail("score", offset, "a normal piece has a score");
    if (piece.type == PieceType::unknown) {
      if (vocabulary_.unknown) fail("type", offset, concat("is a second unknown piece; pieces[", *vocabulary_.unknown, "] is one"));
      vocabulary_.unknown = static_cast<TokenId>(id);
    }
    const bool is_byte = piece.type == PieceType::byte;
    if (is_byte && !byte_of_piece(piece.text)) fail("piece", offset, concat(quoted(piece.text), " is no byte: expected <0x00> to <0xFF>"));
    const bool text = sentencepiece_details::is_text(piece.type);
    if (!(text ? texts_ : reserved_).insert(piece.text).second) fail("piece", offset, concat("duplicate piece ", quoted(piece.text)));
    if (is_byte && !first_byte_at_) first_byte_at_ = offset;
    bytes_ += is_byte ? 1u : 0u;
    vocabulary_.pieces.push_back(std::move(piece));
  }

  void read_trainer(ProtobufReader message) {
    const std::uint64_t most = options_.limits.max_token_text;
    while (message.next()) {
      switch (message.number()) {
        case 3: {
          const std::uint64_t type = message.integer("model_type");
          if (type < 1 || type > 4)
            throw ConfigError(message.where("model_type"),
                              concat("unknown model type ", type, " (known: 1 unigram, 2 BPE, 3 word, 4 char)"));
          vocabulary_.model = static_cast<PieceModel>(type);
          break;
        }
        case 24:
          vocabulary_.rules.whitespace_as_suffix = message.boolean("treat_whitespace_as_suffix");
          break;
        case 35:
          vocabulary_.byte_fallback = message.boolean("byte_fallback");
          break;
        case 44:
          unknown_text_ = message.text("unk_surface", "max_token_text", most);
          break;
        case 46:
          bos_name_ = message.text("bos_piece", "max_token_text", most);
          break;
        case 47:
          eos_name_ = message.text("eos_piece", "max_token_text", most);
          break;
      }
    }
  }

  void read_rules(ProtobufReader message, SentencePieceRules& rules, std::string_view& map, Where& map_at) {
    while (message.next()) {
      switch (message.number()) {
        case 2:
          map = whole(message, "precompiled_charsmap");
          map_at = message.where("precompiled_charsmap");
          break;
        case 3:
          rules.add_dummy_prefix = message.boolean("add_dummy_prefix");
          break;
        case 4:
          rules.remove_extra_whitespaces = message.boolean("remove_extra_whitespaces");
          break;
        case 5:
          rules.escape_whitespaces = message.boolean("escape_whitespaces");
          break;
      }
    }
  }

  void check() {
    const auto fail = [&](std::uint64_t offset, std::string_view reason) {
      throw FormatError(Where{.path = options_.path, .field = "pieces", .offset = offset}, reason);
    };
    if (!vocabulary_.unknown) fail(file_.size(), concat("none of ", vocabulary_.pieces.size(), " pieces is the unknown piece"));
    if (vocabulary_.byte_fallback && bytes_ != 256) fail(file_.size(), concat("byte_fallback needs 256 byte pieces, found ", bytes_));
    if (!vocabulary_.byte_fallback && first_byte_at_) fail(*first_byte_at_, "is a byte piece, but byte_fallback is off");
  }

  // ---- tokenizer_config.json and added_tokens.json ----
  static const Json* present(const Json& object, std::string_view key) {
    const Json* value = object.find(key);
    return value && !value->is_null() ? value : nullptr;
  }
  static std::string content(const Json& token) { return token.is_object() ? token.text("content") : token.as_text(); }

  void add(const AddedToken& token, std::int64_t id, const Json& at) {
    if (token.content.empty()) throw FormatError(at.where(), "an added token is empty");
    if (token.content.size() > options_.limits.max_token_text)
      throw LimitError(at.where(), "max_token_text", options_.limits.max_token_text, token.content.size());
    std::vector<ScoredPiece>& pieces = vocabulary_.pieces;
    if (id < 0 || id > static_cast<std::int64_t>(pieces.size()))
      throw FormatError(at.where(), concat("the id ", id, " leaves a gap after ", pieces.size(), " pieces"));
    const auto index = static_cast<std::size_t>(id);
    if (index == pieces.size()) pieces.push_back({token.content, 0, PieceType::added});
    if (pieces[index].text != token.content)
      throw FormatError(at.where(),
                        concat("the id ", id, " of the added token ", quoted(token.content), " belongs to ", quoted(pieces[index].text)));
    if (token.special && pieces[index].type != PieceType::unknown) pieces[index].type = PieceType::control;  // plain text never becomes it
    for (AddedToken& known : added_)
      if (known.id == static_cast<TokenId>(id)) {
        const bool special = known.special;
        known = token, known.id = static_cast<TokenId>(id), known.special = special || token.special;
        return;
      }
    added_.push_back(token);
    added_.back().id = static_cast<TokenId>(id);
  }

  // T5's sentinels, the first with the last id [transformers models/t5/tokenization_t5.py].
  void add_extra_ids(const Json& config, std::vector<std::pair<std::int64_t, AddedToken>>& more, std::vector<const Json*>& wheres) const {
    const std::vector<ScoredPiece>& pieces = vocabulary_.pieces;
    if (std::any_of(pieces.begin(), pieces.end(), [](const ScoredPiece& piece) { return piece.text == "<extra_id_0>"; })) return;
    const std::int64_t count = config.integer("extra_ids", 100), size = static_cast<std::int64_t>(pieces.size());
    if (count < 0) config.at("extra_ids").fail("must be at least 0");
    if (static_cast<std::uint64_t>(count) >
        options_.limits.max_vocabulary - std::min<std::uint64_t>(pieces.size(), options_.limits.max_vocabulary))
      throw LimitError(config.at("tokenizer_class").where(), "max_vocabulary", options_.limits.max_vocabulary,
                       pieces.size() + static_cast<std::uint64_t>(count));
    for (std::int64_t i = 0; i < count; ++i) {
      AddedToken entry;
      entry.content = concat("<extra_id_", count - 1 - i, ">");
      entry.special = entry.left_strip = entry.right_strip = true;
      entry.normalized = false;
      more.emplace_back(size + i, std::move(entry));
      wheres.push_back(&config.at("tokenizer_class"));
    }
  }

  void read_ice_text(const Json& config) {
    ice_ = IceText::read(config);
    const std::uint64_t pieces = vocabulary_.pieces.size(), most = options_.limits.max_vocabulary;
    if (pieces > most || ice_->images > most - pieces) {
      const Json* given = config.find("num_image_tokens");
      throw LimitError(given ? given->where() : Where{.path = options_.path}, "max_vocabulary", most,
                       pieces + std::min(ice_->images, most));
    }
    add_images(vocabulary_, ice_->images);
    bos_name_ = ice_->begin, eos_name_ = ice_->end;
    added_ = special_pieces(vocabulary_);
    added_.erase(added_.begin(), added_.begin() + static_cast<std::ptrdiff_t>(ice_->images));
    for (AddedToken& token : added_) token.left_strip = token.right_strip = true;
  }

  void read_config() {
    added_ = special_pieces(vocabulary_);
    std::vector<std::pair<std::int64_t, AddedToken>> more;
    std::vector<const Json*> wheres;
    const auto parse = [&](const std::string& text, std::string_view name) {
      const std::string path = concat(options_.path.substr(0, options_.path.rfind('/') + 1), name);  // npos + 1 == 0
      return Json::parse(text, {.path = path, .limits = options_.limits, .max_bytes = options_.limits.max_tokenizer_bytes});
    };
    const Json config = options_.config.empty() ? Json::object() : parse(options_.config, "tokenizer_config.json"),
               extra = options_.added.empty() ? Json::object() : parse(options_.added, "added_tokens.json");
    legacy_ = options_.legacy;
    if (options_.ice_text) read_ice_text(config);
    if (options_.config.empty() && options_.added.empty()) return;
    if (!options_.config.empty()) {
      configured_ = true;
      kind_ = config.text("tokenizer_class", "");
      if (kind_.ends_with("Fast")) kind_.resize(kind_.size() - 4);
      for (const std::string_view other :
           {"XLMRobertaTokenizer", "CamembertTokenizer", "MBartTokenizer", "MBart50Tokenizer", "NllbTokenizer", "XGLMTokenizer",
            "BarthezTokenizer", "PegasusTokenizer", "M2M100Tokenizer", "MarianTokenizer"})
        if (kind_ == other)
          config.at("tokenizer_class").fail(concat(quoted(kind_), " renumbers the pieces of tokenizer.model; use its tokenizer.json"));
      if (const Json* legacy = present(config, "legacy"); legacy && legacy_ == LegacySpaces::as_configured)
        legacy_ = legacy->as_boolean() ? LegacySpaces::yes : LegacySpaces::no;
      if (const Json* token = present(config, "bos_token"); token && !ice_) bos_name_ = content(*token);
      if (const Json* token = present(config, "eos_token"); token && !ice_) eos_name_ = content(*token);
      if (const Json* value = present(config, "add_bos_token")) add_bos_ = value->as_boolean();
      if (const Json* value = present(config, "add_eos_token")) add_eos_ = value->as_boolean();
      if (const Json* tokens = present(config, "added_tokens_decoder"))
        for (const auto& [key, token] : tokens->members()) {
          std::int64_t id = -1;
          const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
          if (error != std::errc() || end != key.data() + key.size() || id < 0)
            throw FormatError(token.where(), concat("the key ", quoted(key), " is not a token id"));
          AddedToken entry;
          entry.content = token.text("content");
          entry.special = token.boolean("special", false);
          entry.normalized = false;  // slow tokenizers look for them in the text as it is
          entry.single_word = token.boolean("single_word", false);
          entry.left_strip = token.boolean("lstrip", false);
          entry.right_strip = token.boolean("rstrip", false);
          more.emplace_back(id, std::move(entry));
          wheres.push_back(&token);
        }
    }
    if (kind_ == "T5Tokenizer" &&
        std::none_of(more.begin(), more.end(), [](const auto& token) { return token.second.content.starts_with("<extra_id_"); }))
      add_extra_ids(config, more, wheres);
    for (const auto& [name, id] : extra.members()) {
      const std::int64_t number = id.as_integer();
      const bool known = std::any_of(more.begin(), more.end(), [&](const auto& token) { return token.first == number; });
      if (known) continue;
      AddedToken entry;
      entry.content = name;
      entry.normalized = false;
      more.emplace_back(number, std::move(entry));
      wheres.push_back(&id);
    }
    std::vector<std::size_t> order(more.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return more[a].first < more[b].first; });
    for (const std::size_t i : order) add(more[i].second, more[i].first, *wheres[i]);
  }

  // ---- around a text ----
  static std::optional<TokenId> named(const Vocabulary& entries, const std::string& name) {
    const auto id = entries.find(name);
    return id && entries.is_special(*id) ? id : std::nullopt;
  }
  void surround(Vocabulary& entries) const {
    if (ice_) {
      for (const std::string& name : {ice_->begin, ice_->end, ice_->continuation})
        if (!named(entries, name)) throw ConfigError(Where{.path = options_.path}, concat("has no special token ", quoted(name)));
      entries.after = {*named(entries, ice_->continuation), *entries.bos};
      return;
    }
    const bool llama = kind_.starts_with("Llama") || kind_.starts_with("CodeLlama") || kind_.starts_with("Gemma");
    const bool like_llama = !configured_ && vocabulary_.model == PieceModel::bpe && vocabulary_.byte_fallback;
    if (kind_.starts_with("Albert")) {
      if (const auto first = entries.find("[CLS]"), last = entries.find("[SEP]"); first && last)
        entries.before = {*first}, entries.after = {*last};
      return;
    }
    if (add_bos_.value_or(llama || like_llama) && entries.bos) {
      entries.begins_with_bos = true;
      entries.before = {*entries.bos};
    }
    if (add_eos_.value_or(kind_.starts_with("T5")) && entries.eos) entries.after = {*entries.eos};
  }

  std::string_view file_;
  const SentencePieceOptions& options_;
  SentencePieceVocabulary vocabulary_;
  SentencePieceRules denormalizer_;
  std::string_view map_, reverse_map_;
  Where map_at_, reverse_map_at_;
  std::string unknown_text_ = " \xe2\x81\x87 ", bos_name_ = "<s>", eos_name_ = "</s>";
  std::unordered_set<std::string> texts_, reserved_;
  std::optional<std::uint64_t> first_byte_at_;
  std::size_t bytes_ = 0;
  std::vector<AddedToken> added_;
  LegacySpaces legacy_ = LegacySpaces::as_configured;
  bool configured_ = false;
  std::string kind_;  // tokenizer_class
  std::optional<bool> add_bos_, add_eos_;
  std::optional<IceText> ice_;
};

PLUME_FUNCTION Tokenizer read_sentencepiece(std::string_view file, const SentencePieceOptions& options) try {
  return SentencePieceReader(file, options).read();
} catch (...) {
  rethrow_memory_failure("a tokenizer");
}

PLUME_FUNCTION bool looks_like_sentencepiece(std::string_view beginning) {
  // field 1 (a piece), its length, field 1 (the piece's text)
  std::size_t at = 1;
  if (beginning.empty() || beginning[0] != '\x0a') return false;
  while (at < beginning.size() && at < 5 && static_cast<unsigned char>(beginning[at]) >= 0x80) ++at;
  return at + 1 < beginning.size() && beginning[at] != 0 && beginning[at + 1] == '\x0a';
}

}  // namespace plume::inline PLUME_ABI
#endif
