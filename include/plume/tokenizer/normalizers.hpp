#pragma once
// The normalisers of tokenizer.json [huggingface/tokenizers tokenizers/src/normalizers], of SentencePiece and of ChatGLM, as data and one
// function.
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/tokenizer/aligned_text.hpp"
#include "plume/tokenizer/precompiled_map.hpp"
#include "plume/tokenizer/sentencepiece_rules.hpp"
#include "plume/tokenizer/text_pattern.hpp"
#include "plume/tokenizer/unicode_normal_forms.hpp"
#include "plume/tokenizer/whitespace_tokens.hpp"

namespace plume::inline PLUME_ABI {

namespace normalizers {
struct Bert {
  bool clean_text = true, chinese = true, accents = true, lower = true;  // accents: strip them
};
struct Strip {
  bool left = true, right = true;
};
struct StripAccents {};
struct Lowercase {};
struct Nmt {};
struct ByteLevel {};
struct Prepend {
  std::string text;
};
struct Precompiled {
  PrecompiledMap map;
};
struct Replace {
  TextPattern pattern;
  std::string content;
};
struct SentencePiece {
  std::shared_ptr<const SentencePieceRules> rules;
};
struct WhitespaceTokens {};
}  // namespace normalizers

using Normalizer = std::variant<NormalForm, normalizers::Bert, normalizers::Strip, normalizers::StripAccents, normalizers::Lowercase,
                                normalizers::Nmt, normalizers::ByteLevel, normalizers::Prepend, normalizers::Precompiled,
                                normalizers::Replace, normalizers::SentencePiece, normalizers::WhitespaceTokens>;

PLUME_FUNCTION void normalize(const Normalizer& normalizer, AlignedText& text);
// Whether a quick look tells that it changes nothing.
PLUME_FUNCTION bool surely_keeps(const Normalizer& normalizer, std::string_view text);

// Each byte becomes its printable character (byte_characters.hpp).
PLUME_FUNCTION AlignedText spell_bytes(const AlignedText& text);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <array>
#include <cstring>

#include "plume/base/utf8.hpp"
#include "plume/tokenizer/byte_characters.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION AlignedText spell_bytes(const AlignedText& source) {
  AlignedText out = source.empty_copy();
  std::string bytes;
  for (std::size_t at = 0; at < source.text.size(); ++at) {
    bytes.clear();
    append_utf8(bytes, byte_characters::of_byte[static_cast<unsigned char>(source.text[at])]);
    out.append(bytes, source, at, at + 1);
  }
  return out;
}

class ApplyNormalizer {
 public:
  explicit ApplyNormalizer(AlignedText& text) : text_(text) {}

