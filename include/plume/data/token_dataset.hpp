#pragma once
// Text as tokens in memory, and the windows that pretraining cuts from it.
//
//   auto [training, validation] = read_token_dataset({"book.txt"}, tokenizer).split(0.1);
//   PackedWindows windows(training, {.sequence = 256, .seed = 1});
//   TokenBatch batch = windows.next(16);
#include <algorithm>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/checksum.hpp"
#include "plume/base/files.hpp"
#include "plume/base/limits.hpp"
#include "plume/base/random.hpp"
#include "plume/base/stop_token.hpp"
#include "plume/data/batch.hpp"
#include "plume/tokenizer/tokenizer.hpp"

namespace plume::inline PLUME_ABI {

// Tokens of a corpus, or of a part of it. A cheap immutable value: copies and parts share memory, any number of threads may read.
class TokenDataset {
 public:
  TokenDataset() = default;
  explicit TokenDataset(std::vector<TokenId> ids) : ids_(std::make_shared<const std::vector<TokenId>>(std::move(ids))) { part_ = *ids_; }

  Index size() const { return static_cast<Index>(part_.size()); }
  bool empty() const { return part_.empty(); }
  std::span<const TokenId> ids() const { return part_; }

  // Tokens [begin, end).
  TokenDataset part(Index begin, Index end) const {
    require(begin >= 0 && begin <= end && end <= size(), "[token_dataset] part [", begin, ", ", end, ") of ", size(), " tokens");
    TokenDataset result = *this;
    result.part_ = part_.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
    return result;
  }
  // {training, validation}: the last `fraction` of the tokens is validation.
  std::pair<TokenDataset, TokenDataset> split(double fraction) const {
    require(fraction >= 0 && fraction < 1, "[token_dataset] validation fraction ", fraction, " is not in [0, 1)");
    const Index kept = size() - static_cast<Index>(fraction * static_cast<double>(size()));
    return {part(0, kept), part(kept, size())};
  }
  // CRC-32C of the ids and their number: tells whether two runs read the same tokens.
  std::uint64_t fingerprint() const {
    return static_cast<std::uint64_t>(crc32c(std::as_bytes(part_))) << 32 | (static_cast<std::uint64_t>(part_.size()) & 0xffffffffu);
  }

 private:
  std::shared_ptr<const std::vector<TokenId>> ids_;
  std::span<const TokenId> part_;
};

struct TokenDatasetOptions {
  std::string separator = "<|endoftext|>";  // a line of its own between documents; empty: all text is one document
  Limits limits = {};                       // max_text_bytes
  StopToken stop = {};                      // polled at each document
};

// Appends the ids of a text, document by document. Between documents stands the tokenizer's special token of the separator's spelling;
// without one its eos, unless documents begin with bos; without that nothing. The line breaks around a separator belong to it.
// ArgumentError: text that the tokenizer cannot express. Cancelled: options.stop fired.
PLUME_FUNCTION void append_tokens(std::vector<TokenId>& ids, std::string_view text, const Tokenizer& tokenizer,
                                  const TokenDatasetOptions& options = {});

PLUME_FUNCTION TokenDataset token_dataset(std::string_view text, const Tokenizer& tokenizer, const TokenDatasetOptions& options = {});

// The tokens of text files, each of which is at least one document. IoError: a file cannot be read. LimitError: one is too long.
PLUME_FUNCTION TokenDataset read_token_dataset(const std::vector<std::string>& paths, const Tokenizer& tokenizer,
                                               const TokenDatasetOptions& options = {});

struct PackedWindowsOptions {
  Index sequence = 256;    // tokens of a window
  std::uint64_t seed = 0;  // of phases and order
};

// Endless training windows. Each epoch cuts the tokens from a random phase on into windows of `sequence` inputs, whose targets are the
// tokens that follow, and visits them in a random order. A BatchSource.
class PackedWindows {
 public:
  // ArgumentError: fewer tokens than one window and its last target need.
  PLUME_FUNCTION PackedWindows(TokenDataset data, const PackedWindowsOptions& options);

