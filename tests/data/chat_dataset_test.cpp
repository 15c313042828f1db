#include "plume/data/chat_dataset.hpp"

#include <map>
#include <set>

#include "numbers.hpp"
#include "plume/base/json.hpp"
#include "plume/data/chats.hpp"
#include "plume/models/decoder.hpp"
#include "plume/tokenizer/characters.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"
#include "plume/train/evaluate.hpp"
#include "test_data.hpp"

using namespace plume;
using Ids = std::vector<TokenId>;

static_assert(BatchSource<PackedChats> && BatchList<EvaluationChats>);

namespace {

Chat exchange(std::string question, std::string answer) {
  return {{{Role::user, std::move(question)}, {Role::assistant, std::move(answer)}}};
}

ChatEncoder bytes(std::string_view name = "plain") { return {byte_tokenizer(), chat_template(name)}; }

// Chats of many lengths, each with an answer of its own.
std::vector<Chat> many(int count) {
  std::vector<Chat> chats;
  Random random{.seed = 5};
  for (int i = 0; i < count; ++i) {
    chats.push_back(exchange(std::string(random.below(12), 'q'), concat("answer ", i)));
    if (i % 3 == 0) chats.back().messages.insert(chats.back().messages.end(), {{Role::user, concat("more ", i)}, {Role::assistant, "yes"}});
  }
  return chats;
}

Index trained(const TokenBatch& batch) {
  return static_cast<Index>(std::count_if(batch.targets.begin(), batch.targets.end(), [](TokenId id) { return id >= 0; }));
}

// The sequences of a batch: inputs, targets.
std::vector<std::pair<Ids, Ids>> sequences(const TokenBatch& batch) {
  std::vector<std::pair<Ids, Ids>> all;
  std::ptrdiff_t at = 0;
  for (const Index length : batch.lengths) {
    all.push_back({{batch.inputs.begin() + at, batch.inputs.begin() + at + length},
                   {batch.targets.begin() + at, batch.targets.begin() + at + length}});
    at += length;
  }
  REQUIRE(at == static_cast<std::ptrdiff_t>(batch.inputs.size()));
  REQUIRE(batch.targets.size() == batch.inputs.size());
  return all;
}

TokenBatch whole(const ChatDataset& data) {
  TokenBatch batch;
  for (Index i = 0; i < data.size(); ++i) data.append_to(batch, i);
  return batch;
}

}  // namespace

TEST_CASE("targets are the next ids of answers and their ends, counted by hand") {
  // "User: ab\nAssistant: xyz\n\n": 19 bytes of prompt, then " xyz" and the end.
  const ChatDataset data(std::vector{exchange("ab", "xyz")}, bytes());
  const TokenBatch batch = whole(data);
  REQUIRE(batch.inputs.size() == 24);
  CHECK(trained(batch) == 6);
  CHECK(byte_tokenizer().decode(batch.inputs) == "User: ab\nAssistant: xyz\n");
  CHECK(byte_tokenizer().decode(std::span(batch.targets).subspan(18)) == " xyz\n\n");
  for (std::size_t t = 0; t < 18; ++t) CHECK(batch.targets[t] == -1);
  CHECK(data.statistics().chats == 1);
  CHECK(data.statistics().turns == 1);
  CHECK(data.statistics().tokens == 24);
  CHECK(data.statistics().trained_tokens == 6);
  CHECK(data.statistics().masked_fraction() == 0.75);
}

