#pragma once
// The pre-tokenisers of tokenizer.json [huggingface/tokenizers tokenizers/src/pre_tokenizers], as data and one function.
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/tokenizer/normalizers.hpp"

namespace plume::inline PLUME_ABI {

// What becomes of the matches of a pattern.
enum class SplitBehavior : std::uint8_t { removed, isolated, merged_with_previous, merged_with_next, contiguous };
enum class PrependScheme : std::uint8_t { first, never, always };

namespace pre_tokenizers {
struct ByteLevel {
  bool add_prefix_space = true, use_regex = true;
};
struct Bert {};
struct Whitespace {};
struct WhitespaceSplit {};
struct Split {
  TextPattern pattern;
  SplitBehavior behavior;
  bool inverted = false;
};
struct Delimiter {
  char32_t delimiter;
};
struct Metaspace {
  std::string replacement;
  PrependScheme prepend = PrependScheme::always;
  bool split = true;
};
struct Punctuation {
  SplitBehavior behavior = SplitBehavior::isolated;
};
struct Digits {
  bool individual = false;
};
struct UnicodeScripts {};
struct FixedLength {
  std::size_t length;
};
}  // namespace pre_tokenizers

using PreTokenizer =
    std::variant<pre_tokenizers::ByteLevel, pre_tokenizers::Bert, pre_tokenizers::Whitespace, pre_tokenizers::WhitespaceSplit,
                 pre_tokenizers::Split, pre_tokenizers::Delimiter, pre_tokenizers::Metaspace, pre_tokenizers::Punctuation,
                 pre_tokenizers::Digits, pre_tokenizers::FixedLength, pre_tokenizers::UnicodeScripts>;

// Text and the pieces it is cut into so far.
struct PieceText {
  AlignedText text;
  std::vector<Piece> pieces;
  bool starts = true;  // the text stands at the start of what the caller gave
};

enum class SpellBytes : std::uint8_t { yes, no };  // no: the model works on bytes, so ByteLevel leaves them as they are

PLUME_FUNCTION void pre_tokenize(const PreTokenizer& step, PieceText& text, SpellBytes spell);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>
#include <iterator>

#include "plume/tokenizer/unicode_scripts.hpp"

namespace plume::inline PLUME_ABI {

class ApplyPreTokenizer {
 public:
  ApplyPreTokenizer(PieceText& text, SpellBytes spell) : text_(text), spell_(spell) {}

