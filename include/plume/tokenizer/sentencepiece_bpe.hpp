#pragma once
// SentencePiece-style byte-pair encoding from llama2.c's tokenizer.bin (LLaMA 1 and 2): a space is put before the text, every code
// point is looked up (or falls back to its bytes), and neighbours merge, best score first. Same ids as karpathy/llama2.c run.c.
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/error.hpp"
#include "plume/base/limits.hpp"
#include "plume/base/text.hpp"
#include "plume/tokenizer/tokenizer.hpp"

namespace plume::inline PLUME_ABI {

class SentencePieceBpeModel final : public TokenizerModel {
 public:
  static constexpr TokenId unknown = 0, bos = 1, eos = 2, first_byte = 3, first_piece = 259;

  SentencePieceBpeModel(Vocabulary entries, std::vector<float> scores) : TokenizerModel(std::move(entries)), scores_(std::move(scores)) {
    for (std::size_t id = first_piece; id < vocabulary.size(); ++id) longest_ = std::max(longest_, vocabulary.pieces[id].size());
  }
  std::string_view kind() const override { return "SentencePiece BPE"; }
  bool adds_leading_space() const override { return true; }

  void encode(std::string_view text, TextPart part, std::vector<TokenId>& ids) const override {
    const std::string spaced = part == TextPart::first ? concat(" ", text) : std::string(text);
    const std::string_view all = spaced;
    std::vector<Symbol> symbols;
    const auto add = [&](TokenId id, std::size_t begin, std::size_t end) {
      const auto index = static_cast<std::uint32_t>(symbols.size());
      symbols.push_back(
          {id, static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end), index == 0 ? no_symbol : index - 1, index + 1});
    };
    for (std::size_t at = 0, end = 0; at < all.size(); at = end) {
      // as run.c: a byte and up to three continuation bytes after it, well-formed or not
      for (end = at + 1; end < all.size() && end < at + 4 && (static_cast<unsigned char>(all[end]) & 0xc0) == 0x80;) ++end;
      if (const auto id = find_piece(all.substr(at, end - at))) {
        add(*id, at, end);
      } else {
        for (std::size_t i = at; i < end; ++i) add(first_byte + static_cast<unsigned char>(all[i]), i, i + 1);
      }
    }
    symbols.back().next = no_symbol;
    std::vector<MergeCandidate<float>> heap;
    merge_symbols(symbols, heap, [&](const Symbol& left, const Symbol& right) -> std::optional<FoundMerge<float>> {
      if (left.id < first_piece || right.id < first_piece) return std::nullopt;  // bytes stay bytes
      const auto id = find_piece(all.substr(left.begin, right.end - left.begin));
      if (!id) return std::nullopt;
      return FoundMerge<float>{-scores_[static_cast<std::size_t>(*id)], *id};
    });
    for (const Symbol& symbol : symbols)
      if (symbol.id != absorbed_symbol) ids.push_back(symbol.id);
  }

  // tokenizer.bin, byte for byte as karpathy/llama2.c tokenizer.py writes it.
  std::vector<TokenizerFile> files() const override {
    std::string out;
    const auto put = [&](std::uint32_t word) {
      for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<char>(static_cast<unsigned char>(word >> shift & 0xff)));
    };
    std::size_t longest = 0;
    for (std::size_t id = 0; id < vocabulary.size(); ++id) longest = std::max(longest, spelled(id).size());
    put(static_cast<std::uint32_t>(longest));
    for (std::size_t id = 0; id < vocabulary.size(); ++id) {
      const std::string piece = spelled(id);
      put(std::bit_cast<std::uint32_t>(scores_[id]));
      put(static_cast<std::uint32_t>(piece.size()));
      out.append(piece);
    }
    return {{"tokenizer.bin", std::move(out)}};
  }

 private:
  // Only ordinary pieces: text can spell neither "<s>" nor a byte token.
  std::optional<TokenId> find_piece(std::string_view text) const {
    if (text.size() > longest_) return std::nullopt;
    const auto id = vocabulary.find(text);
    return id && *id >= first_piece ? id : std::nullopt;
  }
  std::string spelled(std::size_t id) const {  // the file surrounds bos and eos with line breaks
    return id == bos || id == eos ? concat("\n", vocabulary.pieces[id], "\n") : vocabulary.pieces[id];
  }

  std::vector<float> scores_;
  std::size_t longest_ = 0;
};

