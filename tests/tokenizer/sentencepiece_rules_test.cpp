// Texts that SentencePiece's rules change are copied in runs where no character changes: beside the steps that ask about each place, with
// the maps of models and one put together here.
#include "plume/tokenizer/sentencepiece_rules.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "malformed/protobuf_writer.hpp"
#include "plume/base/text.hpp"
#include "plume/base/utf8.hpp"
#include "plume/tokenizer/unicode.hpp"
#include "test_data.hpp"

using plume::AlignedText, plume::PrecompiledMap, plume::SentencePieceRules, plume::Spans;

namespace {

struct SampleMap {
  std::string name, bytes;
  std::map<std::string, std::string> keys;
};

// The first field of a protocol buffer's message with this number that holds bytes.
std::string field_of(std::string_view message, std::uint64_t number) {
  std::size_t at = 0;
  const auto next = [&] {
    std::uint64_t value = 0;
    for (unsigned shift = 0; at < message.size(); shift += 7) {
      const auto byte = static_cast<unsigned char>(message[at++]);
      value |= std::uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) break;
    }
    return value;
  };
  while (at < message.size()) {
    const std::uint64_t tag = next();
    if (tag % 8 == 0)
      next();
    else if (tag % 8 == 5)
      at += 4;
    else if (tag % 8 == 1)
      at += 8;
    else {
      const std::size_t size = next();
      if (tag / 8 == number) return std::string(message.substr(at, size));
      at += size;
    }
  }
  return {};
}

// A trie with 256 units for each place that a key leads through.
std::string map_of(const std::map<std::string, std::string>& keys) {
  std::vector<std::string> places{""};
  for (const auto& [key, text] : keys)
    for (std::size_t size = 1; size <= key.size(); ++size) places.push_back(key.substr(0, size));
  std::sort(places.begin(), places.end());
  places.erase(std::unique(places.begin(), places.end()), places.end());
  const auto base_of = [&](const std::string& place) {
    return static_cast<std::uint32_t>(256 * (1 + (std::lower_bound(places.begin(), places.end(), place) - places.begin())));
  };
  std::vector<std::uint32_t> units(256 * (places.size() + 1));
  const auto leading_to = [](std::uint32_t offset) { return offset < 1u << 21 ? offset << 10 : (offset >> 8 << 10 | 0x200u); };
  units[0] = leading_to(base_of(""));
  std::string texts;
  for (const std::string& place : places) {
    if (place.empty()) continue;
    const auto byte = static_cast<unsigned char>(place.back());
    const std::uint32_t node = base_of(place.substr(0, place.size() - 1)) ^ byte;
    units[node] = byte | leading_to(node ^ base_of(place));
    const auto key = keys.find(place);
    if (key == keys.end()) continue;
    units[node] |= 0x100;
    units[base_of(place)] = 0x80000000u | static_cast<std::uint32_t>(texts.size());
    texts += key->second + '\0';
  }
  return plume_test::character_map(units, texts);
}

const std::map<std::string, std::string> own_keys = {{"a", "b"},
                                                     {"bc", "a"},
                                                     {"b\u0301", "\u00e9"},
                                                     {"\u00e9", "e\u0301"},
                                                     {"\u4e2d\u4e2d", " "},
                                                     {"\u4e2d\u6587x", ""},
                                                     {"\u3000", " "},
                                                     {"\t", " "},
                                                     {"\r\n", " \n "},
                                                     {"  ", "_"},
                                                     {"\u2581\u2581", "\u2581"},
                                                     {"z", ""},
                                                     {"\uffff", "\uffff"},
                                                     {"\ud7ff\u0300", "x"},
                                                     {"\U00010000", "y"},
                                                     {"\U0001f642", " :) "},
                                                     {"\U0001f600\U0001f600", "  "},
                                                     {"\xe4q", "half"},
                                                     {"\xff", "\u00ff"}};

