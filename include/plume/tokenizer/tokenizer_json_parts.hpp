#pragma once
// The components of tokenizer.json, read into a Pipeline: normalisers, pre-tokenisers, decoders. Part of tokenizer_json.hpp.
#include <string>
#include <string_view>
#include <utility>

#include "plume/base/config.hpp"
#include "plume/base/error.hpp"
#include "plume/base/json.hpp"
#include "plume/tokenizer/base64.hpp"
#include "plume/tokenizer/pipeline_model.hpp"

namespace plume::inline PLUME_ABI {

class TokenizerJsonParts {
 protected:
  explicit TokenizerJsonParts(const TextPattern::Engine& expressions) : expressions_(expressions) {}

  static const Json* present(const Json& object, std::string_view key) {
    const Json* value = object.find(key);
    return value && !value->is_null() ? value : nullptr;
  }
  [[noreturn]] static void unknown(const Json& part, std::string_view what, std::string_view known) {
    const Json* type = part.find("type");
    (type ? *type : part).fail(concat("unknown ", what, " ", type ? quoted(type->as_text()) : "without a type", " (known: ", known, ")"));
  }
  static std::string type_of(const Json& part, std::string_view fallback = "") { return part.text("type", fallback); }

  TextPattern pattern(const Json& part) const {
    const Json& value = part.at("pattern");
    if (const Json* literal = value.find("String")) return TextPattern::literal(literal->as_text());
    const Json& regex = value.at("Regex");
    return TextPattern::expression(regex.as_text(), regex.where(), expressions_);
  }
  static SplitBehavior behavior(const Json& part, std::string_view fallback) {
    const std::string name = part.text("behavior", fallback);
    if (name == "Removed") return SplitBehavior::removed;
    if (name == "Isolated") return SplitBehavior::isolated;
    if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
    if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
    if (name == "Contiguous") return SplitBehavior::contiguous;
    part.at("behavior")
        .fail(concat("unknown behavior ", quoted(name), " (known: Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous)"));
  }
  static PrependScheme scheme(const Json& part) {
    const Json* given = present(part, "prepend_scheme");
    if (!part.boolean("add_prefix_space", true)) {
      if (given && given->as_text() != "never") given->fail("add_prefix_space is false, so this must be \"never\"");
      return PrependScheme::never;
    }
    const std::string name = given ? given->as_text() : "always";
    if (name == "first") return PrependScheme::first;
    if (name == "never") return PrependScheme::never;
    if (name != "always") given->fail(concat("unknown scheme ", quoted(name), " (known: first, never, always)"));
    return PrependScheme::always;
  }
  static char32_t character(const Json& value) {
    const std::string& text = value.as_text();
    if (text.empty() || utf8_length(text, 0) != text.size()) value.fail(concat(quoted(text), " is not one character"));
    return code_point_at(text, 0).value;
  }