TEST_CASE("chats are cut, left out or refused as asked, and all of it is counted") {
  const std::vector<Chat> chats{exchange("ab", "xyz"),
                                exchange("ab", "a long answer"),
                                exchange("a question that fills the row", "x"),
                                {{{Role::user, "nothing said"}}},
                                exchange("", "")};
  // Ids: 25, 35, 50, 19, 20; a row of 29 inputs holds 30.
  const ChatDataset data(chats, bytes(), {.sequence = 29});
  const ChatStatistics& counts = data.statistics();
  CHECK(counts.chats == 5);
  CHECK(counts.turns == 4);
  CHECK(counts.empty_answers == 1);
  CHECK(counts.truncated_chats == 2);
  CHECK(counts.dropped_tokens == 5 + 20);
  CHECK(counts.untrained_chats == 2);
  CHECK(counts.tokens == 24 + 29 + 19);
  CHECK(counts.trained_tokens == 6 + 11 + 3);
  CHECK(data.size() == 3);
  CHECK(trained(whole(data)) == counts.trained_tokens);
  CHECK(byte_tokenizer().decode(std::span(sequences(whole(data))[1].second).subspan(18)) == " a long ans");

  const ChatDataset dropped(chats, bytes(), {.sequence = 29, .long_chats = LongChats::drop});
  CHECK(dropped.statistics().dropped_chats == 2);
  CHECK(dropped.statistics().truncated_chats == 0);
  CHECK(dropped.statistics().untrained_chats == 1);
  CHECK(dropped.size() == 2);
  CHECK_THROWS_WITH_AS(ChatDataset(chats, bytes(), {.sequence = 29, .long_chats = LongChats::refuse}),
                       doctest::Contains("chat 1 (from 0) has 35 tokens, a row holds 30"), ArgumentError);
  CHECK_THROWS_AS(ChatDataset(chats, bytes(), {.sequence = 0}), ArgumentError);
  CHECK_THROWS_WITH_AS(PackedChats(ChatDataset(std::vector<Chat>{chats[3]}, bytes())),
                       doctest::Contains("no chat is left to train on: 1 were given, 1 of them"), ArgumentError);
  CHECK_THROWS_AS(PackedChats(ChatDataset{}), ArgumentError);
}

TEST_CASE("rows are those of the published rules at each maximal length") {
  const std::string path = plume_test::golden("chats/cases.json");
  const Json file = Json::parse(plume_test::read_all(path), {.path = path});
  const Tokenizer tokenizer = load_tokenizer(plume_test::golden("chats"));
  int compared = 0;
  for (const Json& json : file.at("cases").items()) {
    if (json.text("tokenizer") != "small" || json.at("max_length").is_null()) continue;
    Chat chat;
    for (const Json& message : file.at("chats").at(json.text("chat")).items())
      chat.messages.push_back({message.text("role") == "user" ? Role::user : Role::assistant, message.text("content")});
    Ids ids, labels;
    for (const Json& id : json.at("ids").items()) ids.push_back(static_cast<TokenId>(id.as_integer()));
    labels.resize(ids.size(), -1);
    for (const Json& range : json.at("trained").items())
      for (auto i = static_cast<std::size_t>(range.at(0).as_integer()); i < static_cast<std::size_t>(range.at(1).as_integer()); ++i)
        labels[i] = ids[i];
    while (!labels.empty() && labels.back() < 0) labels.pop_back();  // what is not trained and comes last is not computed
    const ChatDataset data(std::vector{chat}, ChatEncoder(tokenizer, chat_template(json.text("template"))),
                           {.sequence = json.integer("max_length") - 1});
    INFO(json.text("template") << " cut to " << json.integer("max_length"));
    CHECK(data.statistics().truncated_chats == 1);
    if (labels.empty()) {
      CHECK(data.size() == 0);
      CHECK(data.statistics().untrained_chats == 1);
      continue;
    }
    const TokenBatch batch = whole(data);
    CHECK(batch.inputs == Ids(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(labels.size()) - 1));
    CHECK(batch.targets == Ids(labels.begin() + 1, labels.end()));
    ++compared;
  }
  CHECK(compared == 19);
}

TEST_CASE("a long text is cut into rows and no target is lost") {
  std::string text;
  for (int i = 0; i < 100; ++i) text += concat(i, " ");
  const auto alone = [](std::string part) { return Chat{{{Role::assistant, std::move(part)}}}; };
  for (const Index sequence : {1, 7, 64, 500}) {
    const ChatDataset data(std::vector{alone(text)}, bytes("text"), {.sequence = sequence});
    std::string targets;
    for (const auto& [inputs, wanted] : sequences(whole(data))) {
      CHECK(static_cast<Index>(inputs.size()) <= sequence);
      targets += byte_tokenizer().decode(wanted);
    }
    CHECK(targets == text.substr(1));  // nothing comes before the first byte
    CHECK(data.statistics().dropped_tokens == 0);
    CHECK(data.statistics().masked_fraction() == 0);
  }
  CHECK(ChatDataset(std::vector{alone("x")}, bytes("text")).statistics().untrained_chats == 1);
  CHECK(ChatDataset(std::vector{alone("")}, bytes("text")).statistics().untrained_chats == 1);
}

