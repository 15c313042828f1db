#pragma once
// Reading tokenizer.json of Hugging Face tokenizers (format 1.0): models BPE, Unigram, WordPiece and WordLevel with every component that
// the library documents.
#include <string>
#include <string_view>

#include "plume/base/config.hpp"
#include "plume/base/limits.hpp"
#include "plume/tokenizer/text_pattern.hpp"
#include "plume/tokenizer/tokenizer.hpp"

namespace plume::inline PLUME_ABI {

struct TokenizerJsonOptions {
  std::string path = {};                 // named in errors
  Limits limits = {};                    // max_tokenizer_bytes, max_vocabulary, max_token_text
  std::string config = {};               // the text of tokenizer_config.json, which names bos and eos; may be empty
  TextPattern::Engine expressions = {};  // for regular expressions that plume does not know
};

// FormatError: not JSON, ids with gaps, merges that do not fit the vocabulary. ConfigError: an unknown component, a value that does not
// fit, a regular expression that needs PCRE2 where that is absent. LimitError: more than Limits allows.
PLUME_FUNCTION Tokenizer read_tokenizer_json(std::string_view text, const TokenizerJsonOptions& options = {});

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "plume/base/error.hpp"
#include "plume/base/json.hpp"
#include "plume/tokenizer/byte_characters.hpp"
#include "plume/tokenizer/pipeline_model.hpp"
#include "plume/tokenizer/tokenizer_json_parts.hpp"

namespace plume::inline PLUME_ABI {

class TokenizerJsonReader : private TokenizerJsonParts {
 public:
  TokenizerJsonReader(const Json& file, const TokenizerJsonOptions& options)
      : TokenizerJsonParts(options.expressions), file_(file), options_(options) {}

  Tokenizer read(std::string_view text) {
    if (!file_.is_object()) throw FormatError(file_.where(), "expected an object: a tokenizer.json");
    const Json& model = file_.at("model");
    read_vocabulary(model);
    read_added();
    if (const Json* part = present(file_, "normalizer")) read_normalizer(*part);
    if (const Json* part = present(file_, "pre_tokenizer")) read_pre_tokenizer(*part);
    if (const Json* part = present(file_, "decoder"))
      read_decoder(*part);
    else
      pipeline_.joins_with_spaces = true;
    spell_normalized();
    read_model(model);
    if (const Json* part = present(file_, "post_processor")) read_post_processor(*part);
    check_truncation();
    pipeline_.files.push_back({"tokenizer.json", std::string(text)});
    if (!options_.config.empty()) pipeline_.files.push_back({"tokenizer_config.json", options_.config});
    return finish();
  }

