#pragma once
// Encoder: tokens -> vectors, of each token or of whole texts.      [Devlin et al. 2018; Reimers & Gurevych 2019]
//   Pass pass;
//   Tensor vectors = model.embed(ids, pass);   // (texts, width): one for each segment of the pass
// What encoders with heads compute of their states is in models/encoder_heads.hpp.
#include <algorithm>
#include <memory>

#include "plume/models/stack.hpp"
#include "plume/ops/soft_cap.hpp"
#include "plume/tokenizer/tokenizer.hpp"

namespace plume::inline PLUME_ABI {

// What a text's vector is: the mean of its tokens' or that of its first token.
enum class Pooling : std::uint8_t { mean, first };

// A layer behind the pooling, W v + b or tanh(W v + b), as sentence-T5 and LaBSE have it.
struct DenseShape {
  Index outputs = 0;
  bool bias = true, tanh = true;
  friend bool operator==(const DenseShape&, const DenseShape&) = default;
};

struct EncoderConfig {
  std::string_view family = {};
  Config stack;
  Index token_types = 0;
  bool pooler = true;  // a layer over the first token, which embed() does not read
  Pooling pooling = Pooling::mean;
  std::optional<DenseShape> dense = {};                     // behind the pooling
  bool normalised = false;                                  // the vectors of texts have length 1
  std::optional<Task> task = {};                            // labels that a head scores, of sequences (through the pooler) or tokens
  bool fills_masks = false;                                 // a head says which token stands behind each mask token
  Activation mask_activation = {ActivationKind::gelu_erf};  // in that head

  bool has_head() const { return task.has_value() || fills_masks; }

  // Ranges and divisibility; ConfigError names the field as this struct spells it.
  PLUME_FUNCTION void check(const std::string& path = {}, const Limits& limits = {}) const;

  friend bool operator==(const EncoderConfig&, const EncoderConfig&) = default;
};

struct Encoder {
  EncoderConfig config;
  Embedding embedding, token_type;
  Stack stack;
  Linear pooler;  // absent in some files
  Linear dense;   // absent as a rule
  // Heads, absent as a rule: of masked tokens, whose scores are embedding norm(activation(transform x)) + bias, and of labels.
  Linear transform;
  Norm transform_norm;
  Linear head;  // its weight is that of the embedding
  Linear label_head;

  Tokenizer tokenizer = {};  // false in a condition when the files hold none

  // All shapes of a configuration, without memory: load_encoder() fills them.
  PLUME_FUNCTION static Encoder described(const EncoderConfig& config, DType dtype = DType::f32, const Limits& limits = {});

  // ids (T), types (T, or empty: all 0) -> hidden states (T, width). Every token sees the whole of its segment, whatever the mask of the
  // pass. ArgumentError: a segment has a cache or an adapter; the padding token in a text of RoBERTa's.
  PLUME_FUNCTION Tensor hidden(std::span<const TokenId> ids, Pass& pass, std::span<const TokenId> types = {}) const;
  // hidden states (T, width) -> vectors of the segments (segments, width, or what the layer behind the pooling makes of them).
  PLUME_FUNCTION Tensor pool(const Tensor& states, const Pass& pass) const;
  Tensor embed(std::span<const TokenId> ids, Pass& pass, std::span<const TokenId> types = {}) const {
    return pool(hidden(ids, pass, types), pass);
  }
  // hidden states (T, width) -> tanh of the pooler's layer over the first token of each segment (segments, width).
  PLUME_FUNCTION Tensor pooled(const Tensor& states, const Pass& pass) const;

