#pragma once
// A conversation with a model: what was said, and the session that has read it. Each turn reads only what is new; when the context is full
// the oldest turns are forgotten.
//
//   Conversation talk(model, plume::chat_template("plain"), {.threads = 2});
//   Answer answer = talk.ask("Hello", {.max_tokens = 100}, [](std::string_view piece) { ... });
#include <algorithm>

#include "plume/data/chat_encoder.hpp"
#include "plume/generate/generate.hpp"
#include "plume/tokenizer/stream_decoder.hpp"

namespace example {

struct Answer {
  std::string text = {};                // without the space around it
  plume::Generated generated = {};      // as the model wrote it
  plume::Index prompt_tokens = 0;       // fed for this turn
  plume::Index computed_tokens = 0;     // that went through the model in this turn
  plume::Index context_tokens = 0;      // held after it
  plume::Index forgotten_messages = 0;  // left out to make room
  bool context_full = false;            // the answer ended there
};

class Conversation {
 public:
  using Index = plume::Index;

  Conversation(const plume::Model& model, const plume::ChatForm& form, const plume::SessionOptions& options)
      : model_(model), encoder_(model.tokenizer, form), session_(model, options) {}

  Index context() const { return session_.context(); }
  const plume::ChatForm& form() const { return encoder_.form(); }

  // The conversation goes on through another adapter (null: none), which must outlive its use, and must be let go before it ends.
  void use(const plume::LinearAdapters* adapter) { session_.use(adapter); }
  void use(const plume::ChatForm& form) {
    if (form.name == this->form().name && !form.own) return;
    encoder_ = plume::ChatEncoder(model_.tokenizer, form);
    continues_ = false;
  }

  // All that was said, with what was forgotten.
  plume::Chat chat() const {
    plume::Chat whole{messages_};
    whole.messages.insert(whole.messages.begin() + first_turn(), forgotten_.begin(), forgotten_.end());
    return whole;
  }
  // Another conversation. What the session has read of it stays read.
  void begin(plume::Chat chat) {
    const bool asked =
        std::any_of(chat.messages.begin(), chat.messages.end(), [](const plume::Message& one) { return one.role == plume::Role::user; });
    if (asked || !form().own)
      plume::render(chat, form());  // refuses roles out of turn; some templates of models refuse a chat without a question
    messages_ = std::move(chat.messages);
    forgotten_.clear();
    continues_ = false;
  }
  bool awaits_answer() const { return !messages_.empty() && messages_.back().role == plume::Role::user; }

  // The model's answer to a message. After an error, or when it was stopped before the first token, the message is unsaid.
  Answer ask(std::string text, const plume::GenerateOptions& options, const plume::OnText& on_text) {
    messages_.push_back({plume::Role::user, std::move(text)});
    return answer(options, on_text);
  }
  // The same for a last message that has no answer yet.
  Answer answer(plume::GenerateOptions options, const plume::OnText& on_text) {
    const Index held = static_cast<Index>(session_.tokens().size()), computed = session_.computed_rows();
    const bool continued = continues_;
    const auto unsay = [&] {
      messages_.pop_back();
      continues_ = continued && held <= static_cast<Index>(session_.tokens().size()) && !rebuilt_;
      if (continues_) session_.truncate(held);
    };
    Answer answer;
    try {
      feed(answer, options.max_tokens);
      const std::size_t begin = session_.tokens().size();
      options.stop = encoder_.stop_strings();
      if (const auto end = encoder_.end_token()) options.end_tokens = {*end};
      std::string waiting;  // space that is only shown if more follows
      answer.generated = plume::generate(session_, options, [&](std::string_view piece) {
        waiting.append(piece);
        if (answer.text.empty()) waiting.erase(0, std::min(waiting.find_first_not_of(space), waiting.size()));
        const std::size_t end = waiting.find_last_not_of(space) + 1;  // npos + 1 == 0
        if (end == 0) return;
        answer.text.append(waiting, 0, end);
        if (on_text) on_text(std::string_view(waiting).substr(0, end));
        waiting.erase(0, end);
      });
      answer.computed_tokens = session_.computed_rows() - computed;
      answer.context_full = answer.generated.finish_reason == plume::FinishReason::length &&
                            static_cast<Index>(session_.tokens().size()) == session_.context();
      if (answer.generated.finish_reason == plume::FinishReason::cancelled && answer.generated.ids.empty()) {
        unsay();
        return answer;
      }
      continues_ = true;
      if (answer.generated.finish_reason == plume::FinishReason::stop && !options.stop.empty()) settle(begin, answer.generated.text);
    } catch (...) {
      unsay();
      throw;
    }
    messages_.push_back({plume::Role::assistant, answer.text});
    answer.context_tokens = static_cast<Index>(session_.tokens().size());
    return answer;
  }