 private:
  // ---- vocabulary ----
  void put(const std::string& piece, std::uint64_t id, const Json& at) {
    if (piece.size() > options_.limits.max_token_text)
      throw LimitError(at.where(), "max_token_text", options_.limits.max_token_text, piece.size());
    if (std::exchange(taken_[id], char{1}) != 0)
      throw FormatError(at.where(), concat("duplicate id ", id, ": ", quoted(pieces_[id]), " has it already"));
    pieces_[id] = piece;
    id_of_.insert_or_assign(piece, static_cast<TokenId>(id));  // of several ids of one piece the last counts, as in tokenizers
  }
  void read_vocabulary(const Json& model) {
    const Json& vocab = model.at("vocab");
    const std::size_t count = vocab.size();
    if (count > options_.limits.max_vocabulary) throw LimitError(vocab.where(), "max_vocabulary", options_.limits.max_vocabulary, count);
    pieces_.resize(count);
    taken_.resize(count);
    if (vocab.is_array()) {
      for (std::size_t id = 0; id < count; ++id) {
        const Json& entry = vocab.at(id);
        if (!entry.is_array() || entry.size() != 2) throw FormatError(entry.where(), "expected [piece, score]");
        put(entry.at(0).as_text(), id, entry);
        scores_.push_back(entry.at(1).as_number());
      }
    } else {
      for (const auto& [piece, value] : vocab.members()) {
        if (!value.is_integer()) throw FormatError(value.where(), "a token id is a whole number");
        if (value.is_unsigned_only() || value.as_integer() < 0 || value.as_integer() >= static_cast<std::int64_t>(count))
          throw FormatError(value.where(), concat("the id lies outside 0 to ", count - 1, "; ids of ", count, " tokens have no gap"));
        put(piece, static_cast<std::uint64_t>(value.as_integer()), value);
      }
    }
    model_size_ = count;
  }
  void read_added() {
    const Json* list = present(file_, "added_tokens");
    if (!list) return special_.resize(pieces_.size());
    for (const Json& entry : list->items()) {
      AddedToken token;
      token.content = entry.text("content");
      if (token.content.empty()) throw FormatError(entry.at("content").where(), "an added token is empty");
      if (token.content.size() > options_.limits.max_token_text)
        throw LimitError(entry.at("content").where(), "max_token_text", options_.limits.max_token_text, token.content.size());
      const std::int64_t id = entry.integer("id");
      token.special = entry.boolean("special", false);
      token.normalized = entry.boolean("normalized", !token.special);
      token.single_word = entry.boolean("single_word", false);
      token.left_strip = entry.boolean("lstrip", false);
      token.right_strip = entry.boolean("rstrip", false);
      if (const auto own = id_of_.find(token.content); own != id_of_.end()) {
        if (own->second != id)
          throw FormatError(entry.at("id").where(),
                            concat("the added token ", quoted(token.content), " has id ", own->second, " in the vocabulary"));
      } else {
        if (id < 0 || id > static_cast<std::int64_t>(pieces_.size()))
          throw FormatError(entry.at("id").where(), concat("the id ", id, " leaves a gap after ", pieces_.size(), " tokens"));
        if (id < static_cast<std::int64_t>(pieces_.size()))
          throw FormatError(entry.at("id").where(), concat("the id ", id, " of the added token ", quoted(token.content), " belongs to ",
                                                           quoted(pieces_[static_cast<std::size_t>(id)])));
        pieces_.push_back(token.content);
        id_of_.emplace(token.content, static_cast<TokenId>(id));
      }
      token.id = static_cast<TokenId>(id);
      pipeline_.added.push_back(std::move(token));
    }
    special_.resize(pieces_.size());
    for (const AddedToken& token : pipeline_.added)
      if (token.special) special_[static_cast<std::size_t>(token.id)] = 1;
  }

  // A normalised added token goes by its normalised spelling, as in tokenizers.
  void spell_normalized() {
    for (const AddedToken& token : pipeline_.added) {
      if (!token.normalized || static_cast<std::size_t>(token.id) < model_size_) continue;
      AlignedText content = AlignedText::of(token.content, 0, Spans::skip);
      for (const Normalizer& step : pipeline_.normalizers) normalize(step, content);
      if (!content.text.empty()) pieces_[static_cast<std::size_t>(token.id)] = content.text;
    }
  }

