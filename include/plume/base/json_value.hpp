#pragma once
// The JSON value. Include plume/base/json.hpp, which also reads and writes it.
#include <bit>
#include <concepts>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/error.hpp"
#include "plume/base/limits.hpp"
#include "plume/base/text.hpp"

namespace plume::inline PLUME_ABI {

// A table (the vocabulary of a tokenizer, the tensors of a file) may hold more values than Limits::max_json_values: one for 8 bytes of
// text.
enum class JsonSize : std::uint8_t { plain, table };

struct JsonOptions {
  std::string path = {};  // named in errors
  Limits limits = {};     // max_json_depth, max_json_values, and max_json_bytes unless max_bytes is set
  std::optional<std::uint64_t> max_bytes = {};
  JsonSize size = JsonSize::plain;
  std::uint64_t first_offset = 0;  // where the text starts in its file; errors then give bytes, not lines
};

// A JSON value that remembers where it was read. Every getter that fails throws ConfigError with the file, the JSON path
// ("layers[3].name") and the position. Copying and destroying never recurse, however deep the value.
class Json {
 public:
  enum class Kind : std::uint8_t { null, boolean, integer, real, text, array, object };
  struct Member;  // {key, value}

  Json() noexcept = default;
  Json(std::nullptr_t) noexcept {}
  template <std::same_as<bool> Bool>  // a template, so that pointers do not convert to it
  Json(Bool value) noexcept : type_(Type::boolean), bits_(value) {}
  template <std::integral Integer>
  requires(!std::same_as<Integer, bool> && !std::same_as<Integer, char>) Json(Integer value)
  noexcept : type_(std::in_range<std::int64_t>(value) ? Type::integer : Type::large_integer), bits_(static_cast<std::uint64_t>(value)) {}
  Json(double value) noexcept : type_(Type::real), bits_(std::bit_cast<std::uint64_t>(value)) {}
  Json(std::string value) noexcept : type_(Type::text), text_(std::move(value)) {}
  Json(std::string_view value) : Json(std::string(value)) {}
  Json(const char* value) : Json(std::string(value)) {}
  PLUME_FUNCTION Json(const Json& other);
  Json(Json&& other) noexcept { swap(other); }
  Json& operator=(Json other) noexcept {
    swap(other);
    return *this;
  }
  ~Json() = default;

  PLUME_FUNCTION static Json array();
  PLUME_FUNCTION static Json object();

  // Reads one JSON text (RFC 8259). FormatError: not JSON, a duplicate key, invalid UTF-8, a number that does not fit.
  // LimitError: too long or nested too deeply.
  PLUME_FUNCTION static Json parse(std::string_view text, const JsonOptions& options = {});

  PLUME_FUNCTION Kind kind() const noexcept;
  bool is_null() const noexcept { return kind() == Kind::null; }
  bool is_integer() const noexcept { return kind() == Kind::integer; }
  bool is_unsigned_only() const noexcept { return type_ == Type::large_integer; }  // an integer beyond int64
  bool is_text() const noexcept { return kind() == Kind::text; }
  bool is_array() const noexcept { return kind() == Kind::array; }
  bool is_object() const noexcept { return kind() == Kind::object; }

  PLUME_FUNCTION bool as_boolean() const;
  PLUME_FUNCTION std::int64_t as_integer() const;  // refuses 1.5, 1e3, "10" and what does not fit
  PLUME_FUNCTION std::uint64_t as_unsigned() const;
  PLUME_FUNCTION double as_number() const;  // integers too
  PLUME_FUNCTION const std::string& as_text() const;

  PLUME_FUNCTION std::size_t size() const;                 // of an array or object
  PLUME_FUNCTION std::span<const Json> items() const;      // of an array
  PLUME_FUNCTION std::span<const Member> members() const;  // of an object, in the order of the text
  PLUME_FUNCTION const Json& at(std::size_t index) const;
  PLUME_FUNCTION const Json& at(std::string_view key) const;
  PLUME_FUNCTION const Json* find(std::string_view key) const;  // null when the key is absent

