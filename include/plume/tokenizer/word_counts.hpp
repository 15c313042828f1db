#pragma once
// What trainers learn from: how often each word (a piece of a pre-tokeniser) occurs in texts of any size. Files are read in blocks, the
// parts of a block are counted on all threads of the current Context, and only the distinct words stay in memory.
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/error.hpp"
#include "plume/base/stop_token.hpp"
#include "plume/tokenizer/piece_table.hpp"
#include "plume/tokenizer/tokenizer_model.hpp"
#include "plume/tokenizer/worker_states.hpp"

namespace plume::inline PLUME_ABI {

// How far training has come: `done` of `total` in the unit of the phase; total 0: unknown.
struct TrainTokenizerProgress {
  enum class Phase : std::uint8_t { count, merge, seed, prune } phase = Phase::count;  // bytes, tokens, words, pieces left
  Index done = 0, total = 0;
};
using TrainTokenizerReport = std::function<void(const TrainTokenizerProgress&)>;

struct WordCount {
  std::string_view word;
  Index count;
};

class WordCounts {
 public:
  // `readable`: bytes from word.data() on that may be read.
  void add(std::string_view word, std::size_t readable, Index count = 1) {
    const PieceKey key = piece_key(word, readable);
    const std::uint32_t found = table_.find(key, word, [&](std::uint32_t value) { return text(value); });
    if (found != PieceTable::absent) [[likely]]
      counts_[found] += count;
    else
      insert(key, word, count);
  }
  void add(std::string_view word) { add(word, word.size()); }
  PLUME_FUNCTION void add(const WordCounts& other);
  std::size_t size() const { return counts_.size(); }
  // In the order of their bytes: whatever the order of counting, the same list. Views into this object.
  PLUME_FUNCTION std::vector<WordCount> sorted() const;

 private:
  PLUME_FUNCTION void insert(const PieceKey& key, std::string_view word, Index count);
  std::string_view text(std::uint32_t value) const {
    return std::string_view(texts_).substr(starts_[value], starts_[value + 1] - starts_[value]);
  }

  PieceTable table_;
  std::string texts_;
  std::vector<std::size_t> starts_ = {0};
  std::vector<Index> counts_;
};

// Counts words on all threads. What a word is, the two functions say; special tokens end one text and begin the next, and are no words.
class WordCounter {
 public:
  struct Options {
    std::vector<std::string> special_tokens = {};
    // A place at or behind `at` where a text may be cut without changing its words; text.size(): none.
    std::function<std::size_t(std::string_view text, std::size_t at)> cut = {};
    // Adds the words of a part of a text; first: it stands at the start of a text.
    std::function<void(std::string_view text, TextPart part, WordCounts& counts)> count = {};
    StopToken stop = {};
    TrainTokenizerReport report = {};
  };

  PLUME_FUNCTION explicit WordCounter(Options options);
  // A text. Cancelled: options.stop fired.
  PLUME_FUNCTION void add(std::string_view text);
  // The text of a file, read in blocks: it may be larger than memory. IoError: it cannot be read.
  PLUME_FUNCTION void add_file(const std::string& path);
  // All counts so far, which leave this object.
  PLUME_FUNCTION WordCounts take();

 private:
  static constexpr std::size_t block = std::size_t{1} << 22, part = std::size_t{1} << 18;  // bytes read at once, bytes counted as one job
  struct Part {
    std::size_t begin, end;
    TextPart place;
  };
  enum class Ends : std::uint8_t { here, later };
  PLUME_FUNCTION std::size_t split(std::string_view text, Ends ends, TextPart& place, std::vector<Part>& parts) const;
  PLUME_FUNCTION void count(std::string_view text, const std::vector<Part>& parts);
  PLUME_FUNCTION void progress(std::size_t bytes, Index total);

