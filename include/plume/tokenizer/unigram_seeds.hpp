#pragma once
// The pieces that unigram training begins with [Kudo 2018]: substrings of the words that occur more than once, found by sorting all
// suffixes. Of substrings that always occur together only the longest counts. Those that end wherever a word does are few: else rare words
// would take the place of their parts, and all of them would be seeds as soon as every text comes twice.
#include <string>
#include <string_view>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/tokenizer/word_counts.hpp"

namespace plume::inline PLUME_ABI {

struct UnigramSeed {
  std::string text;
  Index count;
};

struct UnigramSeedOptions {
  Index most = 1'000'000;          // the ones of greatest count x characters
  Index longest = 16;              // characters
  Index most_endings = 1'000'000;  // of those that always end a word, the ones of greatest count x characters
};

// Substrings of at least two characters that occur at least twice, sorted by their bytes. Each word comes with the character that stands
// behind it, which is no part of them. The words are UTF-8 without NUL. LimitError: 4 GiB of different words.
PLUME_FUNCTION std::vector<UnigramSeed> unigram_seeds(const std::vector<WordCount>& words, const UnigramSeedOptions& options);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>
#include <cstring>

#include "plume/base/error.hpp"
#include "plume/kernels/parallel/parallel_for.hpp"

namespace plume::inline PLUME_ABI {

class SuffixSeeds {
 public:
  SuffixSeeds(const std::vector<WordCount>& words, const UnigramSeedOptions& options) : options_(options) {
    std::size_t size = 0;
    for (const WordCount& word : words) size += word.word.size();
    require(size < 0xffffffff, "[train_unigram] the different words make up ", size, " bytes; train on less than 4 GiB of them");
    text_.reserve(size + 8);
    for (const WordCount& word : words) {
      add_suffixes(text_.size(), word);
      text_.append(word.word);
    }
    text_.append(8, '\0');
  }

  std::vector<UnigramSeed> find() {
    sort();
    candidates();
    keep_best(endings_, options_.most_endings);
    found_.insert(found_.end(), endings_.begin(), endings_.end());
    keep_best(found_, options_.most);
    std::vector<UnigramSeed> seeds;
    seeds.reserve(found_.size());
    for (const Candidate& each : found_) seeds.push_back({std::string(view(each.begin, each.size)), each.count});
    std::sort(seeds.begin(), seeds.end(), [](const UnigramSeed& a, const UnigramSeed& b) { return a.text < b.text; });
    return seeds;
  }

 private:
  struct Suffix {
    std::uint64_t front;  // its first eight bytes, the first one highest; zeros behind its end
    std::uint32_t begin;
    std::uint16_t size, inside;  // up to a character more than the longest piece; up to the end of the word
    std::uint32_t word;
  };
  struct Candidate {
    std::uint32_t begin;
    std::uint16_t size;
    Index count, score;
  };

  static bool continues(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }
  std::string_view view(std::size_t begin, std::size_t size) const { return std::string_view(text_).substr(begin, size); }

  void add_suffixes(std::size_t base, const WordCount& word) {
    const std::string_view text = word.word;
    const auto index = static_cast<std::uint32_t>(counts_.size());
    counts_.push_back(word.count);
    // the ends of characters, so that the end `longest` characters on is known
    ends_.clear();
    for (std::size_t at = 1; at <= text.size(); ++at)
      if (at == text.size() || !continues(text[at])) ends_.push_back(at);
    const auto longest = static_cast<std::size_t>(options_.longest);
    for (std::size_t i = 0; i + 1 < ends_.size(); ++i) {
      const std::size_t begin = i == 0 ? 0 : ends_[i - 1], end = ends_[std::min(i + longest + 1, ends_.size()) - 1];
      const std::size_t inside = std::min(end, ends_[ends_.size() - 2]) - begin;
      std::uint64_t front = 0;
      for (std::size_t b = 0; b < 8; ++b) front = front << 8 | (begin + b < end ? static_cast<unsigned char>(text[begin + b]) : 0u);
      suffixes_.push_back({front, static_cast<std::uint32_t>(base + begin), static_cast<std::uint16_t>(end - begin),
                           static_cast<std::uint16_t>(inside), index});
    }
  }

