// Models in GGUF files whose keys and tensors do not make a model: each is refused by the key or tensor at fault. generation_config.json.
#include <doctest/doctest.h>

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "plume/base/error.hpp"
#include "plume/formats/gguf.hpp"
#include "plume/formats/write_gguf.hpp"
#include "plume/models/load.hpp"
#include "temporary.hpp"
#include "test_data.hpp"

using namespace plume;
using plume_test::golden, plume_test::read_all, plume_test::TemporaryDirectory, plume_test::write_all;

namespace {

// A file of another program, taken apart.
struct Parts {
  GgufKeyValues keys = {};
  std::vector<GgufWeight> tensors = {};

  explicit Parts(const std::string& name) {
    const GgufFile file = read_gguf(golden("gguf_models/" + name + ".gguf"));
    for (const GgufEntry& entry : file.header().entries()) keys.emplace_back(std::string(entry.key), entry);
    for (const GgufStored& stored : file.tensors()) tensors.push_back({std::string(stored.name), file.tensor(stored.name).copy()});
  }
  void drop(std::string_view key) {
    REQUIRE(std::erase_if(keys, [&](const auto& entry) { return entry.first == key; }) == 1);
  }
  void set(const std::string& key, GgufValue value) {
    std::erase_if(keys, [&](const auto& entry) { return entry.first == key; });
    keys.emplace_back(key, std::move(value));
  }
  GgufWeight& tensor(std::string_view name) {
    for (GgufWeight& weight : tensors)
      if (weight.name == name) return weight;
    FAIL("no tensor ", std::string(name));
    return tensors.front();
  }
};

void refused(const std::string& model, std::string_view field, std::string_view word, const std::function<void(Parts&)>& change) {
  const TemporaryDirectory folder;
  Parts parts(model);
  change(parts);
  const std::string path = folder / "model.gguf";
  write_gguf(path, parts.keys, parts.tensors);
  CAPTURE(model);
  CAPTURE(field);
  CAPTURE(word);
  try {
    load(path);
    FAIL_CHECK("was accepted");
  } catch (const ConfigError& error) {
    CHECK(error.where().path == path);
    CHECK_MESSAGE((field.empty() ? error.where().field.empty() : error.where().field.find(field) != std::string::npos), error.what());
    CHECK_MESSAGE(error.reason().find(word) != std::string::npos, error.what());
  } catch (const Error& error) {
    FAIL_CHECK("another error: ", std::string(error.what()));
  }
}
auto drop(const std::string& key) {
  return [=](Parts& parts) { parts.drop(key); };
}
template <class Value>
auto put(const std::string& key, Value value) {
  return [=](Parts& parts) { parts.set(key, value); };
}

}  // namespace

TEST_CASE("taken apart and put together, the file is the model it was") {
  const TemporaryDirectory folder;
  for (const std::string name : {"llama_linear", "mixtral", "bloom"}) {
    const Parts parts(name);
    write_gguf(folder / "model.gguf", parts.keys, parts.tensors);
    CHECK(load(folder / "model.gguf").config() == load(golden("gguf_models/" + name + ".gguf")).config());
  }
}

TEST_CASE("keys that are missing, of another type, out of range or unknown") {
  refused("llama_linear", "general.architecture", "unknown architecture \"mamba\" (known: llama, gpt2,",
          put("general.architecture", "mamba"));
  refused("llama_linear", "general.architecture", "unknown architecture \"\"", drop("general.architecture"));
  for (const char* key : {"embedding_length", "block_count", "attention.head_count", "context_length", "feed_forward_length"}) {
    const std::string whole = concat("llama.", key);
    refused("llama_linear", whole, "is missing", drop(whole));
    refused("llama_linear", whole, "is 0, expected at least 1", put(whole, 0u));
    refused("llama_linear", whole, "is -5, expected at least 1", put(whole, -5));
    refused("llama_linear", whole, "only one for all is supported", put(whole, std::vector<std::uint32_t>{4, 4}));
    refused("llama_linear", whole, "whole number", put(whole, "4"));
  }
  refused("llama_linear", "llama.attention.layer_norm_rms_epsilon", "is missing, and layer_norm_epsilon too",
          drop("llama.attention.layer_norm_rms_epsilon"));
  refused("llama_linear", "rms_norm_eps", "the field is config.json's", put("llama.attention.layer_norm_rms_epsilon", 2.0f));
  refused("llama_linear", "llama.attention.layer_norm_rms_epsilon", "only one for all is supported",
          put("llama.attention.layer_norm_rms_epsilon", std::vector<float>{1e-5f, 1e-6f}));
  refused("mixtral", "llama.block_count", "tensors: some are missing", put("llama.block_count", 1'000'000u));
  refused("llama_linear", "llama.attention.layer_norm_rms_epsilon", "a number", put("llama.attention.layer_norm_rms_epsilon", "small"));
  refused("llama_linear", "llama.rope.freq_base", "is not finite", put("llama.rope.freq_base", std::numeric_limits<float>::infinity()));
  refused("llama_linear", "llama.attention.value_length", "differs from the keys'", put("llama.attention.value_length", 99u));
  refused("llama_linear", "llama.rope.scaling.type", "unknown type \"spiral\" (known: none, linear, yarn",
          put("llama.rope.scaling.type", "spiral"));
  refused("llama_linear", "rope_scaling.factor", "the field is config.json's", put("llama.rope.scaling.factor", -1.0f));
  refused("mixtral", "llama.expert_used_count", "is missing", drop("llama.expert_used_count"));
  refused("mixtral", "num_experts_per_tok", "the field is config.json's", put("llama.expert_used_count", 77u));
  refused("gemma2", "attn_logit_softcapping", "the field is config.json's", put("gemma2.attn_logit_softcapping", -1.0f));
  refused("llama_linear", "eos_token_id", "the field is config.json's", put("tokenizer.ggml.eos_token_id", 53u));
  refused("llama_linear", "tokenizer.ggml.tokens", "is missing", put("tokenizer.ggml.model", "rwkv"));
}

