#pragma once
// Conversations from files.
//
//   ChatFile file = read_chats("chats.jsonl");        // file.schema says what was found
//   std::vector<Chat> chats = std::move(file.chats);
//
// .jsonl and .ndjson hold one chat a line, .json an array of chats or one chat, .txt plain text. Schemas:
//   alpaca     {instruction, input?, output, system?, history?: [[question, answer], ...]}
//   sharegpt   {conversations: [{from, value}, ...], system?}
//   messages   {messages: [{role, content}, ...]}                                                 as OpenAI's
//   text       {text}, or a .txt file
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/json_value.hpp"
#include "plume/base/limits.hpp"
#include "plume/base/stop_token.hpp"
#include "plume/data/chat.hpp"

namespace plume::inline PLUME_ABI {

enum class ChatSchema : std::uint8_t { detect, alpaca, sharegpt, messages, text };

inline constexpr std::array<std::string_view, 5> chat_schema_names = {"auto", "alpaca", "sharegpt", "messages", "text"};
inline std::string_view name_of(ChatSchema schema) { return chat_schema_names[static_cast<std::size_t>(schema)]; }

// ArgumentError: no such schema.
inline ChatSchema chat_schema(std::string_view name) {
  for (std::size_t i = 0; i < chat_schema_names.size(); ++i)
    if (chat_schema_names[i] == name) return static_cast<ChatSchema>(i);
  throw ArgumentError(concat("[chat_schema] unknown format ", quoted(name), " (known: auto, alpaca, sharegpt, messages, text)"));
}

struct ReadChatsOptions {
  ChatSchema schema = ChatSchema::detect;  // by the keys of the first row
  std::string answer_marker = {};          // text: what follows its last occurrence is the answer, such as "\nA: "; empty: all is trained
  Index max_bad_rows = 0;                  // rows that may be left out; one more is an error
  Limits limits = {};                      // max_json_bytes a line, max_text_bytes a .json or .txt file, max_json_depth
  StopToken stop = {};                     // polled at each row
};

struct ChatFile {
  std::vector<Chat> chats;
  ChatSchema schema = ChatSchema::text;  // the one that was read
  Index blank_lines = 0;                 // skipped
  Index dropped_messages = 0;            // sharegpt: answers before the first question
  Index bad_rows = 0;                    // left out, as max_bad_rows allows
  std::vector<std::string> bad = {};     // what is wrong with the first 10 of them
};

// The chats of a file, row by row; see the head of this file. FormatError: not JSON, not UTF-8. ConfigError: a key missing or of the wrong
// type, an unknown role, roles out of turn, no chats. LimitError: a line, a file or a nesting beyond the limits. IoError: unreadable.
PLUME_FUNCTION ChatFile read_chats(const std::string& path, const ReadChatsOptions& options = {});

// The chat as an object of the schema "messages"; an input goes on the line after its instruction.
PLUME_FUNCTION Json to_json(const Chat& chat);

// {training, validation}: the last `fraction` of the chats is validation.
PLUME_FUNCTION std::pair<std::vector<Chat>, std::vector<Chat>> split_chats(std::vector<Chat> chats, double fraction);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/base/files.hpp"
#include "plume/base/json.hpp"
#include "plume/base/utf8.hpp"

namespace plume::inline PLUME_ABI {

class ChatReader {
 public:
  ChatReader(const std::string& path, const ReadChatsOptions& options) : path_(path), options_(options) { file_.schema = options.schema; }

  ChatFile read() {
    const auto mapping = FileMapping::open(path_);
    text_ = {reinterpret_cast<const char*>(mapping->bytes().data()), mapping->bytes().size()};
    if (text_.starts_with("\xef\xbb\xbf")) {  // a byte-order mark
      before_ = 3;
      text_.remove_prefix(3);
    }
    const bool lines = path_.ends_with(".jsonl") || path_.ends_with(".ndjson");
    if (const std::uint64_t most = options_.limits.max_text_bytes; !lines && text_.size() > most)
      throw LimitError({.path = path_}, "max_text_bytes", most, text_.size());
    if (lines)
      read_lines();
    else if (path_.ends_with(".json"))
      read_document();
    else if (path_.ends_with(".txt") || options_.schema == ChatSchema::text)
      read_plain();
    else
      throw ConfigError({.path = path_}, "is of unknown kind; name it .jsonl (a chat a line), .json (an array of chats) or .txt");
    if (file_.chats.empty()) throw ConfigError({.path = path_}, "holds no chats");
    return std::move(file_);
  }

