#pragma once
// Stack: one side of an encoder-decoder, or an encoder that stands alone.  embedded tokens (+ positions) -> norm -> blocks -> norm
#include "plume/models/config.hpp"
#include "plume/modules/embedding.hpp"
#include "plume/modules/relative_positions.hpp"
#include "plume/modules/stack.hpp"

namespace plume::inline PLUME_ABI {

// Rows of a fixed table: the sines of position / 10000^(2i / width), then the cosines. In single precision, as such models were trained.
PLUME_FUNCTION Tensor sinusoidal_positions(std::span<const std::int32_t> positions, Index width, DType dtype = DType::f32);

struct Stack {
  Config config;
  Embedding position;          // absent unless positions are learned
  RelativePositions relative;  // absent unless positions are relative
  Norm embedding_norm;         // absent as a rule
  std::vector<Block> blocks;
  Norm norm;  // absent without a final norm

  // All shapes of a configuration, without memory.
  PLUME_FUNCTION static Stack described(const Config& config, DType dtype = DType::f32, const Limits& limits = {});

  // ids (T), table (V, width) -> their embeddings (T, width)
  PLUME_FUNCTION Tensor embed(std::span<const TokenId> ids, const Tensor& table) const;
  // Begins a pass: embeddings (T, width) -> what the first block reads. run_blocks() and norm() follow, pass.remember_tokens() closes them.
  PLUME_FUNCTION Tensor begin(Tensor embedded, Pass& pass) const;
  // embeddings (T, width) -> hidden states (T, width)
  PLUME_FUNCTION Tensor operator()(const Tensor& embedded, Pass& pass) const;

  template <class Self>
  static void visit(Self& self, auto&& f) {
    f("position", self.position);
    f("relative", self.relative);
    f("embedding_norm", self.embedding_norm);
    f("blocks", self.blocks);
    f("norm", self.norm);
  }
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION Tensor sinusoidal_positions(std::span<const std::int32_t> positions, Index width, DType dtype) {
  const Tensor table = Tensor::empty({static_cast<Index>(positions.size()), width}, DType::f32);
  const Index sines = (width + 1) / 2;
  float* out = table.writable<float>();
  for (const std::int32_t position : positions)
    for (Index i = 0; i < width; ++i) {
      const Index pair = i < sines ? i : i - sines;
      const double angle = position / std::pow(10000.0, static_cast<double>(2 * pair) / static_cast<double>(width));
      *out++ = static_cast<float>(i < sines ? std::sin(angle) : std::cos(angle));
    }
  return dtype == DType::f32 ? table : table.to(dtype);
}

PLUME_FUNCTION Stack Stack::described(const Config& config, DType dtype, const Limits& limits) {
  config.check_stack({}, limits);
  require(config.position != PositionKind::rotary, "[stack] rotary positions are those of a Decoder");
  Stack stack;
  stack.config = config;
  if (config.position == PositionKind::learned)
    stack.position = Embedding::described(config.first_position + config.context, config.width, dtype);
  if (config.position == PositionKind::relative) stack.relative = RelativePositions::described(config.heads, config.relative, dtype);
  if (config.embedding_norm) stack.embedding_norm = Norm::described(config.norm_shape(), dtype);
  stack.blocks.reserve(static_cast<std::size_t>(config.layers));
  for (Index i = 0; i < config.layers; ++i) stack.blocks.push_back(Block::described(config.block(i), dtype));
  if (config.final_norm) stack.norm = Norm::described(config.norm_shape(), dtype);
  return stack;
}

PLUME_FUNCTION Tensor Stack::embed(std::span<const TokenId> ids, const Tensor& table) const {
  const Tensor x = embedding(ids, table, config.frozen_token);
  return config.embedding_scale == 1 ? x : scale(x, config.embedding_scale);
}

PLUME_FUNCTION Tensor Stack::begin(Tensor x, Pass& pass) const {
  pass.begin(x.rows(), config.window);
  const bool counts = config.position == PositionKind::learned || config.position == PositionKind::sinusoidal;
  for (const std::int32_t p : pass.positions)
    require(!counts || p < config.context, "[stack] position ", p, " is past the context of ", config.context);
  if (config.position == PositionKind::learned) {
    std::vector<TokenId> rows(pass.positions.begin(), pass.positions.end());
    for (TokenId& row : rows) row += static_cast<TokenId>(config.first_position);
    x = x + position(rows);
  }
  if (config.position == PositionKind::sinusoidal) x = x + sinusoidal_positions(pass.positions, config.width, x.dtype());
  if (config.position == PositionKind::relative) pass.relative = relative.bias();
  if (embedding_norm.weight) x = embedding_norm(x);
  pass.layer = -1;
  return dropout(x, pass.dropout_at(0));
}

PLUME_FUNCTION Tensor Stack::operator()(const Tensor& embedded, Pass& pass) const {
  const Tensor x = run_blocks(blocks, begin(embedded, pass), pass);
  pass.remember_tokens();
  return norm.weight ? norm(x) : x;
}

}  // namespace plume::inline PLUME_ABI
#endif
