#pragma once
// Vocabulary surgery: a model and its tokenizer change together. edit_vocabulary.hpp makes the tokenizers:
//
//   grow_vocabulary(model, add_tokens(model.tokenizer, {"<|user|>", "<|assistant|>"}));        as Alpaca
//   grow_vocabulary(model, merge_tokenizers(model.tokenizer, chinese), {.rows = NewRows::parts});   as Linly
//   prune_vocabulary(model, keep_tokens(model.tokenizer, use.used()).tokenizer);               as LLMPruner, Firefly
#include "plume/models/model.hpp"

namespace plume::inline PLUME_ABI {

// What the embedding and head rows of new tokens begin as: the mean over the tokens known before [tatsu-lab/stanford_alpaca train.py]; the
// mean over the tokens that spelled the new one before (special tokens: over all); zeros, as weight deltas want them.
enum class NewRows : std::uint8_t { mean, parts, zero };
struct GrowVocabularyOptions {
  NewRows rows = NewRows::mean;
};

// Gives the model a tokenizer with more tokens. Logits of the old ids stay what they are. Rows behind the tokenizer's last token, with
// which some models are padded, serve new tokens first. ArgumentError: the model has no tokenizer, or an old id is another token in the new
// one.
PLUME_FUNCTION void grow_vocabulary(Model& model, Tokenizer larger, const GrowVocabularyOptions& options = {});

// Gives the model a tokenizer whose tokens are a subset, by their spelling: their rows are gathered, the others go, padding too. Logits of
// the tokens that stay are what they were. ArgumentError: the model has no tokenizer, a token is not the model's, or the configuration's
// begin or end tokens are missing.
PLUME_FUNCTION void prune_vocabulary(Model& model, Tokenizer smaller);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <cstring>

namespace plume::inline PLUME_ABI {

namespace vocabulary_surgery {

// The tensors with a row a token: embedding, and the head where it has its own.
inline std::vector<Tensor*> tables(Decoder& decoder) {
  std::vector<Tensor*> all{&decoder.embedding.weight};
  for (Tensor* tensor : {&decoder.head.weight, &decoder.head.bias})
    if (*tensor) all.push_back(tensor);
  return all;
}

// A bias has one row; as a column of values it has one a token, like the others.
inline Tensor as_rows(const Tensor& table) {
  const Tensor dense = table.is_dense() ? table : table.copy();
  return table.rank() == 1 ? dense.reshape({table.size(), 1}) : dense;
}
inline Tensor in_shape_of(const Tensor& rows, const Tensor& table) { return table.rank() == 1 ? rows.reshape(Shape{rows.rows()}) : rows; }

inline void check(const Model& model, std::string_view function) {
  require(static_cast<bool>(model.tokenizer), "[", function, "] the model has no tokenizer: load it with one");
  const Index rows = model.decoder.embedding.weight ? model.decoder.embedding.weight.rows() : 0;
  require(rows == model.config().vocabulary && model.tokenizer.vocabulary() <= rows, "[", function, "] the embedding has ", rows,
          " rows, the configuration says ", model.config().vocabulary, " and the tokenizer ", model.tokenizer.vocabulary());
}

// Puts the mean of rows into one row of `into`, summed in double.
inline void put_mean(const Tensor& into, Index row, const Tensor& from, const std::vector<TokenId>& rows) {
  std::vector<double> sum(static_cast<std::size_t>(from.columns()));
  for (const TokenId r : rows) {
    const Tensor values = from.rows(r, r + 1).to(DType::f64);
    for (std::size_t c = 0; c < sum.size(); ++c) sum[c] += values.data<double>()[c];
  }
  for (double& value : sum) value /= static_cast<double>(rows.size());
  into.rows(row, row + 1).assign(Tensor::from(sum, {1, from.columns()}));
}

}  // namespace vocabulary_surgery

PLUME_FUNCTION void grow_vocabulary(Model& model, Tokenizer larger, const GrowVocabularyOptions& options) try {
  namespace surgery = vocabulary_surgery;
  surgery::check(model, "grow_vocabulary");
  const Tokenizer& old = model.tokenizer;
  const Index known = old.vocabulary(), rows = model.config().vocabulary, wanted = std::max(rows, larger.vocabulary());
  require(larger.vocabulary() >= known, "[grow_vocabulary] the new tokenizer has ", larger.vocabulary(), " tokens, the old one ", known,
          ": use prune_vocabulary");
  for (TokenId id = 0; id < known; ++id)
    require(larger.piece(id) == old.piece(id), "[grow_vocabulary] token ", id, " is ", quoted(old.piece(id)), ", in the new tokenizer ",
            quoted(larger.piece(id)), ": old ids must stay");
  std::vector<TokenId> all(static_cast<std::size_t>(known));
  for (TokenId id = 0; id < known; ++id) all[static_cast<std::size_t>(id)] = id;

  std::vector<Tensor> grown;
  for (const Tensor* table : surgery::tables(model.decoder)) {
    const Tensor from = surgery::as_rows(*table), into = Tensor::zeros({wanted, from.columns()}, from.dtype());
    into.rows(0, rows).assign(from);
    if (larger.vocabulary() > known) {
      const Tensor mean = Tensor::zeros({1, from.columns()}, DType::f64);
      if (options.rows != NewRows::zero) surgery::put_mean(mean, 0, from, all);
      for (TokenId id = static_cast<TokenId>(known); id < larger.vocabulary(); ++id) {
        std::vector<TokenId> parts;
        if (options.rows == NewRows::parts && !larger.is_special(id))
          parts = old.encode(larger.decode(std::vector<TokenId>{id}), {.begin = Begin::nothing, .end = End::nothing});
        if (parts.empty())
          into.rows(id, id + 1).assign(mean);
        else
          surgery::put_mean(into, id, from, parts);
      }
    }
    grown.push_back(surgery::in_shape_of(into, *table));
  }
  const std::vector<Tensor*> tables = surgery::tables(model.decoder);
  for (std::size_t i = 0; i < tables.size(); ++i) *tables[i] = std::move(grown[i]);
  model.decoder.config.vocabulary = wanted;
  model.tokenizer = std::move(larger);
} catch (...) {
  rethrow_memory_failure("a model whose vocabulary grows");
}

PLUME_FUNCTION void prune_vocabulary(Model& model, Tokenizer smaller) try {
  namespace surgery = vocabulary_surgery;
  surgery::check(model, "prune_vocabulary");
  const Index count = smaller.vocabulary();
  std::vector<TokenId> kept, renamed(static_cast<std::size_t>(model.config().vocabulary), -1);
  std::string missing;
  Index absent = 0;
  for (TokenId id = 0; id < count; ++id) {
    const auto found = model.tokenizer.find(smaller.piece(id));
    if (!found) {
      if (++absent <= 10) missing.append(missing.empty() ? "" : ", ").append(quoted(smaller.piece(id)));
      continue;
    }
    kept.push_back(*found);
    renamed[static_cast<std::size_t>(*found)] = id;
  }
  require(absent == 0, "[prune_vocabulary] ", absent, " tokens of the smaller tokenizer are not in the model's: ", missing,
          absent > 10 ? " ..." : "");
  require(count > 0, "[prune_vocabulary] the smaller tokenizer has no tokens");
  std::vector<TokenId> begin_tokens, end_tokens;
  for (const auto& [from, into] :
       {std::pair(&model.config().begin_tokens, &begin_tokens), std::pair(&model.config().end_tokens, &end_tokens)})
    for (const TokenId id : *from) {
      const TokenId now = renamed[static_cast<std::size_t>(id)];
      require(now >= 0, "[prune_vocabulary] the smaller tokenizer lacks token ", id, ", with which the model ",
              from == &model.config().begin_tokens ? "begins" : "ends");
      into->push_back(now);
    }
  std::vector<Tensor> gathered;
  for (const Tensor* table : surgery::tables(model.decoder)) {
    const Tensor from = surgery::as_rows(*table), into = Tensor::empty({count, from.columns()}, from.dtype());
    for (TokenId id = 0; id < count; ++id) {
      const TokenId row = kept[static_cast<std::size_t>(id)];
      into.rows(id, id + 1).assign(from.rows(row, row + 1));
    }
    gathered.push_back(surgery::in_shape_of(into, *table));
  }
  const std::vector<Tensor*> tables = surgery::tables(model.decoder);
  for (std::size_t i = 0; i < tables.size(); ++i) *tables[i] = std::move(gathered[i]);
  Config& config = model.decoder.config;
  config.vocabulary = count;
  config.begin_tokens = std::move(begin_tokens);
  config.end_tokens = std::move(end_tokens);
  model.tokenizer = std::move(smaller);
} catch (...) {
  rethrow_memory_failure("a model whose vocabulary is pruned");
}

}  // namespace plume::inline PLUME_ABI
#endif