  // json.integer("n_layer") requires the key; json.integer("n_inner", 4) takes the fallback when it is absent or null.
  bool boolean(std::string_view key) const { return at(key).as_boolean(); }
  std::int64_t integer(std::string_view key) const { return at(key).as_integer(); }
  double number(std::string_view key) const { return at(key).as_number(); }
  const std::string& text(std::string_view key) const { return at(key).as_text(); }
  bool boolean(std::string_view key, bool fallback) const { return present(key) ? at(key).as_boolean() : fallback; }
  std::int64_t integer(std::string_view key, std::int64_t fallback) const { return present(key) ? at(key).as_integer() : fallback; }
  double number(std::string_view key, double fallback) const { return present(key) ? at(key).as_number() : fallback; }
  std::string text(std::string_view key, std::string_view fallback) const {
    return present(key) ? at(key).as_text() : std::string(fallback);
  }

  PLUME_FUNCTION Where where() const;  // of this value: file, JSON path, position
  [[noreturn]] void fail(std::string_view reason) const { throw ConfigError(where(), reason); }

  PLUME_FUNCTION Json& set(std::string_view key, Json value) &;  // on an object; replaces an old value; returns *this
  Json&& set(std::string_view key, Json value) && { return std::move(set(key, std::move(value))); }
  PLUME_FUNCTION Json& push(Json value) &;  // on an array; returns *this
  Json&& push(Json value) && { return std::move(push(std::move(value))); }

 private:
  friend class JsonParser;
  struct Container;
  struct Release {  // takes a whole tree apart without recursion
    PLUME_FUNCTION void operator()(Container* container) const noexcept;
  };
  using Tree = std::unique_ptr<Container, Release>;
  enum class Type : std::uint8_t { null, boolean, integer, large_integer, real, text, tree };  // large: beyond int64
  struct Node {                                                                                // where one value of a text stands
    std::uint32_t offset, parent, name, name_size;  // name: a part of Origin::names, or an index when name_size is `is_index`
  };
  static constexpr std::uint32_t is_index = 0xffffffff, no_parent = 0xffffffff;
  struct Origin {  // what all values of one text share
    std::string path;
    std::uint64_t first_offset = 0;
    std::vector<std::uint32_t> line_starts = {0};
    std::vector<Node> nodes;
    std::string names;
    PLUME_FUNCTION std::string field(std::uint32_t node) const;
    PLUME_FUNCTION Where where(std::uint64_t offset, std::string field) const;
  };

  explicit Json(Tree tree) noexcept : type_(Type::tree), tree_(std::move(tree)) {}
  Container* container() const noexcept { return tree_.get(); }
  void swap_value(Json& other) noexcept {  // all but the place in a text
    std::swap(type_, other.type_);
    std::swap(bits_, other.bits_);
    text_.swap(other.text_);
    tree_.swap(other.tree_);
  }
  void swap(Json& other) noexcept {
    swap_value(other);
    origin_.swap(other.origin_);
    std::swap(node_, other.node_);
  }
  bool present(std::string_view key) const {
    const Json* value = find(key);
    return value && !value->is_null();
  }
  [[noreturn]] PLUME_FUNCTION void wrong_kind(std::string_view wanted) const;
  PLUME_FUNCTION static void append_key(std::string& path, std::string_view key);

  Type type_ = Type::null;
  std::uint64_t bits_ = 0;  // of a boolean, an integer or a real
  std::string text_;
  Tree tree_;
  std::shared_ptr<const Origin> origin_;
  std::uint32_t node_ = 0;
};

struct Json::Member {
  std::string key;
  Json value;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>

namespace plume::inline PLUME_ABI {

struct Json::Container {
  struct Slot {
    std::uint64_t prefix;  // first eight bytes of the key, big-endian: most comparisons end here
    std::uint32_t index;
  };
  static constexpr std::size_t unsorted = 64;  // members that may wait outside `order`

  bool is_object = false;
  std::vector<Json> items;
  std::vector<Member> members;
  std::vector<Slot> order;    // sorted by key: the first order.size() members. Sorting, unlike hashing, has no bad inputs
  Container* next = nullptr;  // used by Release only

