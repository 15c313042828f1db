#pragma once
// Marian's tokenizer [transformers models/marian/tokenization_marian.py]: source.spm and target.spm, SentencePiece models of two languages,
// cut a text; vocab.json says the ids of the pieces, whichever of the two knows them.
#include <cstdint>
#include <string>

#include "plume/base/config.hpp"
#include "plume/base/limits.hpp"
#include "plume/tokenizer/tokenizer.hpp"

namespace plume::inline PLUME_ABI {

// The language of what encode() is given: the one to translate from, or that of the translations to learn from.
enum class TranslationSide : std::uint8_t { source, target };

struct MarianFiles {
  std::string source = {}, target = {};  // source.spm, target.spm
  std::string vocabulary = {};           // vocab.json
  std::string target_vocabulary = {};    // target_vocab.json, where the configuration says "separate_vocabs"
  std::string config = {};               // tokenizer_config.json; may be empty
  std::string directory = {};            // named in errors
  TranslationSide side = TranslationSide::source;
  Limits limits = {};  // max_tokenizer_bytes, max_vocabulary, max_token_text
};

// A text may begin with a language code, such as ">>fra<<", which is one token however it is spelled. Pieces that vocab.json lacks become
// the unk token; an unknown character of SentencePiece has the id that vocab.json gives it. eos stands behind a text. Decoding is that of
// the target's SentencePiece model, without white space at both ends. With "separate_vocabs" encode() of the source gives ids of
// vocab.json, and all the rest, decode(), piece() and find() among it, goes by target_vocab.json. FormatError: not JSON, ids with gaps or
// twice, an added token whose id is another's, and what read_sentencepiece() says of a model. ConfigError: no unk token, "separate_vocabs"
// without target_vocab.json. LimitError: more than Limits allows.
PLUME_FUNCTION Tokenizer read_marian(const MarianFiles& files);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "plume/base/error.hpp"
#include "plume/base/json.hpp"
#include "plume/base/text.hpp"
#include "plume/tokenizer/pipeline_model.hpp"
#include "plume/tokenizer/read_sentencepiece.hpp"

namespace plume::inline PLUME_ABI {

// What the files say, as data.
struct MarianParts {
  Tokenizer cutter;                     // the SentencePiece model that cuts
  std::vector<TokenId> ids;             // by its pieces
  WordIds others;                       // pieces it does not know
  TokenId unknown = 0;                  // of SentencePiece
  TokenId unknown_id = 0;               // of vocab.json
  std::vector<AddedToken> added;        // the special tokens, and others
  std::shared_ptr<Vocabulary> spelled;  // as the target's model spells the pieces to decode
  SentencePieceDecoding decoding;       // of `spelled`
  std::vector<TokenizerFile> files;
};

class MarianModel final : public TokenizerModel {
 public:
  MarianModel(Vocabulary entries, MarianParts parts) : TokenizerModel(std::move(entries)), parts_(std::move(parts)) {
    for (std::uint32_t i = 0; i < parts_.added.size(); ++i) {
      added_.add(parts_.added[i].content, i);
      added_text_ = added_text_ || !parts_.added[i].special;
    }
  }
  std::string_view kind() const override { return "Marian"; }
  const MarianParts& parts() const { return parts_; }

  void encode(std::string_view text, TextPart, std::vector<TokenId>& ids) const override {
    EncodedText out;
    out.ids.swap(ids);
    cut(text, MatchSpecial::no, Spans::skip, out);
    out.ids.swap(ids);
  }
  void encode_with_spans(std::string_view text, TextPart, EncodedText& out) const override {
    cut(text, MatchSpecial::no, Spans::keep, out);
  }
  void encode_special(std::string_view text, TextPart, Spans spans, EncodedText& out) const override {
    cut(text, MatchSpecial::yes, spans, out);
  }
  PLUME_FUNCTION std::unique_ptr<TokenDecoder> decoder(const DecodeOptions& options) const override;
  std::vector<TokenizerFile> files() const override { return parts_.files; }

 private:
  PLUME_FUNCTION void cut(std::string_view text, MatchSpecial special, Spans spans, EncodedText& out) const;
  PLUME_FUNCTION void encode_section(std::string_view text, std::size_t offset, Spans spans, EncodedText& out) const;
  TokenId id_of(std::string_view piece) const {
    const auto found = parts_.others.find(std::string(piece));
    return found == parts_.others.end() ? parts_.unknown_id : found->second;
  }