TEST_CASE("an epoch visits every chat once, in rows that hold what they may, in an order of its own") {
  const ChatDataset data(many(50), bytes(), {.sequence = 100});
  std::multiset<Ids> all;
  for (const auto& [inputs, targets] : sequences(whole(data))) all.insert(targets);
  for (const Packing packing : {Packing::fill_rows, Packing::one_chat}) {
    PackedChats rows(data, {.seed = 3, .packing = packing});
    std::set<std::vector<Ids>> orders;
    for (int epoch = 0; epoch < 4; ++epoch) {
      std::multiset<Ids> seen;
      std::vector<Ids> order;
      const Index count = rows.rows();
      for (Index i = 0; i < count; ++i) {
        const TokenBatch row = rows.next(1);
        CHECK(row.inputs.size() <= 100);
        CHECK((packing == Packing::fill_rows || row.lengths.size() == 1));
        for (const auto& [inputs, targets] : sequences(row)) seen.insert(targets), order.push_back(targets);
      }
      CHECK(seen == all);
      CHECK(rows.cursor() == DataCursor{3, epoch, count});
      orders.insert(order);
      rows.next(1);
      rows.seek({3, epoch + 1, 0});
    }
    CHECK(orders.size() == 4);
    if (packing == Packing::one_chat) CHECK(rows.rows() == 50);
    if (packing == Packing::fill_rows) CHECK(rows.rows() <= 30);
  }
}

TEST_CASE("a cursor puts the stream back exactly") {
  const ChatDataset data(many(40), bytes(), {.sequence = 90});
  PackedChats rows(data, {.seed = 1}), again(data, {.seed = 1});
  for (int i = 0; i < 13; ++i) rows.next(3);
  again.seek(rows.cursor());
  const auto same = [&] {
    const TokenBatch a = rows.next(3), b = again.next(3);
    return a.inputs == b.inputs && a.targets == b.targets && a.lengths == b.lengths;
  };
  for (int i = 0; i < 40; ++i) CHECK(same());
  CHECK_THROWS_AS(again.seek({1, 0, 1000}), ConfigError);
  CHECK_THROWS_AS(again.seek({1, 0, -1}), ConfigError);
  CHECK_THROWS_AS(again.seek({1, -1, 0}), ConfigError);
  CHECK(same());  // a refused seek changes nothing
}

TEST_CASE("the fingerprint knows the chats, the template, the length and the packing") {
  const auto fingerprint = [](const std::vector<Chat>& chats, std::string_view name, Index sequence, Packing packing) {
    return PackedChats(ChatDataset(chats, bytes(name), {.sequence = sequence}), {.packing = packing}).fingerprint();
  };
  std::set<std::uint64_t> different;
  for (int i = 0; i < 2; ++i) {
    different.insert(fingerprint(many(10), "plain", 100, Packing::fill_rows));
    different.insert(fingerprint(many(11), "plain", 100, Packing::fill_rows));
    different.insert(fingerprint(many(10), "chatml", 100, Packing::fill_rows));
    different.insert(fingerprint(many(10), "plain", 101, Packing::fill_rows));
    different.insert(fingerprint(many(10), "plain", 100, Packing::one_chat));
  }
  CHECK(different.size() == 5);
}

TEST_CASE("evaluation takes every chat once, in order") {
  const ChatDataset data(many(33), bytes(), {.sequence = 60});
  const auto all = sequences(whole(data));
  for (const Index batch : {1, 4, 1000}) {
    const EvaluationChats list(data, {.batch = batch});
    std::vector<std::pair<Ids, Ids>> seen;
    for (Index i = 0; i < list.size(); ++i) {
      const TokenBatch part = list.at(i);
      CHECK(static_cast<Index>(part.inputs.size()) <= batch * 60);
      for (auto& one : sequences(part)) seen.push_back(std::move(one));
    }
    CHECK(seen == all);
  }
  CHECK(EvaluationChats(ChatDataset{}).size() == 0);
  CHECK_THROWS_AS(EvaluationChats(data, {.batch = 0}), ArgumentError);
  const EvaluationChats batches(data, {.batch = 2});
  for (const Index index : {Index{-1}, batches.size()})
    CHECK_THROWS_WITH_AS(batches.at(index), doctest::Contains("[evaluation_chats] batch"), ArgumentError);
  for (const Index index : {Index{-1}, data.size()})
    CHECK_THROWS_WITH_AS(data.tokens_of(index), doctest::Contains("[chat_dataset] chat"), ArgumentError);
}

