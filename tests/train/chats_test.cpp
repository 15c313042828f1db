// Chats through train(): what is tuned is what generation answers, and a run that was stopped ends with the same bits.
#include <doctest/doctest.h>

#include "plume/data/chat_dataset.hpp"
#include "plume/generate/generate.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"
#include "temporary_folder.hpp"
#include "test_data.hpp"
#include "train/toy.hpp"

using namespace plume;
using plume_test::TemporaryFolder;

namespace {

const std::vector<std::pair<std::string, std::string>> facts = {
    {"Who has the red boat?", "Anna has it."},       {"Who has the blue boat?", "Bert."},
    {"Where is the dog?", "In the garden, asleep."}, {"What does Carl eat?", "Bread and soup."},
    {"When does the ship sail?", "At six o'clock."}, {"Is it cold?", "No."},
};

std::vector<Chat> chats() {
  std::vector<Chat> all;
  for (const auto& [question, answer] : facts) all.push_back({{{Role::user, question}, {Role::assistant, answer}}});
  all.push_back(
      {{{Role::user, facts[0].first}, {Role::assistant, facts[0].second}, {Role::user, "And then?"}, {Role::assistant, "Then it rains."}}});
  return all;
}

}  // namespace

TEST_CASE("a tuned model gives the answers, ends them, and keeps to the second turn") {
  const Tokenizer tokenizer = load_tokenizer(plume_test::golden("chats"));
  for (const std::string name : {"chatml", "plain"}) {
    INFO(name);
    const ChatEncoder encoder(tokenizer, chat_template(name));
    const ChatDataset data(chats(), encoder, {.sequence = 128});
    REQUIRE(data.statistics().truncated_chats == 0);
    PackedChats rows(data, {.seed = 1});
    Model model{toy::model(tokenizer.vocabulary(), 1, 32, 128), tokenizer};
    TrainOptions options = toy::options(150);
    options.schedule.peak = 1e-2;
    const EvaluationChats validation(data);
    const double before = evaluate_loss(model, validation);
    train(model, rows, validation, options);
    CHECK(before > 5);
    CHECK(evaluate_loss(model, validation) < 0.05);

    const auto answer = [&](Session& session) {
      Generated generated = generate(session, {.max_tokens = 40, .sampling = {.temperature = 0}, .stop = encoder.stop_strings()});
      // Generation knows the model's end token; a template's own is looked for here.
      const auto end = std::find(generated.ids.begin(), generated.ids.end(), *encoder.end_token());
      REQUIRE(end != generated.ids.end());
      const auto extra = generated.ids.end() - end - 1;
      session.truncate(static_cast<Index>(session.tokens().size()) - static_cast<Index>(extra));
      return tokenizer.decode(std::span(generated.ids.begin(), end));
    };
    for (const auto& [question, expected] : facts) {
      Session session(model, {.threads = 1});
      session.feed(encoder.prompt({{{Role::user, question}}}));
      const std::string lead(encoder.chat_template().around_answer.before);
      CHECK(answer(session) == lead + expected);
      if (question != facts[0].first) continue;
      session.feed(encoder.next_prompt(session.tokens(), {Role::user, "And then?"}));
      CHECK(answer(session) == lead + "Then it rains.");
    }
  }
}

TEST_CASE("a stopped run over chats goes on bit for bit: dropout, accumulation, both precisions, packed or not") {
  const Tokenizer tokenizer = load_tokenizer(plume_test::golden("chats"));
  const ChatDataset data(chats(), ChatEncoder(tokenizer, chat_template("chatml")), {.sequence = 64});
  for (const Precision precision : {Precision::f32, Precision::bf16})
    for (const Packing packing : {Packing::fill_rows, Packing::one_chat}) {
      const TemporaryFolder folder;
      TrainOptions options = toy::options(11);
      options.batch = 2;
      options.accumulation = 2;
      options.dropout = 0.1;
      options.seed = 4;
      options.precision = precision;
      const auto run = [&](const std::string& directory, Index stop_after) {
        Decoder decoder = toy::model(tokenizer.vocabulary(), 1);
        PackedChats rows(data, {.seed = 4, .packing = packing});
        const StopSource source;
        options.stop = source.token();
        options.directory = directory;
        options.resume = Resume::newest;
        const TrainResult result = train(decoder, rows, NoEvaluation{}, options, {.progress = [&](const Progress& now) {
                                           if (now.step == stop_after) source.request();
                                         }});
        CHECK(result.end == (stop_after > 0 ? TrainEnd::stopped : TrainEnd::finished));
        return toy::weights(decoder);
      };
      const auto whole = run(folder / "whole", 0);
      run(folder / "parts", 3);
      run(folder / "parts", 8);
      CHECK(run(folder / "parts", 0) == whole);
    }
}