  // ---- model ----
  bool usable(TokenId id) const { return static_cast<std::size_t>(id) < model_size_ && special_[static_cast<std::size_t>(id)] == 0; }
  WordIds word_ids(std::size_t& longest) const {
    WordIds ids;
    for (std::size_t id = 0; id < model_size_; ++id)
      if (special_[id] == 0) {
        ids.emplace(pieces_[id], static_cast<TokenId>(id));
        longest = std::max(longest, pieces_[id].size());
      }
    return ids;
  }
  std::optional<TokenId> named(const Json& model, std::string_view key) const {
    const Json* name = present(model, key);
    if (!name) return std::nullopt;
    const auto found = id_of_.find(name->as_text());
    if (found == id_of_.end()) name->fail(concat(quoted(name->as_text()), " is not in the vocabulary"));
    return found->second;
  }
  std::optional<std::array<TokenId, 256>> byte_ids() const {
    constexpr char digits[] = "0123456789ABCDEF";
    std::array<TokenId, 256> ids{};
    for (unsigned byte = 0; byte < 256; ++byte) {
      const auto found = id_of_.find(std::string{'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'});
      ids[byte] = found == id_of_.end() ? -1 : found->second;
    }
    return ids;
  }
  void read_model(const Json& model) {
    std::string type = type_of(model);
    if (type.empty())  // old files
      type = model.find("merges")                     ? "BPE"
             : model.at("vocab").is_array()           ? "Unigram"
             : model.find("max_input_chars_per_word") ? "WordPiece"
                                                      : "WordLevel";
    if ((type == "Unigram") != model.at("vocab").is_array())
      model.at("vocab").fail(type == "Unigram" ? "a Unigram vocabulary is an array of [piece, score]"
                                               : "expected an object of tokens and their ids");
    std::size_t longest = 0;
    if (type == "BPE") {
      read_bpe(model);
    } else if (type == "Unigram") {
      pipeline_.kind = "Unigram";
      word_models::Unigram unigram;
      for (std::size_t id = 0; id < model_size_; ++id)
        if (special_[id] == 0 && id_of_.at(pieces_[id]) == static_cast<TokenId>(id))
          unigram.pieces.add(pieces_[id], static_cast<std::uint32_t>(id));
      unigram.scores = scores_;
      for (std::size_t id = 0; id < scores_.size(); ++id) unigram.lowest = id == 0 ? scores_[id] : std::min(unigram.lowest, scores_[id]);
      if (const Json* id = present(model, "unk_id")) {
        if (id->as_integer() < 0 || id->as_integer() >= static_cast<std::int64_t>(model_size_)) id->fail("lies outside the vocabulary");
        unigram.unknown = static_cast<TokenId>(id->as_integer());
      }
      if (model.boolean("byte_fallback", false)) unigram.bytes = byte_ids();
      pipeline_.words = std::move(unigram);
    } else if (type == "WordPiece") {
      pipeline_.kind = "WordPiece";
      const auto unk = named(model, "unk_token");
      if (!unk) model.at("unk_token").fail("WordPiece needs an unk token");
      word_models::WordPiece piece{word_ids(longest), *unk, model.text("continuing_subword_prefix", "##"), 100, longest};
      const std::int64_t most = model.integer("max_input_chars_per_word", 100);
      if (most < 1) model.at("max_input_chars_per_word").fail("must be at least 1");
      piece.longest_word = static_cast<std::size_t>(most);
      pipeline_.words = std::move(piece);
    } else if (type == "WordLevel") {
      pipeline_.kind = "WordLevel";
      pipeline_.words = word_models::WordLevel{word_ids(longest), named(model, "unk_token")};
    } else {
      unknown(model, "model", "BPE, Unigram, WordPiece, WordLevel");
    }
  }
  void read_bpe(const Json& model) {
    const std::string prefix = model.text("continuing_subword_prefix", ""), suffix = model.text("end_of_word_suffix", "");
    const Json& list = model.at("merges");
    std::vector<Merge> merges;
    merges.reserve(list.size());
    for (const Json& entry : list.items()) {
      std::string left, right;
      if (entry.is_array()) {
        if (entry.size() != 2) throw FormatError(entry.where(), concat("a merge has two parts, found ", entry.size()));
        left = entry.at(0).as_text(), right = entry.at(1).as_text();
      } else {
        const std::string& text = entry.as_text();
        const std::size_t space = text.find(' ');
        if (space == text.npos || space == 0 || space + 1 == text.size() || text.find(' ', space + 1) != text.npos)
          throw FormatError(entry.where(), concat("expected two tokens with one space between them, found ", quoted(text)));
        left = text.substr(0, space), right = text.substr(space + 1);
      }
      const auto look_up = [&](const std::string& piece, std::string_view role) {
        const auto found = id_of_.find(piece);
        if (found == id_of_.end() || static_cast<std::size_t>(found->second) >= model_size_)
          throw FormatError(entry.where(), concat("the ", role, " ", quoted(piece), " is not in the vocabulary"));
        return found->second;
      };
      const TokenId a = look_up(left, "left part"), b = look_up(right, "right part");
      if (right.size() < prefix.size())
        throw FormatError(entry.where(), concat("the right part ", quoted(right), " lacks the prefix ", quoted(prefix)));
      const TokenId result = look_up(left + right.substr(prefix.size()), "result");
      if (!pairs_seen_.emplace(std::uint64_t{static_cast<std::uint32_t>(a)} << 32 | static_cast<std::uint32_t>(b), 0).second)
        throw FormatError(entry.where(), concat("duplicate merge ", quoted(left), " ", quoted(right)));
      if (usable(a) && usable(b) && usable(result)) merges.push_back({a, b, result});
    }
    const auto unk = named(model, "unk_token");
    const bool ignore_merges = model.boolean("ignore_merges", false);
    const auto& steps = pipeline_.pre_tokenizers;
    const auto spells = [](const auto& step) { return std::holds_alternative<pre_tokenizers::ByteLevel>(step); };
    const bool twice = std::count_if(steps.begin(), steps.end(), spells) > 1 ||
                       std::any_of(pipeline_.normalizers.begin(), pipeline_.normalizers.end(),
                                   [](const Normalizer& step) { return std::holds_alternative<normalizers::ByteLevel>(step); });
    const bool spells_bytes = !steps.empty() && spells(steps.back()) && !twice;
    if (spells_bytes && prefix.empty() && suffix.empty() && read_byte_level(merges, unk, ignore_merges, model)) return;
    word_models::Bpe bpe{{},          merges, MergeRanks(merges), unk, prefix, suffix, model.boolean("fuse_unk", false), ignore_merges,
                         std::nullopt};
    std::size_t longest = 0;
    bpe.ids = word_ids(longest);
    if (model.boolean("byte_fallback", false)) bpe.bytes = byte_ids();
    pipeline_.words = std::move(bpe);
  }
  bool read_byte_level(std::vector<Merge>& merges, std::optional<TokenId> unk, bool ignore_merges, const Json& model) {
    ByteLevelModel level;
    level.bytes.resize(pieces_.size());
    std::array<bool, 256> has{};
    for (std::size_t id = 0; id < model_size_; ++id) {
      if (special_[id] != 0) continue;
      const auto bytes = characters_to_bytes(pieces_[id]);
      if (!bytes) continue;  // no text can spell it
      level.bytes[id] = *bytes;
      if (bytes->size() == 1) has[static_cast<unsigned char>((*bytes)[0])] = true;
    }
    for (unsigned byte = 0; byte < 256; ++byte)
      if (!has[byte]) {
        if (unk) return false;  // unknown bytes become unk: the general way
        const char raw = static_cast<char>(static_cast<unsigned char>(byte));
        throw FormatError(model.at("vocab").where(), concat("lacks the byte ", byte, ", spelled ", quoted(bytes_to_characters({&raw, 1})),
                                                            "; a byte-level vocabulary without an unk token holds all 256"));
      }
    level.merges = std::move(merges);
    level.whole = ignore_merges ? WholePieces::always : WholePieces::if_merges_make_them;
    pipeline_.kind = "byte-level BPE";
    pipeline_.byte_level = std::move(level);
    return true;
  }