  PLUME_FUNCTION TokenBatch next(Index sequences);
  // The same into a batch whose memory is used again.
  PLUME_FUNCTION void next(Index sequences, TokenBatch& batch);

  DataCursor cursor() const { return cursor_; }
  // Continues as a source that has delivered what stands before `cursor`. ConfigError: no such place in this data.
  PLUME_FUNCTION void seek(const DataCursor& cursor);
  std::uint64_t fingerprint() const { return data_.fingerprint() * 0x9E3779B97F4A7C15u + static_cast<std::uint64_t>(sequence_); }
  Index windows() const { return static_cast<Index>(order_.size()); }  // of this epoch

 private:
  void begin_epoch() {
    Random random{.seed = cursor_.seed, .stream = static_cast<std::uint64_t>(cursor_.epoch)};
    phase_ = static_cast<Index>(random.below(static_cast<std::uint64_t>(std::min(sequence_, data_.size() - sequence_))));
    order_.resize(static_cast<std::size_t>((data_.size() - 1 - phase_) / sequence_));
    std::iota(order_.begin(), order_.end(), Index{0});
    for (std::size_t i = order_.size(); i > 1; --i) std::swap(order_[i - 1], order_[static_cast<std::size_t>(random.below(i))]);
  }

  TokenDataset data_;
  Index sequence_, phase_ = 0;
  std::vector<Index> order_;
  DataCursor cursor_;
};

struct EvaluationWindowsOptions {
  Index sequence = 256;
  Index batch = 16;  // windows of one batch
};

// A whole split for evaluation: windows side by side, so that every token but the first is a target exactly once; the last window may be
// short. A BatchList.
class EvaluationWindows {
 public:
  // ArgumentError: fewer than two tokens.
  PLUME_FUNCTION EvaluationWindows(TokenDataset data, const EvaluationWindowsOptions& options);
  Index size() const { return (data_.size() - 2) / (options_.sequence * options_.batch) + 1; }
  PLUME_FUNCTION TokenBatch at(Index index) const;

