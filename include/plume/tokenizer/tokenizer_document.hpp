#pragma once
// A tokenizer taken apart into what editing its vocabulary needs, by way of its tokenizer.json, and put together again.
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/json.hpp"
#include "plume/base/sort_stably.hpp"
#include "plume/tokenizer/tokenizer.hpp"

namespace plume::inline PLUME_ABI {

class TokenizerDocument {
 public:
  enum class Kind : std::uint8_t { bpe, unigram, word_piece, word_level };
  // How pieces spell text: bytes as printable characters, spaces as U+2581, or as it is.
  enum class Spelling : std::uint8_t { bytes, blocks, plain };
  struct Added {
    TokenId id;
    Json token;
  };

  // ArgumentError: a tokenizer that write_tokenizer_json() cannot write.
  PLUME_FUNCTION explicit TokenizerDocument(const Tokenizer& tokenizer);
  // Checks and reads what stands here now, as read_tokenizer_json().
  PLUME_FUNCTION Tokenizer build() const;

  Kind kind() const { return kind_; }
  Spelling spelling() const { return spelling_; }
  bool has_byte_tokens() const { return byte_tokens_; }  // <0x00> .. <0xFF>
  std::string end_of_word() const { return model_.text("end_of_word_suffix", ""); }
  std::string inside_word() const { return kind_ == Kind::bpe ? model_.text("continuing_subword_prefix", "") : ""; }
  std::optional<TokenId> find(std::string_view piece) const {
    const auto found = id_of_.find(std::string(piece));
    return found == id_of_.end() ? std::nullopt : std::optional<TokenId>(found->second);
  }
  // A new piece of the model, behind all others; added tokens before it become pieces of the model too, for ids have no gap.
  PLUME_FUNCTION TokenId push(std::string piece, double score);
  // A new added token: an object of tokenizer.json whose id is that of a piece, or the next one.
  PLUME_FUNCTION void append(TokenId id, const std::string& content, Json token);
  // Keeps the pieces whose mark is not 0, in their order; all others leave, with their merges.
  PLUME_FUNCTION void keep(const std::vector<char>& marks);
  // Ids that the text around a text, the padding or the unknown token are, and those of added tokens.
  PLUME_FUNCTION std::vector<TokenId> needed() const;

  std::vector<std::string> pieces;  // by id: the model's, then those of added tokens behind them
  std::vector<double> scores;       // Unigram: by id
  struct Merge3 {
    TokenId left, right, result;
  };
  std::vector<Merge3> merges;  // BPE
  std::vector<Added> added;

 private:
  PLUME_FUNCTION static Json mapped(const Json& part, const std::function<TokenId(TokenId)>& id);
  PLUME_FUNCTION static void each_id(const Json& part, const std::function<void(TokenId)>& use);

