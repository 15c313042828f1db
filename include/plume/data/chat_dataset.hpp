#pragma once
// Chats as tokens in memory, and the batches that tuning draws from them.
//
//   ChatDataset training(chats, encoder, {.sequence = 512});
//   PackedChats rows(training, {.seed = 1});                 // a BatchSource for train()
//   EvaluationChats validation(held_out, {.batch = 16});     // a BatchList
//
// Each chat is a sequence of its own in TokenBatch::lengths: packed or not, it sees nothing of its neighbours and its positions begin at 0.
#include <algorithm>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "plume/base/checksum.hpp"
#include "plume/base/random.hpp"
#include "plume/base/stop_token.hpp"
#include "plume/data/batch.hpp"
#include "plume/data/chat_encoder.hpp"

namespace plume::inline PLUME_ABI {

// What becomes of a chat with more tokens than fit: its end is cut off, it is left out, or it is an error.
enum class LongChats : std::uint8_t { truncate, drop, refuse };

struct ChatDatasetOptions {
  Index sequence = 512;  // tokens of a row: inputs, as in PackedWindowsOptions; a chat keeps one id more, the last target
  LongChats long_chats = LongChats::truncate;
  StopToken stop = {};  // polled at each chat
};

struct ChatStatistics {
  Index chats = 0;            // given
  Index turns = 0;            // answers in them
  Index empty_answers = 0;    // of those
  Index tokens = 0;           // inputs that a pass over all kept chats computes
  Index trained_tokens = 0;   // targets among them
  Index truncated_chats = 0;  // cut to the length of a row
  Index dropped_tokens = 0;   // of their cut ends
  Index dropped_chats = 0;    // too long, with LongChats::drop
  Index untrained_chats = 0;  // left out: no token of an answer (in reach)
  // The share of tokens that are read but not trained.
  double masked_fraction() const { return tokens > 0 ? 1 - static_cast<double>(trained_tokens) / static_cast<double>(tokens) : 0; }
};

// An immutable value; copies share memory, and any number of threads may read.
class ChatDataset {
 public:
  ChatDataset() = default;
  // ArgumentError: roles out of turn, a text that the tokenizer cannot express, LongChats::refuse and a chat that is too long.
  ChatDataset(std::span<const Chat> chats, const ChatEncoder& encoder, const ChatDatasetOptions& options = {})
      : sequence_(options.sequence) {
    require(sequence_ >= 1, "[chat_dataset] sequence ", sequence_, ", expected at least 1");
    auto tokens = std::make_shared<Tokens>();
    for (const Chat& chat : chats) {
      options.stop.check();
      add(*tokens, chat, encoder, options.long_chats);
    }
    tokens_ = std::move(tokens);
  }

  Index size() const { return tokens_ ? static_cast<Index>(tokens_->begins.size()) - 1 : 0; }  // sequences
  Index sequence() const { return sequence_; }
  const ChatStatistics& statistics() const { return statistics_; }

  Index tokens_of(Index index) const { return static_cast<Index>(begin(index + 1) - begin(index)) - 1; }
  // Appends one sequence to a batch.
  PLUME_FUNCTION void append_to(TokenBatch& batch, Index index) const;
  // CRC-32C of ids, labels and lengths, and the number of tokens.
  PLUME_FUNCTION std::uint64_t fingerprint() const;

 private:
  struct Tokens {
    std::vector<TokenId> ids, labels;         // of all sequences
    std::vector<std::uint64_t> begins = {0};  // where each sequence begins, and the end
  };

  std::size_t begin(Index index) const {
    require(index >= 0 && index <= size(), "[chat_dataset] chat ", index, " of ", size());
    return static_cast<std::size_t>(tokens_->begins[static_cast<std::size_t>(index)]);
  }

  PLUME_FUNCTION void add(Tokens& tokens, const Chat& chat, const ChatEncoder& encoder, LongChats long_chats);

  // Ids [from, to) up to the last trained one: what follows it would be computed for nothing. False when none is trained.
  PLUME_FUNCTION bool keep(Tokens& tokens, const EncodedChat& encoded, std::size_t from, std::size_t to);

