#pragma once
// The pieces of a text one after the other, as next_piece_end() of piece_scanner.hpp cuts them, many at a time: where pieces end follows
// from masks of 64 bytes by shifts and sums, without a branch a piece. What masks do not tell (contractions, spaces and numbers of several
// bytes, marks in words, what reaches beyond the window) is left to next_piece_end(). A window always begins where a piece does, so that
// nothing before it matters.
#include <bit>
#include <string_view>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "plume/base/config.hpp"
#include "plume/tokenizer/character_window.hpp"
#include "plume/tokenizer/piece_scanner.hpp"

namespace plume::inline PLUME_ABI {

template <PieceStyle style>
class PieceEnds {
 public:
  explicit PieceEnds(std::string_view text) : window_(text) {}

  // Where the piece that begins at `at` ends. `at` is 0 first, then what the last call returned; at < text.size().
  std::size_t next(std::size_t at) {
    if (ends_ == 0) {
      begin_ = at;
      ends_ = known_ends(at);
      if (ends_ == 0) return next_piece_end<style>(window_, at);
    }
    const auto end = static_cast<std::size_t>(std::countr_zero(ends_));
    ends_ &= ends_ - 1;
    return begin_ + end;
  }

 private:
  using Bits = std::uint64_t;
  static constexpr bool after_any = style.word != PieceStyle::Word::after_space, cased = style.word == PieceStyle::Word::cased;

  // The ends of the first pieces of the window at `at`: as many as are certain.
  Bits known_ends(std::size_t at) {
    const CharacterWindow::View view = window_.view(at);
    const Bits letters = view.mask[CharacterWindow::letters], numbers = view.mask[CharacterWindow::numbers],
               all_spaces = view.mask[CharacterWindow::spaces], symbols = view.valid & ~(letters | numbers | all_spaces);
    const Bits blanks = equal(view.bytes, ' '), quotes = equal(view.bytes, '\'');
    const Bits newlines = style.newlines_end_space ? equal(view.bytes, '\n') | equal(view.bytes, '\r') : 0;
    Bits hard = view.irregular;  // a piece with such a byte in it is not known
    if constexpr (cased) hard |= view.marks | view.marks >> 1;

    // Line breaks behind symbols belong to their piece.
    Bits spaces = all_spaces, breaks = newlines;
    if constexpr (style.tail != PieceStyle::Tail::nothing) {
      const Bits first = symbols << 1 & newlines, behind = first + newlines;
      const Bits taken = newlines & ~behind;  // the sum carries through runs that begin with a bit of `first`
      spaces &= ~taken, breaks &= ~taken;
      if constexpr (style.tail == PieceStyle::Tail::newlines_and_slashes) hard |= (taken << 1 & equal(view.bytes, '/')) >> 1;
    }

    // White space: all but the last character, up to the last line break where there is one.
    const Bits first_space = spaces & ~(spaces << 1), plain = spaces & ~breaks;
    Bits ends = first_space | (plain & ~(spaces >> 1));
    if constexpr (style.newlines_end_space) {
      Bits behind_break = plain & breaks << 1;  // up to the last one
      for (Bits blank_lines = (behind_break + plain) & ~plain & breaks; blank_lines != 0; blank_lines &= blank_lines - 1) {
        const Bits before = behind_break & ((blank_lines & -blank_lines) - 1);
        behind_break &= ~std::bit_floor(before);
      }
      ends |= behind_break;
    }

    // Words, behind what may lead them.
    const Bits first_letter = letters & ~(letters << 1), first_symbol = symbols & ~(symbols << 1);
    Bits led = (after_any ? plain : blanks) << 1;
    if constexpr (after_any) {
      const Bits alone = (first_symbol & ~(blanks << 1)) << 1, inside = symbols & view.continuing;
      led |= (alone + inside) & ~inside;  // behind one symbol, of any number of bytes
    }
    ends |= first_letter & ~led;
    if constexpr (cased) {
      const Bits upper = view.mask[CharacterWindow::upper], lower = view.mask[CharacterWindow::lower];
      ends |= upper & ~lower & lower << 1;
      hard |= upper & lower & (upper & ~lower) >> 1;  // letters without case may belong to either run
    }

    // Numbers and symbols.
    const Bits first_number = numbers & ~(numbers << 1), first_led = blanks << 1;
    if constexpr (style.digits == 0) {
      ends |= first_number & ~first_led;
    } else if constexpr (style.digits == 1) {
      ends |= numbers;
    } else {
      ends |= first_number;
      if constexpr (style.digits != PieceStyle::any_digits) {
        static_assert(style.digits == 3);
        const Bits fourth = numbers & numbers << 1 & numbers << 2 & numbers << 3;
        for (Bits group = first_number << 3 & fourth; group != 0; group = group << 3 & fourth) ends |= group;
      }
    }
    ends |= first_symbol & ~first_led;

    if constexpr (style.contraction == PieceStyle::Contraction::word_end)
      hard |= (quotes & letters << 1) >> 1;
    else if constexpr (style.contraction != PieceStyle::Contraction::none)
      hard |= quotes & (ends | 1);

    // White space up to the edge may go on in the next window.
    const int open = std::countl_one(all_spaces | ~view.valid);
    if (open > 0) ends &= open >= 64 ? 0 : (Bits{2} << (64 - open)) - 1;
    if (hard != 0) ends &= ((hard & -hard) << 1) - 1;
    return ends & ~Bits{1};
  }

  static Bits equal(const char* bytes, char value) {
#if defined(__SSE2__)
    Bits mask = 0;
    for (int at = 0; at < 64; at += 16) {
      const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + at));
      mask |= Bits{static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(block, _mm_set1_epi8(value))))} << at;
    }
    return mask;
#else
    Bits mask = 0;
    for (unsigned at = 0; at < 64; ++at) mask |= Bits{bytes[at] == value} << at;
    return mask;
#endif
  }

  CharacterWindow window_;
  std::size_t begin_ = 0;
  std::uint64_t ends_ = 0;  // of pieces that are not asked for yet, behind begin_
};

}  // namespace plume::inline PLUME_ABI
