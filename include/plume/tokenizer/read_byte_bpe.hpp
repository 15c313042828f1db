#pragma once
// Reading vocab.json + merges.txt (also called encoder.json + vocab.bpe), the files of GPT-2's tokenizer and its relatives.
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/error.hpp"
#include "plume/base/json.hpp"
#include "plume/base/limits.hpp"
#include "plume/base/text.hpp"
#include "plume/tokenizer/byte_bpe.hpp"

namespace plume::inline PLUME_ABI {

// What tokenizer_config.json, special_tokens_map.json and added_tokens.json say about a vocabulary.
struct SpecialNames {
  struct Added {
    std::string content;
    std::int64_t id;
    Where where;
  };
  std::vector<std::string> names;  // tokens that plain text never becomes
  std::vector<Added> added;        // tokens that may lie behind the vocabulary's end
  std::optional<std::string> bos, eos;
  Where bos_where, eos_where, begins_where;
  bool begins_with_bos = false;

  // tokenizer_config.json or special_tokens_map.json; the former wins where both speak, so read it last.
  void read_config(const Json& config) {
    const std::string kind = config.text("tokenizer_class", "GPT2Tokenizer");
    if (kind != "GPT2Tokenizer" && kind != "GPT2TokenizerFast")
      config.at("tokenizer_class")
          .fail(concat(quoted(kind), " cuts text in another way than GPT-2 (known: GPT2Tokenizer, GPT2TokenizerFast)"));
    if (config.boolean("add_prefix_space", false)) config.at("add_prefix_space").fail("only false is supported");
    const auto content = [](const Json& token) { return token.is_object() ? token.text("content") : token.as_text(); };
    for (const char* key : {"bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"}) {
      const Json* token = config.find(key);
      if (!token) continue;
      const bool is_bos = key == std::string_view("bos_token"), is_eos = key == std::string_view("eos_token");
      std::optional<std::string> name;
      if (!token->is_null()) name = content(*token);
      if (name) names.push_back(*name);
      if (is_bos) bos = name, bos_where = token->where();
      if (is_eos) eos = name, eos_where = token->where();
    }
    if (const Json* more = config.find("additional_special_tokens"); more && !more->is_null())
      for (const Json& token : more->items()) names.push_back(content(token));
    if (const Json* tokens = config.find("added_tokens_decoder"); tokens && !tokens->is_null()) {
      for (const auto& [key, token] : tokens->members()) {
        std::int64_t id = -1;
        const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
        if (error != std::errc() || end != key.data() + key.size() || id < 0)
          throw FormatError(token.where(), concat("the key ", quoted(key), " is not a token id"));
        if (!token.boolean("special", false))
          throw ConfigError(token.where(), concat("the added token ", quoted(token.text("content")),
                                                  " is not special; only special added tokens are supported"));
        add(token.text("content"), id, token.where());
      }
    }
    if (const Json* begins = config.find("add_bos_token"); begins && !begins->is_null()) {
      begins_with_bos = begins->as_boolean();
      begins_where = begins->where();
    }
  }
  void read_added(const Json& tokens) {  // added_tokens.json
    for (const auto& [content, id] : tokens.members()) add(content, id.as_integer(), id.where());
  }

 private:
  void add(std::string content, std::int64_t id, Where where) {
    names.push_back(content);
    added.push_back({std::move(content), id, std::move(where)});
  }
};

class ByteBpeReader {
 public:
  ByteBpeReader(const Json& vocab, std::string_view merges, std::string merges_path, const SpecialNames& special, const Limits& limits)
      : vocab_(vocab), merges_text_(merges), merges_path_(std::move(merges_path)), special_(special), limits_(limits) {}

