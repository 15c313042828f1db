#pragma once
// tiktoken's rank files: one base64 token and its rank a line [openai/tiktoken tiktoken/load.py]. The pattern and the special tokens are
// not in the file; the encodings that OpenAI published are known by name [tiktoken_ext/openai_public.py].
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/limits.hpp"
#include "plume/tokenizer/text_pattern.hpp"
#include "plume/tokenizer/tokenizer.hpp"

namespace plume::inline PLUME_ABI {

struct TiktokenOptions {
  std::string path = {};      // named in errors; "cl100k_base.tiktoken" also names the encoding
  std::string encoding = {};  // gpt2, r50k_base, p50k_base, p50k_edit, cl100k_base, o200k_base, o200k_harmony; empty: by the file's name
  std::string pattern = {};   // in place of the encoding's: a regular expression as in tokenizer.json
  std::vector<std::pair<std::string, TokenId>> special = {};  // in place of the encoding's
  TextPattern::Engine expressions = {};                       // for patterns that plume does not know
  Limits limits = {};
};

// FormatError: a line that is not base64 and a rank, a gap, a token twice. ConfigError: an unknown encoding and no pattern.
PLUME_FUNCTION Tokenizer read_tiktoken(std::string_view text, const TiktokenOptions& options = {});

// The rank file of a byte-level tokenizer. ArgumentError: another kind, or merges that are not in the order of the ids they make, so that
// ranks cannot stand for them.
PLUME_FUNCTION std::string write_tiktoken(const Tokenizer& tokenizer);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <charconv>
#include <memory>

#include "plume/base/error.hpp"
#include "plume/tokenizer/base64.hpp"
#include "plume/tokenizer/byte_bpe.hpp"
#include "plume/tokenizer/piece_table.hpp"
#include "plume/tokenizer/pipeline_model.hpp"

namespace plume::inline PLUME_ABI {

namespace tiktoken_files {

inline std::vector<std::pair<std::string, TokenId>> special_of(std::string_view encoding) {
  if (encoding == "gpt2" || encoding == "r50k_base" || encoding == "p50k_base") return {{"<|endoftext|>", 50256}};
  if (encoding == "p50k_edit")
    return {{"<|endoftext|>", 50256}, {"<|fim_prefix|>", 50281}, {"<|fim_middle|>", 50282}, {"<|fim_suffix|>", 50283}};
  if (encoding == "cl100k_base")
    return {{"<|endoftext|>", 100257},
            {"<|fim_prefix|>", 100258},
            {"<|fim_middle|>", 100259},
            {"<|fim_suffix|>", 100260},
            {"<|endofprompt|>", 100276}};
  std::vector<std::pair<std::string, TokenId>> special = {{"<|endoftext|>", 199999}, {"<|endofprompt|>", 200018}};
  if (encoding == "o200k_harmony") {
    for (const auto& [name, id] : {std::pair("<|startoftext|>", 199998), std::pair("<|return|>", 200002),
                                   std::pair("<|constrain|>", 200003), std::pair("<|channel|>", 200005), std::pair("<|start|>", 200006),
                                   std::pair("<|end|>", 200007), std::pair("<|message|>", 200008), std::pair("<|call|>", 200012)})
      special.emplace_back(name, id);
    for (TokenId id = 200000; id <= 201087; ++id)
      if (id <= 200001 || id == 200004 || (id >= 200009 && id <= 200011) || id >= 200013)
        special.emplace_back(concat("<|reserved_", id, "|>"), id);
  }
  return special;
}

inline std::optional<PieceStyle> style_of(std::string_view encoding) {
  for (const std::string_view name : {"gpt2", "r50k_base", "p50k_base", "p50k_edit"})
    if (encoding == name) return piece_styles::gpt2;
  if (encoding == "cl100k_base") return piece_styles::cl100k;
  if (encoding == "o200k_base" || encoding == "o200k_harmony") return piece_styles::o200k;
  return std::nullopt;
}

}  // namespace tiktoken_files

PLUME_FUNCTION Tokenizer read_tiktoken(std::string_view text, const TiktokenOptions& options) {
  namespace files = tiktoken_files;
  std::string encoding = options.encoding;
  if (encoding.empty()) {
    encoding = options.path.substr(options.path.rfind('/') + 1);
    if (const std::size_t dot = encoding.rfind(".tiktoken"); dot != encoding.npos) encoding.resize(dot);
  }
  const Where whole{.path = options.path};
  std::optional<PieceStyle> style = files::style_of(encoding);
  if (!options.pattern.empty()) style = TextPattern::expression(options.pattern, whole, options.expressions).style();
  if (style == piece_styles::cl100k_any_digits) style = piece_styles::cl100k;  // the same expression means another thing in tokenizer.json
  if (!style && options.pattern.empty())
    throw ConfigError(whole, concat("the encoding ", quoted(encoding),
                                    " is unknown (known: gpt2, r50k_base, p50k_base, p50k_edit, cl100k_base, "
                                    "o200k_base, o200k_harmony); name one, or give a pattern and the special tokens"));
  std::vector<std::string> bytes;
  PieceTable ids;
  const auto id_of = [&](std::string_view token) {
    return ids.find(piece_key(token, token.size()), token, [&](std::uint32_t id) -> const std::string& { return bytes[id]; });
  };
  std::uint64_t line_number = 0;
  for (std::string_view rest = text; !rest.empty();) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    ++line_number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    const auto fail = [&](std::string_view reason) {
      throw FormatError(Where{.path = options.path, .field = concat("ranks[", bytes.size(), "]"), .line = line_number}, reason);
    };
    const std::size_t space = line.find(' ');
    std::string token;
    const std::string_view encoded = line.substr(0, std::min(space, line.size()));
    const bool nothing = encoded == "=";  // how Whisper's file writes a rank that stands for no bytes
    if (space == line.npos || (!nothing && (!decode_base64(encoded, token) || token.empty()))) fail("expected base64, a space and a rank");
    std::uint64_t rank = 0;
    const auto [end, error] = std::from_chars(line.data() + space + 1, line.data() + line.size(), rank);
    if (error != std::errc() || end != line.data() + line.size()) fail("the rank is no whole number");
    if (rank != bytes.size()) fail(concat("the rank is ", rank, ", but ", bytes.size(), " comes next: ranks have no gap"));
    if (bytes.size() >= options.limits.max_vocabulary)
      throw LimitError(whole, "max_vocabulary", options.limits.max_vocabulary, bytes.size() + 1);
    if (token.size() > options.limits.max_token_text)
      throw LimitError(whole, "max_token_text", options.limits.max_token_text, token.size());
    if (!nothing && id_of(token) != PieceTable::absent) fail("this token came before");
    if (!nothing) ids.insert(piece_key(token, token.size()), static_cast<std::uint32_t>(rank));
    bytes.push_back(std::move(token));
  }
  for (unsigned byte = 0; byte < 256; ++byte)
    if (id_of(std::string(1, static_cast<char>(static_cast<unsigned char>(byte)))) == PieceTable::absent)
      throw FormatError(Where{.path = options.path, .field = "ranks"}, concat("lacks the byte ", byte, "; a rank file holds all 256"));
  const auto ranks = bytes.size();
  Pipeline pipeline;
  pipeline.kind = "byte-level BPE";
  ByteLevelModel model;
  model.whole = WholePieces::always;
  model.order = MergeOrder::by_result;
  for (std::size_t id = 0; id < ranks; ++id)  // any two tokens that make a third may merge
    for (std::size_t cut = 1; cut < bytes[id].size(); ++cut) {
      const std::string_view token = bytes[id];
      const std::uint32_t left = id_of(token.substr(0, cut));
      if (left == PieceTable::absent) continue;
      if (const std::uint32_t right = id_of(token.substr(cut)); right != PieceTable::absent)
        model.merges.push_back({static_cast<TokenId>(left), static_cast<TokenId>(right), static_cast<TokenId>(id)});
    }
  std::vector<std::string> pieces;
  for (const std::string& token : bytes) pieces.push_back(bytes_to_characters(token));
  std::vector<TokenId> special;
  for (const auto& [name, id] : options.special.empty() && !files::special_of(encoding).empty() && files::style_of(encoding)
                                    ? files::special_of(encoding)
                                    : options.special) {
    if (id < 0 || static_cast<std::uint64_t>(id) >= options.limits.max_vocabulary)
      throw ConfigError(whole, concat("the special token ", quoted(name), " has the id ", id));
    const auto at = static_cast<std::size_t>(id);
    if (at < ranks) throw ConfigError(whole, concat("the special token ", quoted(name), " has the id ", id, " of a rank"));
    while (pieces.size() <= at) pieces.push_back(concat("<|unused_", pieces.size(), "|>"));  // ids between them stand for nothing
    pieces[at] = name;
    pipeline.added.push_back({.content = name, .id = id, .normalized = false, .special = true});
  }
  for (std::size_t id = ranks; id < pieces.size(); ++id) special.push_back(static_cast<TokenId>(id));
  bytes.resize(pieces.size());
  model.bytes = bytes;
  pipeline.byte_level = std::move(model);
  if (style)
    pipeline.pre_tokenizers.push_back(pre_tokenizers::Split{TextPattern::scanner(*style), SplitBehavior::isolated});
  else
    pipeline.pre_tokenizers.push_back(
        pre_tokenizers::Split{TextPattern::expression(options.pattern, whole, options.expressions), SplitBehavior::removed, true});
  pipeline.pre_tokenizers.push_back(pre_tokenizers::ByteLevel{false, false});
  pipeline.decoders.push_back(token_decoders::ByteLevel{});
  pipeline.files.push_back({files::style_of(encoding) ? encoding + ".tiktoken" : "ranks.tiktoken", std::string(text)});
  Vocabulary vocabulary(std::move(pieces), std::move(bytes), special);
  if (const auto end = vocabulary.find("<|endoftext|>"); end && vocabulary.is_special(*end)) vocabulary.bos = vocabulary.eos = end;
  return Tokenizer(std::make_shared<PipelineModel>(std::move(vocabulary), std::move(pipeline)));
}

PLUME_FUNCTION std::string write_tiktoken(const Tokenizer& tokenizer) {
  const auto* plain = dynamic_cast<const ByteBpeModel*>(&tokenizer.model());
  const auto* pipeline = dynamic_cast<const PipelineModel*>(&tokenizer.model());
  require(plain != nullptr || (pipeline != nullptr && pipeline->byte_pairs() != nullptr),
          "[write_tiktoken] needs a byte-level tokenizer, this one is ", tokenizer.kind());
  const BytePairs& pairs = plain ? plain->byte_pairs() : *pipeline->byte_pairs();
  TokenId last = -1;
  for (const Merge& merge : pairs.merges()) {
    require(merge.result >= last, "[write_tiktoken] the merge that makes token ", merge.result, " comes after the one of ", last,
            ": ranks cannot say this order");
    last = merge.result;
  }
  std::string out;
  const std::vector<TokenId> special = tokenizer.model().vocabulary.special();
  const Index ranks = special.empty() ? tokenizer.vocabulary() : special.front();
  require(ranks + static_cast<Index>(special.size()) == tokenizer.vocabulary(),
          "[write_tiktoken] special tokens stand among the others: ranks have no gap");
  for (Index rank = 0; rank < ranks; ++rank) {
    const std::string& token = pairs.bytes()[static_cast<std::size_t>(rank)];
    if (token.empty()) out.push_back('=');
    encode_base64(token, out);
    out.append(concat(" ", rank, "\n"));
  }
  return out;
}

}  // namespace plume::inline PLUME_ABI
#endif
