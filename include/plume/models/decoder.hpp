#pragma once
// Decoder: tokens -> embedding (+ norm, + learned positions) -> blocks -> norm -> head. One forward for training, cached generation and
// ragged batches.
#include "plume/models/config.hpp"
#include "plume/modules/embedding.hpp"
#include "plume/modules/initialise.hpp"
#include "plume/modules/stack.hpp"
#include "plume/ops/cross_entropy.hpp"
#include "plume/ops/soft_cap.hpp"

namespace plume::inline PLUME_ABI {

struct Decoder {
  Config config;
  Embedding embedding;
  Norm embedding_norm;  // absent as a rule
  Embedding position;   // absent unless positions are learned
  std::vector<Block> blocks;
  Norm norm;          // absent without a final norm
  Linear head;        // its weight is absent when tied to the embedding; all of it when the task has no next tokens
  Linear label_head;  // absent unless the task has labels: models/heads.hpp reads it

  // All shapes of a configuration, without memory: load() or initialise() fills them.
  PLUME_FUNCTION static Decoder described(const Config& config, DType dtype = DType::f32, const Limits& limits = {});

  // ids (T) -> hidden states after the final norm (T, width). Caches of the pass remember the tokens.
  PLUME_FUNCTION Tensor hidden(std::span<const TokenId> ids, Pass& pass) const;
  // The first step of hidden(): begins the pass, ids (T) -> what the first block reads (T, width). run_blocks() of any blocks and norm()
  // are the others, pass.end() closes them.
  PLUME_FUNCTION Tensor embed(std::span<const TokenId> ids, Pass& pass) const;
  // Blocks [first, last) alone: x (T, width) -> (T, width), in a pass that embed() or begin_pass() began.
  PLUME_FUNCTION Tensor run(Index first, Index last, const Tensor& x, Pass& pass) const;
  // Begins a pass of `rows` rows whose x does not come from embed().
  PLUME_FUNCTION void begin_pass(Index rows, Pass& pass, DType dtype = DType::f32,
                                 std::span<const std::shared_ptr<const Blanks>> found = {}) const;
  // The states of all layers, as transformers counts them: what the first block reads, then what each block gives, of the last one behind
  // the final norm. layers + 1 tensors (T, width).
  PLUME_FUNCTION std::vector<Tensor> hidden_states(std::span<const TokenId> ids, Pass& pass) const;
  // hidden states (T, width) -> logits (T, vocabulary)
  Tensor logits(const Tensor& hidden_states, const AdaptedRows& adapted = {}) const {
    check_tokens();
    const Tensor scores = head.weight ? head(hidden_states, adapted) : linear(hidden_states, embedding.weight, head.bias);
    return config.logit_cap > 0 ? soft_cap(scores, config.logit_cap) : scores;
  }
  Tensor logits(std::span<const TokenId> ids, Pass& pass) const {
    const Tensor states = hidden(ids, pass);
    return logits(states, pass.adapted);
  }

  // Mean cross-entropy of targets (T, -1 = not trained), without ever holding all logits (unless an adapter changes the head). `normalizer`
  // replaces the number of trained tokens, for batches that are accumulated over several passes.
  Tensor loss(std::span<const TokenId> inputs, std::span<const TokenId> targets, Pass& pass, double normalizer = 0) const {
    return token_loss(hidden(inputs, pass), targets, pass, normalizer);
  }
  // The same of hidden states.
  Tensor token_loss(const Tensor& states, std::span<const TokenId> targets, const Pass& pass, double normalizer = 0) const {
    check_tokens();
    if (pass.adapted.change(head_weight())) return cross_entropy(logits(states, pass.adapted), targets, normalizer);
    return classifier_loss(states, head_weight(), head.bias, targets, normalizer, config.logit_cap);
  }
  const Tensor& head_weight() const { return head.weight ? head.weight : embedding.weight; }