 private:
  static constexpr std::string_view space = " \t\r\n";

  std::ptrdiff_t first_turn() const { return !messages_.empty() && messages_.front().role == plume::Role::system ? 1 : 0; }

  // Feeds the last message: what it adds to a session that holds all before it, else the whole conversation. Room for an answer is kept:
  // max_tokens, or a quarter of the context if that is less.
  void feed(Answer& answer, Index max_tokens) {
    const Index context = session_.context(), room = std::max<Index>(1, std::min(max_tokens, context / 4));
    rebuilt_ = false;
    if (continues_ && encoder_.adds_turns()) {
      const std::vector<plume::TokenId> ids = encoder_.next_prompt(session_.tokens(), messages_.back());
      if (static_cast<Index>(session_.tokens().size() + ids.size()) + room <= context) {
        session_.feed(ids);
        answer.prompt_tokens = static_cast<Index>(ids.size());
        return;
      }
    }
    plume::Chat kept{messages_};
    std::vector<plume::TokenId> ids = encoder_.prompt(kept);
    if (static_cast<Index>(ids.size()) + room > context) {
      // Down to half of the context, so that not every further turn has to forget again.
      const auto begin = kept.messages.begin() + first_turn();
      while (static_cast<Index>(ids.size()) > context / 2 && kept.messages.end() - begin > 2) {
        kept.messages.erase(begin, begin + 2);
        answer.forgotten_messages += 2;
        ids = encoder_.prompt(kept);
      }
      plume::require(static_cast<Index>(ids.size()) < context, "[chat] the message takes ", ids.size(),
                     " tokens with what stands around it, the context holds ", context, ": shorten the message");
      const auto first = messages_.begin() + first_turn();
      forgotten_.insert(forgotten_.end(), first, first + answer.forgotten_messages);
      messages_ = std::move(kept.messages);
    }
    // What the session has read of it already stays.
    const std::vector<plume::TokenId>& tokens = session_.tokens();
    const auto same = std::mismatch(ids.begin(), ids.end(), tokens.begin(), tokens.end()).first - ids.begin();
    rebuilt_ = true;
    session_.truncate(same);
    const auto rest = std::span<const plume::TokenId>(ids).subspan(static_cast<std::size_t>(same));
    session_.feed(rest);
    answer.prompt_tokens = static_cast<Index>(rest.size());
  }

  // After an end that is plain text, and may have begun inside a token: leaves the tokens of the answer alone in the session.
  void settle(std::size_t begin, const std::string& text) {
    const std::vector<plume::TokenId> ids = session_.tokens();
    plume::StreamDecoder decoder(model_.tokenizer);
    std::size_t kept = begin, length = 0, said = 0;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const std::string piece = ids[i] < model_.tokenizer.vocabulary() ? decoder.push(ids[i]) : std::string();
      if (i < begin) continue;
      said += piece.size();
      if (said > text.size()) break;
      kept = i + 1;
      length = said;
    }
    std::vector<plume::TokenId> rest;
    if (length < text.size()) model_.tokenizer.model().encode(text.substr(length), plume::TextPart::later, rest);
    session_.truncate(static_cast<Index>(kept));
    continues_ = static_cast<Index>(kept + rest.size()) <= session_.context();
    if (continues_) session_.feed(rest);
  }

  const plume::Model& model_;
  plume::ChatEncoder encoder_;
  plume::Session session_;
  std::vector<plume::Message> messages_, forgotten_;
  bool continues_ = false;  // the session holds just what was said, an answer last
  bool rebuilt_ = false;    // this turn replaced what the session held
};

}  // namespace example