  MarianParts parts_;
  TextMatcher added_;        // values are indices of parts_.added
  bool added_text_ = false;  // whether one of them is not special
};

PLUME_FUNCTION void MarianModel::cut(std::string_view text, MatchSpecial special, Spans spans, EncodedText& out) const {
  if (special == MatchSpecial::no && !added_text_) return encode_section(text, 0, spans, out);
  for (const AddedSection& section : cut_at_added_tokens(text, added_, parts_.added, special)) {
    if (!section.token) {
      encode_section(text.substr(section.begin, section.end - section.begin), section.begin, spans, out);
      continue;
    }
    out.ids.push_back(section.token->id);
    if (spans == Spans::keep) out.spans.push_back({section.begin, section.end});
  }
}

PLUME_FUNCTION void MarianModel::encode_section(std::string_view text, std::size_t offset, Spans spans, EncodedText& out) const {
  if (const std::size_t end = text.starts_with(">>") ? text.find("<<") : text.npos; end != text.npos) {
    out.ids.push_back(id_of(text.substr(0, end + 2)));
    if (spans == Spans::keep) out.spans.push_back({offset, offset + end + 2});
    text.remove_prefix(end + 2);
    offset += end + 2;
  }
  if (text.empty()) return;
  if (spans == Spans::skip) {
    const std::size_t first = out.ids.size();
    parts_.cutter.model().encode(text, TextPart::first, out.ids);
    bool unknown = false;
    for (std::size_t i = first; i < out.ids.size(); ++i) unknown = unknown || out.ids[i] == parts_.unknown;
    if (!unknown) {
      for (std::size_t i = first; i < out.ids.size(); ++i) out.ids[i] = parts_.ids[static_cast<std::size_t>(out.ids[i])];
      return;
    }
    out.ids.resize(first);  // once more, with what the unknown pieces are
  }
  const Pipeline& pipeline = dynamic_cast<const PipelineModel&>(parts_.cutter.model()).pipeline();
  AlignedText normal = AlignedText::of(text, offset, spans);
  for (const Normalizer& step : pipeline.normalizers) normalize(step, normal);
  if (normal.text.empty()) return;
  std::vector<WordToken> tokens;
  encode_word(*pipeline.words, normal.text, tokens);
  for (const WordToken& token : tokens) {
    const std::string_view piece = std::string_view(normal.text).substr(token.begin, token.end - token.begin);
    out.ids.push_back(token.id == parts_.unknown ? id_of(piece) : parts_.ids[static_cast<std::size_t>(token.id)]);
    if (spans == Spans::keep) out.spans.push_back(normal.span(token.begin, token.end));
  }
}

// Runs of pieces by the target's SentencePiece, special tokens as they are spelled and a space; no white space at either end.
class MarianDecoder final : public TokenDecoder {
 public:
  MarianDecoder(const MarianModel& model, const DecodeOptions& options)
      : model_(&model), options_(options), run_(*model.parts().spelled, model.parts().decoding, {}) {}
  void push(TokenId id, std::string& text) override {
    std::string part;
    if (!model_->vocabulary.is_special(id)) {
      run_.push(id, part);
      return add(part, text);
    }
    if (options_.special == SpecialTokens::skip) return;
    run_.finish(part);
    run_ = SentencePieceDecoder(*model_->parts().spelled, model_->parts().decoding, {});
    add(concat(part, model_->vocabulary.pieces[static_cast<std::size_t>(id)], ' '), text);
  }
  void finish(std::string& text) override {
    std::string part;
    run_.finish(part);
    add(part, text);
  }
  std::unique_ptr<TokenDecoder> clone() const override { return std::make_unique<MarianDecoder>(*this); }

 private:
  void add(std::string_view part, std::string& text) {
    for (std::size_t at = 0, length = 0; at < part.size(); at += length) {
      const CodePoint point = code_point_at(part, at);
      length = point.length;
      const bool block = point.value == 0x2581;
      // what Python's strip() takes away
      const bool space = block || (point.value >= 0x1c && point.value <= 0x1f) || (category_bit(point.value) & category_sets::space) != 0;
      if (space && !started_) continue;
      if (!space) started_ = true, text.append(std::exchange(held_, {}));
      (space ? held_ : text).append(block ? " " : part.substr(at, length));
    }
  }

  const MarianModel* model_;
  DecodeOptions options_;
  SentencePieceDecoder run_;
  std::string held_;  // white space that may be the last
  bool started_ = false;
};

PLUME_FUNCTION std::unique_ptr<TokenDecoder> MarianModel::decoder(const DecodeOptions& options) const {
  return std::make_unique<MarianDecoder>(*this, options);
}

class MarianReader {
 public:
  explicit MarianReader(const MarianFiles& files) : files_(files) {}

