#include "plume/base/json.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>

#include "plume/base/random.hpp"
#include "test_data.hpp"

using plume::ConfigError;
using plume::FormatError;
using plume::Json;
using plume::LimitError;

namespace {

// What parsing `text` throws, with the reason checked to hold `word`.
plume::Where refused(std::string_view text, std::string_view word) {
  try {
    Json::parse(text, {.path = "a.json"});
  } catch (const FormatError& error) {
    CHECK_MESSAGE(error.reason().find(word) != std::string::npos, error.what());
    CHECK(error.where().path == "a.json");
    return error.where();
  }
  FAIL("accepted: ", std::string(text));
  return {};
}

template <class Get>
plume::Where misused(Get get, std::string_view word) {
  try {
    get();
  } catch (const ConfigError& error) {
    CHECK_MESSAGE(error.reason().find(word) != std::string::npos, error.what());
    return error.where();
  }
  FAIL("no ConfigError about ", std::string(word));
  return {};
}

Json random_json(plume::Random& random, int depth) {
  const auto choice = random.next() % (depth > 0 ? 8 : 6);
  const auto text = [&] {
    std::string out;
    for (auto n = random.next() % 12; n > 0; --n) plume::append_utf8(out, static_cast<char32_t>(random.next() % 0xd800));
    return out;
  };
  switch (choice) {
    case 0:
      return nullptr;
    case 1:
      return random.next() % 2 == 0;
    case 2:
      return static_cast<std::int64_t>(random.next());
    case 3:
      return random.next() | 1ull << 63;
    case 4:
      return random.normal() * std::pow(10.0, 200 * random.normal() / 4);
    case 5:
      return text();
    case 6: {
      Json out = Json::array();
      for (auto n = random.next() % 6; n > 0; --n) out.push(random_json(random, depth - 1));
      return out;
    }
    default: {
      Json out = Json::object();
      for (auto n = random.next() % 20; n > 0; --n) out.set(text(), random_json(random, depth - 1));
      return out;
    }
  }
}

}  // namespace

TEST_CASE("values are read exactly and in order") {
  const Json json = Json::parse(
      R"( {"b": -9223372036854775808, "a": 18446744073709551615, "r": 0.1, "e": 1e3, "t": "\u00e9\ud83d\ude00\n", "n": null, "l": [true, false, {}]} )");
  CHECK(json.members()[0].key == "b");
  CHECK(json.integer("b") == std::numeric_limits<std::int64_t>::min());
  CHECK(json.at("a").as_unsigned() == std::numeric_limits<std::uint64_t>::max());
  CHECK(json.number("r") == 0.1);
  CHECK(json.number("e") == 1000.0);
  CHECK(json.number("b") == -9223372036854775808.0);
  CHECK(json.text("t") == "\xc3\xa9\xf0\x9f\x98\x80\n");
  CHECK(json.at("n").is_null());
  CHECK(json.integer("n", 7) == 7);
  CHECK(json.text("absent", "x") == "x");
  CHECK(json.boolean("absent", true));
  CHECK(json.at("l").size() == 3);
  CHECK(json.at("l").at(std::size_t{0}).as_boolean());
  CHECK(json.find("c") == nullptr);
}

TEST_CASE("getters refuse other kinds and say where") {
  const Json json =
      Json::parse("{\"n\": 1.5, \"e\": 1e3,\n \"layers\": [0, 1, 2, {\"name\": \"10\"}],\n \"a.b\": {\"c\": 18446744073709551615}}",
                  {.path = "config.json"});
  CHECK(misused([&] { json.integer("n"); }, "integer").field == "n");
  CHECK(misused([&] { json.integer("e"); }, "integer").field == "e");
  const auto where = misused([&] { json.at("layers").at(3).integer("name"); }, "\"10\"");
  CHECK(where.path == "config.json");
  CHECK(where.field == "layers[3].name");
  CHECK(where.line == 2);
  CHECK(where.column == 31);
  CHECK(where.offset == 51);
  CHECK(misused([&] { json.at("a.b").integer("c"); }, "64").field == "[\"a.b\"].c");
  CHECK(misused([&] { json.at("layers").at(3).text("missing"); }, "missing").field == "layers[3].missing");
  CHECK(misused([&] { json.at("layers").at(9); }, "4 elements").field == "layers");
  CHECK(misused([&] { json.at("layers").text("name"); }, "object").field == "layers");
  CHECK(misused([&] { json.text("n", "fallback"); }, "text").field == "n");
  const Json copy = json.at("layers");
  CHECK(misused([&] { copy.at(1).as_text(); }, "text").field == "layers[1]");
}