 private:
  void read_lines() {
    std::uint64_t number = 0;
    for (std::size_t begin = 0; begin < text_.size();) {
      const std::size_t end = std::min(text_.find('\n', begin), text_.size());
      const std::string_view line = text_.substr(begin, end - begin);
      ++number;
      if (line.find_first_not_of(" \t\r") == line.npos) {
        ++file_.blank_lines;
      } else {
        row([&] {
          if (const std::uint64_t most = options_.limits.max_json_bytes; line.size() > most)
            throw LimitError({.path = path_, .offset = before_ + begin, .line = number}, "max_json_bytes", most, line.size());
          placed(number - 1, before_ + begin, [&] { add(Json::parse(line, {.path = path_, .limits = options_.limits})); });
        });
      }
      begin = end + 1;
    }
  }

  void read_document() {
    placed(0, before_, [&] {
      const Json document = Json::parse(
          text_,
          {.path = path_, .limits = options_.limits, .max_bytes = std::optional(options_.limits.max_text_bytes), .size = JsonSize::table});
      if (!document.is_array()) return row([&] { add(document); });
      for (const Json& item : document.items()) row([&] { add(item); });
    });
  }

  // Documents stand between lines <|endoftext|>.
  void read_plain() {
    if (options_.schema != ChatSchema::detect && options_.schema != ChatSchema::text)
      throw ConfigError({.path = path_}, concat("is plain text, it cannot be read as ", name_of(options_.schema)));
    file_.schema = ChatSchema::text;
    constexpr std::string_view separator = "<|endoftext|>";
    std::size_t document = 0;
    std::uint64_t number = 1, first = 1;
    const auto add_document = [&](std::size_t end) {
      std::string_view content = text_.substr(document, end - document);
      while (content.ends_with('\n') || content.ends_with('\r')) content.remove_suffix(1);
      if (content.empty()) return;
      row([&] {
        if (const std::size_t wrong = utf8_error(content); wrong != content.size())
          throw FormatError({.path = path_, .offset = before_ + document + wrong}, "is not UTF-8; convert the file");
        add_text(content, {.path = path_, .line = first});
      });
    };
    for (std::size_t begin = 0; begin < text_.size(); ++number) {
      const std::size_t end = std::min(text_.find('\n', begin), text_.size());
      std::string_view line = text_.substr(begin, end - begin);
      if (line.ends_with('\r')) line.remove_suffix(1);
      if (line == separator) {
        add_document(begin);
        document = end + 1;
        first = number + 1;
      }
      begin = end + 1;
    }
    if (document < text_.size()) add_document(text_.size());
  }

  // One row, which may be bad.
  template <class F>
  void row(F&& read) {
    options_.stop.check();
    try {
      read();
    } catch (const InputError& error) {
      if (file_.bad_rows >= options_.max_bad_rows) throw;
      ++file_.bad_rows;
      if (file_.bad.size() < 10) file_.bad.emplace_back(error.what());
    }
  }

  // Errors in a part of the file get their place in the whole.
  template <class F>
  static void placed(std::uint64_t lines, std::uint64_t bytes, F&& read) {
    const auto moved = [&](Where where) {
      if (where.line) *where.line += lines;
      if (where.offset) *where.offset += bytes;
      return where;
    };
    try {
      read();
    } catch (const FormatError& error) {
      throw FormatError(moved(error.where()), error.reason());
    } catch (const ConfigError& error) {
      throw ConfigError(moved(error.where()), error.reason());
    } catch (const LimitError& error) {
      throw LimitError(moved(error.where()), error.limit(), error.allowed(), error.asked());
    }
  }

  void add(const Json& json) {
    json.members();  // an object, or the error says what it is instead
    if (file_.schema == ChatSchema::detect) file_.schema = detected(json);
    if (file_.schema == ChatSchema::text) return add_text(json.text("text"), json.at("text").where());
    Chat chat;
    if (const std::string system = file_.schema == ChatSchema::messages ? std::string() : json.text("system", ""); !system.empty())
      chat.messages.push_back({Role::system, system});
    if (file_.schema == ChatSchema::alpaca)
      add_alpaca(chat, json);
    else
      add_list(chat, json.at(file_.schema == ChatSchema::sharegpt ? "conversations" : "messages"));
    file_.chats.push_back(std::move(chat));
  }

  static ChatSchema detected(const Json& json) {
    if (json.find("messages")) return ChatSchema::messages;
    if (json.find("conversations")) return ChatSchema::sharegpt;
    if (json.find("instruction")) return ChatSchema::alpaca;
    if (json.find("text")) return ChatSchema::text;
    json.fail("has none of the keys that tell the format: messages, conversations (sharegpt), instruction (alpaca), text");
  }