  void operator()(NormalForm form) { text_ = normal_form(text_, form); }
  void operator()(const normalizers::Precompiled& step) { text_ = step.map.apply(text_); }
  void operator()(const normalizers::SentencePiece& step) { text_ = step.rules->apply(text_); }
  void operator()(const normalizers::WhitespaceTokens&) { text_ = whitespace_tokens::spell(text_); }
  void operator()(const normalizers::Lowercase&) { text_ = lower_case(text_); }
  void operator()(const normalizers::ByteLevel&) { text_ = spell_bytes(text_); }
  void operator()(const normalizers::StripAccents&) { drop(CharacterSet::accent); }
  void operator()(const normalizers::Bert& bert) {
    if (!text_.aligned && bert.clean_text && bert.chinese) return plain_bert(bert);
    general_bert(bert);
  }
  // ASCII, the Chinese characters of one block and their punctuation, which no step joins to what is around, character by character; what
  // lies between by the general steps.
  void plain_bert(const normalizers::Bert& bert) {
    static constexpr auto becomes = [] {  // by whether letters become lower case, and byte; 0: nothing
      std::array<std::array<char, 128>, 2> rows{};
      for (const char blank : {'\t', '\n', '\r'}) rows[0][static_cast<std::size_t>(blank)] = ' ';
      for (char c = ' '; c < 0x7f; ++c) rows[0][static_cast<std::size_t>(c)] = c;
      rows[1] = rows[0];
      for (char c = 'A'; c <= 'Z'; ++c) rows[1][static_cast<std::size_t>(c)] = static_cast<char>(c + 32);
      return rows;
    }();
    const std::array<char, 128>& ascii = becomes[bert.lower];
    AlignedText out = text_.empty_copy();
    const std::string_view text = text_.text;
    const auto is_chinese_block = [](char32_t c) { return c >= 0x4e00 && c <= 0x9fff; };
    const auto is_plain = [&](char32_t c) { return is_chinese_block(c) || (c >= 0x3001 && c <= 0x3011) || (c >= 0xff01 && c <= 0xff1f); };
    const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
    const auto is_simple = [&](std::size_t at) {
      return byte(at) < 0x80 || (byte(at) >= 0xe3 && utf8_length(text, at) == 3 && is_plain(code_point_at(text, at).value));
    };
    std::array<char, 4096 + 8> buffer;
    const char* const full = buffer.data() + 4096;
    for (std::size_t at = 0; at < text.size();) {
      char* to = buffer.data();
      const std::size_t before = at;
      while (to < full && at < text.size()) {
        const std::size_t run = at;
        for (; to < full && at < text.size() && byte(at) < 0x80; ++at) {
          *to = ascii[byte(at)];
          to += *to != 0;
        }
        for (std::uint32_t four = 0; to < full && text.size() - at >= 4; at += 3) {
          std::memcpy(&four, text.data() + at, 4);
          const char32_t value = utf8_three::value(four);
          if (!utf8_three::begins(four) || !is_plain(value)) break;
          *to = ' ';  // around Chinese characters
          to += is_chinese_block(value);
          std::memcpy(to, &four, 4);
          to[3] = ' ';
          to += 3 + is_chinese_block(value);
        }
        if (at == run) break;
      }
      out.text.append(buffer.data(), to);
      if (at > before) continue;
      std::size_t end = at;
      do end += code_point_at(text, end).length;
      while (end < text.size() && !is_simple(end));
      AlignedText part = text_.empty_copy();
      part.copy(text_, at, end);
      ApplyNormalizer(part).general_bert(bert);
      out.copy(part, 0, part.text.size());
      at = end;
    }
    text_ = std::move(out);
  }
  void general_bert(const normalizers::Bert& bert) {
    if (bert.clean_text)
      each([](char32_t c) -> std::string_view {
        if (c == 0 || c == 0xfffd) return {};
        if (c == '\t' || c == '\n' || c == '\r') return " ";
        if (in_set(c, CharacterSet::control)) return {};
        return category_bit(c) & category_sets::space ? std::string_view(" ") : keep;
      });
    if (bert.chinese) {
      AlignedText out = text_.empty_copy();
      std::size_t done = 0;
      for (std::size_t at = 0, length = 0; at < text_.text.size(); at += length) {
        const CodePoint point = code_point_at(text_.text, at);
        length = point.length;
        if (!is_chinese(point.value)) continue;
        out.copy(text_, done, at);
        out.append(" ", text_, at, at + length);
        out.copy(text_, at, at + length);
        out.append(" ", text_, at, at + length);
        done = at + length;
      }
      out.copy(text_, done, text_.text.size());
      text_ = std::move(out);
    }
    if (bert.accents) {
      text_ = normal_form(text_, NormalForm::nfd);
      drop(CharacterSet::bert_accent);
    }
    if (bert.lower) text_ = lower_case(text_);
  }
  void operator()(const normalizers::Strip& strip) {
    const std::string_view text = text_.text;
    std::size_t begin = 0, end = text.size(), length = 0;
    if (strip.left) begin = piece_scanner::skip(text, 0, category_sets::space);
    if (strip.right) {
      std::size_t last = begin;  // the end of the last character that is not white space
      for (std::size_t at = begin; at < text.size(); at += length)
        if ((piece_scanner::bit_at(text, at, length) & category_sets::space) == 0) last = at + length;
      end = last;
    }
    AlignedText out = text_.empty_copy();
    out.copy(text_, begin, end);
    text_ = std::move(out);
  }
  void operator()(const normalizers::Nmt&) {
    each([](char32_t c) -> std::string_view {
      if ((c >= 1 && c <= 8) || c == 0xb || (c >= 0xe && c <= 0x1f) || c == 0x7f || c == 0x8f || c == 0x9f) return {};
      const bool space = c == 9 || c == 0xa || c == 0xc || c == 0xd || c == 0x1680 || (c >= 0x200b && c <= 0x200f) || c == 0x2028 ||
                         c == 0x2029 || c == 0x2581 || c == 0xfeff || c == 0xfffd;
      return space ? std::string_view(" ") : keep;
    });
  }
  void operator()(const normalizers::Prepend& prepend) {
    if (text_.text.empty()) return;
    AlignedText out = text_.empty_copy();
    out.prepend(prepend.text, text_);
    out.copy(text_, 0, text_.text.size());
    text_ = std::move(out);
  }
  void operator()(const normalizers::Replace& replace) {
    AlignedText out = text_.empty_copy();
    std::size_t at = 0;
    replace.pattern.each(text_.text, [&](Piece match) {
      out.copy(text_, at, match.begin);
      std::size_t last = match.end;  // the content stands for the last character before its end, as in tokenizers
      while (last > 0 && (static_cast<unsigned char>(text_.text[--last]) & 0xc0) == 0x80) continue;
      out.append(replace.content, text_, last, match.end);
      at = match.end;
    });
    out.copy(text_, at, text_.text.size());
    text_ = std::move(out);
  }

 private:
  static constexpr std::string_view keep = "\1keep";
  static bool is_chinese(char32_t c) {
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) ||
           (c >= 0x2a700 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) || (c >= 0xf900 && c <= 0xfaff) ||
           (c >= 0x2f800 && c <= 0x2fa1f);
  }
  // Each character becomes what change(c) says, or stays if that is `keep`.
  template <class Change>
  void each(Change change) {
    AlignedText out = text_.empty_copy();
    std::size_t done = 0;  // what stays is copied in runs
    for (std::size_t at = 0, length = 0; at < text_.text.size(); at += length) {
      const CodePoint point = code_point_at(text_.text, at);
      length = point.length;
      const std::string_view into = change(point.value);
      if (into.data() == keep.data()) continue;
      out.copy(text_, done, at);
      out.append(into, text_, at, at + length);
      done = at + length;
    }
    if (done == 0) return;
    out.copy(text_, done, text_.text.size());
    text_ = std::move(out);
  }
  void drop(CharacterSet set) {
    each([set](char32_t c) -> std::string_view { return in_set(c, set) ? std::string_view() : keep; });
  }
  AlignedText& text_;
};

PLUME_FUNCTION void normalize(const Normalizer& normalizer, AlignedText& text) { std::visit(ApplyNormalizer(text), normalizer); }

PLUME_FUNCTION bool surely_keeps(const Normalizer& normalizer, std::string_view text) {
  const auto* form = std::get_if<NormalForm>(&normalizer);
  return form != nullptr && is_surely_in(text, *form);
}

}  // namespace plume::inline PLUME_ABI
#endif