TEST_CASE("what is not JSON is refused with its position") {
  CHECK(refused("{\"a\": 1,\n \"b\": nul}", "value").field == "b");
  CHECK(refused("{\"a\": 1,\n \"b\": nul}", "value").column == 7);
  CHECK(refused("[1, 2, tru]", "value").field == "[2]");
  CHECK(refused("", "ends").offset == 0);
  CHECK(refused("[1] x", "after").offset == 4);
  CHECK(refused("[1", "ends").offset == 2);
  CHECK(refused("{\"a\" 1}", "':'").offset == 5);
  CHECK(refused("[\"a", "inside").offset == 1);
  CHECK(refused("[\"a\x01\"]", "control").offset == 3);
  CHECK(refused("[\"\xff\"]", "UTF-8").offset == 2);
  CHECK(refused("[\"\xed\xa0\x80\"]", "UTF-8").offset == 2);
  CHECK(refused(R"(["\ud800"])", "surrogate").offset == 2);
  CHECK(refused(R"(["\ud800\u0041"])", "surrogate").offset == 2);
  CHECK(refused(R"(["\udc00"])", "surrogate").offset == 2);
  CHECK(refused(R"(["\u12"])", "four").offset == 2);
  CHECK(refused(R"(["\x"])", "escape").offset == 2);
  CHECK(refused("[1e999]", "range").offset == 1);
  CHECK(refused("[18446744073709551616]", "64 bits").offset == 1);
  CHECK(refused("[-9223372036854775809]", "64 bits").offset == 1);
  CHECK(refused("[012]", "leading zero").offset == 1);
  CHECK(refused("[NaN]", "value").offset == 1);
  CHECK(refused("[-Infinity]", "digit").offset == 2);
  CHECK(refused("\xef\xbb\xbf{}", "byte-order").offset == 0);
}

TEST_CASE("duplicate keys are refused with both offsets") {
  const auto few = refused(R"({"a": {"x": 1, "y": 2, "x": 3}})", "bytes 7 and 23");
  CHECK(few.field == "a.x");
  CHECK(few.offset == 23);
  std::string many = "{";
  for (int i = 0; i < 1000; ++i) many += plume::concat("\"long common prefix ", i, "\": 1, ");
  refused(many + "\"long common prefix 500\": 1}", "duplicate");
  CHECK(Json::parse(many + "\"last\": 1}").size() == 1001);
}

