#pragma once
// Files of chats written for one test.
#include <doctest/doctest.h>

#include <optional>
#include <string>

#include "plume/data/chats.hpp"
#include "temporary_folder.hpp"

namespace plume_test {

using plume::ChatFile;
using plume::ReadChatsOptions;

inline ChatFile read_chat_text(const std::string& name, const std::string& content, const ReadChatsOptions& options = {}) {
  const TemporaryFolder folder;
  return plume::read_chats(folder.write(name, content), options);
}

struct Wrong {
  std::optional<std::uint64_t> line;
  std::string field, reason;  // reason: a part of it
};

// Reading throws exactly Error at this place.
template <class Error>
void refused_chats(const std::string& name, const std::string& content, const Wrong& wrong, const ReadChatsOptions& options = {}) {
  const TemporaryFolder folder;
  const std::string path = folder.write(name, content);
  INFO(content.substr(0, 100));
  try {
    plume::read_chats(path, options);
    FAIL_CHECK("not refused: ", wrong.reason);
  } catch (const Error& error) {
    INFO(std::string(error.what()));
    CHECK(error.where().path == path);
    CHECK(error.where().line == wrong.line);
    CHECK(error.where().field == wrong.field);
    CHECK(error.reason().find(wrong.reason) != std::string::npos);
  } catch (const plume::Error& error) {
    FAIL_CHECK("another type of error: ", std::string(error.what()));
  }
}

}  // namespace plume_test
