// libFuzzer on the readers of foreign files, one format a run:
//   plume_fuzz --format=safetensors [--seeds=FOLDER] [options and folders of libFuzzer]
// --seeds fills a folder with sound files to begin with. Half of the changes follow the structure of the files
// (tests/malformed/damage.hpp).
#include <cstdio>
#include <memory>

#include "malformed/joined.hpp"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

namespace {

struct Target {
  const plume_test::Format* format = nullptr;
  plume_test::Workshop place;
};
Target& target() {
  static Target one;
  return one;
}

void write_seeds(const std::string& folder) {
  std::filesystem::create_directories(folder);
  for (std::uint64_t seed = 0; seed < 16; ++seed) {
    plume_test::Dice dice(seed);
    std::ofstream(plume::concat(folder, "/seed-", seed), std::ios::binary) << plume_test::joined(target().format->sound(dice));
  }
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
  std::string seeds;
  for (int i = 1; i < *count; ++i) {
    const std::string_view argument = (*arguments)[i];
    if (argument.starts_with("--seeds=")) seeds = argument.substr(8);
    if (!argument.starts_with("--format=")) continue;
    for (const plume_test::Format& format : plume_test::formats())
      if (format.name == argument.substr(9)) target().format = &format;
  }
  if (target().format == nullptr) {
    std::fputs("--format= must be one of:", stderr);
    for (const plume_test::Format& format : plume_test::formats()) std::fprintf(stderr, " %s", std::string(format.name).c_str());
    std::fputs("\n", stderr);
    std::exit(2);
  }
  if (!seeds.empty()) write_seeds(seeds);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  plume_test::Files files = plume_test::parted(*target().format, {reinterpret_cast<const char*>(data), size});
  // Without their sums no change would get past the door.
  if (target().format->seal) target().format->seal(files);
  try {
    plume_test::outcome_of(*target().format, target().place, files);
  } catch (const std::logic_error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    __builtin_trap();
  }
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed) {
  plume_test::Dice dice(seed);
  if (dice.chance(50)) return LLVMFuzzerMutate(data, size, most);
  plume_test::Files files = plume_test::parted(*target().format, {reinterpret_cast<const char*>(data), size});
  const std::size_t i = dice.below(files.size());
  if (!files[i]) return LLVMFuzzerMutate(data, size, most);
  plume_test::damage(target().format->kinds[i], *files[i], dice, {});
  const std::string changed = plume_test::joined(files);
  if (changed.size() > most) return LLVMFuzzerMutate(data, size, most);
  std::memcpy(data, changed.data(), changed.size());
  return changed.size();
}