  static void add_alpaca(Chat& chat, const Json& json) {
    if (const Json* history = json.find("history"); history && !history->is_null())
      for (const Json& pair : history->items()) {
        if (pair.items().size() != 2) pair.fail(concat("has ", pair.size(), " elements, expected a question and its answer"));
        chat.messages.push_back({Role::user, pair.at(0).as_text()});
        chat.messages.push_back({Role::assistant, pair.at(1).as_text()});
      }
    chat.messages.push_back({Role::user, json.text("instruction"), json.text("input", "")});
    chat.messages.push_back({Role::assistant, json.text("output")});
  }

  void add_list(Chat& chat, const Json& list) {
    const bool sharegpt = file_.schema == ChatSchema::sharegpt;
    const std::size_t given = chat.messages.size();
    for (const Json& item : list.items()) {
      const Json& said = item.at(sharegpt ? "from" : "role");
      const Role role = role_of(said);
      // FastChat: a conversation that does not begin with a person loses its first message.
      if (sharegpt && role == Role::assistant && chat.messages.size() == given && &item == list.items().data()) {
        ++file_.dropped_messages;
        continue;
      }
      const Role last = chat.messages.empty() ? Role::system : chat.messages.back().role;
      if (role == Role::system ? !chat.messages.empty() : (role == Role::user) != (last != Role::user))
        said.fail(concat(quoted(said.as_text()), chat.messages.empty() ? " comes first" : concat(" follows ", name_of(last)),
                         ": expected a system message at most at the beginning, then user and assistant in turn"));
      if (!sharegpt)
        if (const Json* calls = item.find("tool_calls"); calls && !calls->is_null()) calls->fail("tool calls are not supported");
      chat.messages.push_back({role, content_of(item.at(sharegpt ? "value" : "content"))});
    }
    if (chat.messages.empty() || chat.messages.back().role == Role::system) list.fail("holds no message of a user");
  }

  static Role role_of(const Json& said) {
    const std::string& name = said.as_text();
    for (const std::string_view known : {"user", "human"})
      if (name == known) return Role::user;
    for (const std::string_view known : {"assistant", "gpt", "chatgpt", "bing", "bard"})
      if (name == known) return Role::assistant;
    for (const std::string_view known : {"system", "developer"})
      if (name == known) return Role::system;
    said.fail(concat("unknown role ", quoted(name), " (known: system, developer, user, human, assistant, gpt, chatgpt, bing, bard)"));
  }

  // A text, or OpenAI's list of parts {type: "text", text}.
  static std::string content_of(const Json& content) {
    if (!content.is_array()) return content.as_text();
    std::string all;
    for (const Json& part : content.items()) {
      if (part.text("type") != "text") part.at("type").fail(concat("content of type ", quoted(part.text("type")), " is not supported"));
      all.append(part.text("text"));
    }
    return all;
  }

  void add_text(std::string_view text, const Where& where) {
    const std::string& marker = options_.answer_marker;
    if (marker.empty()) {
      file_.chats.push_back({{{Role::assistant, std::string(text)}}});
      return;
    }
    const std::size_t at = text.rfind(marker);
    if (at == text.npos) throw ConfigError(where, concat("does not hold the mark ", quoted(marker), " that stands before the answer"));
    const std::size_t answer = at + marker.size();
    file_.chats.push_back({{{Role::user, std::string(text.substr(0, answer))}, {Role::assistant, std::string(text.substr(answer))}}});
  }

  const std::string& path_;
  const ReadChatsOptions& options_;
  std::string_view text_;
  std::uint64_t before_ = 0;  // bytes of the file before text_
  ChatFile file_;
};

PLUME_FUNCTION ChatFile read_chats(const std::string& path, const ReadChatsOptions& options) try {
  return ChatReader(path, options).read();
} catch (...) {
  rethrow_memory_failure("chats");
}

PLUME_FUNCTION Json to_json(const Chat& chat) {
  Json messages = Json::array();
  for (const Message& message : chat.messages) {
    const std::string content = message.input.empty() ? message.content : concat(message.content, "\n", message.input);
    messages.push(Json::object().set("role", name_of(message.role)).set("content", content));
  }
  return Json::object().set("messages", std::move(messages));
}

PLUME_FUNCTION std::pair<std::vector<Chat>, std::vector<Chat>> split_chats(std::vector<Chat> chats, double fraction) {
  require(fraction >= 0 && fraction < 1, "[split_chats] validation fraction ", fraction, " is not in [0, 1)");
  const auto kept = chats.end() - static_cast<std::ptrdiff_t>(fraction * static_cast<double>(chats.size()));
  std::vector<Chat> validation(std::make_move_iterator(kept), std::make_move_iterator(chats.end()));
  chats.erase(kept, chats.end());
  return {std::move(chats), std::move(validation)};
}

}  // namespace plume::inline PLUME_ABI
#endif