 private:
  TokenDataset data_;
  EvaluationWindowsOptions options_;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION void append_tokens(std::vector<TokenId>& ids, std::string_view text, const Tokenizer& tokenizer,
                                  const TokenDatasetOptions& options) {
  const std::string_view line = options.separator;
  std::optional<TokenId> between = tokenizer.find(line);
  if (between && !tokenizer.is_special(*between)) between = std::nullopt;
  if (!between && !tokenizer.model().vocabulary.begins_with_bos) between = tokenizer.eos();
  while (true) {
    options.stop.check();
    std::size_t begin = line.empty() ? text.npos : text.find(line);
    while (begin != text.npos) {  // only where the separator fills a line
      const std::size_t end = begin + line.size();
      const bool starts = begin == 0 || text[begin - 1] == '\n', ends = end == text.size() || text[end] == '\n' || text[end] == '\r';
      if (starts && ends) break;
      begin = text.find(line, end);
    }
    std::string_view document = text.substr(0, begin);
    if (begin != text.npos && document.ends_with('\n')) document.remove_suffix(1);
    if (begin != text.npos && document.ends_with('\r')) document.remove_suffix(1);
    if (!document.empty()) {
      const std::vector<TokenId> more = tokenizer.encode(document);
      ids.insert(ids.end(), more.begin(), more.end());
    }
    if (begin == text.npos) return;
    if (between && !ids.empty()) ids.push_back(*between);
    text.remove_prefix(begin + line.size());
    if (text.starts_with('\r')) text.remove_prefix(1);
    if (text.starts_with('\n')) text.remove_prefix(1);
  }
}

PLUME_FUNCTION TokenDataset token_dataset(std::string_view text, const Tokenizer& tokenizer, const TokenDatasetOptions& options) try {
  std::vector<TokenId> ids;
  append_tokens(ids, text, tokenizer, options);
  return TokenDataset(std::move(ids));
} catch (...) {
  rethrow_memory_failure("a dataset");
}

PLUME_FUNCTION TokenDataset read_token_dataset(const std::vector<std::string>& paths, const Tokenizer& tokenizer,
                                               const TokenDatasetOptions& options) try {
  std::vector<TokenId> ids;
  for (const std::string& path : paths) {
    const std::string text = read_file(path, options.limits.max_text_bytes, "max_text_bytes");
    const bool starts = ids.empty() || options.separator.empty() || text.starts_with(options.separator);
    append_tokens(ids, starts ? text : concat(options.separator, "\n", text), tokenizer, options);
  }
  return TokenDataset(std::move(ids));
} catch (...) {
  rethrow_memory_failure("a dataset");
}

PLUME_FUNCTION PackedWindows::PackedWindows(TokenDataset data, const PackedWindowsOptions& options)
    : data_(std::move(data)), sequence_(options.sequence), cursor_{options.seed, 0, 0} {
  require(sequence_ >= 1, "[packed_windows] sequence ", sequence_, ", expected at least 1");
  require(data_.size() > sequence_, "[packed_windows] the training text has ", data_.size(), " tokens, one window of ", sequence_,
          " needs ", sequence_ + 1, ": give more text or a shorter sequence");
  begin_epoch();
}

PLUME_FUNCTION TokenBatch PackedWindows::next(Index sequences) {
  TokenBatch batch;
  next(sequences, batch);
  return batch;
}

PLUME_FUNCTION void PackedWindows::next(Index sequences, TokenBatch& batch) {
  batch.inputs.clear();
  batch.targets.clear();
  batch.lengths.clear();
  for (Index i = 0; i < sequences; ++i) {
    if (cursor_.position == static_cast<Index>(order_.size())) {
      ++cursor_.epoch;
      cursor_.position = 0;
      begin_epoch();
    }
    const Index window = order_[static_cast<std::size_t>(cursor_.position++)];
    const auto ids = data_.ids().subspan(static_cast<std::size_t>(phase_ + window * sequence_), static_cast<std::size_t>(sequence_ + 1));
    batch.inputs.insert(batch.inputs.end(), ids.begin(), ids.end() - 1);
    batch.targets.insert(batch.targets.end(), ids.begin() + 1, ids.end());
    batch.lengths.push_back(sequence_);
  }
}

PLUME_FUNCTION void PackedWindows::seek(const DataCursor& cursor) {
  if (cursor.epoch < 0) throw ConfigError({.field = "data.epoch"}, concat("is ", cursor.epoch, ", expected at least 0"));
  const DataCursor before = std::exchange(cursor_, cursor);
  begin_epoch();
  const auto windows = static_cast<Index>(order_.size());
  if (cursor.position >= 0 && cursor.position <= windows) return;
  cursor_ = before;
  begin_epoch();
  throw ConfigError({.field = "data.position"}, concat("is ", cursor.position, ", but an epoch of this data has ", windows, " windows"));
}

PLUME_FUNCTION EvaluationWindows::EvaluationWindows(TokenDataset data, const EvaluationWindowsOptions& options)
    : data_(std::move(data)), options_(options) {
  require(options.sequence >= 1 && options.batch >= 1, "[evaluation_windows] sequence ", options.sequence, ", batch ", options.batch,
          ", expected at least 1");
  require(data_.size() >= 2, "[evaluation_windows] the validation text has ", data_.size(), " tokens, at least 2 are needed");
}

PLUME_FUNCTION TokenBatch EvaluationWindows::at(Index index) const {
  require(index >= 0 && index < size(), "[evaluation_windows] batch ", index, " of ", size());
  const Index span = options_.sequence * options_.batch, begin = index * span, end = std::min(begin + span, data_.size() - 1);
  const auto inputs = data_.part(begin, end), targets = data_.part(begin + 1, end + 1);
  TokenBatch batch{{inputs.ids().begin(), inputs.ids().end()}, {targets.ids().begin(), targets.ids().end()}, {}};
  for (Index at = begin; at < end; at += options_.sequence) batch.lengths.push_back(std::min(options_.sequence, end - at));
  return batch;
}

}  // namespace plume::inline PLUME_ABI
#endif
