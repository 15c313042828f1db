// Counting words: what is cut into blocks and parts counts like the whole, files like texts, on any number of threads.
#include "plume/tokenizer/word_counts.hpp"

#include <string>
#include <vector>

#include "plume/base/error.hpp"
#include "plume/kernels/parallel/context.hpp"
#include "plume/tokenizer/train_byte_bpe.hpp"
#include "plume/tokenizer/train_unigram.hpp"
#include "plume/tokenizer/train_word_piece.hpp"
#include "temporary.hpp"
#include "test_data.hpp"

using plume::TextPart;
using plume::WordCounter;
using plume::WordCounts;

namespace {

// Words end behind a dot; every word is remembered with whether its part began a text.
WordCounter::Options dots() {
  WordCounter::Options options;
  options.special_tokens = {"<end>", "<end>>"};
  options.cut = [](std::string_view text, std::size_t at) {
    const std::size_t dot = text.find('.', at == 0 ? 0 : at - 1);
    return dot == text.npos ? text.size() : dot + 1;
  };
  options.count = [](std::string_view text, TextPart part, WordCounts& counts) {
    if (part == TextPart::first) counts.add("[");
    while (!text.empty()) {
      const std::size_t end = std::min(text.find('.'), text.size() - 1) + 1;
      counts.add(text.substr(0, end), text.size());
      text.remove_prefix(end);
    }
  };
  return options;
}

std::string listed(const WordCounts& counts) {
  std::string out;
  for (const plume::WordCount& word : counts.sorted())
    if (word.word.size() < 40) out += plume::concat(word.word, " ", word.count, "\n");
  return out;
}

}  // namespace

TEST_CASE("Special tokens end a text, the longest one where several begin; files larger than a block count like texts") {
  std::string text;  // 10 MiB: more than two blocks
  std::uint64_t state = 1;
  while (text.size() < (std::size_t{10} << 20)) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const auto pick = state >> 33;
    text += pick % 1000 == 0 ? "<end>>" : pick % 1000 == 1 ? "<end>" : plume::concat("w", pick % 5003, ".");
    if (pick % 100'000 == 7) text.append(std::size_t{3} << 18, 'x').push_back('.');
  }
  std::string expected;  // by hand: one pass, no parts
  {
    WordCounts counts;
    for (std::string_view rest = text; !rest.empty();) {
      const std::size_t end = std::min(rest.find("<end>"), rest.size());
      if (end > 0) dots().count(rest.substr(0, end), TextPart::first, counts);
      rest.remove_prefix(end);
      if (!rest.empty()) rest.remove_prefix(rest.starts_with("<end>>") ? 6 : 5);
    }
    expected = listed(counts);
  }
  const plume_test::TemporaryDirectory folder;
  const std::string path = folder / "text.txt";
  plume_test::write_all(path, text);
  for (const int threads : {1, 3}) {
    CAPTURE(threads);
    const plume::Context context({.threads = threads});
    const plume::ContextScope scope(context);
    WordCounter whole(dots()), streamed(dots());
    whole.add(text);
    CHECK(listed(whole.take()) == expected);
    streamed.add_file(path);
    CHECK(listed(streamed.take()) == expected);
  }
}

TEST_CASE("A special token across the border of two blocks") {
  const std::string special = "<end>>";
  const plume_test::TemporaryDirectory folder;
  for (std::size_t inside = 1; inside < special.size(); ++inside) {  // bytes of it that the first block holds
    CAPTURE(inside);
    std::string text;
    while (text.size() + 6 < (std::size_t{1} << 22) - inside) text += "w.";
    text.resize((std::size_t{1} << 22) - inside - 1, 'v');
    text += "." + special + "tail.";
    plume_test::write_all(folder / "text.txt", text);
    WordCounter whole(dots()), streamed(dots());
    whole.add(text);
    streamed.add_file(folder / "text.txt");
    const std::string counts = listed(streamed.take());
    CHECK(counts == listed(whole.take()));
    CHECK(counts.find("<") == counts.npos);
    CHECK(counts.find("[ 2\n") != counts.npos);
  }
}

TEST_CASE("Each trainer makes the same tokenizer of a file in blocks, of its text, and on any number of threads") {
  const auto path = plume_test::test_data("tokenizers/sentencepiece/botchan.txt");
  if (!path) return;
  const std::string book = plume_test::read_all(*path);
  std::string text;  // larger than a block
  while (text.size() < (std::size_t{9} << 19)) text += book;
  const plume_test::TemporaryDirectory folder;
  const std::string file = folder / "books.txt";
  plume_test::write_all(file, text);
  const auto files_of = [&](auto&& make, int threads, bool streamed) {
    const plume::Context context({.threads = threads});
    const plume::ContextScope scope(context);
    auto trainer = make();
    if (streamed)
      trainer->add_file(file);
    else
      trainer->add(text);
    std::string all;
    for (const plume::TokenizerFile& each : trainer->train().model().files()) all += each.content;
    return all;
  };
  const auto check = [&](auto&& make) {
    const std::string first = files_of(make, 1, false);
    CHECK(first == files_of(make, 2, true));
    CHECK(first == files_of(make, 3, false));
  };
  check([] { return std::make_unique<plume::ByteBpeTrainer>(plume::TrainByteBpeOptions{.vocabulary_size = 800}); });
  check([] { return std::make_unique<plume::UnigramTrainer>(plume::TrainUnigramOptions{.vocabulary_size = 800}); });
  check([] { return std::make_unique<plume::WordPieceTrainer>(plume::TrainWordPieceOptions{.vocabulary_size = 800}); });
}

TEST_CASE("A line of one letter without a place for a cut, progress, and what is refused") {
  plume::Index last = 0;
  WordCounter::Options options = dots();
  options.report = [&](const plume::TrainTokenizerProgress& progress) { last = progress.done; };
  WordCounter counter(options);
  const plume_test::TemporaryDirectory folder;
  plume_test::write_all(folder / "long.txt", std::string(std::size_t{9} << 20, 'x'));
  counter.add_file(folder / "long.txt");
  CHECK(last == plume::Index{9} << 20);
  CHECK(counter.take().size() == 2);
  CHECK_THROWS_AS(counter.add_file(folder / "absent"), plume::IoError);
  CHECK_THROWS_AS(counter.add_file(folder.path()), plume::IoError);
  const plume::StopSource stop;
  stop.request();
  WordCounter::Options stopped = dots();
  stopped.stop = stop.token();
  WordCounter none(stopped);
  CHECK_THROWS_AS(none.add("a.b."), plume::Cancelled);
}
