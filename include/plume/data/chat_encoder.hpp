#pragma once
// A chat template with a tokenizer: conversations become tokens and labels.
//
//   ChatEncoder encoder(model.tokenizer, chat_template("vicuna"));
//   EncodedChat example = encoder.encode(chat);                      // for training: labels of answers and their ends, -1 elsewhere
//   session.feed(encoder.prompt({{{Role::user, "Hello"}}}));         // for generation: the same ids up to where the answer begins
//   session.feed(encoder.next_prompt(session.tokens(), {Role::user, "And then?"}));   // what a next turn adds to them
//
// A model's own template (chat_form.hpp) does the same, but for next_prompt: what it adds for a turn may depend on all before.
// Prompt, answer and end are tokenised apart, so that generation continues exactly what training saw. The text of a message never becomes
// a special token, whatever it spells.
#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/data/chat_form.hpp"
#include "plume/tokenizer/tokenizer.hpp"

namespace plume::inline PLUME_ABI {

// The ids of a chat; labels hold the same ids where they are trained and -1 elsewhere. Not shifted: ids before i predict label i.
struct EncodedChat {
  std::vector<TokenId> ids, labels;
};

// A template with a tokenizer. A cheap immutable value: any number of threads may use it.
class ChatEncoder {
 public:
  PLUME_FUNCTION ChatEncoder(Tokenizer tokenizer, const ChatForm& form);

  const Tokenizer& tokenizer() const { return tokenizer_; }
  const ChatForm& form() const { return form_; }
  const ChatTemplate& chat_template() const { return form_.fixed; }
  // Whether next_prompt can say what a turn adds without the turns before it.
  bool adds_turns() const { return !form_.own && !form_.fixed.repeats_earlier_turns(); }

  EncodedChat encode(std::span<const ChatSegment> segments) const { return encode(segments, TextPart::first); }
  EncodedChat encode(const Chat& chat) const { return encode(render(chat, form_)); }
  // The ids after which the model answers the last message of a chat.
  std::vector<TokenId> prompt(const Chat& chat) const { return encode(render_prompt(chat, form_)).ids; }

  // What to feed for the next user message to a session that holds `held` and ends with an answer. An answer that was cut off gets its end.
  // ArgumentError: not adds_turns().
  PLUME_FUNCTION std::vector<TokenId> next_prompt(std::span<const TokenId> held, const Message& message) const;

  // What follows an answer: one special token, or the ids of a plain text, or nothing.
  const std::vector<TokenId>& end() const { return end_; }
  // How generation stops: at this token ...
  std::optional<TokenId> end_token() const { return end_is_token_ ? std::optional(end_.front()) : std::nullopt; }
  // ... or, when the end is plain text, at this text.
  PLUME_FUNCTION std::vector<std::string> stop_strings() const;

 private:
  PLUME_FUNCTION EncodedChat encode(std::span<const ChatSegment> segments, TextPart part) const;

  // The special token that the model's own template writes after an answer.
  PLUME_FUNCTION std::optional<TokenId> own_end() const;

