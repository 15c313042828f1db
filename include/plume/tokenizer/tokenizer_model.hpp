#pragma once
// What stands behind a Tokenizer: a vocabulary, and one class a kind that turns plain text into ids.
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/error.hpp"
#include "plume/tokenizer/merge_symbols.hpp"

namespace plume::inline PLUME_ABI {

// Entry i of `pieces` and `bytes` belongs to token id i. Built once, then constant; the index holds views into `pieces`.
class Vocabulary {
 public:
  std::vector<std::string> pieces;  // as the files spell them
  std::vector<std::string> bytes;   // what a token adds to a text; empty for special tokens
  std::optional<TokenId> bos, eos;
  bool begins_with_bos = false;  // what the files say

  Vocabulary(std::vector<std::string> spelled, std::vector<std::string> text, const std::vector<TokenId>& special)
      : pieces(std::move(spelled)), bytes(std::move(text)), special_(pieces.size(), 0) {
    index_.reserve(pieces.size());
    for (std::size_t i = 0; i < pieces.size(); ++i) index_.emplace(pieces[i], static_cast<TokenId>(i));
    for (const TokenId id : special) {
      const auto at = static_cast<std::size_t>(id);
      if (std::exchange(special_[at], char{1}) != 0) continue;
      bytes[at].clear();
      if (!pieces[at].empty()) special_by_first_byte_[static_cast<unsigned char>(pieces[at][0])].push_back(id);
    }
    for (auto& ids : special_by_first_byte_)
      std::sort(ids.begin(), ids.end(), [&](TokenId a, TokenId b) {
        const std::size_t first = pieces[static_cast<std::size_t>(a)].size(), second = pieces[static_cast<std::size_t>(b)].size();
        return first != second ? first > second : a < b;
      });
  }
  Vocabulary(Vocabulary&&) noexcept = default;  // moving a vector leaves its strings where they are
  Vocabulary(const Vocabulary&) = delete;
  Vocabulary& operator=(const Vocabulary&) = delete;

  std::size_t size() const { return pieces.size(); }
  bool is_special(TokenId id) const { return special_[static_cast<std::size_t>(id)] != 0; }
  std::optional<TokenId> find(std::string_view piece) const {
    const auto found = index_.find(piece);
    return found == index_.end() ? std::nullopt : std::optional<TokenId>(found->second);
  }
  std::vector<TokenId> special() const {
    std::vector<TokenId> ids;
    for (std::size_t i = 0; i < special_.size(); ++i)
      if (special_[i] != 0) ids.push_back(static_cast<TokenId>(i));
    return ids;
  }

  struct SpecialMatch {
    std::size_t begin, end;
    TokenId id;
  };
  // The leftmost special token spelled in the text, the longest one if several start there.
  std::optional<SpecialMatch> find_special(std::string_view text) const {
    for (std::size_t at = 0; at < text.size(); ++at)
      for (const TokenId id : special_by_first_byte_[static_cast<unsigned char>(text[at])]) {
        const std::string& piece = pieces[static_cast<std::size_t>(id)];
        if (text.substr(at).starts_with(piece)) return SpecialMatch{at, at + piece.size(), id};
      }
    return std::nullopt;
  }

 private:
  std::vector<char> special_;
  std::array<std::vector<TokenId>, 256> special_by_first_byte_;  // longest first
  std::unordered_map<std::string_view, TokenId> index_;
};

enum class TextPart : std::uint8_t { first, later };  // later: a special token or other text came before

struct TokenizerFile {
  std::string name, content;
};

class TokenizerModel {
 public:
  const Vocabulary vocabulary;

  virtual ~TokenizerModel() = default;
  virtual std::string_view kind() const = 0;
  // Appends the ids of plain, non-empty text.
  virtual void encode(std::string_view text, TextPart part, std::vector<TokenId>& ids) const = 0;
  // Whether encode() puts a space before the first part, which decoding takes away again.
  virtual bool adds_leading_space() const { return false; }
  // The files that load_tokenizer() reads back.
  virtual std::vector<TokenizerFile> files() const = 0;

 protected:
  explicit TokenizerModel(Vocabulary entries) : vocabulary(std::move(entries)) {}
  TokenizerModel(const TokenizerModel&) = delete;
  TokenizerModel& operator=(const TokenizerModel&) = delete;
};

}  // namespace plume::inline PLUME_ABI