  Tokenizer read() {
    read_pieces();
    read_added();
    const std::unordered_set<std::string_view> names(special_.names.begin(), special_.names.end());
    std::vector<TokenId> special;
    std::vector<std::string> bytes(pieces_.size());
    std::array<bool, 256> has{};
    for (std::size_t id = 0; id < pieces_.size(); ++id) {
      auto decoded = characters_to_bytes(pieces_[id]);
      const bool one_byte = decoded && decoded->size() == 1;
      if (names.contains(pieces_[id])) {
        special.push_back(static_cast<TokenId>(id));
      } else if (decoded && !decoded->empty()) {
        bytes[id] = std::move(*decoded);
        if (one_byte) has[static_cast<unsigned char>(bytes[id][0])] = true;
      } else if (looks_special(pieces_[id])) {
        special.push_back(static_cast<TokenId>(id));
      } else {
        throw FormatError(where_of(id), "holds a character that stands for no byte, and nothing declares it a special token");
      }
    }
    for (unsigned byte = 0; byte < 256; ++byte)
      if (!has[byte]) {
        const char raw = static_cast<char>(static_cast<unsigned char>(byte));
        throw FormatError(vocab_.where(), concat("lacks the byte ", byte, ", spelled ", quoted(bytes_to_characters({&raw, 1})),
                                                 "; a byte-level vocabulary holds all 256"));
      }
    std::vector<char> produced = read_merges(bytes);
    for (std::size_t id = 0; id < pieces_.size(); ++id) {
      if (produced[id] != 0 || bytes[id].size() <= 1) continue;
      if (!looks_special(pieces_[id]))
        throw FormatError(where_of(id),
                          concat("no merge of ", merges_path_,
                                 " makes this token, and nothing declares it a special token: the two files do not belong together"));
      special.push_back(static_cast<TokenId>(id));
    }
    Vocabulary vocabulary(std::move(pieces_), std::move(bytes), special);
    vocabulary.begins_with_bos = special_.begins_with_bos;
    vocabulary.bos = named(vocabulary, special_.bos, special_.bos_where);
    vocabulary.eos = named(vocabulary, special_.eos, special_.eos_where);
    if (!special_.bos && !special_.eos)
      if (const auto id = vocabulary.find("<|endoftext|>"); id && vocabulary.is_special(*id)) vocabulary.bos = vocabulary.eos = id;
    if (vocabulary.begins_with_bos && !vocabulary.bos)
      throw ConfigError(special_.begins_where, "add_bos_token is true, but there is no bos_token");
    return Tokenizer(std::make_shared<ByteBpeModel>(std::move(vocabulary), std::move(merges_)));
  }

 private:
  // Ids 0 to n - 1, each once.
  void read_pieces() {
    if (!vocab_.is_object()) throw FormatError(vocab_.where(), "expected an object of tokens and their ids");
    const std::size_t count = vocab_.size();
    if (count > limits_.max_vocabulary) throw LimitError(vocab_.where(), "max_vocabulary", limits_.max_vocabulary, count);
    pieces_.resize(count);
    entries_.resize(count);
    std::vector<char> taken(count);
    for (const auto& [piece, value] : vocab_.members()) {
      if (!value.is_integer()) throw FormatError(value.where(), "a token id is a whole number");
      if (value.is_unsigned_only() || value.as_integer() < 0 || value.as_integer() >= static_cast<std::int64_t>(count))
        throw FormatError(value.where(), concat("the id lies outside 0 to ", count - 1, "; ids of ", count, " tokens have no gap"));
      if (piece.size() > limits_.max_token_text) throw LimitError(value.where(), "max_token_text", limits_.max_token_text, piece.size());
      const auto id = static_cast<std::size_t>(value.as_integer());
      if (std::exchange(taken[id], char{1}) != 0)
        throw FormatError(value.where(), concat("duplicate id ", id, ": ", quoted(pieces_[id]), " has it already"));
      pieces_[id] = piece;
      entries_[id] = &value;
      id_of_.emplace(piece, static_cast<TokenId>(id));
    }
  }

