#pragma once
// Changing a tokenizer's vocabulary: adding tokens, keeping those that a corpus uses, taking over those of another tokenizer. The result is
// a tokenizer of tokenizer.json; models/vocabulary.hpp makes a model fit it. Every kind that write_tokenizer_json() knows can be edited.
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/tokenizer/tokenizer.hpp"

namespace plume::inline PLUME_ABI {

// special: control tokens, which text becomes only where the caller says so. text: words that text becomes wherever it spells them.
enum class NewToken : std::uint8_t { special, text };
struct AddTokensOptions {
  NewToken kind = NewToken::special;
};

// The tokenizer with more added tokens, at the end; old ids stay. One that it has already stays what it is, but is made special where that
// is asked for. ArgumentError: an empty token.
PLUME_FUNCTION Tokenizer add_tokens(const Tokenizer& tokenizer, std::span<const std::string> tokens, const AddTokensOptions& options = {});
inline Tokenizer add_tokens(const Tokenizer& tokenizer, const std::vector<std::string>& tokens, const AddTokensOptions& options = {}) {
  return add_tokens(tokenizer, std::span<const std::string>(tokens), options);
}

// How often each token occurs in texts.
class TokenUse {
 public:
  explicit TokenUse(Tokenizer tokenizer) : tokenizer_(std::move(tokenizer)), counts_(static_cast<std::size_t>(tokenizer_.vocabulary())) {}
  PLUME_FUNCTION void add(std::string_view text);
  // A file of any size: read in blocks that end with a line, each of which counts as a text of its own. IoError: it cannot be read.
  PLUME_FUNCTION void add_file(const std::string& path);
  const std::vector<Index>& counts() const { return counts_; }  // by id
  PLUME_FUNCTION std::vector<TokenId> used(Index least = 1) const;

 private:
  Tokenizer tokenizer_;
  std::vector<Index> counts_;
};

struct PrunedTokenizer {
  Tokenizer tokenizer;
  std::vector<TokenId> kept;  // kept[new id] = old id, ascending
};

// The tokenizer without all other tokens, in the old order. Special and other added tokens, single bytes, the unknown token and the parts
// that merging needs on the way to a kept token stay as well. A text whose old ids are all among `used` has the same tokens as before.
// ArgumentError: an id outside the vocabulary.
PLUME_FUNCTION PrunedTokenizer keep_tokens(const Tokenizer& tokenizer, std::span<const TokenId> used);

// The base with the other tokenizer's pieces, behind its own: base ids stay, and a text that spells none of the new tokens has the ids it
// had. Normalisation and pre-tokenisation stay the base's. Added tokens of the other one, its byte tokens and pieces that are not whole
// characters are left out. For BPE a piece may need others on the way to it, which become tokens as well. ArgumentError: kinds that do not
// go together (WordPiece and WordLevel only with their own kind).
PLUME_FUNCTION Tokenizer merge_tokenizers(const Tokenizer& base, const Tokenizer& other);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "plume/base/error.hpp"
#include "plume/base/files.hpp"
#include "plume/tokenizer/byte_characters.hpp"
#include "plume/tokenizer/byte_pair_files.hpp"
#include "plume/tokenizer/encode_batch.hpp"
#include "plume/tokenizer/tokenizer_document.hpp"
#include "plume/tokenizer/unicode.hpp"

namespace plume::inline PLUME_ABI {

namespace vocabulary_editing {

inline bool is_byte_token(std::string_view piece) {
  const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); };
  return piece.size() == 6 && piece.starts_with("<0x") && is_digit(piece[3]) && is_digit(piece[4]) && piece[5] == '>';
}

// The merges of a tokenizer while it grows, and what they make of a piece.
class GrowingMerges {
 public:
  explicit GrowingMerges(TokenizerDocument& document) : document_(document), suffix_(document.end_of_word()) {
    for (std::size_t rank = 0; rank < document.merges.size(); ++rank) note(rank);
  }