  void operator()(const pre_tokenizers::ByteLevel& step) {
    if (step.add_prefix_space) prepend_to_pieces(" ", [](const Piece&) { return true; });
    if (step.use_regex)
      cut(
          [](std::string_view piece, auto&& match) {
            for (std::size_t at = 0; at < piece.size();) {
              const std::size_t end = piece_end<piece_styles::gpt2>(piece, at);
              match(at, end);
              at = end;
            }
          },
          SplitBehavior::isolated);
    if (spell_ == SpellBytes::yes) map_pieces([](const AlignedText& piece) { return spell_bytes(piece); });
  }
  void operator()(const pre_tokenizers::Bert&) {
    by_character([](char32_t c) { return (category_bit(c) & category_sets::space) != 0; }, SplitBehavior::removed);
    by_character([](char32_t c) { return in_set(c, CharacterSet::punctuation); }, SplitBehavior::isolated);
  }
  void operator()(const pre_tokenizers::Whitespace&) {  // \w+|[^\w\s]+
    cut(
        [this](std::string_view piece, auto&& match) {
          const auto kind_at = [&](std::size_t at, std::size_t& length) {
            const CodePoint point = code_point_at(piece, at);
            length = point.length;
            if (category_bit(point.value) & category_sets::space) return 0;
            return is_word(point.value) ? 1 : 2;
          };
          std::size_t length = 0;
          for (std::size_t at = 0; at < piece.size();) {
            const int kind = kind_at(at, length);
            std::size_t end = at + length;
            while (end < piece.size() && kind_at(end, length) == kind) end += length;
            if (kind == 0)
              match(at, end);
            else if (end < piece.size() && kind_at(end, length) != 0)
              split_at(end);
            at = end;
          }
        },
        SplitBehavior::removed);
  }
  void operator()(const pre_tokenizers::WhitespaceSplit&) {
    by_character([](char32_t c) { return (category_bit(c) & category_sets::space) != 0; }, SplitBehavior::removed);
  }
  void operator()(const pre_tokenizers::Split& step) {
    cut([&](std::string_view piece, auto&& match) { step.pattern.each(piece, [&](Piece found) { match(found.begin, found.end); }); },
        step.behavior, step.inverted);
  }
  void operator()(const pre_tokenizers::Delimiter& step) {
    by_character([&](char32_t c) { return c == step.delimiter; }, SplitBehavior::removed);
  }
  void operator()(const pre_tokenizers::Metaspace& step) {
    map_pieces([&](const AlignedText& piece) {
      AlignedText out = piece.empty_copy();
      const bool at_start = text_.starts && (piece.aligned && !piece.from.empty() ? piece.from[0].begin == 0 : piece_begin_ == 0);
      const std::string_view text = piece.text;
      const bool wanted = step.prepend == PrependScheme::always || (step.prepend == PrependScheme::first && at_start);
      if (wanted && !text.empty() && !text.starts_with(step.replacement) && text[0] != ' ') out.prepend(step.replacement, piece);
      for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] == ' ')
          out.append(step.replacement, piece, at, at + 1);
        else
          out.copy(piece, at, at + 1);
      }
      return out;
    });
    if (step.split)
      cut(
          [&](std::string_view piece, auto&& match) {
            for (std::size_t at = piece.find(step.replacement); at != piece.npos;
                 at = piece.find(step.replacement, at + step.replacement.size()))
              match(at, at + step.replacement.size());
          },
          SplitBehavior::merged_with_next);
  }
  void operator()(const pre_tokenizers::Punctuation& step) {
    by_character([](char32_t c) { return in_set(c, CharacterSet::punctuation); }, step.behavior);
  }
  void operator()(const pre_tokenizers::Digits& step) {
    by_character([](char32_t c) { return in_set(c, CharacterSet::numeric); },
                 step.individual ? SplitBehavior::isolated : SplitBehavior::contiguous);
  }
  // As tokenizers: what stands before the first character that has a script is lost.
  void operator()(const pre_tokenizers::UnicodeScripts&) {
    cut(
        [this](std::string_view piece, auto&& match) {
          std::uint32_t last = any_script;
          std::vector<std::size_t> borders;
          for (std::size_t at = 0, length = 0; at < piece.size(); at += length) {
            const CodePoint point = code_point_at(piece, at);
            length = point.length;
            const std::uint32_t script = script_of(point.value);
            if (script == any_script) continue;
            if (script != last) borders.push_back(at);
            last = script;
          }
          match(0, borders.empty() ? piece.size() : borders[0]);
          for (const std::size_t border : borders) split_at(border);
        },
        SplitBehavior::removed);
  }
  void operator()(const pre_tokenizers::FixedLength& step) {
    cut(
        [&](std::string_view piece, auto&& match) {
          for (std::size_t at = 0, end = 0; at < piece.size(); at = end) {
            for (std::size_t count = 0; count < step.length && end < piece.size(); ++count) end += code_point_at(piece, end).length;
            match(at, end);
          }
        },
        SplitBehavior::isolated);
  }

 private:
  static bool is_word(char32_t c) {  // \w of the regex crate: Oniguruma's without six characters of Latin-1, with the two joiners
    if (c == 0xb2 || c == 0xb3 || c == 0xb9 || c == 0xbc || c == 0xbd || c == 0xbe) return false;
    return c == 0x200c || c == 0x200d || in_set(c, CharacterSet::word);
  }

  static constexpr std::uint32_t any_script = 0xffffffff;
  static std::uint32_t script_of(char32_t c) {
    const auto after = std::upper_bound(std::begin(unicode_scripts::ranges), std::end(unicode_scripts::ranges), c,
                                        [](char32_t value, const char32_t(&row)[3]) { return value < row[0]; });
    if (after == std::begin(unicode_scripts::ranges) || c > (*(after - 1))[1]) return any_script;
    return (*(after - 1))[2];
  }

  struct Part {
    std::size_t begin, end;
    bool match;
  };
  void split_at(std::size_t at) { borders_.push_back(at); }

  // Cuts every piece at the matches that matches(piece, match) reports, in order.
  template <class Matches>
  void cut(Matches matches, SplitBehavior behavior, bool inverted = false) {
    std::vector<Piece> result;
    result.reserve(text_.pieces.size() * 2);
    std::vector<Part> parts;
    for (const Piece& piece : text_.pieces) {
      const std::string_view view = std::string_view(text_.text.text).substr(piece.begin, piece.end - piece.begin);
      parts.clear();
      borders_.clear();
      std::size_t at = 0;
      const auto gap = [&](std::size_t end) {
        for (const std::size_t border : borders_) {
          if (border > at && border < end) parts.push_back({at, border, inverted}), at = border;
        }
        borders_.clear();
        if (at < end) parts.push_back({at, end, inverted});
        at = end;
      };
      matches(view, [&](std::size_t begin, std::size_t end) {
        gap(begin);
        parts.push_back({begin, end, !inverted});  // an empty match cuts as well
        at = end;
      });
      gap(view.size());
      arrange(parts, behavior);
      for (const Part& part : parts)
        if (part.begin < part.end) result.push_back({piece.begin + part.begin, piece.begin + part.end});
    }
    text_.pieces = std::move(result);
  }
  static void arrange(std::vector<Part>& parts, SplitBehavior behavior) {
    std::vector<Part> out;
    bool previous = false;
    switch (behavior) {
      case SplitBehavior::isolated:
        return;
      case SplitBehavior::removed:
        for (const Part& part : parts)
          if (!part.match) out.push_back(part);
        break;
      case SplitBehavior::contiguous:
        for (const Part& part : parts) {
          if (!out.empty() && out.back().match == part.match)
            out.back().end = part.end;
          else
            out.push_back(part);
        }
        break;
      case SplitBehavior::merged_with_previous:
        for (const Part& part : parts) {
          if (part.match && !previous && !out.empty())
            out.back().end = part.end;
          else
            out.push_back(part);
          previous = part.match;
        }
        break;
      case SplitBehavior::merged_with_next:
        for (std::size_t i = parts.size(); i-- > 0;) {
          if (parts[i].match && !previous && !out.empty())
            out.back().begin = parts[i].begin;
          else
            out.push_back(parts[i]);
          previous = parts[i].match;
        }
        std::reverse(out.begin(), out.end());
        break;
    }
    parts = std::move(out);
  }
  template <class Is>
  void by_character(Is is, SplitBehavior behavior) {
    cut(
        [&](std::string_view piece, auto&& match) {
          for (std::size_t at = 0, length = 0; at < piece.size(); at += length) {
            const CodePoint point = code_point_at(piece, at);
            length = point.length;
            if (is(point.value)) match(at, at + length);
          }
        },
        behavior);
  }
  template <class Change>
  void map_pieces(Change change) {
    AlignedText out = text_.text.empty_copy();
    for (Piece& piece : text_.pieces) {
      AlignedText part = text_.text.empty_copy();
      part.copy(text_.text, piece.begin, piece.end);
      piece_begin_ = piece.begin;
      const AlignedText changed = change(part);
      piece.begin = out.text.size();
      out.copy(changed, 0, changed.text.size());
      piece.end = out.text.size();
    }
    text_.text = std::move(out);
  }
  template <class Wanted>
  void prepend_to_pieces(std::string_view prefix, Wanted wanted) {
    map_pieces([&](const AlignedText& piece) {
      AlignedText out = piece.empty_copy();
      if (!piece.text.empty() && !std::string_view(piece.text).starts_with(prefix) && wanted(Piece{})) out.prepend(prefix, piece);
      out.copy(piece, 0, piece.text.size());
      return out;
    });
  }

  PieceText& text_;
  SpellBytes spell_;
  std::size_t piece_begin_ = 0;
  std::vector<std::size_t> borders_;
};

PLUME_FUNCTION void pre_tokenize(const PreTokenizer& step, PieceText& text, SpellBytes spell) {
  std::visit(ApplyPreTokenizer(text, spell), step);
}

}  // namespace plume::inline PLUME_ABI
#endif