  Tokenizer read() {
    const Tokenizer source = read_model(files_.source, "source.spm"), target = read_model(files_.target, "target.spm");
    read_config();
    Side encoded = read_side(files_.vocabulary, "vocab.json"), decoded;
    if (separate_) {
      if (files_.target_vocabulary.empty())
        throw ConfigError(Where{.path = path("tokenizer_config.json"), .field = "separate_vocabs"},
                          "is true, but target_vocab.json is absent");
      decoded = read_side(files_.target_vocabulary, "target_vocab.json");
      if (files_.side == TranslationSide::target) encoded = decoded;
    } else {
      decoded = encoded;
    }
    MarianParts parts;
    parts.cutter = files_.side == TranslationSide::source ? source : target;
    const PipelineModel& cutter = dynamic_cast<const PipelineModel&>(parts.cutter.model());
    parts.unknown = *cutter.pipeline().sentencepiece.unknown;
    parts.unknown_id = encoded.named.at(unknown_);
    parts.added = encoded.added;
    for (const auto& [piece, id] : encoded.named)
      if (!encoded.special[static_cast<std::size_t>(id)]) parts.others.emplace(piece, id);
    for (const std::string& piece : cutter.vocabulary.pieces) {
      const auto found = parts.others.find(piece);
      parts.ids.push_back(found == parts.others.end() ? parts.unknown_id : found->second);
    }
    spell(decoded, dynamic_cast<const PipelineModel&>(target.model()), parts);
    parts.files = {{"source.spm", files_.source}, {"target.spm", files_.target}, {"vocab.json", files_.vocabulary}};
    if (separate_) parts.files.push_back({"target_vocab.json", files_.target_vocabulary});
    if (!files_.config.empty()) parts.files.push_back({"tokenizer_config.json", files_.config});
    std::vector<TokenId> special;
    for (std::size_t id = 0; id < decoded.pieces.size(); ++id)
      if (decoded.special[id]) special.push_back(static_cast<TokenId>(id));
    Vocabulary entries(decoded.pieces, parts.spelled->bytes, special);
    entries.eos = decoded.named.at(end_);
    entries.after = {encoded.named.at(end_)};
    return Tokenizer(std::make_shared<MarianModel>(std::move(entries), std::move(parts)));
  }

 private:
  // One vocabulary with the tokens that the configuration adds.
  struct Side {
    std::vector<std::string> pieces;  // by id
    std::unordered_map<std::string, TokenId> named;
    std::vector<bool> special;
    std::vector<AddedToken> added;
  };

  std::string path(std::string_view name) const {
    return files_.directory.empty() ? std::string(name) : concat(files_.directory, '/', name);
  }
  Json parse(const std::string& text, std::string_view name, JsonSize size) const {
    return Json::parse(text, {.path = path(name), .limits = files_.limits, .max_bytes = files_.limits.max_tokenizer_bytes, .size = size});
  }
  Tokenizer read_model(const std::string& file, std::string_view name) const {
    return read_sentencepiece(file, {.path = path(name), .limits = files_.limits});
  }

  void read_config() {
    if (files_.config.empty()) return;
    config_ = parse(files_.config, "tokenizer_config.json", JsonSize::plain);
    const auto name = [&](std::string_view key, std::string& token) {
      if (const Json* value = config_.find(key); value && !value->is_null())
        token = value->is_object() ? value->text("content") : value->as_text();
    };
    name("unk_token", unknown_);
    name("eos_token", end_);
    name("pad_token", padding_);
    separate_ = config_.boolean("separate_vocabs", false);
  }

  Side read_side(const std::string& text, std::string_view name) const {
    const Json file = parse(text, name, JsonSize::table);
    if (!file.is_object()) throw FormatError(file.where(), concat("expected an object: pieces and their ids"));
    Side side;
    const std::size_t count = file.size();
    if (count > files_.limits.max_vocabulary) throw LimitError(file.where(), "max_vocabulary", files_.limits.max_vocabulary, count);
    side.pieces.resize(count);
    side.special.resize(count);
    std::vector<bool> taken(count);
    for (const auto& [piece, value] : file.members()) {
      if (piece.size() > files_.limits.max_token_text)
        throw LimitError(value.where(), "max_token_text", files_.limits.max_token_text, piece.size());
      if (!value.is_integer()) throw FormatError(value.where(), "a token id is a whole number");
      if (value.is_unsigned_only() || value.as_integer() < 0 || value.as_integer() >= static_cast<std::int64_t>(count))
        throw FormatError(value.where(), concat("the id lies outside 0 to ", count - 1, "; ids of ", count, " tokens have no gap"));
      const auto id = static_cast<std::size_t>(value.as_integer());
      if (taken[id]) throw FormatError(value.where(), concat("duplicate id ", id, ": ", quoted(side.pieces[id]), " has it already"));
      taken[id] = true;
      side.pieces[id] = piece;
      side.named.emplace(piece, static_cast<TokenId>(id));
    }
    if (!side.named.contains(unknown_)) throw ConfigError(file.where(), concat("lacks the unk token, ", quoted(unknown_)));
    if (const Json* tokens = config_.find("added_tokens_decoder"); tokens && !tokens->is_null()) read_added(*tokens, side);
    for (const std::string& each : {end_, unknown_, padding_}) {  // those that are missing come last, as in transformers
      AddedToken token;
      token.content = each;
      token.special = true;
      add(std::move(token), side);
    }
    return side;
  }

