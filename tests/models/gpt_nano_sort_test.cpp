// A trained minGPT that sorts six digits: every activation of its first block as PyTorch recorded it, and the whole model at work.
#include <doctest/doctest.h>

#include "decoder_fixture.hpp"
#include "plume/kernels/reference/attention.hpp"

using namespace plume;
using plume_test::distance;

namespace {

// Its JSON has the names of GPT-2 with an untied head, and matrices as (outputs, inputs).
Decoder sorter(const std::string& path) {
  const auto settings = plume_test::read_settings(path, "config");
  const auto file = plume_test::read_base64_json(path);
  const auto integer = [&](const std::string& name) { return static_cast<Index>(settings.numbers.at(name)); };
  Config config{
      .vocabulary = integer("vocab_size"), .context = integer("block_size"), .width = integer("n_embd"), .layers = integer("n_layer")};
  config.hidden = 4 * config.width, config.heads = config.key_heads = integer("n_head"), config.head_width = config.width / config.heads;
  config.norm = NormKind::layer, config.position = PositionKind::learned, config.qkv_layout = QkvLayout::contiguous;
  config.activation = {.kind = ActivationKind::gelu_tanh}, config.gated = false;
  config.norm_bias = config.qkv_bias = config.output_bias = config.mlp_bias = true;
  Decoder model = Decoder::described(config);
  for_each_parameter(model, [&](std::string_view at, Tensor& tensor) {
    const Tensor& stored = file.at(at == "head.weight" ? "lm_head.weight" : plume_test::file_name(config, std::string(at)).name);
    REQUIRE(stored.shape() == tensor.shape());
    tensor = stored;
  });
  return model;
}

// (batch, heads, tokens, head width) as rows of packed tokens with heads side by side.
Tensor packed(const Tensor& by_head) {
  const Index batch = by_head.shape()[0], heads = by_head.shape()[1], tokens = by_head.shape()[2], width = by_head.shape()[3];
  const Tensor rows = Tensor::empty({batch * tokens, heads * width});
  for (Index b = 0; b < batch; ++b)
    for (Index h = 0; h < heads; ++h)
      for (Index t = 0; t < tokens; ++t)
        rows.rows(b * tokens + t, b * tokens + t + 1)
            .columns(h * width, (h + 1) * width)
            .assign(by_head.reshape({batch * heads * tokens, width}).rows((b * heads + h) * tokens + t, (b * heads + h) * tokens + t + 1));
  return rows;
}

}  // namespace

