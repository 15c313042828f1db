#pragma once
// Models in foreign files: the tiny ones of all kinds, and a forward pass on what was read.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "malformed/damage.hpp"
#include "malformed/sound_files.hpp"
#include "plume/base/gguf.hpp"
#include "plume/models/encoder_decoder_files.hpp"
#include "plume/models/encoder_files.hpp"
#include "plume/models/encoder_heads.hpp"
#include "plume/models/heads.hpp"
#include "plume/models/load.hpp"
#include "plume/peft/adapter_files.hpp"

namespace plume_test::formats_detail {

// A reader that gave wrong things: no error of the library's.
inline void expect(bool ok, const char* what) {
  if (!ok) throw std::logic_error(what);
}

inline void forward(const plume::Model& model, const plume::LinearAdapters* adapter = nullptr) {
  const plume::Index count = std::min<plume::Index>(3, model.config().context), last = model.config().vocabulary - 1;
  std::vector<plume::TokenId> ids{0, static_cast<plume::TokenId>(last), static_cast<plume::TokenId>(last / 2)};
  ids.resize(static_cast<std::size_t>(count));
  if (const auto& infilling = model.config().infilling) ids = {infilling->masks.front(), infilling->begin};
  const auto rows = static_cast<plume::Index>(ids.size());
  plume::Pass pass;
  pass.segments = {{rows, nullptr, adapter}};
  const plume::Tensor logits = model.logits(ids, pass);
  expect(logits.rows() == rows && logits.columns() == last + 1, "logits of another shape");
}
inline void use_model(const std::string& folder) { forward(plume::load(folder)); }
// The tiny models of the families, as transformers and the gguf package wrote them, and what their generation is told.
inline std::string bytes_of_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}
inline std::vector<std::filesystem::path> sorted_goldens(std::string_view name) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(plume::concat(PLUME_TEST_SOURCE_DIR "/golden/", name)))
    paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  return paths;
}
inline std::vector<Files> golden_models(std::string_view name) {
  std::vector<Files> read;
  for (const auto& path : sorted_goldens(name)) {
    read.push_back({bytes_of_file(path / "config.json"), bytes_of_file(path / "model.safetensors"), std::nullopt});
    while (read.back()[0]->back() == '\n') read.back()[0]->pop_back();  // so that no part of the file is the whole
  }
  return read;
}
inline Files one_of(const std::vector<Files>& models, Dice& dice) {
  Files files = models[dice.below(models.size())];
  constexpr std::string_view generation[] = {"{}", R"({"eos_token_id": 3, "bos_token_id": 1})",
                                             R"({"eos_token_id": [3, 5, 7], "pad_token_id": null, "temperature": 0.5})"};
  if (dice.chance(50)) files[2] = std::string(dice.pick(generation));
  return files;
}
inline Files sound_families(Dice& dice) {
  static const std::vector<Files> all = golden_models("families");
  return one_of(all, dice);
}
inline Files sound_encoder_decoders(Dice& dice) {
  static const std::vector<Files> all = golden_models("encoder_decoders");
  return one_of(all, dice);
}
// Two tokens, or as many as the context has room for.
inline std::vector<plume::TokenId> first_and_last(const plume::Config& stack) {
  std::vector<plume::TokenId> ids{0, static_cast<plume::TokenId>(stack.vocabulary - 1)};
  ids.resize(static_cast<std::size_t>(std::min<plume::Index>(2, stack.context)));
  return ids;
}
inline void use_encoder_decoder(const std::string& folder) {
  const plume::EncoderDecoder model = plume::load_encoder_decoder(folder);
  const std::vector<plume::TokenId> source = first_and_last(model.config.encoder), target = first_and_last(model.config.decoder);
  plume::Pass pass;
  const plume::Tensor logits = model.logits(model.encode(source), target, pass);
  expect(logits.rows() == static_cast<plume::Index>(target.size()) && logits.columns() == model.config.decoder.vocabulary,
         "logits of another shape");
}
inline Files sound_encoders(Dice& dice) {
  static const std::vector<Files> all = [] {
    std::vector<Files> both = golden_models("encoders"), heads = golden_models("encoder_heads");
    both.insert(both.end(), heads.begin(), heads.end());
    return both;
  }();
  Files files = all[dice.below(all.size())];
  if (dice.chance(50))
    files[2] = R"([{"type": "sentence_transformers.models.Transformer", "path": ""},
  {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}, {"type": "sentence_transformers.models.Normalize", "path": "2"}])";
  files.resize(6);
  if (dice.chance(20)) {  // with a layer behind the pooling
    const std::filesystem::path golden = PLUME_TEST_SOURCE_DIR "/golden", sentence = golden / "sentence/t5_encoder";
    Files chosen;
    for (const auto& path :
         {golden / "encoders/t5_encoder/config.json", golden / "encoders/t5_encoder/model.safetensors", sentence / "modules.json",
          sentence / "1_Pooling/config.json", sentence / "2_Dense/config.json", sentence / "2_Dense/model.safetensors"})
      chosen.push_back(bytes_of_file(path));
    for (const std::size_t json : {std::size_t{0}, std::size_t{2}}) chosen[json]->pop_back();  // the new line
    return chosen;
  }
  if (files[2] || dice.chance(50))
    files[3] = R"({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false, "word_embedding_dimension": 24})";
  return files;
}
inline void use_encoder(const std::string& folder) {
  const plume::Encoder model = plume::load_encoder(folder);
  std::vector<plume::TokenId> ids = first_and_last(model.config.stack);
  if (model.config.stack.first_position > 0 && model.config.stack.vocabulary == 1) return;  // its only token is padding
  if (model.config.stack.first_position > 0)                                                // no padding
    for (plume::TokenId& id : ids) id = id != model.config.stack.frozen_token ? id : id > 0 ? id - 1 : 1;
  plume::Pass pass;
  const plume::Tensor vectors = model.embed(ids, pass);
  expect(vectors.rows() == 1 && vectors.columns() == (model.config.dense ? model.config.dense->outputs : model.config.stack.width),
         "vectors of another shape");
  if (model.config.fills_masks)
    expect(plume::masked_logits(model, ids, pass).columns() == model.config.stack.vocabulary, "logits of another shape");
  if (model.config.task) expect(plume::label_scores(model, ids, pass).columns() == model.config.task->labels, "scores of another shape");
}
// An adapter of the tiny T5, as peft wrote it.
inline Files sound_pair_adapter(Dice&) {
  static const Files files = [] {
    const std::filesystem::path folder = PLUME_TEST_SOURCE_DIR "/golden/pair_lora/t5_q_v";
    Files read{bytes_of_file(folder / "adapter_config.json"), bytes_of_file(folder / "adapter_model.safetensors")};
    while (read[0]->back() == '\n') read[0]->pop_back();
    return read;
  }();
  return files;
}
inline void use_pair_adapter(const std::string& folder) {
  static const plume::EncoderDecoder model = plume::load_encoder_decoder(PLUME_TEST_SOURCE_DIR "/golden/encoder_decoders/t5");
  const plume::Adapter adapter = plume::load_adapter(folder, model);
  const std::vector<plume::TokenId> source{3, 9, 1}, target{0, 7};
  plume::Pass encoded{.segments = {{3, nullptr, &adapter}}}, decoded{.segments = {{2, nullptr, &adapter}}};
  expect(model.logits(model.encode(source, encoded), target, decoded).rows() == 2, "logits of another shape");
}
inline Files sound_heads(Dice& dice) {
  static const std::vector<Files> all = golden_models("heads");
  return one_of(all, dice);
}
inline void use_head(const std::string& folder) {
  const plume::Model model = plume::load(folder);
  const std::vector<plume::TokenId> ids = first_and_last(model.config());
  const plume::TaskKind kind = model.config().task.kind;
  if (model.config().task.has_tokens()) forward(model);
  if (kind == plume::TaskKind::next_token) return;
  plume::Pass pass;
  const plume::Tensor scores = kind == plume::TaskKind::double_heads ? plume::double_heads(model.decoder, ids, {}, pass).scores
                                                                     : plume::label_scores(model.decoder, ids, pass);
  expect(scores.columns() == model.config().task.labels, "scores of another shape");
}
inline Files sound_gguf_models(Dice& dice) {
  static const std::vector<std::string> all = [] {
    std::vector<std::string> read;
    for (const auto& path : sorted_goldens("gguf_models")) {
      std::string bytes = bytes_of_file(path);
      std::uint64_t end = 0;  // of the last tensor; padding behind it is nobody's
      const auto header = plume::GgufHeader::read(std::as_bytes(std::span(bytes)), path.string());
      for (const plume::GgufTensor& tensor : header.tensors()) end = std::max(end, tensor.offset + tensor.bytes);
      bytes.resize(static_cast<std::size_t>(end));
      read.push_back(std::move(bytes));
    }
    return read;
  }();
  return {all[dice.below(all.size())]};
}
inline void use_gguf_model(const std::string& folder) { forward(plume::load(folder + "/model.gguf")); }
inline void use_llama2c(const std::string& folder) { forward(plume::load(folder + "/model.bin")); }

}  // namespace plume_test::formats_detail
