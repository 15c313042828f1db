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
#include "plume/tokenizer/byte_pairs.hpp"
#include "plume/tokenizer/gpt2_pieces.hpp"
#include "plume/tokenizer/piece_ends.hpp"
#include "plume/tokenizer/tokenizer.hpp"
#include "plume/tokenizer/worker_states.hpp"

namespace plume::inline PLUME_ABI {

class ByteBpeModel final : public TokenizerModel {
 public:
  // merges in the order of training. The vocabulary holds every single byte (the readers below and the trainer see to it).
  ByteBpeModel(Vocabulary entries, std::vector<Merge> merges)
      : TokenizerModel(std::move(entries)), pairs_(vocabulary.bytes, std::move(merges), WholePieces::if_merges_make_them) {}
  std::string_view kind() const override { return "byte-level BPE"; }
  const std::vector<Merge>& merges() const { return pairs_.merges(); }
  const BytePairs& byte_pairs() const { return pairs_; }

  void encode(std::string_view text, TextPart, std::vector<TokenId>& ids) const override {
    reserve_more(ids, text.size() / 3);
    memories_.with([] { return BytePairs::Scratch{}; },
                   [&](BytePairs::Scratch& memory) {
                     PieceEnds<piece_styles::gpt2> ends(text);
                     pairs_.encode_text(
                         text, [&](std::size_t at) { return ends.next(at); }, ids, memory);
                     memory.release_large();
                   });
  }

  // vocab.json, merges.txt and a tokenizer_config.json with which transformers opens the directory.
  std::vector<TokenizerFile> files() const override {
    Json vocab = Json::object(), config = Json::object(), added = Json::object();
    for (std::size_t id = 0; id < vocabulary.size(); ++id) vocab.set(vocabulary.pieces[id], id);
    std::string merges = "#version: 0.2\n";
    for (const Merge& merge : pairs_.merges())
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
  BytePairs pairs_;
  mutable WorkerStates<BytePairs::Scratch> memories_;
};

}  // namespace plume::inline PLUME_ABI