  Options options_;
  Vocabulary special_;
  std::size_t longest_ = 1;  // special token
  WorkerStates<WordCounts> counts_;
  Index done_ = 0;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "plume/base/files.hpp"
#include "plume/kernels/parallel/parallel_for.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION void WordCounts::insert(const PieceKey& key, std::string_view word, Index count) {
  require(counts_.size() < PieceTable::absent, "[train] the texts hold more than ", PieceTable::absent, " different words");
  texts_.append(word);
  starts_.push_back(texts_.size());
  counts_.push_back(count);
  table_.insert(key, static_cast<std::uint32_t>(counts_.size() - 1));
}

PLUME_FUNCTION void WordCounts::add(const WordCounts& other) {
  for (std::uint32_t i = 0; i < other.counts_.size(); ++i) add(other.text(i), other.texts_.size() - other.starts_[i], other.counts_[i]);
}

PLUME_FUNCTION std::vector<WordCount> WordCounts::sorted() const {
  std::vector<WordCount> words;
  words.reserve(counts_.size());
  for (std::uint32_t i = 0; i < counts_.size(); ++i) words.push_back({text(i), counts_[i]});
  std::sort(words.begin(), words.end(), [](const WordCount& a, const WordCount& b) { return a.word < b.word; });
  return words;
}

namespace word_counting {
inline Vocabulary special_only(const std::vector<std::string>& tokens) {
  std::vector<TokenId> ids;
  for (std::size_t i = 0; i < tokens.size(); ++i) ids.push_back(static_cast<TokenId>(i));
  return Vocabulary(tokens, tokens, ids);
}
}  // namespace word_counting

PLUME_FUNCTION WordCounter::WordCounter(Options options)
    : options_(std::move(options)), special_(word_counting::special_only(options_.special_tokens)) {
  for (const std::string& token : options_.special_tokens) longest_ = std::max(longest_, token.size());
}

// Cuts `text` into parts; gives the bytes that were used. Unless it ends here, what may belong to a longer word or special token is left.
PLUME_FUNCTION std::size_t WordCounter::split(std::string_view text, Ends ends, TextPart& place, std::vector<Part>& parts) const {
  std::size_t at = 0;
  const auto run = [&](std::size_t end) {
    while (at < end) {
      const std::size_t next = std::min(at + part, end), to = next == end ? end : std::min(options_.cut(text.substr(0, end), next), end);
      parts.push_back({at, to, place});
      place = TextPart::later;
      at = to;
    }
  };
  while (const auto found = special_.find_special(text.substr(at))) {
    const std::size_t begin = at + found->begin, end = at + found->end;
    if (ends == Ends::later && begin + longest_ > text.size()) break;  // a longer one may begin here
    run(begin);
    at = end;
    place = TextPart::first;
  }
  if (ends == Ends::here) {
    run(text.size());
    return text.size();
  }
  // the last place for a cut: before anything that may begin a special token
  const std::size_t limit = text.size() > longest_ + 16 ? text.size() - longest_ - 16 : 0;
  for (std::size_t back = std::size_t{1} << 12; limit > at; back *= 16) {
    const std::size_t from = limit - at > back ? limit - back : at + 1;
    if (const std::size_t cut = options_.cut(text, from); cut < limit) {
      run(cut);
      break;
    }
    if (from == at + 1) break;
  }
  return at;
}

PLUME_FUNCTION void WordCounter::count(std::string_view text, const std::vector<Part>& parts) {
  constexpr Index cost_of_byte = 8;
  const auto size = static_cast<Index>(text.size());
  parallel_for(static_cast<Index>(parts.size()), 1, cost_of_byte * size, [&](Index begin, Index end) {
    counts_.with([] { return WordCounts(); },
                 [&](WordCounts& counts) {
                   for (Index i = begin; i < end; ++i) {
                     options_.stop.check();
                     const Part& each = parts[static_cast<std::size_t>(i)];
                     options_.count(text.substr(each.begin, each.end - each.begin), each.place, counts);
                   }
                 });
  });
}

PLUME_FUNCTION void WordCounter::progress(std::size_t bytes, Index total) {
  done_ += static_cast<Index>(bytes);
  if (options_.report) options_.report({TrainTokenizerProgress::Phase::count, done_, total});
}

PLUME_FUNCTION void WordCounter::add(std::string_view text) try {
  TextPart place = TextPart::first;
  std::vector<Part> parts;
  while (!text.empty()) {
    options_.stop.check();
    parts.clear();
    // blocks, so that a very long text's list of parts stays short and progress is heard of
    std::size_t used = 0;
    for (std::size_t size = block; used == 0; size *= 2) {
      const bool all = size >= text.size();
      used = split(text.substr(0, size), all ? Ends::here : Ends::later, place, parts);
    }
    count(text.substr(0, used), parts);
    text.remove_prefix(used);
    progress(used, 0);
  }
} catch (...) {
  rethrow_memory_failure("the words of a text");
}

PLUME_FUNCTION void WordCounter::add_file(const std::string& path) try {
  const auto file = files_detail::open_regular(path);
  const Index total = done_ + static_cast<Index>(file.size);
  std::string text;
  TextPart place = TextPart::first;
  std::vector<Part> parts;
  for (bool ended = false; !ended;) {
    options_.stop.check();
    const std::size_t kept = text.size();
    text.resize(kept + std::max(block, kept));  // what could not be cut is looked at twice as far
    std::size_t filled = kept;
    while (!ended && filled < text.size()) {
      const ssize_t got = ::read(file.descriptor.get(), text.data() + filled, text.size() - filled);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw IoError("read", path, errno);
      ended = got == 0;
      filled += static_cast<std::size_t>(got);
    }
    text.resize(filled);
    parts.clear();
    const std::size_t used = split(text, ended ? Ends::here : Ends::later, place, parts);
    count(std::string_view(text).substr(0, used), parts);
    text.erase(0, used);
    progress(used, total);
  }
} catch (...) {
  rethrow_memory_failure("the words of a text");
}

PLUME_FUNCTION WordCounts WordCounter::take() {
  WordCounts all;
  for (std::unique_ptr<WordCounts>& counts : counts_.all()) {
    if (counts->size() > all.size()) std::swap(*counts, all);
    all.add(*counts);
    counts.reset();
  }
  counts_.all().clear();
  return all;
}

}  // namespace plume::inline PLUME_ABI
#endif
