#pragma once
// Sound SentencePiece models and GGUF vocabularies, and one change to either: taken apart by their structure, written again, also wrongly.
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "malformed/gguf_writer.hpp"
#include "malformed/mutate.hpp"
#include "malformed/protobuf_writer.hpp"

namespace plume_test {

struct WireField {
  std::uint64_t key = 0;
  std::string value = {};  // of a bytes field without its length
};
inline std::optional<std::uint64_t> take_varint(std::string_view& bytes) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes[0]);
    bytes.remove_prefix(1);
    value |= std::uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}
inline std::optional<std::vector<WireField>> take_fields(std::string_view bytes) {
  std::vector<WireField> fields;
  while (!bytes.empty()) {
    const auto key = take_varint(bytes);
    if (!key || *key >> 3 == 0) return std::nullopt;
    std::optional<std::uint64_t> size;
    const std::string_view from = bytes;
    switch (*key & 7) {
      case 0:
        if (take_varint(bytes)) size = from.size() - bytes.size(), bytes = from;
        break;
      case 1:
        size = 8;
        break;
      case 2:
        size = take_varint(bytes);
        break;
      case 5:
        size = 4;
        break;
      default:
        break;
    }
    if (!size || *size > bytes.size()) return std::nullopt;
    fields.push_back({*key, std::string(bytes.substr(0, *size))});
    bytes.remove_prefix(*size);
  }
  return fields;
}

inline void damage_protobuf(std::string& bytes, Dice& dice, std::string_view other) {
  auto fields = take_fields(bytes);
  if (!fields || fields->empty() || dice.chance(5)) return mutate_bytes(bytes, dice, other);
  const std::size_t at = dice.below(fields->size());
  WireField& field = (*fields)[at];
  std::optional<std::uint64_t> wrong_length;
  switch (dice.below(12)) {
    case 0:
      fields->erase(fields->begin() + static_cast<std::ptrdiff_t>(at));
      break;
    case 1:
      fields->insert(fields->begin() + static_cast<std::ptrdiff_t>(dice.below(fields->size() + 1)), WireField(field));
      break;
    case 2:
      std::swap(field, dice.pick(*fields));
      break;
    case 3:
      field.key ^= dice.below(8);
      break;
    case 4:
      field.key += 8 * dice.below(4);
      break;
    case 5:
      wrong_length = dice.chance(50) ? field.value.size() + dice.below(4) : dice.random.next() >> dice.below(64);
      break;
    default:
      if ((field.key & 7) == 0) {
        const std::uint64_t values[] = {0, 1, 2, 3, 4, 5, 6, 7, 255, std::uint64_t{1} << 31, ~std::uint64_t{0}};
        field.value = varint(dice.pick(values));
      } else if ((field.key & 7) == 5) {
        const float value = dice.chance(50) ? any_float(dice) : static_cast<float>(-dice.random.uniform());
        field.value.assign(reinterpret_cast<const char*>(&value), sizeof value);
      } else if (take_fields(field.value) && dice.chance(90)) {
        damage_protobuf(field.value, dice, other);
      } else {
        mutate_bytes(field.value, dice, other);
      }
  }
  bytes.clear();
  for (std::size_t i = 0; i < fields->size(); ++i) {
    const WireField& each = (*fields)[i];
    bytes += varint(each.key);
    if ((each.key & 7) == 2) bytes += varint(i == at && wrong_length ? *wrong_length : each.value.size());
    bytes += each.value;
  }
}