TEST_CASE("tensors that are missing, too many, or of another shape") {
  refused("llama_linear", "", "1 tensors are missing: blk.1.ffn_up.weight", [](Parts& parts) {
    std::erase_if(parts.tensors, [](const GgufWeight& weight) { return weight.name == "blk.1.ffn_up.weight"; });
  });
  refused("llama_linear", "", "1 tensors are unexpected: blk.0.attn_sinks.weight", [](Parts& parts) {
    parts.tensors.push_back({"blk.0.attn_sinks.weight", Tensor::zeros({4})});
  });
  refused("llama_linear", "", "unexpected: blk.9.attn_norm.weight", [](Parts& parts) {
    parts.tensors.push_back({"blk.9.attn_norm.weight", Tensor::zeros({4})});
  });
  refused("llama_linear", "blk.0.ffn_down.weight", "shape is (5, 7), the keys ask for", [](Parts& parts) {
    parts.tensor("blk.0.ffn_down.weight").tensor = Tensor::zeros({5, 7});
  });
  refused("llama_linear", "token_embd.weight", "is no tensor of rank 2", [](Parts& parts) {
    Tensor& embedding = parts.tensor("token_embd.weight").tensor;
    embedding = embedding.reshape({embedding.size()});
  });
  refused("llama_linear", "token_embd.weight", "is no tensor of rank 2",
          [](Parts& parts) { std::erase_if(parts.tensors, [](const GgufWeight& weight) { return weight.name == "token_embd.weight"; }); });
  refused("mixtral", "blk.0.ffn_gate_exps.weight", "for each expert", [](Parts& parts) {
    Tensor& experts = parts.tensor("blk.0.ffn_gate_exps.weight").tensor;
    experts = experts.reshape({experts.size() / experts.columns(), experts.columns()});
  });
}

TEST_CASE("a tokenizer in the file that knows more tokens than the model") {
  refused("llama_linear", "tokenizer.ggml.tokens", "the tokenizer knows 54 tokens, the model 53", [](Parts& parts) {
    std::vector<std::string> tokens{"<unk>"};
    std::vector<std::int32_t> types{2};
    for (int i = 1; i < 54; ++i) tokens.push_back(concat("t", i)), types.push_back(1);
    parts.set("tokenizer.ggml.model", "llama");
    parts.set("tokenizer.ggml.tokens", tokens);
    parts.set("tokenizer.ggml.scores", std::vector<float>(54, 0.0f));
    parts.set("tokenizer.ggml.token_type", types);
  });
}

TEST_CASE("generation_config.json: what cannot be an end token is refused there") {
  const TemporaryDirectory folder;
  for (const char* file : {"config.json", "model.safetensors"}) write_all(folder / file, read_all(golden("models/llama/") + file));
  const std::string path = folder / "generation_config.json";
  write_all(path, R"({"eos_token_id": [3, 5], "temperature": 0.6, "do_sample": true})");
  CHECK(load(folder.path()).config().end_tokens == std::vector<TokenId>{3, 5});
  write_all(path, R"({"eos_token_id": null})");
  CHECK_NOTHROW(load(folder.path()));
  struct Case {
    const char *text, *field, *word;
  };
  for (const Case& each : {Case{R"({"eos_token_id": 4000000})", "eos_token_id", "4000000"},
                           {R"({"eos_token_id": -1})", "eos_token_id", "-1"},
                           {R"({"eos_token_id": [3, 1.5]})", "eos_token_id", ""},
                           {R"({"eos_token_id": "</s>"})", "eos_token_id", ""},
                           {R"({"eos_token_id": [3)", "", ""},
                           {"", "", ""}}) {
    write_all(path, each.text);
    CAPTURE(std::string(each.text));
    try {
      load(folder.path());
      FAIL_CHECK("was accepted");
    } catch (const InputError& error) {
      CHECK(error.where().path == path);
      CHECK_MESSAGE(error.where().field.find(each.field) != std::string::npos, error.what());
      CHECK_MESSAGE(error.reason().find(each.word) != std::string::npos, error.what());
    }
  }
}