  void sort() {
    // by the first two bytes, then each such group by the rest
    std::vector<std::size_t> starts(65537);
    for (const Suffix& each : suffixes_) ++starts[(each.front >> 48) + 1];
    for (std::size_t i = 1; i < starts.size(); ++i) starts[i] += starts[i - 1];
    std::vector<Suffix> sorted(suffixes_.size());
    std::vector<std::size_t> next(starts.begin(), starts.end() - 1);
    for (const Suffix& each : suffixes_) sorted[next[each.front >> 48]++] = each;
    suffixes_ = std::move(sorted);
    const auto less = [this](const Suffix& a, const Suffix& b) {
      if (a.front != b.front) return a.front < b.front;
      const std::size_t shared = std::min(a.size, b.size);
      if (shared > 8)
        if (const int order = std::memcmp(text_.data() + a.begin + 8, text_.data() + b.begin + 8, shared - 8); order != 0) return order < 0;
      return a.size != b.size ? a.size < b.size : a.begin < b.begin;
    };
    parallel_for(65536, 64, 32 * static_cast<Index>(suffixes_.size()), [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) {
        const auto group = static_cast<std::size_t>(i);
        std::sort(suffixes_.begin() + static_cast<std::ptrdiff_t>(starts[group]),
                  suffixes_.begin() + static_cast<std::ptrdiff_t>(starts[group + 1]), less);
      }
    });
  }

  // Bytes of the whole characters that two suffixes begin with.
  std::size_t shared(const Suffix& a, const Suffix& b) const {
    const std::size_t most = std::min(a.size, b.size);
    std::size_t size = 0;
    while (size < most && text_[a.begin + size] == text_[b.begin + size]) ++size;
    if (size < most)
      while (size > 0 && continues(text_[a.begin + size])) --size;
    return size;
  }

  // Each group of neighbours that share more than those around them.
  void candidates() {
    struct Open {
      std::size_t size;
      Index count;
    };
    std::vector<Open> open;
    const auto close = [&](std::size_t down_to, const Suffix& last) {
      while (!open.empty() && open.back().size > down_to) {
        const Open top = open.back();
        open.pop_back();
        const std::size_t next = std::max(down_to, open.empty() ? 0 : open.back().size);
        if (top.size <= last.inside)
          offer(found_, last.begin, top.size, top.count);
        else if (next < last.inside)
          offer(endings_, last.begin, last.inside, top.count);
        if (open.empty() || open.back().size < down_to)
          open.push_back({down_to, top.count});
        else
          open.back().count += top.count;
      }
    };
    for (std::size_t i = 0; i < suffixes_.size(); ++i) {
      const Suffix& each = suffixes_[i];
      if (i > 0) close(shared(suffixes_[i - 1], each), suffixes_[i - 1]);
      if (open.empty() || open.back().size < each.size) open.push_back({each.size, 0});
      open.back().count += counts_[each.word];
    }
    if (!suffixes_.empty()) close(0, suffixes_.back());
  }
  void offer(std::vector<Candidate>& candidates, std::uint32_t begin, std::size_t size, Index count) {
    Index characters = 0;
    for (std::size_t i = 0; i < size; ++i) characters += continues(text_[begin + i]) ? 0 : 1;
    if (count >= 2 && characters >= 2 && characters <= options_.longest)
      candidates.push_back({begin, static_cast<std::uint16_t>(size), count, count * characters});
  }

  void keep_best(std::vector<Candidate>& candidates, Index most) const {
    if (candidates.size() <= static_cast<std::size_t>(most)) return;
    std::nth_element(candidates.begin(), candidates.begin() + most, candidates.end(), [this](const Candidate& a, const Candidate& b) {
      return a.score != b.score ? a.score > b.score : view(a.begin, a.size) < view(b.begin, b.size);
    });
    candidates.resize(static_cast<std::size_t>(most));
  }

  UnigramSeedOptions options_;
  std::string text_;
  std::vector<Index> counts_;  // of words
  std::vector<Suffix> suffixes_;
  std::vector<std::size_t> ends_;
  std::vector<Candidate> found_, endings_;
};

PLUME_FUNCTION std::vector<UnigramSeed> unigram_seeds(const std::vector<WordCount>& words, const UnigramSeedOptions& options) {
  return SuffixSeeds(words, options).find();
}

}  // namespace plume::inline PLUME_ABI
#endif