  void read_added() {
    std::vector<std::pair<std::int64_t, std::size_t>> order;  // id and place in the list
    for (const auto& token : special_.added) order.emplace_back(token.id, order.size());
    std::sort(order.begin(), order.end());
    std::unordered_map<std::string_view, TokenId> own_ids;
    for (const auto& place : order) {
      const SpecialNames::Added& token = special_.added[place.second];
      if (token.content.empty()) throw FormatError(token.where, "an added token is empty");
      if (token.content.size() > limits_.max_token_text)
        throw LimitError(token.where, "max_token_text", limits_.max_token_text, token.content.size());
      const auto id = static_cast<std::uint64_t>(token.id);
      if (token.id < 0 || id > pieces_.size())
        throw FormatError(token.where, concat("the id ", token.id, " leaves a gap after ", pieces_.size(), " tokens"));
      if (id < pieces_.size()) {
        if (pieces_[id] != token.content)
          throw FormatError(token.where,
                            concat("the id ", id, " of the added token ", quoted(token.content), " belongs to ", quoted(pieces_[id])));
        continue;
      }
      if (const auto [other, is_new] = own_ids.emplace(token.content, static_cast<TokenId>(pieces_.size())); !is_new)
        throw FormatError(token.where, concat("the added token ", quoted(token.content), " has id ", other->second, " already"));
      if (id_of_.contains(token.content))
        throw FormatError(token.where,
                          concat("the added token ", quoted(token.content), " has id ", id_of_.at(token.content), " in the vocabulary"));
      pieces_.push_back(token.content);
      added_wheres_.push_back(token.where);
    }
  }

  Where where_of(std::size_t id) const { return id < entries_.size() ? entries_[id]->where() : added_wheres_[id - entries_.size()]; }

  // Fills merges_; returns which tokens a merge makes.
  std::vector<char> read_merges(const std::vector<std::string>& bytes) {
    std::vector<char> produced(pieces_.size());
    std::unordered_set<std::string_view> seen;
    std::string_view rest = merges_text_;
    for (std::uint64_t line = 1; !rest.empty(); ++line) {
      std::string_view text = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(rest.size(), text.size() + 1));
      if (text.ends_with('\r')) text.remove_suffix(1);
      if (text.empty() || (line == 1 && text.starts_with("#version"))) continue;
      const auto fail = [&](std::string_view reason) {
        throw FormatError(Where{.path = merges_path_, .field = concat("merges[", merges_.size(), "]"), .line = line}, reason);
      };
      const auto space = text.find(' ');
      if (space == text.npos || space == 0 || space + 1 == text.size() || text.find(' ', space + 1) != text.npos)
        fail(concat("expected two tokens with one space between them, found ", quoted(text)));
      if (!seen.insert(text).second) fail(concat("duplicate merge ", quoted(text)));
      const std::string_view left = text.substr(0, space), right = text.substr(space + 1);
      const auto look_up = [&](std::string_view piece, std::string_view role) {
        const auto found = id_of_.find(piece);
        if (found == id_of_.end() || bytes[static_cast<std::size_t>(found->second)].empty())
          fail(concat("the ", role, " ", quoted(piece), " of ", quoted(text), " is not in the vocabulary"));
        return found->second;
      };
      const TokenId left_id = look_up(left, "left part"), right_id = look_up(right, "right part");
      const TokenId result = look_up(concat(left, right), "result");
      merges_.push_back({left_id, right_id, result});
      produced[static_cast<std::size_t>(result)] = 1;
    }
    return produced;
  }

  static bool looks_special(std::string_view piece) {  // <|endoftext|>, <s>, [PAD]: how files without a configuration spell them
    return piece.size() > 2 && ((piece.front() == '<' && piece.back() == '>') || (piece.front() == '[' && piece.back() == ']'));
  }
  static std::optional<TokenId> named(const Vocabulary& vocabulary, const std::optional<std::string>& name, const Where& where) {
    if (!name) return std::nullopt;
    const auto id = vocabulary.find(*name);
    if (!id) throw ConfigError(where, concat(quoted(*name), " is not in the vocabulary"));
    return id;
  }

  const Json& vocab_;
  std::string_view merges_text_;
  std::string merges_path_;
  const SpecialNames& special_;
  const Limits& limits_;
  std::vector<std::string> pieces_;
  std::vector<const Json*> entries_;                     // of vocab.json, by id
  std::vector<Where> added_wheres_;                      // of the tokens behind those
  std::unordered_map<std::string_view, TokenId> id_of_;  // of vocab.json; views into its keys
  std::vector<Merge> merges_;
};

}  // namespace plume::inline PLUME_ABI