TEST_CASE("packed rows give the loss and the gradients of the same chats one by one") {
  for (const PositionKind position : {PositionKind::learned, PositionKind::rotary}) {
    Config config;
    config.vocabulary = 256;
    config.context = 1024;
    config.width = 32;
    config.layers = 2;
    config.hidden = 64;
    config.heads = 4;
    config.key_heads = 2;
    config.head_width = 8;
    config.rotary.width = 8;
    config.position = position;
    Decoder model = Decoder::described(config);
    initialise(model, 1);
    for (const NamedParameter& parameter : trainable_parameters(model))
      parameter.tensor.assign(plume_test::random_tensor(parameter.tensor.shape(), 3, DType::f32, 0.2));
    const ChatDataset data(many(24), bytes(), {.sequence = 128});
    PackedChats packed(data, {.seed = 2});
    const TokenBatch batch = packed.next(packed.rows());
    REQUIRE(static_cast<Index>(batch.lengths.size()) == 24);
    REQUIRE(packed.rows() < 12);
    const double tokens = static_cast<double>(trained(batch));

    Gradients together, apart;
    double loss = 0, sum = 0;
    {
      Tape tape;
      Pass pass;
      pass.segments = segments_of(batch);
      const Tensor value = model.loss(batch.inputs, batch.targets, pass, tokens);
      loss = value.item();
      tape.backward(value, together);
    }
    for (const auto& [inputs, targets] : sequences(batch)) {
      Tape tape;
      Pass pass;
      const Tensor value = model.loss(inputs, targets, pass, tokens);
      sum += value.item();
      tape.backward(value, apart);
    }
    CHECK(std::abs(loss - sum) <= 1e-6 * sum);
    for_each_parameter(model, [&](std::string_view path, const Tensor& tensor) {
      INFO(std::string(path));
      REQUIRE(together.find(tensor));
      CHECK(plume_test::distance(together.find(tensor), apart.find(tensor)) <= 1e-6);
      CHECK(plume_test::largest(together.find(tensor)) > 1e-4);
    });
    // Without borders between the chats it would be another thing.
    const NoTape pause;
    Pass joined;
    CHECK(std::abs(model.loss(batch.inputs, batch.targets, joined, tokens).item() - loss) > 1e-4 * loss);
  }
}

TEST_CASE("WikiSQL: what is trained are the answers and their ends, and nothing else") {
  const auto path = plume_test::test_data("sft/wikisql/valid.jsonl");
  if (!path) return;
  const Tokenizer tokenizer = load_tokenizer(plume_test::golden("chats"));
  const std::vector<Chat> chats = read_chats(*path, {.answer_marker = "\nA: "}).chats;
  const ChatDataset data(chats, ChatEncoder(tokenizer, chat_template("text")), {.sequence = 1024});
  Index expected = 0;
  for (const Chat& chat : chats)
    expected += static_cast<Index>(tokenizer.encode(chat.messages[1].content, {.begin = Begin::nothing}).size()) + 1;
  CHECK(data.statistics().trained_tokens == expected);
  CHECK(data.statistics().truncated_chats == 0);
  CHECK(data.statistics().masked_fraction() > 0.5);
  std::size_t i = 0;
  for (const auto& [inputs, targets] : sequences(whole(data))) {
    Ids answer;
    std::copy_if(targets.begin(), targets.end(), std::back_inserter(answer), [](TokenId id) { return id >= 0; });
    CHECK(answer.back() == tokenizer.eos());
    CHECK(tokenizer.decode(answer) == chats[i++].messages[1].content);
  }
}