  template <class Self>
  static void visit(Self& self, auto&& f) {
    f("embedding", self.embedding);
    f("token_type", self.token_type);
    f("stack", self.stack);
    f("pooler", self.pooler);
    f("dense", self.dense);
    f("transform", self.transform);
    f("transform_norm", self.transform_norm);
    f("head", self.head);
    f("label_head", self.label_head);
  }
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

namespace encoder_detail {

// The rows of the first tokens, as a look-up: it has a gradient.
inline Tensor first_rows(const Tensor& states, const Pass& pass) {
  std::vector<TokenId> rows;
  Index begin = 0;
  for (const Segment& segment : pass.sequences) {
    rows.push_back(static_cast<TokenId>(begin));
    begin += segment.tokens;
  }
  return embedding(rows, states);
}

// The mean of each segment's rows: attention of a query of zeros sees all keys alike.
inline Tensor mean_rows(const Tensor& states, const Pass& pass) {
  std::vector<AttentionSegment> segments;
  Index begin = 0, row = 0;
  for (const Segment& segment : pass.sequences) {
    const Tensor rows = states.rows(begin, begin + segment.tokens);
    segments.push_back({row, row + 1, rows, rows, std::make_shared<const IntervalMask>(Mask::full().intervals(0, 1, segment.tokens)), 0});
    begin += segment.tokens;
    ++row;
  }
  AttentionOptions options;
  options.heads = {.head_width = states.columns(), .value_width = states.columns()};
  return attention(Tensor::zeros({row, states.columns()}, states.dtype()), segments, std::move(options));
}

}  // namespace encoder_detail

PLUME_FUNCTION void EncoderConfig::check(const std::string& path, const Limits& limits) const {
  stack.check_stack(path, limits);
  if (token_types < 0) throw ConfigError({.path = path, .field = "token_types"}, concat("is ", token_types));
  if (static_cast<std::uint64_t>(token_types) > limits.max_vocabulary)
    throw LimitError({.path = path, .field = "token_types"}, "max_vocabulary", limits.max_vocabulary,
                     static_cast<std::uint64_t>(token_types));
  const auto fail = [&](const char* field, const std::string& what) { throw ConfigError({.path = path, .field = field}, what); };
  if (dense && (dense->outputs < 1 || dense->outputs > Index{1} << 20))
    fail("dense.outputs", concat("is ", dense->outputs, ", expected 1 .. ", Index{1} << 20));
  if (dense && has_head()) fail("dense", "stands behind the pooling, which an encoder with a head does not have");
  if (!task) return;
  const bool of_sequence = task->kind == TaskKind::sequence_labels;
  if (fills_masks) fail("fills_masks", "an encoder has one head: of labels or of masked tokens");
  if (!of_sequence && task->kind != TaskKind::token_labels) fail("task.kind", "an encoder scores labels of sequences or tokens");
  if (of_sequence && !pooler) fail("pooler", "is absent, but scores of sequences go through it");
  if (task->labels < 1 || static_cast<std::uint64_t>(task->labels) > limits.max_vocabulary)
    fail("task.labels", concat("is ", task->labels, ", expected 1 .. ", limits.max_vocabulary));
  if (static_cast<Index>(task->names.size()) != task->labels)
    fail("task.names", concat("there are ", task->names.size(), " for ", task->labels, " labels"));
}

PLUME_FUNCTION Encoder Encoder::described(const EncoderConfig& config, DType dtype, const Limits& limits) {
  config.check({}, limits);
  require(config.stack.bidirectional && !config.stack.cross_attention, "[encoder] an encoder sees both directions and nothing else");
  Encoder model;
  model.config = config;
  model.embedding = Embedding::described(config.stack.vocabulary, config.stack.width, dtype);
  if (config.token_types > 0) model.token_type = Embedding::described(config.token_types, config.stack.width, dtype);
  model.stack = Stack::described(config.stack, dtype, limits);
  const Index width = config.stack.width;
  if (config.pooler) model.pooler = Linear::described({width, width, true}, dtype);
  if (config.dense) model.dense = Linear::described({width, config.dense->outputs, config.dense->bias}, dtype);
  if (config.fills_masks) {
    model.transform = Linear::described({width, width, true}, dtype);
    model.transform_norm = Norm::described(config.stack.norm_shape(), dtype);
    model.head = Linear::described({width, config.stack.vocabulary, true}, dtype);
    model.head.weight = {};
  }
  if (config.task) model.label_head = Linear::described({width, config.task->labels, config.task->bias}, dtype);
  return model;
}

PLUME_FUNCTION Tensor Encoder::hidden(std::span<const TokenId> ids, Pass& pass, std::span<const TokenId> types) const {
  for (const Segment& segment : pass.segments)
    require(segment.cache == nullptr && segment.adapter == nullptr && segment.tokens > 0,
            "[encoder] a text has tokens, and neither cache nor adapter");
  require(!ids.empty(), "[encoder] there are no tokens");
  require(types.empty() || types.size() == ids.size(), "[encoder] ", types.size(), " token types for ", ids.size(), " tokens");
  require(types.empty() || token_type.weight, "[encoder] the model has no token types");
  if (config.stack.first_position > 0)
    require(std::find(ids.begin(), ids.end(), config.stack.frozen_token) == ids.end(), "[encoder] the text holds the padding token, ",
            config.stack.frozen_token, ", which has no position in this family: texts are packed, not padded");
  pass.mask = Mask::full();
  Tensor x = stack.embed(ids, embedding.weight);
  if (token_type.weight)
    x = x + token_type(types.empty() ? std::vector<TokenId>(ids.size()) : std::vector<TokenId>(types.begin(), types.end()));
  return stack(x, pass);
}

PLUME_FUNCTION Tensor Encoder::pool(const Tensor& states, const Pass& pass) const {
  Tensor vectors = config.pooling == Pooling::first ? encoder_detail::first_rows(states, pass) : encoder_detail::mean_rows(states, pass);
  if (config.dense) vectors = config.dense->tanh ? soft_cap(dense(vectors), 1) : dense(vectors);
  if (!config.normalised) return vectors;
  // x / |x| is an RMS norm with gains of 1 / sqrt(width).
  const Tensor gains = Tensor::zeros({vectors.columns()}, vectors.dtype());
  gains.fill(1 / std::sqrt(static_cast<double>(vectors.columns())));
  return rms_norm(vectors, gains, 1e-24);
}

PLUME_FUNCTION Tensor Encoder::pooled(const Tensor& states, const Pass& pass) const {
  require(static_cast<bool>(pooler.weight), "[encoder] the model has no pooler");
  return soft_cap(pooler(encoder_detail::first_rows(states, pass)), 1);  // 1 * tanh(x / 1)
}

}  // namespace plume::inline PLUME_ABI
#endif
