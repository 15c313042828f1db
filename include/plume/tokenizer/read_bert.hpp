#pragma once
// BERT's vocab.txt, one WordPiece token a line, with tokenizer_config.json [transformers models/bert/tokenization_bert.py]: as a
// tokenizer.json that says the same.
#include <string>
#include <string_view>

#include "plume/base/config.hpp"
#include "plume/base/limits.hpp"
#include "plume/tokenizer/tokenizer.hpp"

namespace plume::inline PLUME_ABI {

struct BertOptions {
  std::string path = {};  // named in errors
  std::string config =
      {};              // the text of tokenizer_config.json: do_lower_case, strip_accents, tokenize_chinese_chars, names of special tokens
  Limits limits = {};  // max_tokenizer_bytes, max_vocabulary, max_token_text
};

// Text is cleaned, perhaps put into lower case and without accents, cut at white space and punctuation, and stands between [CLS] and
// [SEP]. save_tokenizer() writes a tokenizer.json. FormatError, with the line: an empty one, or a token twice. ConfigError: no unk token.
// LimitError: more than Limits allows.
PLUME_FUNCTION Tokenizer read_bert(std::string_view vocabulary, const BertOptions& options = {});

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>
#include <unordered_map>
#include <vector>

#include "plume/base/error.hpp"
#include "plume/base/json.hpp"
#include "plume/base/text.hpp"
#include "plume/base/utf8.hpp"
#include "plume/tokenizer/tokenizer_json.hpp"

namespace plume::inline PLUME_ABI {

class BertReader {
 public:
  BertReader(std::string_view vocabulary, const BertOptions& options) : options_(options) {
    if (!options.config.empty()) {
      const std::string path = concat(options.path.substr(0, options.path.rfind('/') + 1), "tokenizer_config.json");  // npos + 1 == 0
      config_ = Json::parse(options.config, {.path = path, .limits = options.limits, .max_bytes = options.limits.max_tokenizer_bytes});
    }
    read_lines(vocabulary);
  }