  std::shared_ptr<const Tokens> tokens_;
  Index sequence_ = 0;
  ChatStatistics statistics_;
};

// Whether a row holds one chat, or as many as fit in the dataset's sequence length.
enum class Packing : std::uint8_t { one_chat, fill_rows };

struct PackedChatsOptions {
  std::uint64_t seed = 0;  // of the order
  Packing packing = Packing::fill_rows;
};

// Endless training rows: each epoch visits every chat once, in a random order. A BatchSource.
class PackedChats {
 public:
  // ArgumentError: no chats.
  PackedChats(ChatDataset data, const PackedChatsOptions& options = {})
      : data_(std::move(data)), packing_(options.packing), cursor_{options.seed, 0, 0} {
    require(data_.size() > 0, "[packed_chats] no chat is left to train on: ", data_.statistics().chats, " were given, ",
            data_.statistics().untrained_chats, " of them have no trained token within ", data_.sequence(), " tokens, ",
            data_.statistics().dropped_chats, " are longer");
    begin_epoch();
  }

  PLUME_FUNCTION TokenBatch next(Index sequences);
  // The same into a batch whose memory is used again.
  PLUME_FUNCTION void next(Index sequences, TokenBatch& batch);

  DataCursor cursor() const { return cursor_; }
  // Continues as a source that has delivered what stands before `cursor`. ConfigError: no such place in this data.
  PLUME_FUNCTION void seek(const DataCursor& cursor);
  std::uint64_t fingerprint() const { return data_.fingerprint() * 0x9E3779B97F4A7C15u + static_cast<std::uint64_t>(packing_); }
  Index rows() const { return static_cast<Index>(rows_.size()) - 1; }  // of this epoch

 private:
  PLUME_FUNCTION void begin_epoch();

  ChatDataset data_;
  Packing packing_;
  std::vector<Index> order_;
  std::vector<std::size_t> rows_;  // where each row begins in order_, and the end
  DataCursor cursor_;
};

struct EvaluationChatsOptions {
  Index batch = 16;  // rows of a batch
};

// All chats in their order, as many a batch as fit in its rows. A BatchList.
class EvaluationChats {
 public:
  EvaluationChats(ChatDataset data, const EvaluationChatsOptions& options = {}) : data_(std::move(data)) {
    require(options.batch >= 1, "[evaluation_chats] batch ", options.batch, ", expected at least 1");
    Index used = 0;
    for (Index i = 0; i < data_.size(); ++i) {
      const Index tokens = data_.tokens_of(i);
      if (i == 0 || used + tokens > options.batch * data_.sequence()) {
        begins_.push_back(i);
        used = 0;
      }
      used += tokens;
    }
  }
  Index size() const { return static_cast<Index>(begins_.size()); }
  PLUME_FUNCTION TokenBatch at(Index index) const;