  template <class Self>
  static void visit(Self& self, auto&& f) {
    f("embedding", self.embedding);
    f("embedding_norm", self.embedding_norm);
    f("position", self.position);
    f("blocks", self.blocks);
    f("norm", self.norm);
    f("head", self.head);
    f("label_head", self.label_head);
  }

 private:
  void check_tokens() const {
    require(config.task.has_tokens(), "[decoder] this model scores labels and has no head for next tokens: see label_scores()");
  }
};

// Fresh weights for a decoder: those of initialise() with the projections onto the residual stream scaled down by sqrt(2 layers).
PLUME_FUNCTION void initialise(Decoder& model, std::uint64_t seed, DType dtype = DType::f32);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION void initialise(Decoder& model, std::uint64_t seed, DType dtype) {
  initialise<Decoder>(model, seed, {.dtype = dtype, .residual_scale = 1 / std::sqrt(2.0 * static_cast<double>(model.config.layers))});
  walk(model, [](std::string_view, auto& node) {  // gains of 1
    if constexpr (std::same_as<std::remove_cvref_t<decltype(node)>, Norm>)
      if (node.weight && node.offset != 0) node.weight.fill(1 - node.offset);
  });
}

PLUME_FUNCTION Decoder Decoder::described(const Config& config, DType dtype, const Limits& limits) {
  config.check({}, limits);
  Decoder model;
  model.config = config;
  model.embedding = Embedding::described(config.vocabulary, config.width, dtype);
  if (config.embedding_norm) model.embedding_norm = Norm::described(config.norm_shape(), dtype);
  if (config.position == PositionKind::learned) model.position = Embedding::described(config.context, config.width, dtype);
  model.blocks.reserve(static_cast<std::size_t>(config.layers));
  for (Index i = 0; i < config.layers; ++i) model.blocks.push_back(Block::described(config.block(i), dtype));
  if (config.final_norm) model.norm = Norm::described(config.norm_shape(), dtype);
  if (config.task.has_tokens()) model.head = Linear::described({config.width, config.vocabulary, config.head_bias}, dtype);
  if (config.tied_head) model.head.weight = {};
  if (config.task.has_labels()) model.label_head = Linear::described({config.width, config.task.labels, config.task.bias}, dtype);
  return model;
}

namespace decoder_detail {

// Cosines and sines for the rows of a pass. Frequencies that depend on the length are those of each sequence as it is after the pass.
inline RotaryAngles angles_of(const Rotary& rotary, const Pass& pass, DType dtype) {
  const auto turned_by = [&](const PoolVector<std::int32_t>& places) {
    return rotary_angles(places, rotary_frequencies(rotary, 0), dtype, rotary.amplitude);
  };
  if (!rotary.depends_on_length() && !rotary.two_streams) return turned_by(pass.positions);
  const Shape shape{static_cast<Index>(pass.positions.size()), rotary.width / 2};
  const RotaryAngles angles{Tensor::empty(shape, dtype), Tensor::empty(shape, dtype)};
  if (rotary.two_streams) {
    const RotaryAngles halves[] = {turned_by(pass.positions), turned_by(pass.in_blocks)};
    for (const Index half : {0, 1}) {
      angles.cosine.columns(half * rotary.width / 4, (half + 1) * rotary.width / 4).assign(halves[half].cosine);
      angles.sine.columns(half * rotary.width / 4, (half + 1) * rotary.width / 4).assign(halves[half].sine);
    }
    return angles;
  }
  Index begin = 0;
  for (const Segment& segment : pass.sequences) {
    if (segment.tokens == 0) continue;
    const Index end = begin + segment.tokens, length = pass.positions[static_cast<std::size_t>(end - 1)] + 1;
    const auto positions = std::span(pass.positions).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(segment.tokens));
    const RotaryAngles part = rotary_angles(positions, rotary_frequencies(rotary, length), dtype, rotary.amplitude);
    angles.cosine.rows(begin, end).assign(part.cosine);
    angles.sine.rows(begin, end).assign(part.sine);
    begin = end;
  }
  return angles;
}

// The blanks of the sequences of a pass that name none: those that their caches remember, else those that their tokens have.
inline PoolVector<std::shared_ptr<const Blanks>> blanks_of(const Infilling& infilling, std::span<const TokenId> ids, const Pass& pass) {
  PoolVector<std::shared_ptr<const Blanks>> found;
  const PoolVector<Segment> sequences = pass.segments.empty() ? PoolVector<Segment>{{static_cast<Index>(ids.size())}} : pass.segments;
  for (const Segment& segment : sequences) {
    const auto count = std::min(static_cast<std::size_t>(std::max<Index>(segment.tokens, 0)), ids.size());  // begin() checks the sum
    const bool goes_on = segment.cache && segment.cache->used() > 0;
    require(!goes_on || segment.blanks || segment.cache->blanks(), "[decoder] a cache holds ", goes_on ? segment.cache->used() : 0,
            " tokens whose blanks are not known");
    found.push_back(goes_on ? segment.cache->blanks() : nullptr);
    if (!goes_on && !segment.blanks && count > 0)
      found.back() = make_shared_in_pool<const Blanks>(find_blanks(infilling, ids.first(count)));
    ids = ids.subspan(count);
  }
  return found;
}

}  // namespace decoder_detail