  void read_added(const Json& tokens, Side& side) const {
    std::vector<std::pair<std::int64_t, const Json*>> order;
    for (const auto& [key, token] : tokens.members()) order.emplace_back(decimal(key, token), &token);
    std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [id, token] : order) {
      AddedToken entry;
      entry.content = token->text("content");
      entry.special = token->boolean("special", false);
      entry.single_word = token->boolean("single_word", false);
      entry.left_strip = token->boolean("lstrip", false);
      entry.right_strip = token->boolean("rstrip", false);
      if (entry.content.empty()) throw FormatError(token->at("content").where(), "an added token is empty");
      if (entry.content.size() > files_.limits.max_token_text)
        throw LimitError(token->at("content").where(), "max_token_text", files_.limits.max_token_text, entry.content.size());
      const auto found = side.named.find(entry.content);
      const std::int64_t own = found == side.named.end() ? static_cast<std::int64_t>(side.pieces.size()) : found->second;
      if (own != id)
        throw FormatError(token->where(), concat("the added token ", quoted(entry.content), " has id ", own, " in the vocabulary"));
      add(std::move(entry), side);
    }
  }
  static std::int64_t decimal(const std::string& key, const Json& at) {
    std::int64_t id = 0;
    for (const char c : key) {
      if (c < '0' || c > '9' || id > 100'000'000) throw FormatError(at.where(), concat("the key ", quoted(key), " is not a token id"));
      id = id * 10 + (c - '0');
    }
    if (key.empty()) throw FormatError(at.where(), "the key \"\" is not a token id");
    return id;
  }

  static void add(AddedToken token, Side& side) {
    const auto [entry, fresh] = side.named.emplace(token.content, static_cast<TokenId>(side.pieces.size()));
    if (fresh) side.pieces.push_back(token.content), side.special.push_back(false);
    token.id = entry->second;
    token.normalized = false;
    if (token.special) side.special[static_cast<std::size_t>(token.id)] = true;
    for (AddedToken& known : side.added)
      if (known.id == token.id) {
        known.special = known.special || token.special;
        return;
      }
    side.added.push_back(std::move(token));
  }

  // How decoding writes each piece: as the target's model does those it knows; of others U+2581 is a space and nothing is dropped.
  static void spell(const Side& side, const PipelineModel& target, MarianParts& parts) {
    parts.decoding = target.pipeline().sentencepiece;
    parts.decoding.unknown.reset();
    parts.decoding.is_byte.assign(side.pieces.size(), 0);
    std::vector<std::string> pieces = side.pieces, bytes = side.pieces;
    std::vector<TokenId> special;
    for (std::size_t id = 0; id < pieces.size(); ++id) {
      const auto own = target.vocabulary.find(pieces[id]);
      if (side.special[id] || (own && target.vocabulary.is_special(*own))) {
        special.push_back(static_cast<TokenId>(id));
        if (own == target.pipeline().sentencepiece.unknown) parts.decoding.unknown = static_cast<TokenId>(id);
      } else if (own) {
        bytes[id] = target.vocabulary.bytes[static_cast<std::size_t>(*own)];
        parts.decoding.is_byte[id] = target.pipeline().sentencepiece.is_byte[static_cast<std::size_t>(*own)];
      } else {
        constexpr std::string_view block = SentencePieceRules::block;
        for (std::size_t at = bytes[id].find(block); at != bytes[id].npos; at = bytes[id].find(block, at + 1))
          bytes[id].replace(at, block.size(), " ");
        pieces[id] = concat(' ', pieces[id]);  // no U+2581 in front
      }
    }
    parts.spelled = std::make_shared<Vocabulary>(std::move(pieces), std::move(bytes), special);
  }

  const MarianFiles& files_;
  Json config_ = Json::object();
  std::string unknown_ = "<unk>", end_ = "</s>", padding_ = "<pad>";
  bool separate_ = false;
};

PLUME_FUNCTION Tokenizer read_marian(const MarianFiles& files) try { return MarianReader(files).read(); } catch (...) {
  rethrow_memory_failure("a tokenizer");
}

}  // namespace plume::inline PLUME_ABI
#endif
