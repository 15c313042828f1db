#pragma once
// One change to a file of a known kind; what the kinds share is in mutate.hpp.
#include <algorithm>

#include "malformed/damage_gguf.hpp"
#include "malformed/damage_vocabularies.hpp"
#include "malformed/mutate.hpp"

namespace plume_test {

inline void damage_json(std::string& bytes, Dice& dice, std::string_view other) {
  auto root = JsonTaker(bytes).take();
  if (!root || dice.chance(10)) return mutate_bytes(bytes, dice, other);
  const auto lender = dice.chance(20) ? JsonTaker(other).take() : std::nullopt;
  mutate_json(*root, dice, lender ? &*lender : nullptr);
  bytes = root->spelled();
}

inline void damage_lines(std::string& bytes, Dice& dice, std::string_view other, bool json) {
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < bytes.size();) {
    const std::size_t end = std::min(bytes.find('\n', begin), bytes.size());
    lines.push_back(bytes.substr(begin, end - begin));
    begin = end + 1;
  }
  if (lines.empty() || dice.chance(10)) return mutate_bytes(bytes, dice, other);
  std::string& line = dice.pick(lines);
  switch (dice.below(json ? 20u : 10u)) {
    case 0:
      lines.insert(lines.begin(), std::string(line));
      break;
    case 1:
      lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(dice.below(lines.size())));
      break;
    case 2:
      std::swap(line, dice.pick(lines));
      break;
    case 3:
      line += dice.chance(50) ? "\r" : " ";
      break;
    case 4:
      line += dice.pick(lines);
      break;
    case 5:
      line.insert(dice.below(line.size() + 1), 1, ' ');
      break;
    case 6:
      lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(dice.below(lines.size())), dice.chance(50) ? "" : " \t");
      break;
    default:
      if (json)
        damage_json(line, dice, other.substr(0, other.find('\n')));
      else
        mutate_bytes(line, dice, other);
  }
  bytes.clear();
  for (const std::string& each : lines) bytes.append(each).append("\n");
}

inline void damage_safetensors(std::string& bytes, Dice& dice, std::string_view other) {
  const std::uint64_t size = bytes.size() < 8 ? 0 : number_at<std::uint64_t>(bytes, 0);
  if (bytes.size() < 8 || size > bytes.size() - 8) return mutate_bytes(bytes, dice, other);
  std::string header = bytes.substr(8, size), data = bytes.substr(8 + size);
  const auto write = [&] {
    bytes.clear();
    put(bytes, static_cast<std::uint64_t>(header.size()));
    bytes += header + data;
  };
  switch (dice.below(10)) {
    case 0:
      return mutate_number<std::uint64_t>(bytes, 0, dice);
    case 1:
      data.resize(data.size() + 4 - dice.below(9) % (data.size() + 5));
      return write();
    case 2: {
      constexpr std::string_view padding[] = {" ", "        ", "\n", "\t ", "x", "}"};
      header.insert(dice.chance(80) ? header.size() : 0, dice.pick(padding));
      return write();
    }
    case 3:
      if (data.size() >= 4) {
        const float value = any_float(dice);
        std::memcpy(data.data() + dice.below(data.size() / 4) * 4, &value, 4);
      }
      return write();
    case 4:
      return mutate_bytes(bytes, dice, other);
    default:
      damage_json(header, dice, {});
      return write();
  }
}

inline void damage_llama2c(std::string& bytes, Dice& dice, std::string_view other) {
  const bool is_new = bytes.size() > 256 && bytes.starts_with("24ka");  // versions 1 and 2
  const std::size_t header = is_new ? 256 : 28;
  if (bytes.size() < header) return mutate_bytes(bytes, dice, other);
  switch (dice.below(6)) {
    case 0:
    case 1: {
      const std::size_t field = dice.below(is_new ? 10u : 7u);
      if (field == 9) return mutate_number<std::int32_t>(bytes, 37, dice);
      return mutate_number<std::int32_t>(bytes, 4 * field, dice);
    }
    case 2:
      bytes.resize(bytes.size() + 16 - 4 * dice.below(9) % (bytes.size() + 17));
      return;
    case 3:
    case 4:
      if (bytes.size() >= header + 4) {
        const float value = any_float(dice);
        std::memcpy(bytes.data() + header + 4 * dice.below((bytes.size() - header) / 4), &value, 4);
      }
      return;
    default:
      return mutate_bytes(bytes, dice, other);
  }
}

inline void damage_tokenizer_bin(std::string& bytes, Dice& dice, std::string_view other) {
  std::vector<std::size_t> begins;  // of whole tokens
  for (std::size_t at = 4; at + 8 <= bytes.size();) {
    const std::uint64_t length = number_at<std::uint32_t>(bytes, at + 4);
    if (length > bytes.size() - at - 8) break;
    begins.push_back(at);
    at += 8 + length;
  }
  if (begins.empty()) return mutate_bytes(bytes, dice, other);
  const bool late = dice.chance(70) && begins.size() > 259;  // the first 259 leave no choice
  const std::size_t token = late ? dice.between(259, begins.size() - 1) : dice.below(begins.size());
  const std::size_t at = begins[token], size = 8 + number_at<std::uint32_t>(bytes, at + 4);
  switch (dice.below(8)) {
    case 0:
      return mutate_number<std::uint32_t>(bytes, 0, dice);
    case 1: {
      const float score = any_float(dice);
      std::memcpy(bytes.data() + at, &score, 4);
      return;
    }
    case 2:
      return mutate_number<std::uint32_t>(bytes, at + 4, dice);
    case 3:
      bytes.erase(at, size);
      return;
    case 4:
      bytes.insert(at, bytes.substr(at, size));
      return;
    case 5:  // one byte more, and the length says so
      bytes.insert(at + 8, 1, static_cast<char>(static_cast<unsigned char>(dice.below(256))));
      bytes[at + 4] = static_cast<char>(bytes[at + 4] + 1);
      return;
    case 6:
      if (size > 8) bytes[at + 8 + dice.below(size - 8)] = static_cast<char>(static_cast<unsigned char>(dice.below(256)));
      return;
    default:
      return mutate_bytes(bytes, dice, other);
  }
}

inline void damage(FileKind kind, std::string& bytes, Dice& dice, std::string_view other) {
  switch (kind) {
    case FileKind::json:
      return damage_json(bytes, dice, other);
    case FileKind::json_lines:
      return damage_lines(bytes, dice, other, true);
    case FileKind::lines:
      return damage_lines(bytes, dice, other, false);
    case FileKind::safetensors:
      return damage_safetensors(bytes, dice, other);
    case FileKind::llama2c:
      return damage_llama2c(bytes, dice, other);
    case FileKind::tokenizer_bin:
      return damage_tokenizer_bin(bytes, dice, other);
    case FileKind::protobuf:
      return damage_protobuf(bytes, dice, other);
    case FileKind::gguf:
      return damage_gguf(bytes, dice, other);
  }
}

}  // namespace plume_test