  // Makes merging reach a piece, with new merges behind all others. Intermediate pieces are added; ones that are tokens or `wanted` anyway
  // come first.
  void reach(const std::string& piece, const std::unordered_set<std::string>& wanted) {
    std::vector<TokenId> parts = characters(piece);
    for (merge(parts); parts.size() > 1; merge(parts)) {
      const auto joined = [&](std::size_t i) {
        return document_.pieces[static_cast<std::size_t>(parts[i])] + document_.pieces[static_cast<std::size_t>(parts[i + 1])];
      };
      std::size_t at = 0;
      while (at + 1 < parts.size() && !document_.find(joined(at)) && !wanted.contains(joined(at))) ++at;
      if (at + 1 == parts.size()) at = 0;
      const auto known = document_.find(joined(at));
      const TokenId result = known ? *known : document_.push(joined(at), 0);
      document_.merges.push_back({parts[at], parts[at + 1], result});
      note(document_.merges.size() - 1);
    }
  }

 private:
  // Ids of the characters of a piece; those that are no tokens become some.
  std::vector<TokenId> characters(const std::string& piece) {
    std::vector<TokenId> ids;
    const std::size_t end = !suffix_.empty() && piece.ends_with(suffix_) ? piece.size() - suffix_.size() : piece.size();
    for (std::size_t at = 0; at < end;) {
      const std::size_t next = at + code_point_at(piece, at).length;
      const std::string character = piece.substr(at, next == end ? piece.size() - at : next - at);
      const auto known = document_.find(character);
      ids.push_back(known ? *known : document_.push(character, 0));
      at = next;
    }
    return ids;
  }
  void merge(std::vector<TokenId>& parts) const {
    while (parts.size() > 1) {
      std::size_t best = 0, rank = std::numeric_limits<std::size_t>::max();
      for (std::size_t i = 0; i + 1 < parts.size(); ++i)
        if (const auto found = rank_of_.find(key(parts[i], parts[i + 1])); found != rank_of_.end() && found->second < rank)
          rank = found->second, best = i;
      if (rank == std::numeric_limits<std::size_t>::max()) return;
      parts[best] = document_.merges[rank].result;
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
  }
  static std::uint64_t key(TokenId left, TokenId right) {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
  }
  void note(std::size_t rank) { rank_of_.emplace(key(document_.merges[rank].left, document_.merges[rank].right), rank); }

  TokenizerDocument& document_;
  std::string suffix_;
  std::unordered_map<std::uint64_t, std::size_t> rank_of_;
};

// A piece of one spelling in another; nothing where it is not whole characters.
inline std::optional<std::string> respelled(const std::string& piece, TokenizerDocument::Spelling from, TokenizerDocument::Spelling to) {
  using enum TokenizerDocument::Spelling;
  constexpr std::string_view block = "\xe2\x96\x81";
  const auto replaced = [](std::string text, std::string_view what, std::string_view by) {
    for (std::size_t at = text.find(what); at != text.npos; at = text.find(what, at + by.size())) text.replace(at, what.size(), by);
    return text;
  };
  std::string text = piece;
  if (from == bytes) {
    const auto decoded = characters_to_bytes(piece);
    if (!decoded) return std::nullopt;
    text = *decoded;
  } else if (from == blocks) {
    text = replaced(std::move(text), block, " ");
  }
  if (utf8_error(text) != text.size() || text.empty()) return std::nullopt;
  if (to == bytes) return bytes_to_characters(text);
  return to == blocks ? replaced(std::move(text), " ", block) : text;
}

// The best score with which pieces spell a text; minus infinity where they cannot.
inline double best_score(std::string_view text, const TokenizerDocument& document, std::size_t longest) {
  std::vector<double> best(text.size() + 1, -std::numeric_limits<double>::infinity());
  best[0] = 0;
  for (std::size_t at = 0; at < text.size(); ++at)
    for (std::size_t size = 1; size <= std::min(longest, text.size() - at); ++size)
      if (const auto id = document.find(text.substr(at, size)))
        best[at + size] = std::max(best[at + size], best[at] + document.scores[static_cast<std::size_t>(*id)]);
  return best.back();
}

}  // namespace vocabulary_editing

PLUME_FUNCTION Tokenizer add_tokens(const Tokenizer& tokenizer, std::span<const std::string> tokens, const AddTokensOptions& options) try {
  TokenizerDocument document(tokenizer);
  const bool special = options.kind == NewToken::special;
  for (const std::string& content : tokens) {
    require(!content.empty() && utf8_error(content) == content.size(), "[add_tokens] the token ", quoted(content),
            " is empty or not UTF-8");
    const auto known = document.find(content);
    const auto listed = std::find_if(document.added.begin(), document.added.end(),
                                     [&](const TokenizerDocument::Added& token) { return token.token.text("content") == content; });
    if (listed != document.added.end()) {
      if (special) listed->token.set("special", true).set("normalized", false);
      continue;
    }
    if (known && !special) continue;
    const auto id = known ? *known : static_cast<TokenId>(document.pieces.size());
    Json token = byte_pair_files::added_token(content, static_cast<std::size_t>(id));
    if (!special) token.set("normalized", true).set("special", false);
    document.append(id, content, std::move(token));
  }
  return document.build();
} catch (...) {
  rethrow_memory_failure("a tokenizer");
}

PLUME_FUNCTION void TokenUse::add(std::string_view text) {
  for (const TokenId id : encode_parallel(tokenizer_, text)) ++counts_[static_cast<std::size_t>(id)];
}

PLUME_FUNCTION void TokenUse::add_file(const std::string& path) try {
  constexpr std::size_t block = std::size_t{1} << 22;
  const auto file = files_detail::open_regular(path);
  std::string text;
  for (bool ended = false; !ended;) {
    std::size_t filled = text.size();
    text.resize(filled + std::max(block, filled));
    while (!ended && filled < text.size()) {
      const ssize_t got = ::read(file.descriptor.get(), text.data() + filled, text.size() - filled);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw IoError("read", path, errno);
      ended = got == 0;
      filled += static_cast<std::size_t>(got);
    }
    text.resize(filled);
    const std::size_t line = text.rfind('\n');
    const std::size_t used = ended ? text.size() : line == text.npos ? 0 : line + 1;
    if (used > 0) add(std::string_view(text).substr(0, used));
    text.erase(0, used);
  }
} catch (...) {
  rethrow_memory_failure("text and its tokens");
}

PLUME_FUNCTION std::vector<TokenId> TokenUse::used(Index least) const {
  std::vector<TokenId> ids;
  for (std::size_t id = 0; id < counts_.size(); ++id)
    if (counts_[id] >= least) ids.push_back(static_cast<TokenId>(id));
  return ids;
}

PLUME_FUNCTION PrunedTokenizer keep_tokens(const Tokenizer& tokenizer, std::span<const TokenId> used) try {
  namespace editing = vocabulary_editing;
  TokenizerDocument document(tokenizer);
  const std::size_t count = document.pieces.size();
  std::vector<char> marks(count);
  std::vector<TokenId> fresh;
  const auto mark = [&](TokenId id) {
    if (std::exchange(marks[static_cast<std::size_t>(id)], char{1}) == 0) fresh.push_back(id);
  };
  for (const TokenId id : used) {
    require(id >= 0 && static_cast<std::size_t>(id) < count, "[keep_tokens] token id ", id, " is outside the vocabulary of ", count,
            " tokens");
    mark(id);
  }
  for (const TokenId id : document.needed()) mark(id);
  for (const auto& id : {tokenizer.bos(), tokenizer.eos()})
    if (id) mark(*id);
  for (std::size_t id = 0; id < count; ++id) {
    const std::string& piece = document.pieces[id];
    if (piece.empty()) continue;
    const bool is_byte = document.spelling() == TokenizerDocument::Spelling::bytes
                             ? code_point_at(piece, 0).length == piece.size()
                             : document.has_byte_tokens() && editing::is_byte_token(piece);
    if (is_byte) mark(static_cast<TokenId>(id));
  }
  if (document.kind() == TokenizerDocument::Kind::unigram && count > 0)  // the cost of unknown text hangs on the lowest score
    mark(static_cast<TokenId>(std::min_element(document.scores.begin(), document.scores.end()) - document.scores.begin()));
  std::unordered_multimap<TokenId, std::size_t> makers;
  for (std::size_t i = 0; i < document.merges.size(); ++i) makers.emplace(document.merges[i].result, i);
  while (!fresh.empty()) {
    const TokenId id = fresh.back();
    fresh.pop_back();
    const auto [begin, end] = makers.equal_range(id);
    for (auto maker = begin; maker != end; ++maker) {
      mark(document.merges[maker->second].left);
      mark(document.merges[maker->second].right);
    }
  }
  PrunedTokenizer result;
  for (std::size_t id = 0; id < count; ++id)
    if (marks[id] != 0) result.kept.push_back(static_cast<TokenId>(id));
  document.keep(marks);
  result.tokenizer = document.build();
  return result;
} catch (...) {
  rethrow_memory_failure("a tokenizer");
}

PLUME_FUNCTION Tokenizer merge_tokenizers(const Tokenizer& base, const Tokenizer& other) try {
  namespace editing = vocabulary_editing;
  using Kind = TokenizerDocument::Kind;
  TokenizerDocument document(base);
  const TokenizerDocument from(other);
  const auto by_word = [](Kind kind) { return kind == Kind::word_piece || kind == Kind::word_level; };
  require(document.kind() == from.kind() || (!by_word(document.kind()) && !by_word(from.kind())), "[merge_tokenizers] the base is ",
          base.kind(), ", the other one ", other.kind(), ": their pieces do not mean the same");
  require(document.inside_word().empty() && from.inside_word().empty() && document.end_of_word() == from.end_of_word(),
          "[merge_tokenizers] the pieces mark beginnings or ends of words in different ways");
  using Spelling = TokenizerDocument::Spelling;
  require((document.spelling() == Spelling::plain) == (from.spelling() == Spelling::plain),
          "[merge_tokenizers] one tokenizer's pieces hold spaces, the other's do not");
  std::vector<char> left_out(from.pieces.size());
  for (const TokenizerDocument::Added& token : from.added) left_out[static_cast<std::size_t>(token.id)] = 1;
  for (const TokenId id : from.needed()) left_out[static_cast<std::size_t>(id)] = 1;

  std::optional<editing::GrowingMerges> merges;
  if (document.kind() == Kind::bpe) merges.emplace(document);
  double lowest = 0;
  std::size_t longest = 0;
  for (std::size_t id = 0; id < document.scores.size(); ++id) lowest = std::min(lowest, document.scores[id]);
  for (const std::string& piece : document.pieces) longest = std::max(longest, piece.size());
  std::vector<std::pair<std::string, std::size_t>> fresh;  // and their ids there
  std::unordered_set<std::string> wanted;
  for (std::size_t id = 0; id < from.pieces.size(); ++id) {
    if (left_out[id] != 0 || from.pieces[id].empty() || (from.has_byte_tokens() && editing::is_byte_token(from.pieces[id]))) continue;
    const auto piece = document.spelling() == from.spelling() && from.spelling() != Spelling::bytes
                           ? std::optional<std::string>(from.pieces[id])
                           : editing::respelled(from.pieces[id], from.spelling(), document.spelling());
    if (piece && !document.find(*piece) && wanted.insert(*piece).second) fresh.emplace_back(*piece, id);
  }
  for (const auto& [piece, id] : fresh) {
    if (document.find(piece)) continue;
    if (merges) {
      merges->reach(piece, wanted);
      continue;
    }
    // never below the way in which old pieces spell it, so that it is used; never below the lowest, on which unknown text hangs
    double score = 0;
    if (document.kind() == Kind::unigram) {
      constexpr double more = 1e-3;
      score = std::max(editing::best_score(piece, document, longest) + more, lowest);
      if (from.kind() == Kind::unigram) score = std::max(score, from.scores[id]);
      longest = std::max(longest, piece.size());
    }
    document.push(piece, score);
  }
  return document.build();
} catch (...) {
  rethrow_memory_failure("a tokenizer");
}

}  // namespace plume::inline PLUME_ABI
#endif