  Tokenizer read() {
    for (const char* key : {"unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}) add_special(name(key));
    if (!given_.contains(name("unk_token")))
      throw ConfigError(Where{.path = options_.path}, concat("lacks the unk token, ", quoted(name("unk_token"))));
    if (const Json* tokens = present("added_tokens_decoder")) add_listed(*tokens);
    const bool lower = config_.boolean("do_lower_case", true);
    Json file = Json::object();
    file.set("version", "1.0").set("truncation", nullptr).set("padding", nullptr);
    file.set("added_tokens", std::move(added_));
    file.set("normalizer", Json::object()
                               .set("type", "BertNormalizer")
                               .set("clean_text", true)
                               .set("handle_chinese_chars", config_.boolean("tokenize_chinese_chars", true))
                               .set("strip_accents", present("strip_accents") ? config_.boolean("strip_accents", lower) : lower)
                               .set("lowercase", lower));
    file.set("pre_tokenizer", Json::object().set("type", "BertPreTokenizer"));
    file.set("post_processor",
             Json::object().set("type", "BertProcessing").set("sep", pair(name("sep_token"))).set("cls", pair(name("cls_token"))));
    file.set("decoder", Json::object().set("type", "WordPiece").set("prefix", "##").set("cleanup", true));
    std::string text = dump(file);
    text.pop_back();  // the model, whose vocabulary is written as it stands
    text.append(R"(,"model":{"type":"WordPiece","unk_token":)");
    append_json_text(text, name("unk_token"));
    text.append(R"(,"continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":{)");
    for (std::size_t id = 0; id < own_; ++id) {
      if (id > 0) text.push_back(',');
      append_json_text(text, tokens_[id]);
      text.append(concat(':', id));
    }
    text.append("}}}");
    Limits limits = options_.limits;  // the file that is read here is larger than that which was given
    limits.max_tokenizer_bytes = std::max<std::uint64_t>(limits.max_tokenizer_bytes, text.size());
    return read_tokenizer_json(text, {.path = options_.path, .limits = limits, .config = options_.config});
  }

 private:
  void read_lines(std::string_view vocabulary) {
    const auto fail = [&](std::string_view reason) { throw FormatError(Where{.path = options_.path, .line = tokens_.size() + 1}, reason); };
    if (vocabulary.size() > options_.limits.max_tokenizer_bytes)
      throw LimitError(Where{.path = options_.path, .offset = 0}, "max_tokenizer_bytes", options_.limits.max_tokenizer_bytes,
                       vocabulary.size());
    for (std::size_t at = 0; at < vocabulary.size();) {
      const std::size_t end = std::min(vocabulary.find('\n', at), vocabulary.size());
      std::string_view line = vocabulary.substr(at, end - at);
      if (line.ends_with('\r')) line.remove_suffix(1);
      at = end + 1;
      if (tokens_.size() == options_.limits.max_vocabulary)
        throw LimitError(Where{.path = options_.path, .line = tokens_.size() + 1}, "max_vocabulary", options_.limits.max_vocabulary,
                         tokens_.size() + 1);
      if (line.size() > options_.limits.max_token_text)
        throw LimitError(Where{.path = options_.path, .line = tokens_.size() + 1}, "max_token_text", options_.limits.max_token_text,
                         line.size());
      if (line.empty()) fail("is empty; a line holds a token");
      if (utf8_error(line) != line.size()) fail("is not UTF-8");
      const auto [known, fresh] = ids_.emplace(line, tokens_.size());
      if (!fresh) fail(concat("the token ", quoted(line), " is that of line ", known->second + 1));
      tokens_.emplace_back(line);
    }
    if (tokens_.empty()) throw FormatError(Where{.path = options_.path, .line = 1}, "holds no token");
    own_ = tokens_.size();
    for (const std::string& token : tokens_) given_.emplace(token, 0);
  }

  const Json* present(std::string_view key) const {
    const Json* value = config_.find(key);
    return value && !value->is_null() ? value : nullptr;
  }
  std::string name(std::string_view key) const {
    if (const Json* value = present(key)) return value->is_object() ? value->text("content") : value->as_text();
    return key == "unk_token"   ? "[UNK]"
           : key == "sep_token" ? "[SEP]"
           : key == "pad_token" ? "[PAD]"
           : key == "cls_token" ? "[CLS]"
                                : "[MASK]";
  }
  Json pair(const std::string& token) const { return Json::array().push(token).push(static_cast<std::int64_t>(ids_.at(token))); }
  std::size_t id_of(const std::string& token) {  // those that are missing come last, as in transformers
    const auto [entry, fresh] = ids_.emplace(token, tokens_.size());
    if (fresh) tokens_.push_back(token);
    return entry->second;
  }
  void add(const std::string& token, std::size_t id, bool special, const Json* flags) {
    const auto flag = [&](std::string_view key, bool usual) { return flags ? flags->boolean(key, usual) : usual; };
    added_.push(Json::object()
                    .set("id", static_cast<std::int64_t>(id))
                    .set("content", token)
                    .set("single_word", flag("single_word", false))
                    .set("lstrip", flag("lstrip", false))
                    .set("rstrip", flag("rstrip", false))
                    .set("normalized", flag("normalized", !special))
                    .set("special", special));
  }
  void add_special(const std::string& token) {
    if (!special_.emplace(token, 0).second) return;
    const Json* flags = nullptr;
    if (const Json* tokens = present("added_tokens_decoder"))
      for (const auto& [key, entry] : tokens->members())
        if (entry.text("content") == token) flags = &entry;
    add(token, id_of(token), true, flags);
  }
  void add_listed(const Json& tokens) {
    for (const auto& [key, entry] : tokens.members()) {
      const std::string& token = entry.text("content");
      if (special_.contains(token)) continue;
      const std::size_t id = id_of(token);
      if (key != concat(id))
        throw FormatError(entry.where(), concat("the added token ", quoted(token), " has id ", id, " in the vocabulary"));
      add(token, id, entry.boolean("special", false), &entry);
    }
  }

  const BertOptions& options_;
  Json config_ = Json::object(), added_ = Json::array();
  std::vector<std::string> tokens_;
  std::unordered_map<std::string, std::size_t> ids_;
  std::unordered_map<std::string, char> given_, special_;
  std::size_t own_ = 0;  // of vocab.txt
};

PLUME_FUNCTION Tokenizer read_bert(std::string_view vocabulary, const BertOptions& options) try {
  return BertReader(vocabulary, options).read();
} catch (...) {
  rethrow_memory_failure("a tokenizer");
}

}  // namespace plume::inline PLUME_ABI
#endif