PLUME_FUNCTION void Decoder::begin_pass(Index rows, Pass& pass, DType dtype, std::span<const std::shared_ptr<const Blanks>> found) const {
  pass.begin(rows, config.window, found);
  if (config.position == PositionKind::rotary) {
    pass.angles = decoder_detail::angles_of(config.rotary, pass, dtype);
    if (config.local_rotary) pass.local_angles = decoder_detail::angles_of(*config.local_rotary, pass, dtype);
  }
  pass.layer = -1;
}

PLUME_FUNCTION Tensor Decoder::embed(std::span<const TokenId> ids, Pass& pass) const {
  PoolVector<std::shared_ptr<const Blanks>> found;
  if (config.infilling) found = decoder_detail::blanks_of(*config.infilling, ids, pass);
  begin_pass(static_cast<Index>(ids.size()), pass, compute_type(embedding.weight.dtype()), found);
  Tensor x = embedding(ids);
  if (config.embedding_scale != 1) x = scale(x, config.embedding_scale);
  if (embedding_norm.weight) x = embedding_norm(x);
  if (position.weight) {
    for (const std::int32_t p : pass.positions)
      require(p < position.weight.rows(), "[decoder] position ", p, " is past the context of ", position.weight.rows());
    x = x + position(pass.positions);
  }
  return pass.tap()("embedding", dropout(x, pass.dropout_at(0)));
}

PLUME_FUNCTION Tensor Decoder::run(Index first, Index last, const Tensor& x, Pass& pass) const {
  require(first >= 0 && first <= last && last <= static_cast<Index>(blocks.size()), "[decoder] blocks [", first, ", ", last, ") of ",
          blocks.size());
  const auto part = std::span(blocks).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(last - first));
  return run_blocks(part, x, pass, first);
}

PLUME_FUNCTION Tensor Decoder::hidden(std::span<const TokenId> ids, Pass& pass) const {
  Tensor x = run_blocks(blocks, embed(ids, pass), pass);
  pass.end();
  if (norm.weight) x = norm(x);
  if (pass.taps) {
    if (norm.weight) pass.taps->keep(-1, "norm", {x});
    pass.taps->check();
  }
  return x;
}

PLUME_FUNCTION std::vector<Tensor> Decoder::hidden_states(std::span<const TokenId> ids, Pass& pass) const {
  std::vector<Tensor> states;
  Tensor x = embed(ids, pass);
  const auto keep = [&] { states.push_back(pass.activations == Activations::bf16 ? x.copy() : x); };
  keep();
  for (Index i = 0; i < static_cast<Index>(blocks.size()); ++i) {
    x = run(i, i + 1, x, pass);
    if (i + 1 == static_cast<Index>(blocks.size()) && norm.weight) x = norm(x);
    keep();
  }
  pass.end();
  return states;
}

}  // namespace plume::inline PLUME_ABI
#endif