  void read_normalizer(const Json& part) {
    const std::string type = type_of(part, part.find("normalizers") ? "Sequence" : "");
    auto& out = pipeline_.normalizers;
    if (type == "Sequence") {
      for (const Json& step : part.at("normalizers").items()) read_normalizer(step);
    } else if (type == "BertNormalizer" || type == "Bert") {
      const bool lower = part.boolean("lowercase", true);
      out.push_back(normalizers::Bert{part.boolean("clean_text", true), part.boolean("handle_chinese_chars", true),
                                      part.boolean("strip_accents", lower), lower});
    } else if (type == "Strip") {
      out.push_back(normalizers::Strip{part.boolean("strip_left", true), part.boolean("strip_right", true)});
    } else if (type == "StripAccents") {
      out.push_back(normalizers::StripAccents{});
    } else if (type == "NFC") {
      out.push_back(NormalForm::nfc);
    } else if (type == "NFD") {
      out.push_back(NormalForm::nfd);
    } else if (type == "NFKC") {
      out.push_back(NormalForm::nfkc);
    } else if (type == "NFKD") {
      out.push_back(NormalForm::nfkd);
    } else if (type == "Lowercase") {
      out.push_back(normalizers::Lowercase{});
    } else if (type == "Nmt") {
      out.push_back(normalizers::Nmt{});
    } else if (type == "ByteLevel") {
      out.push_back(normalizers::ByteLevel{});
    } else if (type == "Prepend") {
      out.push_back(normalizers::Prepend{part.text("prepend")});
    } else if (type == "Precompiled") {
      const Json& map = part.at("precompiled_charsmap");
      std::string bytes;
      if (!decode_base64(map.as_text(), bytes)) throw FormatError(map.where(), "is not base64");
      out.push_back(normalizers::Precompiled{PrecompiledMap::read(bytes, map.where())});
    } else if (type == "Replace") {
      out.push_back(normalizers::Replace{pattern(part), part.text("content")});
    } else {
      unknown(
          part, "normalizer",
          "Sequence, BertNormalizer, Strip, StripAccents, NFC, NFD, NFKC, NFKD, Lowercase, Nmt, ByteLevel, Prepend, Precompiled, Replace");
    }
  }
  void read_pre_tokenizer(const Json& part) {
    const std::string type = type_of(part, part.find("pretokenizers") ? "Sequence" : "");
    auto& out = pipeline_.pre_tokenizers;
    if (type == "Sequence") {
      for (const Json& step : part.at("pretokenizers").items()) read_pre_tokenizer(step);
    } else if (type == "ByteLevel") {
      out.push_back(pre_tokenizers::ByteLevel{part.boolean("add_prefix_space", true), part.boolean("use_regex", true)});
    } else if (type == "BertPreTokenizer") {
      out.push_back(pre_tokenizers::Bert{});
    } else if (type == "Whitespace") {
      out.push_back(pre_tokenizers::Whitespace{});
    } else if (type == "WhitespaceSplit") {
      out.push_back(pre_tokenizers::WhitespaceSplit{});
    } else if (type == "Split") {
      out.push_back(pre_tokenizers::Split{pattern(part), behavior(part, ""), part.boolean("invert", false)});
    } else if (type == "CharDelimiterSplit" || type == "Delimiter") {
      out.push_back(pre_tokenizers::Delimiter{character(part.at("delimiter"))});
    } else if (type == "Metaspace") {
      out.push_back(pre_tokenizers::Metaspace{part.text("replacement", "\xe2\x96\x81"), scheme(part), part.boolean("split", true)});
    } else if (type == "Punctuation") {
      out.push_back(pre_tokenizers::Punctuation{behavior(part, "Isolated")});
    } else if (type == "Digits") {
      out.push_back(pre_tokenizers::Digits{part.boolean("individual_digits", false)});
    } else if (type == "UnicodeScripts") {
      out.push_back(pre_tokenizers::UnicodeScripts{});
    } else if (type == "FixedLength") {
      const std::int64_t length = part.integer("length", 5);
      if (length < 1) part.at("length").fail("must be at least 1");
      out.push_back(pre_tokenizers::FixedLength{static_cast<std::size_t>(length)});
    } else {
      unknown(part, "pre-tokenizer",
              "Sequence, ByteLevel, BertPreTokenizer, Whitespace, WhitespaceSplit, Split, CharDelimiterSplit, Metaspace, Punctuation, "
              "Digits, "
              "FixedLength, UnicodeScripts");
    }
  }
  void read_decoder(const Json& part) {
    const std::string type = type_of(part, part.find("decoders") ? "Sequence" : "");
    auto& out = pipeline_.decoders;
    if (type == "Sequence") {
      for (const Json& step : part.at("decoders").items()) read_decoder(step);
    } else if (type == "ByteLevel") {
      out.push_back(token_decoders::ByteLevel{});
    } else if (type == "BPEDecoder") {
      out.push_back(token_decoders::Bpe{part.text("suffix", "</w>")});
    } else if (type == "WordPiece") {
      out.push_back(token_decoders::WordPiece{part.text("prefix", "##"), part.boolean("cleanup", true)});
    } else if (type == "Metaspace") {
      out.push_back(token_decoders::Metaspace{part.text("replacement", "\xe2\x96\x81"), scheme(part)});
    } else if (type == "CTC") {
      out.push_back(
          token_decoders::Ctc{part.text("pad_token", "<pad>"), part.text("word_delimiter_token", "|"), part.boolean("cleanup", true)});
    } else if (type == "Fuse") {
      out.push_back(token_decoders::Fuse{});
    } else if (type == "ByteFallback") {
      out.push_back(token_decoders::ByteFallback{});
    } else if (type == "Strip") {
      const std::int64_t start = part.integer("start", 0), stop = part.integer("stop", 0);
      if (start < 0 || stop < 0) part.fail("start and stop of Strip are at least 0");
      out.push_back(token_decoders::Strip{character(part.at("content")), static_cast<std::size_t>(start), static_cast<std::size_t>(stop)});
    } else if (type == "Replace") {
      out.push_back(token_decoders::Replace{pattern(part), part.text("content")});
    } else {
      unknown(part, "decoder", "Sequence, ByteLevel, BPEDecoder, WordPiece, Metaspace, CTC, Fuse, ByteFallback, Strip, Replace");
    }
  }

  Pipeline pipeline_;

 private:
  const TextPattern::Engine& expressions_;
};

}  // namespace plume::inline PLUME_ABI
