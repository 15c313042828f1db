#pragma once
// EncoderDecoder: source tokens -> encoder -> memory; target tokens -> decoder, which reads the memory -> head.      [Vaswani et al. 2017]
//   const Memory memory = model.encode(source);
//   Pass pass;
//   Tensor logits = model.logits(memory, target, pass);
#include "plume/models/stack.hpp"
#include "plume/modules/initialise.hpp"
#include "plume/ops/cross_entropy.hpp"
#include "plume/tokenizer/tokenizer.hpp"

namespace plume::inline PLUME_ABI {

struct EncoderDecoderConfig {
  std::string_view family = {};  // by whose layout it is saved
  Config encoder, decoder;       // decoder.begin_tokens start a target; decoder.tied_head, head_bias: of the head
  bool shared_embedding = true;  // one table for source and target tokens
  double head_scale = 1;         // of the hidden states that the head reads
  TokenId padding = -1;          // as files name it: plume itself never pads
  friend bool operator==(const EncoderDecoderConfig&, const EncoderDecoderConfig&) = default;
};

struct EncoderDecoder {
  EncoderDecoderConfig config;
  Embedding embedding, target_embedding;  // the second is absent when they share one
  Stack encoder, decoder;
  Linear head;  // its weight is absent when tied to the embedding of target tokens

  Tokenizer tokenizer = {};  // false in a condition when the files hold none

  // All shapes of a configuration, without memory: load_encoder_decoder() or initialise() fills them.
  PLUME_FUNCTION static EncoderDecoder described(const EncoderDecoderConfig& config, DType dtype = DType::f32, const Limits& limits = {});

  // Source tokens of the sequences that the pass packs -> what the decoder reads. Every token sees the whole of its sequence, whatever the
  // mask of the pass. Without a tape keys and values of the memory are made here, once. A segment's adapter is that of its target, too.
  // ArgumentError: a segment has a cache, or an adapter of another model.
  PLUME_FUNCTION Memory encode(std::span<const TokenId> ids, Pass pass = {}) const;
  // Target tokens (T) -> hidden states behind the final norm (T, width). Segment i of the pass reads sequence i of the memory, unless it
  // says another; its cache remembers the tokens. Under a tape the memory must live until the backward pass has run. ArgumentError: a
  // segment has another adapter than the sequence that it reads.
  PLUME_FUNCTION Tensor hidden(const Memory& memory, std::span<const TokenId> ids, Pass& pass) const;
  // hidden states (T, width) -> logits (T, vocabulary)
  Tensor logits(const Tensor& hidden_states, const AdaptedRows& adapted = {}) const {
    const Tensor states = scaled(hidden_states);
    return head.weight ? head(states, adapted) : linear(states, target_table(), head.bias);
  }
  Tensor logits(const Memory& memory, std::span<const TokenId> ids, Pass& pass) const {
    const Tensor states = hidden(memory, ids, pass);
    return logits(states, pass.adapted);
  }
  // Mean cross-entropy of targets (T, -1 = not trained) that follow the inputs.
  Tensor loss(const Memory& memory, std::span<const TokenId> inputs, std::span<const TokenId> targets, Pass& pass,
              double normalizer = 0) const {
    const Tensor states = hidden(memory, inputs, pass);
    if (pass.adapted.change(head_weight())) return cross_entropy(logits(states, pass.adapted), targets, normalizer);
    return classifier_loss(scaled(states), head_weight(), head.bias, targets, normalizer);
  }

  const Tensor& target_table() const { return target_embedding.weight ? target_embedding.weight : embedding.weight; }
  const Tensor& head_weight() const { return head.weight ? head.weight : target_table(); }
  // Room for `capacity` target tokens.
  KvCache cache(Index capacity) const { return KvCache(config.decoder.cache(capacity, compute_type(embedding.weight.dtype()))); }

  template <class Self>
  static void visit(Self& self, auto&& f) {
    f("embedding", self.embedding);
    f("target_embedding", self.target_embedding);
    f("encoder", self.encoder);
    f("decoder", self.decoder);
    f("head", self.head);
  }