// Reads the bytes of a tokenizer.bin: u32 longest piece, then per token f32 score, u32 length, bytes, until the end of the file.
// FormatError: cut, a length beyond the rest or the declared longest, a score that is not finite, byte tokens missing or
// duplicate pieces. LimitError: more than Limits allows.
inline Tokenizer read_llama2c_tokenizer(std::string_view data, std::string_view path, const Limits& limits = {}) {
  std::size_t at = 0;
  std::vector<std::string> pieces;
  const auto token = [](std::size_t id, std::string_view part) { return concat("tokens[", id, "]", part); };
  const auto where = [&](std::string field, std::size_t offset) {
    return Where{.path = std::string(path), .field = std::move(field), .offset = offset};
  };
  const auto fail = [&](std::string field, std::size_t offset, std::string_view reason) {
    throw FormatError(where(std::move(field), offset), reason);
  };
  const auto word = [&](std::string_view part) {
    if (data.size() - at < 4) {
      fail(at == 0 ? std::string(part) : token(pieces.size(), part), at, concat("needs 4 bytes, the file ends after ", data.size() - at));
    }
    std::uint32_t value = 0;
    for (unsigned i = 0; i < 4; ++i) value |= std::uint32_t{static_cast<unsigned char>(data[at + i])} << (8 * i);
    at += 4;
    return value;
  };
  const std::uint32_t longest = word("max_token_length");
  std::vector<float> scores;
  while (at < data.size()) {
    const std::size_t id = pieces.size();
    if (id == limits.max_vocabulary) throw LimitError(where(token(id, ""), at), "max_vocabulary", limits.max_vocabulary, id + 1);
    const float score = std::bit_cast<float>(word(".score"));
    if (!std::isfinite(score)) fail(token(id, ".score"), at - 4, concat("the score ", score, " is not finite"));
    const std::uint32_t length = word(".length");
    if (length > longest) fail(token(id, ".length"), at - 4, concat("length ", length, " is more than max_token_length, ", longest));
    if (length > data.size() - at)
      fail(token(id, ".length"), at - 4, concat("length ", length, " is more than the ", data.size() - at, " bytes left"));
    if (length > limits.max_token_text)
      throw LimitError(where(token(id, ".length"), at - 4), "max_token_text", limits.max_token_text, length);
    pieces.emplace_back(data.substr(at, length));
    scores.push_back(score);
    at += length;
  }
  using Kind = SentencePieceBpeModel;
  if (pieces.size() < static_cast<std::size_t>(Kind::first_piece))
    fail("tokens", at, concat("holds ", pieces.size(), " tokens; <unk>, <s>, </s> and 256 bytes are the least"));
  for (const TokenId id : {Kind::bos, Kind::eos}) {
    std::string& piece = pieces[static_cast<std::size_t>(id)];
    if (piece.size() > 2 && piece.front() == '\n' && piece.back() == '\n') piece = piece.substr(1, piece.size() - 2);
  }
  std::vector<std::string> bytes = pieces;
  constexpr char digits[] = "0123456789ABCDEF";
  for (unsigned byte = 0; byte < 256; ++byte) {
    const std::size_t id = static_cast<std::size_t>(Kind::first_byte) + byte;
    const std::string expected{'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'};
    if (pieces[id] != expected) fail(token(id, ""), data.size(), concat("is ", quoted(pieces[id]), ", expected ", quoted(expected)));
    bytes[id].assign(1, static_cast<char>(static_cast<unsigned char>(byte)));
  }
  Vocabulary vocabulary(std::move(pieces), std::move(bytes), {Kind::unknown, Kind::bos, Kind::eos});
  for (std::size_t id = 0; id < vocabulary.size(); ++id)
    if (const auto first = *vocabulary.find(vocabulary.pieces[id]); static_cast<std::size_t>(first) != id)
      fail(token(id, ""), data.size(), concat("spells ", quoted(vocabulary.pieces[id]), " like tokens[", first, "]"));
  vocabulary.bos = Kind::bos;
  vocabulary.eos = Kind::eos;
  vocabulary.begins_with_bos = true;
  return Tokenizer(std::make_shared<Kind>(std::move(vocabulary), std::move(scores)));
}

}  // namespace plume::inline PLUME_ABI