// All keys of a map, found by walking its trie as the format says: `place` leads to the bytes that go on, below it at 0 lies a text's
// place.
std::map<std::string, std::string> keys_of(std::string_view bytes) {
  const auto word = [&](std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = 4; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
    return value;
  };
  const std::uint32_t size = word(0);
  const std::string_view texts = bytes.substr(4 + size);
  std::map<std::string, std::string> keys;
  const auto walk = [&](const auto& self, std::uint32_t place, const std::string& prefix) -> void {
    for (std::uint32_t byte = 1; byte < 256; ++byte) {
      const std::uint32_t node = place ^ byte;
      if (4 * std::size_t{node} >= size) continue;
      const std::uint32_t unit = word(4 + 4 * std::size_t{node});
      if ((unit & 0x800000ffu) != byte) continue;
      const std::uint32_t next = node ^ ((unit >> 10) << ((unit & 0x200u) >> 6));
      const std::string key = prefix + static_cast<char>(byte);
      if ((unit >> 8 & 1) != 0) {
        const std::uint32_t begin = word(4 + 4 * std::size_t{next}) & 0x7fffffffu;
        keys[key] = texts.substr(begin, texts.find('\0', begin) - begin);
      }
      self(self, next, key);
    }
  };
  const std::uint32_t root = word(4);
  walk(walk, (root >> 10) << ((root & 0x200u) >> 6), "");
  return keys;
}

std::vector<SampleMap> read_maps() {
  std::vector<SampleMap> out{{"own", map_of(own_keys), {}}};
  const auto add = [&](const std::string& path) {
    std::string map = field_of(field_of(plume_test::read_all(path), 3), 2);
    const bool known = std::any_of(out.begin(), out.end(), [&](const SampleMap& other) { return other.bytes == map; });
    if (!map.empty() && !known) out.push_back({path, std::move(map), {}});
  };
  add(plume_test::golden("sentencepiece/unigram_map.model"));
  for (const char* name : {"hf-fixtures/spiece.model", "hf-fixtures/test_sentencepiece.model", "sentencepiece/test_model.model"})
    if (const auto path = plume_test::test_data(plume::concat("tokenizers/", name))) add(*path);
  for (SampleMap& map : out) map.keys = keys_of(map.bytes);
  return out;
}
const std::vector<SampleMap>& sample_maps() {
  static const std::vector<SampleMap> maps = read_maps();
  return maps;
}

std::string shown(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 60)) out += plume::concat(static_cast<int>(static_cast<unsigned char>(c)), " ");
  return out;
}

constexpr unsigned rule_kinds = 128;
SentencePieceRules rules_of(const std::optional<PrecompiledMap>& map, unsigned kind) {
  SentencePieceRules rules;
  rules.map = map;
  rules.remove_extra_whitespaces = (kind & 1) == 0;
  rules.escape_whitespaces = (kind & 2) == 0;
  rules.add_dummy_prefix = (kind & 4) == 0;
  rules.whitespace_as_suffix = (kind & 8) != 0;
  rules.keep_malformed = (kind & 16) != 0;
  rules.keep_leading_space = (kind & 32) != 0;
  return rules;
}

// Whether where each byte comes from is kept decides which way is gone: in runs, or place by place.
void check(const SentencePieceRules& rules, bool starts, std::string_view text) {
  AlignedText quick = AlignedText::of(text, 0, Spans::skip), slow = AlignedText::of(text, 0, Spans::keep);
  quick.starts = slow.starts = starts;
  const std::string got = rules.apply(quick).text, expected = rules.apply(slow).text;
  if (got == expected) return;
  std::size_t at = 0;
  while (at < std::min(got.size(), expected.size()) && got[at] == expected[at]) ++at;
  FAIL_CHECK("text of ", text.size(), " bytes ", shown(text), ": at ", at, " ", shown(got.substr(at)), " and not ",
             shown(expected.substr(at)));
}

std::vector<std::string> sample_of(const std::map<std::string, std::string>& keys, std::size_t count, std::mt19937& random) {
  std::vector<std::string> all;
  for (const auto& [key, text] : keys) all.push_back(key);
  std::shuffle(all.begin(), all.end(), random);
  all.resize(std::min(all.size(), count));
  return all;
}

}  // namespace