  Tokenizer tokenizer_;
  ChatForm form_;
  std::vector<TokenId> end_;
  bool end_is_token_ = false;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION ChatEncoder::ChatEncoder(Tokenizer tokenizer, const ChatForm& form) : tokenizer_(std::move(tokenizer)), form_(form) {
  const ChatTemplate& fixed = form_.fixed;
  std::optional<TokenId> end = tokenizer_.eos();
  if (form_.own) {
    if (const auto own = own_end()) end = own;
  } else if (!fixed.end.empty()) {
    end = tokenizer_.find(fixed.end);
    if (end && !tokenizer_.is_special(*end)) end = std::nullopt;
  }
  end_is_token_ = end.has_value();
  if (end)
    end_.push_back(*end);
  else if (!fixed.end_text.empty())
    tokenizer_.model().encode(fixed.end_text, TextPart::later, end_);
}

PLUME_FUNCTION std::optional<TokenId> ChatEncoder::own_end() const {
  try {
    const std::vector<ChatSegment> pieces = render({{{Role::user, "question"}, {Role::assistant, "answer"}}}, form_);
    bool answered = false;
    for (const ChatSegment& piece : pieces) {
      answered |= piece.kind == ChatSegmentKind::answer;
      const bool literal = piece.kind == ChatSegmentKind::literal || piece.kind == ChatSegmentKind::trained_literal;
      if (!answered || !literal) continue;
      if (const auto found = tokenizer_.model().vocabulary.find_special(piece.text)) return found->id;
    }
  } catch (const InputError&) {  // a template that wants another chat: the tokenizer's own end serves
  }
  return std::nullopt;
}

PLUME_FUNCTION std::vector<TokenId> ChatEncoder::next_prompt(std::span<const TokenId> held, const Message& message) const {
  require(!held.empty(), "[next_prompt] the session holds nothing: feed prompt() first");
  require(message.role == Role::user, "[next_prompt] the message must be of the user");
  require(adds_turns(), "[next_prompt] this template renders whole chats only: use prompt()");
  chat_detail::Renderer renderer(form_.fixed);
  renderer.between();
  renderer.user(message, [] { return false; });
  renderer.open();
  std::vector<TokenId> ids;
  const bool ended =
      held.size() >= end_.size() && std::equal(end_.begin(), end_.end(), held.end() - static_cast<std::ptrdiff_t>(end_.size()));
  if (!ended) ids = end_;
  const std::vector<TokenId> more = encode(renderer.take(), TextPart::later).ids;
  ids.insert(ids.end(), more.begin(), more.end());
  return ids;
}

PLUME_FUNCTION std::vector<std::string> ChatEncoder::stop_strings() const {
  if (end_is_token_ || form_.fixed.end_text.empty()) return {};
  return {std::string(form_.fixed.end_text)};
}

PLUME_FUNCTION EncodedChat ChatEncoder::encode(std::span<const ChatSegment> segments, TextPart part) const {
  const Vocabulary& vocabulary = tokenizer_.model().vocabulary;
  EncodedChat result;
  std::string run;  // of text between tokens
  bool trained = false;
  const auto label = [&] {
    const auto known = static_cast<std::ptrdiff_t>(result.labels.size());
    if (trained) result.labels.insert(result.labels.end(), result.ids.begin() + known, result.ids.end());
    result.labels.resize(result.ids.size(), -1);
  };
  const auto flush = [&] {
    if (run.empty()) return;
    tokenizer_.model().encode(run, part, result.ids);
    run.clear();
    part = TextPart::later;
    label();
  };
  const auto add_tokens = [&](std::span<const TokenId> ids) {
    result.ids.insert(result.ids.end(), ids.begin(), ids.end());
    label();
  };
  for (const ChatSegment& segment : segments) {
    const bool answers =
        segment.kind == ChatSegmentKind::answer || segment.kind == ChatSegmentKind::end || segment.kind == ChatSegmentKind::trained_literal;
    if (answers != trained || segment.kind == ChatSegmentKind::end) flush();
    trained = answers;
    switch (segment.kind) {
      case ChatSegmentKind::begin:
        flush();
        if (!vocabulary.begins_with_bos) break;
        add_tokens({&*vocabulary.bos, 1});
        part = TextPart::first;
        break;
      case ChatSegmentKind::literal:
      case ChatSegmentKind::trained_literal: {
        std::string_view rest = segment.text;
        while (const auto found = vocabulary.find_special(rest)) {
          run.append(rest.substr(0, found->begin));
          flush();
          add_tokens({&found->id, 1});
          part = TextPart::later;
          rest.remove_prefix(found->end);
        }
        run.append(rest);
        break;
      }
      case ChatSegmentKind::text:
      case ChatSegmentKind::answer:
        run.append(segment.text);
        break;
      case ChatSegmentKind::end:
        add_tokens(end_);
        part = TextPart::later;
        break;
    }
  }
  flush();
  return result;
}

}  // namespace plume::inline PLUME_ABI
#endif
