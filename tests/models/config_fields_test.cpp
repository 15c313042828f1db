// Every field of a Config is in its description: what a checkpoint of another model is refused by.
#include "plume/models/config_fields.hpp"

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <vector>

#include "test_data.hpp"

using namespace plume;

namespace {

// Changes one field after the other, each back again, and tells check(its path) while it is changed.
template <class T, class Check>
void change_each(T& value, const std::string& name, const Check& check) {
  if constexpr (requires { visit_fields(value, [](auto&&...) {}); }) {
    visit_fields(value, [&](std::string_view inner, auto& field) {
      change_each(field, name.empty() ? std::string(inner) : concat(name, ".", inner), check);
    });
  } else if constexpr (requires { value.has_value(); }) {
    const T before = value;
    value.emplace();
    check(name);
    change_each(*value, name, check);
    value = before;
  } else if constexpr (
      requires { value.push_back({}); } && !requires { value.substr(0); }) {
    value.emplace_back();
    check(name);
    if constexpr (!std::is_arithmetic_v<typename T::value_type> && !std::is_same_v<typename T::value_type, std::string>)
      change_each(value.back(), name + "[0]", check);
    value.pop_back();
  } else {
    const T before = value;
    if constexpr (std::is_enum_v<T>)
      value = static_cast<T>(static_cast<int>(value) + 1);
    else if constexpr (std::is_same_v<T, bool>)
      value = !value;
    else if constexpr (std::is_same_v<T, std::string_view>)
      value = "another";
    else
      value = std::isfinite(static_cast<double>(value)) ? static_cast<T>(value + 3) : T{3};
    check(name);
    value = before;
  }
}

}  // namespace

TEST_CASE("each field of a configuration changes what it is described as") {
  Config config;
  config.rotary = {.base = 500, .width = 4};
  const Config usual = config;
  const std::string plain = describe(config);
  CHECK(plain == "rotary.base 500, rotary.width 4");
  std::set<std::string> unsaid;
  std::set<std::string> texts{plain};
  std::size_t said = 0;
  change_each(config, "", [&](const std::string& name) {
    CAPTURE(name);
    CHECK(config != usual);
    const std::string text = describe(config);
    if (text == plain) {
      unsaid.insert(name);
      return;
    }
    ++said;
    CHECK(text.find(name.substr(0, name.find('['))) != text.npos);
    CHECK(texts.insert(text).second);  // as no other change does
  });
  CHECK(unsaid == std::set<std::string>{"begin_tokens", "end_tokens", "family", "task.names"});
  CHECK(said > 80);
  CHECK(config == usual);
}

// A struct with a new field does not compile until it is bound; this says that what is bound is visited too.
TEST_CASE("each field that is bound is visited under its name") {
  std::string source = plume_test::read_all(PLUME_TEST_SOURCE_DIR "/../include/plume/models/config_fields.hpp");
  std::size_t structs = 0;
  for (std::size_t at = source.find("auto& ["); at != source.npos; at = source.find("auto& [", at + 1), ++structs) {
    const std::size_t names_end = source.find(']', at), end = source.find("\n}", at);
    std::string bound, visited;
    for (const char c : source.substr(at + 7, names_end - at - 7)) {
      if (c == ',') bound.push_back(' ');
      if (c != ',' && c != ' ' && c != '\n') bound.push_back(c);
    }
    for (std::size_t call = source.find("f(\"", at); call < end; call = source.find("f(\"", call + 1)) {
      const std::size_t quote = source.find('"', call + 3);
      const std::string name = source.substr(call + 3, quote - call - 3);
      CHECK(source.substr(quote, name.size() + 4) == concat("\", ", name, ")"));
      visited.append(visited.empty() ? "" : " ").append(name);
    }
    CHECK(bound == visited);
  }
  CHECK(structs == 8);
}

TEST_CASE("a description names what is within a field") {
  Config config;
  config.layer_kinds = {{}, {.rotates = false}};
  config.infilling = {.masks = {5, 6}, .continuation = 5, .begin = 7};
  config.local_rotary.emplace();
  config.activation.kind = ActivationKind::gelu_tanh;
  CHECK(describe(config) ==
        "local_rotary given, layer_kinds 2, layer_kinds[1].rotates false, activation.kind 1, infilling given, infilling.masks 2, "
        "infilling.masks[0] 5, infilling.masks[1] 6, infilling.continuation 5, infilling.begin 7");
}
