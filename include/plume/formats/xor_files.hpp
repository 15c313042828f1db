#pragma once
// Models that were published as the exclusive or of their files and LLaMA's: who has the base gets the files back, byte for byte.
#include <string>

#include "plume/base/config.hpp"

namespace plume::inline PLUME_ABI {

// What follows where the base is shorter than the file.
enum class XorBase : std::uint8_t {
  zeros,    // OpenAssistant's xor_codec.py
  repeated  // the base from its start again: BELLE's encrypt.py and decrypt.py
};
// What stands before the bytes of the published file.
enum class XorHeader : std::uint8_t {
  none,   // OpenAssistant
  sha256  // the 32 bytes of the plain file's hash: BELLE
};

struct XorOptions {
  XorBase base = XorBase::zeros;
  XorHeader header = XorHeader::none;
  std::string sha256 = {};  // of the plain file, in hexadecimal, where the header has none and it was published; empty: not checked
};

// Writes the plain file from the published one and its base, all or nothing. FormatError: the result's hash is not the one that the header
// or the options say, so the base is another file than the one it was made with, and nothing is written; the file is shorter than its
// header.
PLUME_FUNCTION void apply_xor(const std::string& published, const std::string& base, const std::string& plain,
                              const XorOptions& options = {});
// Writes the file to publish. XorOptions::sha256 is not used.
PLUME_FUNCTION void make_xor(const std::string& plain, const std::string& base, const std::string& published,
                             const XorOptions& options = {});

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>
#include <vector>

#include "plume/base/atomic_save.hpp"
#include "plume/base/files.hpp"
#include "plume/base/sha256.hpp"

namespace plume::inline PLUME_ABI {

namespace xor_detail {

// Calls f with the exclusive or of a file and its base, piece by piece.
template <class F>
void for_each_piece(std::span<const std::byte> file, std::span<const std::byte> base, XorBase rule, F&& f) {
  std::vector<std::byte> piece;
  for (std::size_t begin = 0; begin < file.size(); begin += piece.size()) {
    const auto part = file.subspan(begin, std::min<std::size_t>(std::size_t{1} << 16, file.size() - begin));
    piece.assign(part.begin(), part.end());
    for (std::size_t i = 0; i < piece.size(); ++i) {
      const std::size_t at = begin + i;
      if (at < base.size())
        piece[i] ^= base[at];
      else if (rule == XorBase::repeated)
        piece[i] ^= base[at % base.size()];
    }
    f(std::span<const std::byte>(piece));
  }
}

inline std::shared_ptr<const FileMapping> open_base(const std::string& path) {
  auto base = FileMapping::open(path);
  if (base->bytes().empty()) throw FormatError(Where{.path = path}, "the base is empty");
  return base;
}

}  // namespace xor_detail

PLUME_FUNCTION void apply_xor(const std::string& published, const std::string& base, const std::string& plain, const XorOptions& options) {
  const auto file = FileMapping::open(published), key = xor_detail::open_base(base);
  std::span<const std::byte> bytes = file->bytes();
  std::string expected = options.sha256;
  if (options.header == XorHeader::sha256) {
    Sha256::Digest digest;
    if (bytes.size() < digest.size())
      throw FormatError(Where{.path = published}, concat("has ", bytes.size(), " bytes, expected at least the 32 of a hash"));
    std::copy_n(bytes.begin(), digest.size(), digest.begin());
    bytes = bytes.subspan(digest.size());
    expected = hexadecimal(digest);
  }
  atomic_save(plain, [&](FileWriter& out) {
    Sha256 hash;
    xor_detail::for_each_piece(bytes, key->bytes(), options.base, [&](std::span<const std::byte> piece) {
      hash.add(piece);
      out.write(piece);
    });
    const std::string found = hexadecimal(hash.finish());
    if (!expected.empty() && found != expected)
      throw FormatError(Where{.path = published},
                        concat("with the base ", base, " gives a file with sha256 ", found, ", expected ", expected,
                               ": it was made with another base, or one of the files is damaged; nothing was written"));
  });
}

PLUME_FUNCTION void make_xor(const std::string& plain, const std::string& base, const std::string& published, const XorOptions& options) {
  const auto file = FileMapping::open(plain), key = xor_detail::open_base(base);
  atomic_save(published, [&](FileWriter& out) {
    if (options.header == XorHeader::sha256) {
      Sha256 hash;
      hash.add(file->bytes());
      out.write(hash.finish());
    }
    xor_detail::for_each_piece(file->bytes(), key->bytes(), options.base, [&](std::span<const std::byte> piece) { out.write(piece); });
  });
}

}  // namespace plume::inline PLUME_ABI
#endif
