#pragma once
// Pass: what one forward pass knows besides the tokens. Tokens are packed: rows of several sequences follow each other without padding, and
// the segments say which rows belong together. Training batches, ragged batches and cached generation are the same mechanism.
#include <memory>

#include "plume/base/stop_token.hpp"
#include "plume/modules/adapted_rows.hpp"
#include "plume/modules/kv_cache.hpp"
#include "plume/modules/memory.hpp"
#include "plume/modules/taps.hpp"
#include "plume/ops/attention.hpp"
#include "plume/ops/dropout.hpp"
#include "plume/ops/rope.hpp"

namespace plume::inline PLUME_ABI {

// One sequence: its number of new tokens, what it remembers of earlier ones, and the adapter it goes through.
struct Segment {
  Index tokens = 0;
  KvCache* cache = nullptr;                   // null: the sequence starts here and is not remembered
  const LinearAdapters* adapter = nullptr;    // null: the model as it is
  Index source = -1;                          // sequence of the memory that it reads; -1: the one of its own number
  std::shared_ptr<const Blanks> blanks = {};  // of a text with blanks; null: the model finds them in the tokens, if it fills any
};

// What training runs again instead of keeping its activations: nothing, the feed-forward half of each block, or whole blocks.
enum class Recompute : std::uint8_t { nothing, mlp, blocks };

// How what the blocks keep for the backward pass is kept: in the type of the model, or, where that is f32, as bfloat16. Then gradients are
// those of rounded activations, and results within blocks cannot be read once their block has ended.
enum class Activations : std::uint8_t { full, bf16 };

// What a layer sees: every key that the mask shows, or the last ones within a window alone. The two may have rotary angles of their own.
enum class AttentionScope : std::uint8_t { global, local };

struct Pass {
  PoolVector<Segment> segments = {};  // in row order; empty: all rows are one sequence
  Mask mask = {};                     // causal as a rule
  Dropout dropout = {};               // rate 0: none. The stream should differ between steps
  bool training = false;              // adapters drop out, by their own rate and the seed and stream above
  Recompute recompute = Recompute::nothing;
  Activations activations = Activations::full;
  StopToken stop = {};             // polled before each block
  const Memory* memory = nullptr;  // of blocks with cross-attention
  Taps* taps = nullptr;            // what it keeps of the way; those of an earlier pass go

  // Set by begin() for the modules.
  PoolVector<Segment> sequences = {};  // `segments`, or the one that all rows are
  Index layer = 0;
  PoolVector<std::int32_t> positions = {}, in_blocks = {};  // a TokenPlace for each row
  RotaryAngles angles = {}, local_angles = {};              // local ones where they differ
  RelativeBias relative = {};                               // of the layers that have one
  AdaptedRows adapted = {};
  PoolVector<std::shared_ptr<const IntervalMask>> masks = {}, local_masks = {}, memory_masks = {};

  // Prepares positions and masks for `rows` rows. Layers of local scope see `window` keys. `found`: the blanks of sequences that name none.
  PLUME_FUNCTION void begin(Index rows, Index window = 0, std::span<const std::shared_ptr<const Blanks>> found = {});
  const RotaryAngles& angles_of(AttentionScope scope) const {
    return scope == AttentionScope::local && local_angles.cosine ? local_angles : angles;
  }
  // Keys and values of this layer for each segment, the remembered ones in front.
  PLUME_FUNCTION PoolVector<AttentionSegment> remember(const Tensor& keys, const Tensor& values,
                                                       AttentionScope scope = AttentionScope::global) const;
  // Keys and values of the memory in this layer for each segment, all of them visible.
  PLUME_FUNCTION PoolVector<AttentionSegment> recall(const Tensor& keys, const Tensor& values) const;
  // Makes the new tokens part of what is remembered. Adapters must have met all of their layers.
  void end() const {
    adapted.check();
    remember_tokens();
  }
  // The same where other passes meet the rest of the layers.
  void remember_tokens() const {
    for (const Segment& segment : sequences)
      if (segment.cache) segment.cache->advance(segment.tokens);
  }
  // Where the modules of the current layer show their results.
  Tap tap() const { return {taps, layer, activations == Activations::bf16}; }
  // The dropout rule of one place in the current layer: every place draws from a stream of its own.
  Dropout dropout_at(std::uint64_t place) const {
    Dropout rule = dropout;
    rule.stream = (dropout.stream << 24) + static_cast<std::uint64_t>(layer + 1) * 8 + place;
    return rule;
  }