  // ---- around a text ----
  TokenId token_named(const Json& value) const {
    const auto found = id_of_.find(value.as_text());
    if (found == id_of_.end()) value.fail(concat(quoted(value.as_text()), " is not in the vocabulary"));
    return found->second;
  }
  void read_post_processor(const Json& part) {
    const std::string type = type_of(part, part.find("processors") ? "Sequence" : "");
    if (type == "Sequence") {
      for (const Json& step : part.at("processors").items()) read_post_processor(step);
    } else if (type == "BertProcessing" || type == "RobertaProcessing") {
      if (type == "RobertaProcessing") read_trim(part);
      surround({token_named(part.at("cls").at(0))}, {token_named(part.at("sep").at(0))});
    } else if (type == "TemplateProcessing") {
      std::vector<TokenId> before, after;
      bool seen = false;
      for (const Json& piece : part.at("single").items()) {
        if (const Json* sequence = piece.find("Sequence")) {
          if (seen || sequence->text("id") != "A") sequence->fail("a template for one text holds sequence A once");
          seen = true;
          continue;
        }
        const Json& name = piece.at("SpecialToken").at("id");
        const Json* entry = part.at("special_tokens").find(name.as_text());
        if (!entry) name.fail(concat(quoted(name.as_text()), " is not among special_tokens"));
        for (const Json& id : entry->at("ids").items()) {
          if (id.as_integer() < 0 || id.as_integer() >= static_cast<std::int64_t>(pieces_.size())) id.fail("lies outside the vocabulary");
          (seen ? after : before).push_back(static_cast<TokenId>(id.as_integer()));
        }
      }
      if (!seen) part.at("single").fail("holds no sequence A");
      surround(std::move(before), std::move(after));
    } else if (type == "ByteLevel") {
      read_trim(part);
    } else {
      unknown(part, "post-processor", "Sequence, TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel");
    }
  }
  void read_trim(const Json& part) {
    if (!part.boolean("trim_offsets", true)) return;
    pipeline_.trim = part.boolean("add_prefix_space", true) ? Pipeline::Trim::keep_first : Pipeline::Trim::yes;
  }
  void surround(std::vector<TokenId> before, std::vector<TokenId> after) {
    before.insert(before.end(), before_.begin(), before_.end());
    before_ = std::move(before);
    after_.insert(after_.end(), after.begin(), after.end());
  }
  void check_truncation() {
    const Json* part = present(file_, "truncation");
    if (!part) return;
    const std::int64_t longest = part->integer("max_length"), stride = part->integer("stride", 0);
    if (stride < 0 || stride >= longest) part->at("stride").fail(concat("must be less than max_length, ", longest));
  }

