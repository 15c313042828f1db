// Asks a model questions and counts the right answers.
//
//   quiz --model path/to/model --data held_out.jsonl
//   quiz --model path/to/model --adapter path/to/adapter --data held_out.jsonl --show 5
//
// Each line of --data is one question, as {"question": ..., "answer": ...} or as the chat {"messages": [...]} that ends with the answer; a
// "relation" beside them names the kind of question. An answer is right when it equals the expected one, white space around it aside. The
// model answers greedily, each question in a conversation of its own.
#include <map>

#include "command_line.hpp"
#include "plume/base/json.hpp"
#include "plume/data/chat_encoder.hpp"
#include "plume/data/chat_template_file.hpp"
#include "plume/generate/generate.hpp"
#include "plume/models/load.hpp"
#include "plume/peft/adapter_files.hpp"

namespace {

struct Question {
  plume::Chat chat;  // up to the question
  std::string answer, relation;
};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view white = " \t\r\n";
  const auto begin = text.find_first_not_of(white);
  return begin == text.npos ? std::string_view() : text.substr(begin, text.find_last_not_of(white) - begin + 1);
}

Question read_question(const plume::Json& row) {
  Question question;
  question.relation = row.text("relation", "");
  if (row.find("question")) {
    question.chat.messages.push_back({.role = plume::Role::user, .content = row.text("question")});
    question.answer = row.text("answer");
    return question;
  }
  for (const plume::Json& message : row.at("messages").items()) {
    const std::string& role = message.text("role");
    if (role != "system" && role != "user" && role != "assistant") message.at("role").fail("expected system, user or assistant");
    question.chat.messages.push_back({.role = role == "system" ? plume::Role::system
                                              : role == "user" ? plume::Role::user
                                                               : plume::Role::assistant,
                                      .content = message.text("content")});
  }
  auto& messages = question.chat.messages;
  if (messages.size() < 2 || messages.back().role != plume::Role::assistant)
    row.at("messages").fail("expected a chat that ends with a question and its answer");
  question.answer = messages.back().content;
  messages.pop_back();
  return question;
}

std::vector<Question> read_questions(const std::string& path) {
  std::vector<Question> questions;
  const std::string text = plume::read_text(path);
  int number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = trimmed(std::string_view(text).substr(begin, end - begin));
    begin = end + 1;
    ++number;
    if (!line.empty()) questions.push_back(read_question(plume::Json::parse(line, {.path = plume::concat(path, ", line ", number)})));
  }
  if (questions.empty()) throw plume::FormatError({.path = path}, "holds no questions: expected one JSON object a line");
  return questions;
}

struct Score {
  int asked = 0, right = 0;
  double accuracy() const { return asked > 0 ? static_cast<double>(right) / asked : 0; }
};

}  // namespace

int main(int argc, char** argv) {
  example::Flags flags("quiz", "Asks a model questions and counts the right answers.");
  const auto& path = flags.text("--model PATH", example::required, "the model: as of generate");
  const auto& tokenizer = flags.text("--tokenizer FILE", "", "tokenizer file or directory, if it is not beside the model");
  const auto& adapter_path = flags.text("--adapter DIR", "", "LoRA adapter to answer with");
  const auto& data = flags.text("--data FILE", example::required, "questions and answers, one JSON object a line");
  std::vector<std::string> names = {"auto"};
  for (const plume::ChatTemplate& entry : plume::chat_templates) names.emplace_back(entry.name);
  const auto& template_name = flags.choice("--template", "auto", names,
                                           "what stands around messages; auto: as the adapter or model was tuned, else chatml or plain");
  const auto& limit = flags.number("--limit N", 0, "ask the first N questions; 0: all", {.min = 0});
  const auto& show = flags.number("--show N", 0, "print the first N questions with their answers", {.min = 0});
  const auto& max_tokens = flags.number("--max-tokens N", plume::Index{32}, "tokens of an answer at most", {.min = 1});
  const auto& threads = flags.threads();
  const auto& json = flags.json();
  const auto& quiet = flags.quiet();

  return flags.run(argc, argv, [&] {
    const plume::StopToken stop = example::stop_on_signal();
    std::vector<Question> questions = read_questions(data);
    if (limit > 0 && static_cast<std::size_t>(limit) < questions.size()) questions.resize(static_cast<std::size_t>(limit));
    const plume::Model model = plume::load(path, {.tokenizer = tokenizer});
    if (!model.tokenizer) throw example::UsageError("--tokenizer", plume::concat("FILE is needed: no tokenizer lies beside ", path));
    std::optional<plume::Adapter> adapter;
    if (!adapter_path.empty()) adapter.emplace(plume::load_adapter(adapter_path, model));

    const auto chat_template = [&]() -> plume::ChatTemplate {
      if (template_name != "auto") return plume::chat_template(template_name);
      if (const auto saved = plume::saved_chat_template(adapter_path.empty() ? path : adapter_path)) return *saved;
      return plume::usual_chat_template(model.tokenizer);
    }();

    const example::Stopwatch watch;
    const plume::ChatEncoder encoder(model.tokenizer, chat_template);
    const plume::GenerateOptions options{.max_tokens = max_tokens, .sampling = {.temperature = 0}, .stop = encoder.stop_strings()};
    plume::Session session(model, {.threads = threads, .stop = stop, .adapter = adapter ? &*adapter : nullptr});
    std::map<std::string, Score> by_relation;
    Score all;
    for (const Question& question : questions) {
      session.truncate(0);
      session.feed(encoder.prompt(question.chat));
      const plume::Generated answer = plume::generate(session, options);
      if (answer.finish_reason == plume::FinishReason::cancelled) throw plume::Cancelled();
      const bool right = trimmed(answer.text) == trimmed(question.answer);
      if (!json && all.asked < show)
        std::printf("%s %s [%s]\n", question.chat.messages.back().content.c_str(), std::string(trimmed(answer.text)).c_str(),
                    right ? "right" : plume::concat("wrong, expected: ", question.answer).c_str());
      for (Score* score : {&all, &by_relation[question.relation]}) ++score->asked, score->right += right ? 1 : 0;
    }

    const double seconds = watch.seconds();
    if (json) {
      plume::Json relations = plume::Json::object();
      for (const auto& [name, score] : by_relation) {
        plume::Json relation = plume::Json::object();
        relation.set("accuracy", score.accuracy()).set("asked", score.asked).set("right", score.right);
        relations.set(name, std::move(relation));
      }
      plume::Json report = plume::Json::object();
      report.set("accuracy", all.accuracy()).set("asked", all.asked).set("right", all.right).set("relations", std::move(relations));
      report.set("seconds", seconds);
      std::printf("%s\n", plume::dump(report).c_str());
      return;
    }
    if (!quiet && by_relation.size() > 1)
      for (const auto& [name, score] : by_relation)
        std::printf("%-16s %5.1f %%  (%d of %d)\n", name.c_str(), 100 * score.accuracy(), score.right, score.asked);
    std::printf("%-16s %5.1f %%  (%d of %d)\n", "accuracy", 100 * all.accuracy(), all.right, all.asked);
  });
}