TEST_CASE("A character that a map surely keeps begins no key, and most that begin none are surely kept") {
  std::mt19937 random(20261127);
  for (const SampleMap& sample : sample_maps()) {
    CAPTURE(sample.name);
    const PrecompiledMap map = PrecompiledMap::read(sample.bytes, {});
    const std::map<std::string, std::string>& keys = sample.keys;
    if (sample.name == "own") REQUIRE(keys == own_keys);
    std::vector<bool> begins(0x10000);
    std::size_t wrong = 0;
    for (const auto& [key, text] : keys) {
      const plume::CodePoint first = plume::code_point_at(key, 0);
      if (first.value < 0x10000) begins[first.value] = true;
      const bool broken = first.value == 0xfffd && first.length == 1;  // no character: not asked about
      const std::string_view before = random() % 2 != 0 ? "" : "\u4e2d", behind = random() % 2 != 0 ? "" : "\u0301";
      const std::string whole = plume::concat(before, key, behind);
      wrong += !broken && map.surely_keeps(whole, before.size(), first.value, first.length);
      const PrecompiledMap::Match match = map.longest(whole, before.size());
      wrong += match.length < key.size() || (match.length == key.size() && match.text != text);
    }
    CHECK(wrong == 0);
    std::string text;
    for (char32_t c = 0; c < 0x110000; c += c < 0x30000 ? 1 : 61) {
      if (c >= 0xd800 && c < 0xe000) continue;
      text.clear();
      plume::append_utf8(text, c);
      const std::size_t length = text.size();
      text += " \u00e9a\n\u4e2d"[random() % 6];  // a whole character, or its first byte
      const bool kept = map.surely_keeps(text, 0, c, length);
      if (c < 0x10000 && !begins[c]) wrong += !kept;
      if (kept) wrong += map.longest(text, 0).length > 0;
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("Every code point, alone and among others, with rules of every kind") {
  for (const SampleMap& sample : sample_maps()) {
    CAPTURE(sample.name);
    const PrecompiledMap map = PrecompiledMap::read(sample.bytes, {});
    std::string one, many;
    unsigned kind = 0;
    const auto check_many = [&] {
      for (unsigned i = 0; i < 4; ++i, ++kind) check(rules_of(map, kind), (kind & 64) == 0, many);
      many.clear();
    };
    for (char32_t c = 0; c < 0x30000; ++c) {
      if (c >= 0xd800 && c < 0xe000) continue;
      one.clear();
      plume::append_utf8(one, c);
      const unsigned alone = kind + c;
      if (c < 0x10000 || c % 5 == 0) check(rules_of(map, alone), (alone & 64) == 0, one);
      many += one;
      if (c % 5 == 0) many += ' ';
      if (many.size() > 6000) check_many();  // more than one buffer
    }
    check_many();
  }
}

TEST_CASE("Keys beside each other, beside what begins them, spaces and malformed bytes") {
  std::mt19937 random(7);
  std::vector<SampleMap> samples = sample_maps();
  samples.push_back({"none", "", own_keys});
  for (const SampleMap& sample : samples) {
    CAPTURE(sample.name);
    std::optional<PrecompiledMap> map;
    const std::map<std::string, std::string>& keys = sample.keys;
    if (!sample.bytes.empty()) map = PrecompiledMap::read(sample.bytes, {});
    std::vector<std::string> parts = sample_of(keys, 60, random);
    for (std::size_t i = 0, count = parts.size(); i < count; ++i) {
      const std::size_t length = plume::code_point_at(parts[i], 0).length;
      if (length < parts[i].size()) parts.push_back(parts[i].substr(0, length)), parts.push_back(parts[i].substr(0, parts[i].size() - 1));
    }
    for (const std::string_view each : {" ",      "  ",         "\u2581", "a",      "b",      "xyz",      "\u0301",       "\u4e2d",
                                        "\uac00", "\U0001f642", "\xe4",   "\x80",   "\xff",   "\xf0\x9f", "\xed\xa0\x80", "\xe0\x80\x80",
                                        "\t",     "\n",         "\u200b", "\ufffd", "\u00e9", "\u00a0"})
      parts.emplace_back(each);
    parts.emplace_back(1, '\0');
    unsigned kind = 0;
    for (const std::string& left : parts)
      for (const std::string& right : parts) {
        check(rules_of(map, kind), (kind & 64) == 0, left + right);
        kind = (kind + 1) % rule_kinds;
      }
    const std::vector<std::string> all = sample_of(keys, keys.size(), random);
    std::string text;
    for (int round = 0; round < 400; ++round) {
      text.clear();
      // Long ones end their buffers in the middle of all that there is.
      const std::size_t size = round % 10 == 0 ? 4080 + random() % 40 : random() % 60;
      if (round % 20 == 0) text.assign(4075 + random() % 25, 'y');
      while (text.size() < size || text.empty()) {
        const std::size_t what = random() % 6;
        text += what == 0   ? all[random() % all.size()]
                : what == 1 ? std::string(random() % 12, ' ')
                : what == 2 ? std::string(random() % 20, 'q')
                            : parts[random() % parts.size()];
        if (random() % 40 == 0) break;
      }
      text += parts[random() % parts.size()] + parts[random() % parts.size()];
      for (unsigned i = 0; i < 6; ++i) {
        const unsigned each = static_cast<unsigned>(random() % rule_kinds);
        check(rules_of(map, each), (each & 64) == 0, text);
      }
    }
  }
}