  static std::uint64_t prefix(std::string_view key) noexcept {
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < 8; ++i) bits = bits << 8 | (i < key.size() ? static_cast<unsigned char>(key[i]) : 0u);
    return bits;
  }
  bool before(const Slot& a, std::uint64_t bits, std::string_view key) const {
    return a.prefix != bits ? a.prefix < bits : std::string_view(members[a.index].key) < key;
  }
  void sort() {
    const auto less = [&](const Slot& a, const Slot& b) {
      if (a.prefix != b.prefix) return a.prefix < b.prefix;
      const int difference = members[a.index].key.compare(members[b.index].key);
      return difference != 0 ? difference < 0 : a.index < b.index;
    };
    const auto sorted = static_cast<std::ptrdiff_t>(order.size());
    for (std::size_t i = order.size(); i < members.size(); ++i) order.push_back({prefix(members[i].key), static_cast<std::uint32_t>(i)});
    std::sort(order.begin() + sorted, order.end(), less);
    std::vector<Slot> merged(order.size());
    std::merge(order.begin(), order.begin() + sorted, order.begin() + sorted, order.end(), merged.begin(), less);
    order = std::move(merged);
  }
  Member* find(std::string_view key) {
    const std::uint64_t bits = prefix(key);
    const auto slot =
        std::lower_bound(order.begin(), order.end(), key, [&](const Slot& a, std::string_view b) { return before(a, bits, b); });
    if (slot != order.end() && members[slot->index].key == key) return &members[slot->index];
    for (std::size_t i = order.size(); i < members.size(); ++i)
      if (members[i].key == key) return &members[i];
    return nullptr;
  }
};

PLUME_FUNCTION void Json::Release::operator()(Container* top) const noexcept {
  while (top) {
    Container* const current = std::exchange(top, top->next);
    const auto detach = [&](Json& value) {
      if (Container* const child = value.tree_.release()) child->next = std::exchange(top, child);
    };
    for (Json& item : current->items) detach(item);
    for (Member& member : current->members) detach(member.value);
    delete current;
  }
}

PLUME_FUNCTION Json Json::array() { return Json(Tree(new Container)); }
PLUME_FUNCTION Json Json::object() {
  Json json = array();
  json.container()->is_object = true;
  return json;
}

PLUME_FUNCTION Json::Json(const Json& other) {
  std::vector<std::pair<const Json*, Json*>> left{{&other, this}};
  while (!left.empty()) {
    const auto [from, to] = left.back();
    left.pop_back();
    to->origin_ = from->origin_;
    to->node_ = from->node_;
    to->type_ = from->type_;
    to->bits_ = from->bits_;
    to->text_ = from->text_;
    if (const Container* old = from->container()) {
      Tree tree(new Container);
      tree->is_object = old->is_object;
      tree->items.resize(old->items.size());
      tree->members.resize(old->members.size());
      tree->order = old->order;
      for (std::size_t i = 0; i < old->items.size(); ++i) left.emplace_back(&old->items[i], &tree->items[i]);
      for (std::size_t i = 0; i < old->members.size(); ++i) {
        tree->members[i].key = old->members[i].key;
        left.emplace_back(&old->members[i].value, &tree->members[i].value);
      }
      to->tree_ = std::move(tree);
    }
  }
}

PLUME_FUNCTION Json::Kind Json::kind() const noexcept {
  switch (type_) {
    case Type::null:
      return Kind::null;
    case Type::boolean:
      return Kind::boolean;
    case Type::integer:
    case Type::large_integer:
      return Kind::integer;
    case Type::real:
      return Kind::real;
    case Type::text:
      return Kind::text;
    case Type::tree:
      break;
  }
  return container()->is_object ? Kind::object : Kind::array;
}

PLUME_FUNCTION void Json::wrong_kind(std::string_view wanted) const {
  static constexpr std::string_view names[] = {"null",   "a boolean", "an integer", "a number with a fraction or exponent",
                                               "a text", "an array",  "an object"};
  std::string reason = concat("expected ", wanted, ", found ", names[static_cast<std::size_t>(kind())]);
  if (type_ == Type::text) reason.append(concat(" ", quoted(text_)));
  if (type_ == Type::real) reason.append(concat(" (", std::bit_cast<double>(bits_), ")"));
  if (type_ == Type::large_integer) reason.append(concat(" ", bits_, " beyond 64 signed bits"));
  if (type_ == Type::integer) reason.append(concat(" ", static_cast<std::int64_t>(bits_)));
  fail(reason);
}

PLUME_FUNCTION bool Json::as_boolean() const {
  if (type_ != Type::boolean) wrong_kind("true or false");
  return bits_ != 0;
}
PLUME_FUNCTION std::int64_t Json::as_integer() const {
  if (type_ != Type::integer) wrong_kind("an integer");
  return static_cast<std::int64_t>(bits_);
}
PLUME_FUNCTION std::uint64_t Json::as_unsigned() const {
  if (type_ != Type::large_integer && (type_ != Type::integer || static_cast<std::int64_t>(bits_) < 0))
    wrong_kind("an integer of at least 0");
  return bits_;
}
PLUME_FUNCTION double Json::as_number() const {
  if (type_ == Type::real) return std::bit_cast<double>(bits_);
  if (type_ == Type::integer) return static_cast<double>(static_cast<std::int64_t>(bits_));
  if (type_ == Type::large_integer) return static_cast<double>(bits_);
  wrong_kind("a number");
}
PLUME_FUNCTION const std::string& Json::as_text() const {
  if (type_ != Type::text) wrong_kind("a text");
  return text_;
}

PLUME_FUNCTION std::size_t Json::size() const {
  const Container* found = container();
  if (!found) wrong_kind("an array or object");
  return found->is_object ? found->members.size() : found->items.size();
}
PLUME_FUNCTION std::span<const Json> Json::items() const {
  if (!is_array()) wrong_kind("an array");
  return container()->items;
}
PLUME_FUNCTION std::span<const Json::Member> Json::members() const {
  if (!is_object()) wrong_kind("an object");
  return container()->members;
}
PLUME_FUNCTION const Json& Json::at(std::size_t index) const {
  const auto all = items();
  if (index >= all.size()) fail(concat("has ", all.size(), " elements, element ", index, " is wanted"));
  return all[index];
}
PLUME_FUNCTION const Json* Json::find(std::string_view key) const {
  if (!is_object()) wrong_kind("an object");
  const Member* member = container()->find(key);
  return member ? &member->value : nullptr;
}
PLUME_FUNCTION const Json& Json::at(std::string_view key) const {
  if (const Json* value = find(key)) return *value;
  Where place = where();
  append_key(place.field, key);
  throw ConfigError(std::move(place), "this key is missing; add it");
}

PLUME_FUNCTION Json& Json::set(std::string_view key, Json value) & {
  require(is_object(), "[Json::set] the value is not an object");
  Container& object = *container();
  if (Member* member = object.find(key)) {
    member->value = std::move(value);
    return *this;
  }
  object.members.push_back({std::string(key), std::move(value)});
  if (object.members.size() > object.order.size() + Container::unsorted) object.sort();
  return *this;
}
PLUME_FUNCTION Json& Json::push(Json value) & {
  require(is_array(), "[Json::push] the value is not an array");
  container()->items.push_back(std::move(value));
  return *this;
}

PLUME_FUNCTION void Json::append_key(std::string& path, std::string_view key) {
  const bool plain = !key.empty() && key.size() <= 80 && std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
  if (plain) {
    if (!path.empty()) path.push_back('.');
    path.append(key);
  } else {
    path.append(concat("[", quoted(key), "]"));
  }
}

PLUME_FUNCTION std::string Json::Origin::field(std::uint32_t node) const {
  std::vector<std::uint32_t> chain;
  for (; nodes[node].parent != no_parent; node = nodes[node].parent) chain.push_back(node);
  std::string steps;
  for (auto link = chain.rbegin(); link != chain.rend(); ++link) {
    const Node& at = nodes[*link];
    if (at.name_size == is_index)
      steps.append(concat("[", at.name, "]"));
    else
      append_key(steps, std::string_view(names).substr(at.name, at.name_size));
  }
  return steps;
}

PLUME_FUNCTION Where Json::Origin::where(std::uint64_t offset, std::string field) const {
  Where place{.path = path, .field = std::move(field), .offset = first_offset + offset};
  if (first_offset == 0) {
    const auto line = std::upper_bound(line_starts.begin(), line_starts.end(), offset) - 1;
    place.line = static_cast<std::uint64_t>(line - line_starts.begin()) + 1;
    place.column = offset - *line + 1;
  }
  return place;
}

PLUME_FUNCTION Where Json::where() const {
  if (!origin_) return {};
  return origin_->where(origin_->nodes[node_].offset, origin_->field(node_));
}

}  // namespace plume::inline PLUME_ABI
#endif