 private:
  PLUME_FUNCTION Memory::Rows source_of(std::size_t segment) const;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION void Pass::begin(Index rows, Index window, std::span<const std::shared_ptr<const Blanks>> found) {
  sequences = segments.empty() ? PoolVector<Segment>{{rows}} : segments;
  if (taps) taps->clear();
  positions.clear();
  in_blocks.clear();
  masks.clear();
  local_masks.clear();
  memory_masks.clear();
  adapted = {.training = training, .seed = dropout.seed, .stream = dropout.stream};
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    const Segment& segment = sequences[i];
    for (std::size_t j = 0; segment.cache && j < i; ++j)
      require(sequences[j].cache != segment.cache, "[pass] segments ", j, " and ", i, " use one cache: a sequence is one segment");
    require(segment.tokens >= 0, "[pass] a segment of ", segment.tokens, " tokens");
    require(segment.cache == nullptr || thread_slot.tape == nullptr,
            "[pass] a cache cannot be used under a Tape: cached keys have no gradient");
    const Index first = segment.cache ? segment.cache->used() : 0, row = static_cast<Index>(positions.size());
    adapted.add(segment.adapter, row, row + segment.tokens);
    const auto& blanks = segment.blanks == nullptr && i < found.size() ? found[i] : segment.blanks;
    for (Index t = first; t < first + segment.tokens; ++t) {
      const TokenPlace place = blanks ? blanks->place(t) : TokenPlace{static_cast<std::int32_t>(t)};
      positions.push_back(place.position);
      in_blocks.push_back(place.in_block);
    }
    if (segment.cache && blanks) {
      require(first == 0 ? segment.tokens >= blanks->context : first >= blanks->context, "[pass] segment ", i, " has ", segment.tokens,
              " tokens from token ", first, " of a context of ", blanks->context,
              ": its tokens see each other, and go through in one pass");
      segment.cache->remember(blanks);
    }
    const Mask visible = blanks ? Mask::prefix(blanks->context) : mask;
    masks.push_back(make_shared_in_pool<const IntervalMask>(visible.intervals(first, segment.tokens, first + segment.tokens)));
    if (window > 0) local_masks.push_back(make_shared_in_pool<const IntervalMask>(masks.back()->within(window, first)));
    if (memory != nullptr) {
      const Memory::Rows read = source_of(i);
      memory_masks.push_back(make_shared_in_pool<const IntervalMask>(Mask::full().intervals(0, segment.tokens, read.end - read.begin)));
    }
  }
  require(static_cast<Index>(positions.size()) == rows, "[pass] the segments hold ", positions.size(), " tokens, the batch has ", rows);
}

PLUME_FUNCTION PoolVector<AttentionSegment> Pass::remember(const Tensor& keys, const Tensor& values, AttentionScope scope) const {
  const auto& visible = scope == AttentionScope::local && !local_masks.empty() ? local_masks : masks;
  PoolVector<AttentionSegment> parts;
  parts.reserve(sequences.size());
  Index begin = 0;
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    const Index end = begin + sequences[i].tokens;
    AttentionSegment part{begin, end, keys.rows(begin, end), values.rows(begin, end), visible[i], 0};
    if (KvCache* cache = sequences[i].cache) {
      part.first_query = cache->used();
      KvCache::Rows rows = cache->append(layer, part.keys, part.values);
      part.keys = rows.keys;
      part.values = rows.values;
    }
    parts.push_back(std::move(part));
    begin = end;
  }
  return parts;
}

PLUME_FUNCTION Memory::Rows Pass::source_of(std::size_t segment) const {
  const Index wanted = sequences[segment].source >= 0 ? sequences[segment].source : static_cast<Index>(segment);
  require(wanted < static_cast<Index>(memory->sequences.size()), "[pass] segment ", segment, " reads sequence ", wanted,
          " of a memory that holds ", memory->sequences.size());
  return memory->sequences[static_cast<std::size_t>(wanted)];
}

PLUME_FUNCTION PoolVector<AttentionSegment> Pass::recall(const Tensor& keys, const Tensor& values) const {
  PoolVector<AttentionSegment> parts;
  parts.reserve(sequences.size());
  Index begin = 0;
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    const Memory::Rows read = source_of(i);
    const Index end = begin + sequences[i].tokens;
    parts.push_back({begin, end, keys.rows(read.begin, read.end), values.rows(read.begin, read.end), memory_masks[i], 0});
    begin = end;
  }
  return parts;
}

}  // namespace plume::inline PLUME_ABI
#endif
