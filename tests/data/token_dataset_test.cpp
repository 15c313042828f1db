#include "plume/data/token_dataset.hpp"

#include <doctest/doctest.h>

#include <map>
#include <set>

#include "plume/tokenizer/characters.hpp"
#include "plume/tokenizer/train_byte_bpe.hpp"
#include "temporary_folder.hpp"

using namespace plume;

namespace {

TokenDataset counting(Index size) {  // 0, 1, 2, …
  std::vector<TokenId> ids(static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<TokenId>(i);
  return TokenDataset(std::move(ids));
}

}  // namespace

TEST_CASE("a separator line becomes the special token, and belongs to no document") {
  const Tokenizer tokenizer = train_byte_bpe({"one two\n"}, {.vocabulary_size = 257});
  const TokenId end = *tokenizer.find("<|endoftext|>");
  const auto decoded = [&](std::string_view text) {
    const TokenDataset data = token_dataset(text, tokenizer);
    std::string result;
    for (const TokenId id : data.ids()) result += id == end ? "|" : tokenizer.decode(std::vector{id});
    return result;
  };
  CHECK(decoded("one\n<|endoftext|>\ntwo\n") == "one|two\n");
  CHECK(decoded("one\r\n<|endoftext|>\r\ntwo") == "one|two");
  CHECK(decoded("<|endoftext|>\none\n<|endoftext|>") == "one|");
  CHECK(decoded("a <|endoftext|> b") == "a <|endoftext|> b");  // no line of its own
  CHECK(decoded("").empty());
  const plume_test::TemporaryFolder folder;
  const TokenDataset files = read_token_dataset({folder.write("a", "one\n"), folder.write("b", "two\n")}, tokenizer);
  CHECK(std::count(files.ids().begin(), files.ids().end(), end) == 1);
}

TEST_CASE("a tokenizer without special tokens leaves the separator out") {
  const Tokenizer tokenizer = character_tokenizer("ab\n");
  CHECK(tokenizer.decode(token_dataset("a\n<|endoftext|>\nb", tokenizer).ids()) == "ab");
}

TEST_CASE("the validation part is the end, and nothing is lost") {
  const auto [training, validation] = counting(1000).split(0.1);
  CHECK(training.size() == 900);
  CHECK(validation.ids().front() == 900);
  CHECK(validation.ids().back() == 999);
  CHECK(training.fingerprint() != validation.fingerprint());
  CHECK(counting(1000).fingerprint() == counting(1000).fingerprint());
  CHECK(counting(1000).fingerprint() != counting(1001).fingerprint());
  CHECK_THROWS_AS(counting(10).split(1.0), ArgumentError);
  CHECK_THROWS_AS(counting(10).split(-0.1), ArgumentError);
  for (const auto& part : {std::pair(-1, 2), std::pair(3, 2), std::pair(0, 11)})
    CHECK_THROWS_WITH_AS(counting(10).part(part.first, part.second), doctest::Contains("of 10 tokens"), ArgumentError);
}

TEST_CASE("an epoch visits every window of its phase once; targets follow inputs") {
  PackedWindows windows(counting(1003), {.sequence = 10, .seed = 3});
  std::set<std::vector<TokenId>> orders;
  std::set<TokenId> phases;
  for (int epoch = 0; epoch < 5; ++epoch) {
    std::set<TokenId> starts;
    std::vector<TokenId> order;
    const Index count = windows.windows();
    for (Index i = 0; i < count; ++i) {
      const TokenBatch batch = windows.next(1);
      REQUIRE(batch.inputs.size() == 10);
      REQUIRE(batch.lengths == std::vector<Index>{10});
      for (std::size_t t = 0; t < 10; ++t) REQUIRE(batch.targets[t] == batch.inputs[0] + static_cast<TokenId>(t) + 1);
      CHECK(starts.insert(batch.inputs[0]).second);
      order.push_back(batch.inputs[0]);
    }
    CHECK(*starts.rbegin() - *starts.begin() == 10 * (count - 1));
    CHECK(windows.cursor() == DataCursor{3, epoch, count});
    orders.insert(order);
    phases.insert(*starts.begin() % 10);
    windows.next(1);
    windows.seek({3, epoch + 1, 0});
  }
  CHECK(orders.size() == 5);
  CHECK(phases.size() > 1);
}

TEST_CASE("a cursor puts the stream back exactly") {
  PackedWindows windows(counting(500), {.sequence = 7, .seed = 1}), again(counting(500), {.sequence = 7, .seed = 1});
  for (int i = 0; i < 33; ++i) windows.next(5);
  again.seek(windows.cursor());
  for (int i = 0; i < 40; ++i) CHECK(windows.next(3).inputs == again.next(3).inputs);
  CHECK_THROWS_AS(again.seek({1, 0, 1000}), ConfigError);
  CHECK_THROWS_AS(again.seek({1, -1, 0}), ConfigError);
  CHECK(windows.next(3).inputs == again.next(3).inputs);  // a refused seek changes nothing
}

TEST_CASE("a corpus shorter than a window is refused with both numbers") {
  CHECK_THROWS_WITH_AS(PackedWindows(counting(32), {.sequence = 32}), doctest::Contains("has 32 tokens, one window of 32 needs 33"),
                       ArgumentError);
  PackedWindows shortest(counting(33), {.sequence = 32});
  CHECK(shortest.next(3).inputs.size() == 96);
}

TEST_CASE("evaluation covers every target exactly once") {
  for (const Index size : {2, 3, 9, 10, 11, 40, 41, 42, 137}) {
    const EvaluationWindows windows(counting(size), {.sequence = 10, .batch = 4});
    std::map<TokenId, int> seen;
    for (Index i = 0; i < windows.size(); ++i) {
      const TokenBatch batch = windows.at(i);
      Index rows = 0;
      for (const Index length : batch.lengths) {
        CHECK((length >= 1 && length <= 10));
        rows += length;
      }
      REQUIRE(rows == static_cast<Index>(batch.inputs.size()));
      for (std::size_t t = 0; t < batch.targets.size(); ++t) {
        CHECK(batch.targets[t] == batch.inputs[t] + 1);
        ++seen[batch.targets[t]];
      }
    }
    CAPTURE(size);
    CHECK(static_cast<Index>(seen.size()) == size - 1);
    for (const auto& [id, count] : seen) CHECK(count == 1);
  }
  CHECK_THROWS_AS(EvaluationWindows(counting(1), {}), ArgumentError);
  CHECK_THROWS_AS(PackedWindows(counting(9), {.sequence = 0}), ArgumentError);
  CHECK_THROWS_AS(EvaluationWindows(counting(9), {.sequence = 0}), ArgumentError);
  CHECK_THROWS_AS(EvaluationWindows(counting(9), {.batch = 0}), ArgumentError);
  const EvaluationWindows one(counting(9), {.sequence = 4, .batch = 2});
  for (const Index index : {Index{-1}, one.size()})
    CHECK_THROWS_WITH_AS(one.at(index), doctest::Contains("[evaluation_windows] batch"), ArgumentError);
}