TEST_CASE("depth and size are limited, and deep values are copied, written and destroyed without recursion") {
  const std::string deep(100'000, '[');
  CHECK_THROWS_AS(Json::parse(deep), LimitError);
  CHECK_THROWS_AS(Json::parse(std::string(65, '[') + std::string(65, ']')), LimitError);
  CHECK(Json::parse(std::string(64, '[') + std::string(64, ']')).size() == 1);
  CHECK_THROWS_AS(Json::parse("[1, 2]", {.max_bytes = 5}), LimitError);
  try {
    Json::parse(R"({"a": [[[1]]]})", {.path = "x.json", .limits = {.max_json_depth = 3}});
    FAIL("accepted");
  } catch (const LimitError& error) {
    CHECK(error.limit() == "max_json_depth");
    CHECK(error.where().field == "a[0][0]");
    CHECK(error.where().offset == 8);
  }
  const std::string balanced = deep + std::string(100'000, ']');
  const Json json = Json::parse(balanced, {.limits = {.max_json_depth = 200'000}});
  const Json copy = json;
  CHECK(plume::dump(copy) == balanced);
  Json built = Json::object();
  for (int i = 0; i < 100'000; ++i) built = Json::object().set("k", std::move(built));
  CHECK(built.size() == 1);
}

TEST_CASE("an embedded text gives absolute byte offsets") {
  try {
    Json::parse("{\"a\": x}", {.path = "f", .first_offset = 8});
    FAIL("accepted");
  } catch (const FormatError& error) {
    CHECK(error.where().offset == 14);
    CHECK(!error.where().line);
  }
}

TEST_CASE("large objects are looked up by key, read or built") {
  Json built = Json::object();
  for (int i = 0; i < 50'000; ++i) built.set(plume::concat("token", i * 7919 % 50'000), i);
  CHECK(built.set("token3", -1).size() == 50'000);
  const Json read = Json::parse(plume::dump(built));
  for (int i = 0; i < 50'000; i += 7) {
    const std::string key = plume::concat("token", i * 7919 % 50'000);
    const int wanted = key == "token3" ? -1 : i;
    REQUIRE(built.integer(key) == wanted);
    REQUIRE(read.integer(key) == wanted);
  }
  CHECK(read.find("token50000") == nullptr);
}

TEST_CASE("the writer keeps kinds, escapes, and replaces invalid UTF-8") {
  Json json = Json::object();
  json.set("i", 1)
      .set("r", 1.0)
      .set("t", "\"\\\n\x01\xff\xc3\xa9")
      .set("l", Json::array().push(true).push(nullptr))
      .set("e", Json::array());
  CHECK(plume::dump(json) == "{\"i\":1,\"r\":1.0,\"t\":\"\\\"\\\\\\n\\u0001\xef\xbf\xbd\xc3\xa9\",\"l\":[true,null],\"e\":[]}");
  CHECK(plume::dump(Json::parse(R"({"a":[1,{}]})"), 2) == "{\n  \"a\": [\n    1,\n    {}\n  ]\n}");
  CHECK_THROWS_AS(plume::dump(Json(std::numeric_limits<double>::infinity())), plume::ArgumentError);
  CHECK_THROWS_AS(json.push(1), plume::ArgumentError);
  CHECK_THROWS_WITH_AS(json.find("l")->size() == 2 ? Json(1).set("k", 2) : json, doctest::Contains("not an object"), plume::ArgumentError);
}

TEST_CASE("a getter of another kind says what it found, and where") {
  const Json json = Json::parse(R"({"a":[1,-2,"x",1.5,null,18446744073709551615]})", {.path = "p"});
  const auto refused = [&](std::size_t index, const std::function<void(const Json&)>& get, std::string_view reason) {
    try {
      get(json.at("a").at(index));
      FAIL_CHECK("accepted");
    } catch (const plume::ConfigError& error) {
      CHECK(error.where().path == "p");
      CHECK(error.where().field == plume::concat("a[", index, "]"));
      CHECK(error.where().line == 1);
      CHECK(error.reason() == reason);
    }
  };
  refused(
      0, [](const Json& value) { value.as_boolean(); }, "expected true or false, found an integer 1");
  refused(
      1, [](const Json& value) { value.as_unsigned(); }, "expected an integer of at least 0, found an integer -2");
  refused(
      2, [](const Json& value) { value.as_number(); }, "expected a number, found a text \"x\"");
  refused(
      3, [](const Json& value) { value.as_integer(); }, "expected an integer, found a number with a fraction or exponent (1.5)");
  refused(
      4, [](const Json& value) { value.size(); }, "expected an array or object, found null");
  refused(
      0, [](const Json& value) { value.items(); }, "expected an array, found an integer 1");
  refused(
      0, [](const Json& value) { value.members(); }, "expected an object, found an integer 1");
  refused(
      5, [](const Json& value) { value.as_integer(); }, "expected an integer, found an integer 18446744073709551615 beyond 64 signed bits");
  CHECK(json.at("a").at(5).as_unsigned() == 18446744073709551615u);
  CHECK_THROWS_WITH_AS(Json::parse("[1,2,3]", {.path = "p", .limits = {.max_json_values = 3}}), doctest::Contains("max_json_values"),
                       plume::LimitError);
  CHECK(Json::parse("[1,2,3]", {.limits = {.max_json_values = 4}}).size() == 3);
}

TEST_CASE("property: what is written reads back the same, by us and by nlohmann-json") {
  plume::Random random{.seed = 11};
  for (int i = 0; i < 300; ++i) {
    const Json json = random_json(random, 5);
    const std::string text = plume::dump(json);
    CHECK(plume::dump(Json::parse(text)) == text);
    CHECK(plume::dump(Json::parse(plume::dump(json, 3))) == text);
    CHECK(nlohmann::ordered_json::parse(text) == nlohmann::ordered_json::parse(plume::dump(Json::parse(text))));
  }
}

TEST_CASE("JSONTestSuite: y_ accepted, n_ refused, i_ either; values as nlohmann-json reads them") {
  const auto sample = plume_test::test_data("malformed/JSONTestSuite/y_array_empty-string.json");
  if (!sample) return;
  int accepted = 0, rejected = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(*sample).parent_path())) {
    const std::string name = entry.path().filename(), text = plume_test::read_all(entry.path());
    bool ok = true;
    std::string reason;
    try {
      const Json json = Json::parse(text, {.path = name});
      CHECK(plume::dump(Json::parse(plume::dump(json))) == plume::dump(json));
    } catch (const plume::InputError& error) {
      ok = false;
      reason = error.what();
    }
    INFO(name, " ", reason);
    const bool duplicate = name.starts_with("y_object_duplicated_key");  // refused on purpose
    if (name[0] == 'y') CHECK(ok == !duplicate);
    if (name[0] == 'n') CHECK(!ok);
    if (ok && name[0] == 'y') CHECK(nlohmann::json::parse(text) == nlohmann::json::parse(plume::dump(Json::parse(text))));
    ++(ok ? accepted : rejected);
  }
  CHECK(accepted > 40);
  CHECK(rejected > 90);
}