  Tokenizer finish() {
    std::vector<TokenId> special;
    std::vector<std::string> bytes(pieces_.size());
    const bool spelled = std::any_of(pipeline_.decoders.begin(), pipeline_.decoders.end(),
                                     [](const DecodeStep& step) { return std::holds_alternative<token_decoders::ByteLevel>(step); });
    for (std::size_t id = 0; id < pieces_.size(); ++id) {
      if (special_[id] != 0) special.push_back(static_cast<TokenId>(id));
      bytes[id] = spelled ? byte_level_bytes(pieces_[id]) : pieces_[id];
    }
    Vocabulary vocabulary(pieces_, std::move(bytes), special);
    vocabulary.before = before_;
    vocabulary.after = after_;
    if (!options_.config.empty()) {
      const std::string path = concat(options_.path.substr(0, options_.path.rfind('/') + 1), "tokenizer_config.json");  // npos + 1 == 0
      const Json config = Json::parse(options_.config, {.path = path, .max_bytes = options_.limits.max_tokenizer_bytes});
      const auto name = [&](std::string_view key) -> std::optional<TokenId> {
        const Json* value = present(config, key);
        if (!value) return std::nullopt;
        return vocabulary.find(value->is_object() ? value->text("content") : value->as_text());
      };
      vocabulary.bos = name("bos_token");
      vocabulary.eos = name("eos_token");
      const std::string kind = config.text("tokenizer_class", "");  // these classes build their own template
      if (kind.starts_with("Llama") || kind.starts_with("CodeLlama") || kind.starts_with("Gemma")) {
        if (config.boolean("add_bos_token", !before_.empty()) && vocabulary.bos)
          vocabulary.before = {*vocabulary.bos};
        else
          vocabulary.before.clear();
        if (config.boolean("add_eos_token", !after_.empty()) && vocabulary.eos)
          vocabulary.after = {*vocabulary.eos};
        else
          vocabulary.after.clear();
      }
    } else if (const auto end = vocabulary.find("<|endoftext|>"); end && vocabulary.is_special(*end)) {
      vocabulary.bos = vocabulary.eos = end;
    } else {
      for (const auto& [first, last] : {std::pair("<s>", "</s>"), std::pair("<bos>", "<eos>"), std::pair("[CLS]", "[SEP]")})
        if (const auto bos = vocabulary.find(first), eos = vocabulary.find(last); bos && eos && vocabulary.is_special(*bos)) {
          vocabulary.bos = bos, vocabulary.eos = eos;
          break;
        }
    }
    vocabulary.begins_with_bos = vocabulary.bos && vocabulary.before == std::vector<TokenId>{*vocabulary.bos};
    return Tokenizer(std::make_shared<PipelineModel>(std::move(vocabulary), std::move(pipeline_)));
  }

  const Json& file_;
  const TokenizerJsonOptions& options_;
  std::vector<std::string> pieces_;
  std::vector<char> taken_, special_;
  std::vector<double> scores_;
  std::unordered_map<std::string, TokenId> id_of_;
  std::unordered_map<std::uint64_t, char> pairs_seen_;
  std::size_t model_size_ = 0;
  std::vector<TokenId> before_, after_;
};

PLUME_FUNCTION Tokenizer read_tokenizer_json(std::string_view text, const TokenizerJsonOptions& options) {
  const Json file = Json::parse(text, {.path = options.path, .limits = options.limits, .max_bytes = options.limits.max_tokenizer_bytes});
  return TokenizerJsonReader(file, options).read(text);
}

}  // namespace plume::inline PLUME_ABI
#endif