 private:
  ChatDataset data_;
  std::vector<Index> begins_;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION void ChatDataset::append_to(TokenBatch& batch, Index index) const {
  const auto from = static_cast<std::ptrdiff_t>(begin(index)), to = static_cast<std::ptrdiff_t>(begin(index + 1));
  batch.inputs.insert(batch.inputs.end(), tokens_->ids.begin() + from, tokens_->ids.begin() + to - 1);
  batch.targets.insert(batch.targets.end(), tokens_->labels.begin() + from + 1, tokens_->labels.begin() + to);
  batch.lengths.push_back(static_cast<Index>(to - from) - 1);
}

PLUME_FUNCTION std::uint64_t ChatDataset::fingerprint() const {
  if (!tokens_) return 0;
  std::uint32_t sum = crc32c(std::as_bytes(std::span(tokens_->ids)));
  sum = crc32c(std::as_bytes(std::span(tokens_->labels)), sum);
  sum = crc32c(std::as_bytes(std::span(tokens_->begins)), sum);
  return (std::uint64_t{sum} << 32 | (tokens_->ids.size() & 0xffffffffu)) * 0x9E3779B97F4A7C15u + static_cast<std::uint64_t>(sequence_);
}

PLUME_FUNCTION void ChatDataset::add(Tokens& tokens, const Chat& chat, const ChatEncoder& encoder, LongChats long_chats) {
  const EncodedChat encoded = encoder.encode(chat);
  const std::size_t size = encoded.ids.size(), most = static_cast<std::size_t>(sequence_) + 1;
  const Index index = statistics_.chats++;
  for (const Message& message : chat.messages) {
    if (message.role != Role::assistant) continue;
    ++statistics_.turns;
    if (message.content.empty()) ++statistics_.empty_answers;
  }
  const bool text = chat.messages.size() == 1 && chat.messages[0].role == Role::assistant;
  if (size > most && !text) {
    require(long_chats != LongChats::refuse, "[chat_dataset] chat ", index, " (from 0) has ", size, " tokens, a row holds ", most,
            ": give a longer sequence, or truncate or drop long chats");
    if (long_chats == LongChats::drop) {
      ++statistics_.dropped_chats;
      return;
    }
    ++statistics_.truncated_chats;
    statistics_.dropped_tokens += static_cast<Index>(size - most);
  }
  // A long text is cut into rows instead; the last target of one is the first input of the next.
  bool trained = false;
  for (std::size_t from = 0, to = 0; from == 0 || (text && to < size); from = to - 1) {
    to = std::min(from + most, size);
    trained |= keep(tokens, encoded, from, to);
    if (to <= 1) break;
  }
  if (!trained) ++statistics_.untrained_chats;
}

PLUME_FUNCTION bool ChatDataset::keep(Tokens& tokens, const EncodedChat& encoded, std::size_t from, std::size_t to) {
  while (to > from + 1 && encoded.labels[to - 1] < 0) --to;
  if (to <= from + 1) return false;
  const auto begin = static_cast<std::ptrdiff_t>(from), end = static_cast<std::ptrdiff_t>(to);
  tokens.ids.insert(tokens.ids.end(), encoded.ids.begin() + begin, encoded.ids.begin() + end);
  tokens.labels.insert(tokens.labels.end(), encoded.labels.begin() + begin, encoded.labels.begin() + end);
  tokens.begins.push_back(tokens.ids.size());
  statistics_.tokens += static_cast<Index>(to - from) - 1;
  statistics_.trained_tokens += static_cast<Index>(
      std::count_if(encoded.labels.begin() + begin + 1, encoded.labels.begin() + end, [](TokenId id) { return id >= 0; }));
  return true;
}

PLUME_FUNCTION TokenBatch PackedChats::next(Index sequences) {
  TokenBatch batch;
  next(sequences, batch);
  return batch;
}

PLUME_FUNCTION void PackedChats::next(Index sequences, TokenBatch& batch) {
  batch.inputs.clear();
  batch.targets.clear();
  batch.lengths.clear();
  for (Index i = 0; i < sequences; ++i) {
    if (cursor_.position == rows()) {
      ++cursor_.epoch;
      cursor_.position = 0;
      begin_epoch();
    }
    const auto row = static_cast<std::size_t>(cursor_.position++);
    for (std::size_t at = rows_[row]; at < rows_[row + 1]; ++at) data_.append_to(batch, order_[at]);
  }
}

PLUME_FUNCTION void PackedChats::seek(const DataCursor& cursor) {
  if (cursor.epoch < 0) throw ConfigError({.field = "data.epoch"}, concat("is ", cursor.epoch, ", expected at least 0"));
  const DataCursor before = std::exchange(cursor_, cursor);
  begin_epoch();
  const Index count = rows();
  if (cursor.position >= 0 && cursor.position <= count) return;
  cursor_ = before;
  begin_epoch();
  throw ConfigError({.field = "data.position"}, concat("is ", cursor.position, ", but this epoch of the data has ", count, " rows"));
}

PLUME_FUNCTION void PackedChats::begin_epoch() {
  Random random{.seed = cursor_.seed, .stream = static_cast<std::uint64_t>(cursor_.epoch)};
  order_.resize(static_cast<std::size_t>(data_.size()));
  std::iota(order_.begin(), order_.end(), Index{0});
  for (std::size_t i = order_.size(); i > 1; --i) std::swap(order_[i - 1], order_[static_cast<std::size_t>(random.below(i))]);
  rows_ = {0};
  Index used = 0;
  for (std::size_t at = 0; at < order_.size(); ++at) {
    const Index tokens = data_.tokens_of(order_[at]);
    if (at > 0 && (packing_ == Packing::one_chat || used + tokens > data_.sequence())) {
      rows_.push_back(at);
      used = 0;
    }
    used += tokens;
  }
  rows_.push_back(order_.size());
}

PLUME_FUNCTION TokenBatch EvaluationChats::at(Index index) const {
  require(index >= 0 && index < size(), "[evaluation_chats] batch ", index, " of ", size());
  const Index end = index + 1 < size() ? begins_[static_cast<std::size_t>(index) + 1] : data_.size();
  TokenBatch batch;
  for (Index i = begins_[static_cast<std::size_t>(index)]; i < end; ++i) data_.append_to(batch, i);
  return batch;
}

}  // namespace plume::inline PLUME_ABI
#endif