TEST_CASE("every activation of block 0") {
  const auto model_path = plume_test::test_data("gpt-nano-sort/gpt-nano-sort-model.json"),
             partials_path = plume_test::test_data("gpt-nano-sort/gpt-nano-sort-partials-block0.json");
  if (!model_path || !partials_path) return;
  const Decoder model = sorter(*model_path);
  const Block& block = model.blocks[0];
  const auto partials = plume_test::read_base64_json(*partials_path);
  const Index batch = partials.at("idx").shape()[0], tokens = partials.at("idx").shape()[1];
  std::vector<TokenId> ids;
  for (const double id : plume_test::values_of(partials.at("idx"))) ids.push_back(static_cast<TokenId>(id));
  Pass pass;
  for (Index b = 0; b < batch; ++b) pass.segments.push_back({tokens});
  pass.begin(batch * tokens);
  const auto same = [&](const Tensor& ours, const std::string& name) {
    CHECK_MESSAGE(distance(ours, partials.at(name)) <= 2e-6, name << " differs by " << distance(ours, partials.at(name)));
  };

  const Tensor tokens_in = model.embedding(ids), positions = model.position(pass.positions), x = tokens_in + positions;
  same(tokens_in, "tok_emb");
  same(positions.rows(0, tokens), "pos_emb");
  same(x, "x");
  const Tensor ln1 = block.attention_norm(x), qkv = block.attention.qkv(ln1);
  same(ln1, "ln1");
  same(qkv, "qkv");
  const Index width = model.config.width;
  const Tensor q = qkv.columns(0, width), k = qkv.columns(width, 2 * width), v = qkv.columns(2 * width, 3 * width);
  CHECK(distance(q, packed(partials.at("q"))) <= 2e-6);
  CHECK(distance(k, packed(partials.at("k"))) <= 2e-6);
  CHECK(distance(v, packed(partials.at("v"))) <= 2e-6);

  // Scores (before the mask or with it: compared where the mask lets through) and probabilities, head by head.
  const Index heads = model.config.heads, head_width = model.config.head_width;
  const IntervalMask mask = Mask::causal().intervals(0, tokens, tokens);
  kernels::reference::ScoreRule<float> rule;
  rule.scale = 1 / std::sqrt(static_cast<float>(head_width));
  const Tensor scores = partials.at("att").reshape({batch * heads * tokens, tokens});
  const Tensor probabilities = Tensor::empty({batch * heads * tokens, tokens});
  double worst_score = 0;
  for (Index b = 0; b < batch; ++b) {
    for (Index h = 0; h < heads; ++h) {
      const auto query = q.rows(b * tokens, (b + 1) * tokens).columns(h * head_width, (h + 1) * head_width).view<const float, 2>();
      const auto keys = k.rows(b * tokens, (b + 1) * tokens).columns(h * head_width, (h + 1) * head_width).view<const float, 2>();
      const Index first = (b * heads + h) * tokens;
      kernels::reference::attention_probabilities<float>(probabilities.rows(first, first + tokens).view<float, 2>(), query, keys, mask,
                                                         rule);
      for (Index t = 0; t < tokens; ++t) {
        std::vector<float> row(static_cast<std::size_t>(tokens));
        kernels::reference::attention_scores<float>(row.data(), View<const float, 1>(query.row(t), {head_width}), keys, mask.row(t), t,
                                                    rule);
        for (Index key = 0; key <= t; ++key)
          worst_score =
              std::max<double>(worst_score, std::abs(row[static_cast<std::size_t>(key)] - scores.view<const float, 2>()(first + t, key)));
      }
    }
  }
  CHECK(worst_score <= 2e-6);
  same(probabilities, "attSm");

  auto segments = pass.remember(k, v);
  AttentionOptions options{.heads = block.attention.shape.heads, .scale = 1 / std::sqrt(static_cast<double>(head_width))};
  const Tensor y = attention(q, segments, options), projected = block.attention.output(y), h = x + projected;
  same(y, "y");
  same(projected, "yProj");
  same(h, "attnResid");
  const Tensor ln2 = block.mlp_norm(h), up = block.mlp.up(ln2), active = activation(up, block.mlp.rule), mlp = block.mlp.down(active);
  same(ln2, "ln2");
  same(up, "fc");
  same(active, "gelu");
  same(mlp, "mlp");
  same(h + mlp, "mlpResid");
  same(block(x, pass), "block0");
}

TEST_CASE("the model sorts every list of six digits") {
  const auto path = plume_test::test_data("gpt-nano-sort/gpt-nano-sort-model.json");
  if (!path) return;
  const Decoder model = sorter(*path);
  int sorted = 0;
  for (int number = 0; number < 729; ++number) {
    std::vector<TokenId> digits;
    for (int rest = number, i = 0; i < 6; ++i, rest /= 3) digits.push_back(rest % 3);
    KvCache cache(model.config.cache(11, DType::f32));
    std::vector<TokenId> next = digits, answer;
    while (answer.size() < 6) {
      Pass pass;
      pass.segments = {{static_cast<Index>(next.size()), &cache}};
      const Tensor logits = model.logits(next, pass);
      next = {plume_test::best(logits.rows(logits.rows() - 1, logits.rows()))};
      answer.push_back(next[0]);
    }
    std::sort(digits.begin(), digits.end());
    sorted += answer == digits ? 1 : 0;
  }
  CHECK(sorted == 729);
}