  Json file_, model_, config_;
  Kind kind_ = Kind::bpe;
  Spelling spelling_ = Spelling::plain;
  bool byte_tokens_ = false;
  std::size_t model_size_ = 0;
  std::unordered_map<std::string, TokenId> id_of_;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>

#include "plume/base/error.hpp"
#include "plume/tokenizer/byte_pair_files.hpp"
#include "plume/tokenizer/tokenizer_json.hpp"

namespace plume::inline PLUME_ABI {

namespace tokenizer_document {
inline Json parse(std::string_view text, std::string path) {
  return Json::parse(text, {.path = std::move(path), .max_bytes = Limits{}.max_tokenizer_bytes, .size = JsonSize::table});
}
// Whether a component of this type stands anywhere in a part.
inline bool has_type(const Json& part, std::string_view type) {
  if (part.is_array()) return std::any_of(part.items().begin(), part.items().end(), [&](const Json& each) { return has_type(each, type); });
  if (!part.is_object()) return false;
  if (part.text("type", "") == type) return true;
  return std::any_of(part.members().begin(), part.members().end(), [&](const auto& member) { return has_type(member.value, type); });
}
inline bool holds(const Json& file, std::string_view key, std::string_view type) {
  const Json* part = file.find(key);
  return part && has_type(*part, type);
}
constexpr double lowest_score = -1000;  // of Unigram entries that text never spells
}  // namespace tokenizer_document

PLUME_FUNCTION TokenizerDocument::TokenizerDocument(const Tokenizer& tokenizer)
    : file_(tokenizer_document::parse(write_tokenizer_json(tokenizer), "tokenizer.json")), model_(file_.at("model")) {
  for (const TokenizerFile& file : tokenizer.model().files())
    if (file.name == "tokenizer_config.json") config_ = tokenizer_document::parse(file.content, file.name);
  const Vocabulary& vocabulary = tokenizer.model().vocabulary;
  const Json& entries = model_.at("vocab");
  model_size_ = entries.size();
  pieces.resize(model_size_);
  if (entries.is_array()) {
    kind_ = Kind::unigram;
    for (std::size_t id = 0; id < model_size_; ++id) {
      pieces[id] = entries.at(id).at(0).as_text();
      scores.push_back(entries.at(id).at(1).as_number());
    }
  } else {
    const std::string type = model_.text("type", "");
    kind_ = model_.find("merges")                                                              ? Kind::bpe
            : type == "WordPiece" || (type.empty() && model_.find("max_input_chars_per_word")) ? Kind::word_piece
                                                                                               : Kind::word_level;
    for (const auto& [piece, id] : entries.members()) pieces.at(static_cast<std::size_t>(id.as_integer())) = piece;
  }
  if (const Json* list = file_.find("added_tokens"); list && list->is_array())
    for (const Json& token : list->items()) {
      const auto id = static_cast<std::size_t>(token.integer("id"));
      if (id >= pieces.size()) pieces.resize(id + 1);
      pieces[id] = token.text("content");
      added.push_back({static_cast<TokenId>(id), token});
    }
  require(pieces.size() == vocabulary.size(), "[edit] the tokenizer has ", vocabulary.size(), " tokens, its tokenizer.json ",
          pieces.size());
  if (kind_ == Kind::unigram) scores.resize(pieces.size(), tokenizer_document::lowest_score);
  for (std::size_t id = 0; id < pieces.size(); ++id) id_of_.emplace(pieces[id], static_cast<TokenId>(id));
  byte_tokens_ = model_.boolean("byte_fallback", false);
  if (tokenizer_document::holds(file_, "pre_tokenizer", "ByteLevel") || tokenizer_document::holds(file_, "decoder", "ByteLevel"))
    spelling_ = Spelling::bytes;
  else if (find("\xe2\x96\x81"))
    spelling_ = Spelling::blocks;
  if (kind_ != Kind::bpe) return;
  const std::string prefix = inside_word();
  for (const Json& entry : model_.at("merges").items()) {
    std::string left, right;
    if (entry.is_array()) {
      left = entry.at(0).as_text(), right = entry.at(1).as_text();
    } else {
      const std::string& text = entry.as_text();
      const std::size_t space = text.find(' ');
      left = text.substr(0, space), right = text.substr(space + 1);
    }
    merges.push_back({id_of_.at(left), id_of_.at(right), id_of_.at(left + right.substr(prefix.size()))});
  }
}

PLUME_FUNCTION TokenId TokenizerDocument::push(std::string piece, double score) {
  const auto id = static_cast<TokenId>(pieces.size());
  id_of_.emplace(piece, id);
  pieces.push_back(std::move(piece));
  if (kind_ == Kind::unigram) scores.push_back(score);
  model_size_ = pieces.size();
  return id;
}

PLUME_FUNCTION void TokenizerDocument::append(TokenId id, const std::string& content, Json token) {
  if (static_cast<std::size_t>(id) == pieces.size()) {
    id_of_.emplace(content, id);
    pieces.push_back(content);
    if (kind_ == Kind::unigram) scores.push_back(tokenizer_document::lowest_score);
  }
  added.push_back({id, std::move(token)});
}

// A part of the file with its token ids changed: post-processors name tokens as [text, id], and as {"id": text, "ids": [id ...]}.
PLUME_FUNCTION Json TokenizerDocument::mapped(const Json& part, const std::function<TokenId(TokenId)>& id) {
  if (part.is_array()) {
    Json list = Json::array();
    for (const Json& each : part.items()) list.push(mapped(each, id));
    return list;
  }
  if (!part.is_object()) return part;
  Json object = Json::object();
  for (const auto& [key, value] : part.members()) {
    if ((key == "sep" || key == "cls") && value.is_array() && value.size() == 2) {
      object.set(key, Json::array().push(value.at(0)).push(id(static_cast<TokenId>(value.at(1).as_integer()))));
    } else if (key == "ids" && value.is_array()) {
      Json list = Json::array();
      for (const Json& each : value.items()) list.push(id(static_cast<TokenId>(each.as_integer())));
      object.set(key, std::move(list));
    } else if (key == "pad_id" || key == "unk_id") {
      object.set(key, value.is_null() ? value : Json(id(static_cast<TokenId>(value.as_integer()))));
    } else {
      object.set(key, mapped(value, id));
    }
  }
  return object;
}

PLUME_FUNCTION void TokenizerDocument::each_id(const Json& part, const std::function<void(TokenId)>& use) {
  mapped(part, [&](TokenId id) {
    use(id);
    return id;
  });
}

PLUME_FUNCTION std::vector<TokenId> TokenizerDocument::needed() const {
  std::vector<TokenId> ids;
  const auto use = [&](TokenId id) { ids.push_back(id); };
  for (const char* key : {"post_processor", "padding"})
    if (const Json* part = file_.find(key)) each_id(*part, use);
  if (const Json* unknown = model_.find("unk_id"); unknown && !unknown->is_null()) use(static_cast<TokenId>(unknown->as_integer()));
  if (const std::string unknown = model_.text("unk_token", ""); find(unknown)) use(*find(unknown));
  for (const Added& token : added) use(token.id);
  return ids;
}

PLUME_FUNCTION void TokenizerDocument::keep(const std::vector<char>& marks) {
  std::vector<TokenId> renamed(pieces.size(), -1);
  std::size_t next = 0, in_model = 0;
  for (std::size_t id = 0; id < pieces.size(); ++id) {
    if (marks[id] == 0) continue;
    renamed[id] = static_cast<TokenId>(next);
    if (next != id) pieces[next] = std::move(pieces[id]);
    if (kind_ == Kind::unigram) scores[next] = scores[id];
    in_model += id < model_size_ ? 1 : 0;
    ++next;
  }
  pieces.resize(next);
  if (kind_ == Kind::unigram) scores.resize(next);
  model_size_ = in_model;
  const auto of = [&](TokenId id) { return renamed.at(static_cast<std::size_t>(id)); };
  std::vector<Merge3> left;
  for (const Merge3& merge : merges)
    if (of(merge.left) >= 0 && of(merge.right) >= 0 && of(merge.result) >= 0)
      left.push_back({of(merge.left), of(merge.right), of(merge.result)});
  merges = std::move(left);
  for (Added& token : added) {
    token.id = of(token.id);
    token.token.set("id", token.id);
  }
  for (const char* key : {"post_processor", "padding"})
    if (const Json* part = file_.find(key)) file_.set(key, mapped(*part, of));
  if (const Json* unknown = model_.find("unk_id"); unknown && !unknown->is_null())
    model_.set("unk_id", of(static_cast<TokenId>(unknown->as_integer())));
  id_of_.clear();
  for (std::size_t id = 0; id < pieces.size(); ++id) id_of_.emplace(pieces[id], static_cast<TokenId>(id));
}

PLUME_FUNCTION Tokenizer TokenizerDocument::build() const {
  Json vocabulary = kind_ == Kind::unigram ? Json::array() : Json::object(), list = Json::array(), model = model_, file = file_;
  for (std::size_t id = 0; id < model_size_; ++id) {
    if (kind_ == Kind::unigram)
      vocabulary.push(Json::array().push(pieces[id]).push(scores[id]));
    else
      vocabulary.set(pieces[id], id);
  }
  model.set("vocab", std::move(vocabulary));
  if (kind_ == Kind::bpe) {
    const auto piece = [&](TokenId id) { return pieces[static_cast<std::size_t>(id)]; };
    Json pairs = Json::array();
    for (const Merge3& merge : merges) pairs.push(Json::array().push(piece(merge.left)).push(piece(merge.right)));
    model.set("merges", std::move(pairs));
  }
  Json decoded = Json::object();  // the same list, as tokenizer_config.json has it
  std::vector<const Added*> order;
  for (const Added& token : added) order.push_back(&token);
  sort_stably(order, [](const Added* a, const Added* b) { return a->id < b->id; });
  for (const Added* token : order) {
    list.push(token->token);
    Json entry = Json::object();
    for (const char* key : {"content", "lstrip", "normalized", "rstrip", "single_word", "special"})
      if (const Json* value = token->token.find(key)) entry.set(key, *value);
    decoded.set(concat(token->id), std::move(entry));
  }
  file.set("added_tokens", std::move(list)).set("model", std::move(model));
  TokenizerJsonOptions options;
  if (!config_.is_null()) {
    Json config = config_;
    if (config.find("added_tokens_decoder")) config.set("added_tokens_decoder", std::move(decoded));
    options.config = dump(config, 2) + "\n";
  }
  return read_tokenizer_json(dump(file) + "\n", options);
}

}  // namespace plume::inline PLUME_ABI
#endif