inline std::vector<std::optional<std::string>> sound_sentencepiece(Dice& dice) {
  const bool fallback = dice.chance(30);
  std::vector<ModelPiece> pieces = {{"</s>", 0.0f, 3}, {"<s>", 0.0f, 3}};
  constexpr std::string_view texts[] = {"\xe2\x96\x81",
                                        "a",
                                        "b",
                                        "ab",
                                        "\xe2\x96\x81"
                                        "a",
                                        "\xc3\xa9",
                                        "hello",
                                        "\n",
                                        "12"};
  for (const std::string_view text : texts)
    if (dice.chance(70))
      pieces.push_back({std::string(text), static_cast<float>(-dice.random.uniform()), dice.chance(80) ? 1u : 4u + dice.below(2)});
  if (fallback)
    for (ModelPiece& piece : byte_pieces()) pieces.push_back(std::move(piece));
  std::string trainer = number_field(3, 1 + dice.below(4)) + number_field(35, fallback ? 1 : 0);
  if (dice.chance(30)) trainer += number_field(24, 1);
  if (dice.chance(30)) trainer += bytes_field(44, "?");
  std::string rules =
      dice.chance(50) ? number_field(3, dice.below(2)) + number_field(4, dice.below(2)) + number_field(5, dice.below(2)) : "";
  const std::string map = bytes_field(2, character_map(one_key_trie(), std::string_view("b\0", 2)));
  if (dice.chance(50)) rules += map;
  std::string bytes = bytes_field(2, trainer) + bytes_field(3, rules);
  if (dice.chance(20)) bytes += bytes_field(5, map + number_field(3, 0));
  std::vector<std::optional<std::string>> files(2);
  files[0] = bytes + pieces_bytes(pieces) + ModelPiece{"<unk>", 0.0f, 2}.bytes();  // last, so that no part of the file is a whole one
  if (dice.chance(30))
    files[1] =
        R"({"tokenizer_class":"LlamaTokenizer","legacy":false,"add_bos_token":true,"bos_token":"<s>","eos_token":{"content":"</s>"},"added_tokens_decoder":{"1":{"content":"<s>","special":true}}})";
  return files;
}

inline std::vector<std::optional<std::string>> sound_gguf(Dice& dice) {
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<std::int32_t> types = {2, 3, 3};
  std::vector<float> scores = {0, 0, 0};
  const auto add = [&](std::string_view token, std::int32_t type) {
    tokens.emplace_back(token), types.push_back(type), scores.push_back(static_cast<float>(-dice.random.uniform()));
  };
  const std::size_t kind = dice.below(4);  // llama, gpt2, bert, t5
  constexpr std::string_view names[] = {"llama", "gpt2", "bert", "t5"};
  std::vector<std::string> entries = {gguf_string("general.architecture", "llama"), gguf_string("tokenizer.ggml.model", names[kind])};
  if (kind == 1) {
    constexpr std::string_view pre[] = {"gpt-2", "llama-bpe", "qwen2", "falcon", "default"};
    for (unsigned byte = 0; byte < 256; ++byte) {
      unsigned point = byte;
      const auto plain = [](unsigned b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174; };
      if (!plain(byte)) {
        point = 256;
        for (unsigned b = 0; b < byte; ++b) point += plain(b) ? 0u : 1u;
      }
      std::string piece(1, static_cast<char>(point));
      if (point >= 0x80) piece = {static_cast<char>(0xc0 | point >> 6), static_cast<char>(0x80 | (point & 0x3f))};
      add(piece, 1);
    }
    add("ab", 1);
    add("<x>", 4);
    entries.push_back(gguf_texts("tokenizer.ggml.merges", {"a b"}));
    entries.push_back(gguf_string("tokenizer.ggml.pre", dice.pick(pre)));
  } else {
    constexpr std::string_view texts[] = {"\xe2\x96\x81",
                                          "a",
                                          "b",
                                          "ab",
                                          "\xe2\x96\x81"
                                          "a",
                                          "\xc3\xa9",
                                          "hello",
                                          "[x]",
                                          "12"};
    for (const std::string_view text : texts)
      if (dice.chance(70)) add(text, dice.chance(85) ? 1 : 4);
    if (kind == 0)
      for (const ModelPiece& piece : byte_pieces()) add(piece.text, 6);
    if (kind == 3)
      entries.push_back(
          gguf_array("tokenizer.ggml.precompiled_charsmap", 0, 4 + 4 * 256 + 2, character_map(one_key_trie(), std::string_view("b\0", 2))));
  }
  entries.push_back(gguf_texts("tokenizer.ggml.tokens", tokens));
  if (kind != 1) entries.push_back(gguf_numbers("tokenizer.ggml.scores", scores));
  entries.push_back(gguf_numbers("tokenizer.ggml.token_type", types));
  entries.push_back(gguf_u32("tokenizer.ggml.bos_token_id", 1));
  entries.push_back(gguf_u32("tokenizer.ggml.eos_token_id", 2));
  entries.push_back(gguf_u32("tokenizer.ggml.seperator_token_id", 2));
  entries.push_back(gguf_u32("tokenizer.ggml.unknown_token_id", 0));
  if (dice.chance(50)) entries.push_back(gguf_bool("tokenizer.ggml.add_bos_token", dice.chance(50)));
  return {gguf_file(entries)};
}

}  // namespace plume_test
