// Every prefix of a small file of each format, every byte changed in four ways, and every input that a fuzzer has kept: read and used, or
// refused by an error that names the file and says why. Under a sanitizer every third place is tried; with PLUME_FULL_SWEEP=1 (nightly) all.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <stdexcept>

#include "malformed/allocations.hpp"
#include "malformed/formats.hpp"
#include "malformed/joined.hpp"
#include "sanitized.hpp"
#include "test_data.hpp"

using namespace plume_test;

namespace {

struct Counts {
  std::size_t tried = 0, accepted = 0, failures = 0;
};

void attempt(const Format& format, const Workshop& place, const Files& files, std::string_view what, std::size_t at, Counts& counts) {
  if (counts.failures >= 5) return;
  ++counts.tried;
  try {
    const AllocationWatch watch;
    if (outcome_of(format, place, files) == Outcome::accepted) ++counts.accepted;
    if (watch.largest() > largest_allocation_beyond_file) throw std::logic_error("a large allocation");
  } catch (const std::logic_error& error) {
    ++counts.failures;
    FAIL_CHECK(std::string(format.name), ", ", std::string(what), " at ", at, ": ", std::string(error.what()));
  }
}

std::size_t stride() { return is_sanitized && std::getenv("PLUME_FULL_SWEEP") == nullptr ? 3 : 1; }

// A sound set of files, none absent.
Files whole(const Format& format) {
  for (std::uint64_t seed = 1;; ++seed) {
    Dice dice(seed);
    Files files = format.sound(dice);
    if (std::all_of(files.begin(), files.end(), [](const auto& file) { return file.has_value(); })) return files;
  }
}

}  // namespace

TEST_CASE("prefixes and changed bytes") {
  for (const Format& format : formats()) {
    // Many large files: the mutants and the fuzzer go through them.
    if (format.name == "families" || format.name == "heads" || format.name == "gguf_model" || format.name == "marian_tokenizer" ||
        format.name == "tokenizer_json")
      continue;
    const Workshop place;
    const Files sound = whole(format);
    REQUIRE(outcome_of(format, place, sound) == Outcome::accepted);
    Counts prefixes, changed;
    for (std::size_t i = 0; i < sound.size(); ++i) {
      if (format.name.starts_with("encoder") && sound[i]->size() > 16 << 10) continue;
      // All of the first 2 KiB, where headers lie, and of the end; every 23rd byte between.
      const auto next = [&](std::size_t at) { return at + stride() * (at < 2048 || at + 256 > sound[i]->size() ? 1 : 23); };
      const std::size_t accepted_before = prefixes.accepted;
      for (std::size_t size = 0; size < sound[i]->size(); size = next(size)) {
        Files files = sound;
        files[i]->resize(size);
        attempt(format, place, files, format.files[i], size, prefixes);
      }
      // A part of some lines is lines, and llama2.c's tokenizers end wherever a token does.
      const FileKind kind = format.kinds[i];
      if (kind != FileKind::lines && kind != FileKind::json_lines)
        CHECK(prefixes.accepted - accepted_before <= (kind == FileKind::tokenizer_bin ? 8 : 0));
      for (std::size_t at = 0; at < sound[i]->size(); at = next(at)) {
        const auto old = static_cast<unsigned char>((*sound[i])[at]);
        for (const unsigned value : {0x00u, 0xffu, old ^ 0x01u, old ^ 0x80u}) {
          if (value == old) continue;
          Files files = sound;
          (*files[i])[at] = static_cast<char>(static_cast<unsigned char>(value));
          attempt(format, place, files, format.files[i], at, changed);
        }
      }
    }
    std::cout << format.name << ": " << prefixes.tried << " prefixes, " << prefixes.accepted << " accepted; " << changed.tried
              << " changed bytes, " << changed.accepted << " accepted\n";
    if (format.seal) CHECK(prefixes.accepted + changed.accepted == 0);  // sums find every change
  }
}

TEST_CASE("a checkpoint whose state is cut or changed, and whose sums are right") {
  const Format& format = formats().back();
  REQUIRE(format.name == "checkpoint");
  const Workshop place;
  const Files sound = whole(format);
  Counts counts;
  for (const std::size_t i : {0u, 1u})
    for (std::size_t at = 0; at < sound[i]->size(); at += stride())
      for (const unsigned change : {0u, 0x01u, 0x80u}) {
        Files files = sound;
        if (change == 0)
          files[i]->resize(at);
        else
          (*files[i])[at] = static_cast<char>(static_cast<unsigned char>((*files[i])[at]) ^ change);
        format.seal(files);
        attempt(format, place, files, format.files[i], at, counts);
      }
  CHECK(counts.accepted > 0);
}

TEST_CASE("inputs that fuzzers found") {
  const std::filesystem::path folder = std::filesystem::path(PLUME_TEST_SOURCE_DIR) / "fuzz";
  for (const Format& format : formats()) {
    if (!std::filesystem::is_directory(folder / "corpus" / format.name)) continue;
    const Workshop place;
    Counts counts;
    for (const auto& entry : std::filesystem::directory_iterator(folder / "corpus" / format.name))
      attempt(format, place, parted(format, read_all(entry.path().string())), entry.path().filename().string(), 0, counts);
  }
}
