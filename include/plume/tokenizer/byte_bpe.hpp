#pragma once
// Byte-level byte-pair encoding, as in GPT-2 [Radford et al. 2019]: the text is cut into pieces (gpt2_pieces.hpp), each piece starts
// as its bytes, and neighbours merge in the order in which training found the merges. Any byte string can be encoded.
#include <algorithm>
#include <bit>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/error.hpp"
#include "plume/base/json.hpp"
#include "plume/base/text.hpp"
#include "plume/tokenizer/byte_characters.hpp"
#include "plume/tokenizer/gpt2_pieces.hpp"
#include "plume/tokenizer/tokenizer.hpp"

namespace plume::inline PLUME_ABI {

struct Merge {
  TokenId left, right, result;
};

// From a pair of tokens to the rank of its merge: a hash table with linear probing, at most half full.
class MergeRanks {
 public:
  explicit MergeRanks(const std::vector<Merge>& merges) : slots_(std::bit_ceil(std::max<std::size_t>(2 * merges.size(), 2))) {
    for (std::uint32_t rank = 0; rank < merges.size(); ++rank) insert(merges[rank].left, merges[rank].right, rank);
  }
  std::optional<std::uint32_t> find(TokenId left, TokenId right) const {
    const std::uint64_t key = pair_key(left, right);
    for (std::size_t at = start(key);; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at].key == key) return slots_[at].rank;
      if (slots_[at].key == empty) return std::nullopt;
    }
  }

 private:
  static constexpr std::uint64_t empty = ~std::uint64_t{0};  // no pair: ids are not negative
  struct Slot {
    std::uint64_t key = empty;
    std::uint32_t rank = 0;
  };
  static std::uint64_t pair_key(TokenId left, TokenId right) {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
  }
  std::size_t start(std::uint64_t key) const { return static_cast<std::size_t>((key * 0x9e3779b97f4a7c15u) >> 32) & (slots_.size() - 1); }
  void insert(TokenId left, TokenId right, std::uint32_t rank) {
    const std::uint64_t key = pair_key(left, right);
    std::size_t at = start(key);
    while (slots_[at].key != empty) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = {key, rank};
  }
  std::vector<Slot> slots_;
};

class ByteBpeModel final : public TokenizerModel {
 public:
  // merges in the order of training. The vocabulary holds every single byte (the readers below and the trainer see to it).
  ByteBpeModel(Vocabulary entries, std::vector<Merge> merges)
      : TokenizerModel(std::move(entries)), merges_(std::move(merges)), ranks_(merges_) {
    for (std::size_t id = 0; id < vocabulary.size(); ++id)
      if (vocabulary.bytes[id].size() == 1) id_of_byte_[static_cast<unsigned char>(vocabulary.bytes[id][0])] = static_cast<TokenId>(id);
  }
  std::string_view kind() const override { return "byte-level BPE"; }
  const std::vector<Merge>& merges() const { return merges_; }

  void encode(std::string_view text, TextPart, std::vector<TokenId>& ids) const override {
    std::vector<Symbol> symbols;
    std::vector<MergeCandidate<std::uint32_t>> heap;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = gpt2_piece_end(text, at);
      const std::string_view piece = text.substr(at, end - at);
      symbols.clear();
      for (std::uint32_t i = 0; i < piece.size(); ++i)
        symbols.push_back({id_of_byte_[static_cast<unsigned char>(piece[i])], i, i + 1, i == 0 ? no_symbol : i - 1, i + 1});
      symbols.back().next = no_symbol;
      merge_symbols(symbols, heap, [&](const Symbol& left, const Symbol& right) -> std::optional<FoundMerge<std::uint32_t>> {
        const auto rank = ranks_.find(left.id, right.id);
        if (!rank) return std::nullopt;
        return FoundMerge<std::uint32_t>{*rank, merges_[*rank].result};
      });
      for (const Symbol& symbol : symbols)
        if (symbol.id != absorbed_symbol) ids.push_back(symbol.id);
      at = end;
    }
  }

  // vocab.json, merges.txt and a tokenizer_config.json with which transformers opens the directory.
  std::vector<TokenizerFile> files() const override {
    Json vocab = Json::object(), config = Json::object(), added = Json::object();
    for (std::size_t id = 0; id < vocabulary.size(); ++id) vocab.set(vocabulary.pieces[id], id);
    std::string merges = "#version: 0.2\n";
    for (const Merge& merge : merges_)
      merges.append(concat(vocabulary.pieces[static_cast<std::size_t>(merge.left)], " ",
                           vocabulary.pieces[static_cast<std::size_t>(merge.right)], "\n"));
    for (const TokenId id : vocabulary.special()) {
      Json token = Json::object();
      token.set("content", vocabulary.pieces[static_cast<std::size_t>(id)]);
      for (const char* name : {"lstrip", "normalized", "rstrip", "single_word"}) token.set(name, false);
      token.set("special", true);
      added.set(concat(id), std::move(token));
    }
    const auto name_of = [&](std::optional<TokenId> id) { return id ? Json(vocabulary.pieces[static_cast<std::size_t>(*id)]) : Json(); };
    config.set("tokenizer_class", "GPT2Tokenizer");
    config.set("add_prefix_space", false);
    config.set("add_bos_token", vocabulary.begins_with_bos);
    config.set("bos_token", name_of(vocabulary.bos));
    config.set("eos_token", name_of(vocabulary.eos));
    config.set("unk_token", name_of(vocabulary.eos));  // GPT2Tokenizer insists on the key; no text ever needs it
    config.set("added_tokens_decoder", std::move(added));
    return {{"vocab.json", dump(vocab) + "\n"}, {"merges.txt", std::move(merges)}, {"tokenizer_config.json", dump(config, 2) + "\n"}};
  }

 private:
  std::vector<Merge> merges_;
  MergeRanks ranks_;
  std::array<TokenId, 256> id_of_byte_{};
};

}  // namespace plume::inline PLUME_ABI