 private:
  Tensor scaled(const Tensor& states) const { return config.head_scale == 1 ? states : scale(states, config.head_scale); }
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION EncoderDecoder EncoderDecoder::described(const EncoderDecoderConfig& config, DType dtype, const Limits& limits) {
  const Config &source = config.encoder, &target = config.decoder;
  require(source.bidirectional && !source.cross_attention && !target.bidirectional && target.cross_attention,
          "[encoder_decoder] an encoder sees both directions, a decoder one and the encoder");
  require(source.width == target.width, "[encoder_decoder] the encoder is ", source.width, " wide, the decoder ", target.width);
  require(!config.shared_embedding || source.vocabulary == target.vocabulary, "[encoder_decoder] vocabularies of ", source.vocabulary,
          " and ", target.vocabulary, " tokens cannot share an embedding");
  EncoderDecoder model;
  model.config = config;
  model.embedding = Embedding::described(source.vocabulary, source.width, dtype);
  if (!config.shared_embedding) model.target_embedding = Embedding::described(target.vocabulary, target.width, dtype);
  model.encoder = Stack::described(source, dtype, limits);
  model.decoder = Stack::described(target, dtype, limits);
  model.head = Linear::described({target.width, target.vocabulary, target.head_bias}, dtype);
  if (target.tied_head) model.head.weight = {};
  return model;
}

namespace encoder_decoder_detail {

// All layers that the adapter changes must be this model's: one that was made for another model would do nothing, silently.
inline void check_adapter(const EncoderDecoder& model, const LinearAdapters& adapter) {
  Index found = 0;
  const auto count = [&](std::string_view, const auto& node) {
    if constexpr (std::same_as<std::remove_cvref_t<decltype(node)>, Linear>) found += node.weight && adapter.find(node.weight) ? 1 : 0;
  };
  walk(model.encoder, count), walk(model.decoder, count);
  require(found == adapter.layers(), "[encoder_decoder] the adapter changes ", adapter.layers(), " layers, the model has ", found,
          " of them: it was attached to another model, or is merged into this one");
}

}  // namespace encoder_decoder_detail

PLUME_FUNCTION Memory EncoderDecoder::encode(std::span<const TokenId> ids, Pass pass) const {
  const LinearAdapters* checked = nullptr;
  for (const Segment& segment : pass.segments) {
    require(segment.cache == nullptr, "[encoder_decoder] the sequences of an encoder have no cache");
    if (segment.adapter && segment.adapter != checked) encoder_decoder_detail::check_adapter(*this, *(checked = segment.adapter));
  }
  pass.mask = Mask::full();
  pass.dropout.seed ^= 0x656e636f646572ull;  // apart from that of the decoder
  Memory memory;
  memory.states = encoder(encoder.embed(ids, embedding.weight), pass);
  Index begin = 0;
  for (const Segment& segment : pass.sequences) {
    memory.sequences.push_back({begin, begin + segment.tokens, segment.adapter});
    begin += segment.tokens;
  }
  if (thread_slot.tape == nullptr)
    for (const Block& block : decoder.blocks) memory.layers.push_back(block.cross_attention.project(memory, pass.adapted));
  return memory;
}

PLUME_FUNCTION Tensor EncoderDecoder::hidden(const Memory& memory, std::span<const TokenId> ids, Pass& pass) const {
  const Segment whole{};
  const std::span<const Segment> segments = pass.segments.empty() ? std::span(&whole, 1) : std::span<const Segment>(pass.segments);
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const auto source = static_cast<std::size_t>(segments[i].source >= 0 ? segments[i].source : static_cast<Index>(i));
    require(source >= memory.sequences.size() || segments[i].adapter == memory.sequences[source].adapter,  // begin() knows those beyond
            "[encoder_decoder] segment ", i, " goes through another adapter than sequence ", source,
            " of the memory, which it reads: give encode() and this pass the same");
  }
  pass.memory = &memory;
  const Tensor states = decoder(decoder.embed(ids, target_table()), pass);
  pass.memory = nullptr;  // the pass may outlive it
  return states;
}

}  // namespace plume::inline PLUME_ABI
#endif
