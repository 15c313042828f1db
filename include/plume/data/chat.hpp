#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "plume/base/config.hpp"

namespace plume::inline PLUME_ABI {

enum class Role : std::uint8_t { system, user, assistant };

inline std::string_view name_of(Role role) {
  constexpr std::string_view names[] = {"system", "user", "assistant"};
  return names[static_cast<std::size_t>(role)];
}

struct Message {
  Role role = Role::user;
  std::string content = {};
  std::string input =
      {};  // of a user: material apart from the instruction (alpaca). Templates without a place for it put it on the next line
  friend bool operator==(const Message&, const Message&) = default;
};

// A conversation: perhaps a system message, then user and assistant in turn. A text without a question is one assistant message.
struct Chat {
  std::vector<Message> messages = {};
  friend bool operator==(const Chat&, const Chat&) = default;
};

}  // namespace plume::inline PLUME_ABI
