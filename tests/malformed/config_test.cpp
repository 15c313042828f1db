// Catalogue K: config.json, and what the tensors must agree with (S27, S28).
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "plume/formats/safetensors.hpp"
#include "plume/models/families/families.hpp"
#include "plume/models/families/llama2c.hpp"
#include "plume/models/load.hpp"
#include "plume/models/save.hpp"
#include "temporary.hpp"
#include "test_data.hpp"

using namespace plume;
using plume_test::golden, plume_test::read_all, plume_test::TemporaryDirectory, plume_test::write_all;

namespace {

// The golden LLaMA (or GPT-2, or "families/<name>") with its config.json changed by `edit`; the weights are as they were.
template <class Edit>
std::string with(const TemporaryDirectory& directory, Edit&& edit, const std::string& model = "llama") {
  const std::string folder = golden(model.starts_with("families/") ? model : "models/" + model);
  nlohmann::json json = nlohmann::json::parse(read_all(folder + "/config.json"));
  edit(json);
  write_all(directory / "config.json", json.dump(2));
  write_all(directory / "model.safetensors", read_all(folder + "/model.safetensors"));
  return directory.path();
}

// Loading must throw exactly this type, at this field, for a reason that holds this word.
template <class Expected, class Edit>
void refused(std::string_view field, std::string_view word, Edit&& edit, const std::string& model = "llama") {
  const TemporaryDirectory directory;
  const std::string path = with(directory, edit, model);
  CAPTURE(field);
  CAPTURE(word);
  try {
    load(path);
    FAIL_CHECK("was accepted");
  } catch (const Expected& error) {
    CHECK(typeid(error) == typeid(Expected));
    CHECK_MESSAGE(error.where().path.find("config.json") != std::string::npos, error.what());
    CHECK_MESSAGE(error.where().field.find(field) != std::string::npos, error.what());
    CHECK_MESSAGE(error.reason().find(word) != std::string::npos, error.what());
    // What the struct Config checks for every family alike has a field and no line.
    constexpr std::string_view checked[] = {"layers",          "context",        "vocabulary", "rotary.fast", "rotary.short_factors",
                                            "infilling.begin", "infilling.masks"};
    CHECK((error.where().line || std::find(std::begin(checked), std::end(checked), error.where().field) != std::end(checked)));
  } catch (const std::exception& error) {
    FAIL_CHECK("another exception: " << error.what());
  }
  const std::string whole = read_all(path + "/config.json");
  for (const std::size_t part : {0u, 1u, 4u, 7u}) {
    write_all(path + "/config.json", whole.substr(0, whole.size() * part / 8));
    CHECK_THROWS_AS(load(path), InputError);
  }
}
auto put(std::string key, nlohmann::json value) {
  return [=](nlohmann::json& json) { json[key] = value; };
}
auto drop(std::string key) {
  return [=](nlohmann::json& json) { json.erase(key); };
}

}  // namespace

TEST_CASE("K1 keys that must be there are named when they are not") {
  for (const char* key : {"hidden_size", "num_attention_heads", "num_hidden_layers", "vocab_size", "intermediate_size"})
    refused<ConfigError>(key, "", drop(key));
  for (const char* key : {"n_embd", "n_head", "n_layer", "vocab_size", "n_positions"}) refused<ConfigError>(key, "", drop(key), "gpt2");
}
TEST_CASE("K2 an unknown architecture lists the known ones") {
  refused<ConfigError>("architectures", "LlamaForCausalLM", put("architectures", {"FooForCausalLM"}));
  refused<ConfigError>("model_type", "llama", [](nlohmann::json& json) {
    json.erase("architectures");
    json["model_type"] = "foo";
  });
}
TEST_CASE("K3 hidden_size that heads do not divide, with no head_dim") {
  refused<ConfigError>("hidden_size", "does not divide",
                       [](nlohmann::json& json) { json["num_attention_heads"] = json["num_key_value_heads"] = 5; });
  refused<ConfigError>("n_embd", "does not divide", put("n_head", 5), "gpt2");
}
TEST_CASE("K4 heads that key-value heads do not divide; zero; negative") {
  refused<ConfigError>("num_key_value_heads", "cannot share", put("num_key_value_heads", 4));
  refused<ConfigError>("num_key_value_heads", "at least 1", put("num_key_value_heads", 0));
  refused<ConfigError>("num_attention_heads", "at least 1", put("num_attention_heads", -6));
}
TEST_CASE("K5 odd heads with rotary positions") { refused<ConfigError>("head_dim", "odd", put("head_dim", 7)); }
TEST_CASE("K6 vocab_size against embedding rows") {
  const TemporaryDirectory directory;
  const std::string path = with(directory, put("vocab_size", 130));
  CHECK_THROWS_AS(load(path), ConfigError);
}
TEST_CASE("K7 layers 0 and 1e9") {
  refused<ConfigError>("num_hidden_layers", "at least 1", put("num_hidden_layers", 0));
  refused<LimitError>("layers", "max_layers", put("num_hidden_layers", 1'000'000'000));
}
TEST_CASE("K8 numbers as texts, fractions, 2^53 + 1") {
  refused<ConfigError>("hidden_size", "integer", put("hidden_size", "48"));
  refused<ConfigError>("hidden_size", "integer", put("hidden_size", 48.5));
  refused<LimitError>("vocabulary", "9007199254740993", put("vocab_size", 9007199254740993));
}
TEST_CASE("K9 epsilon 0, negative") {
  refused<ConfigError>("rms_norm_eps", "between", put("rms_norm_eps", 0));
  refused<ConfigError>("rms_norm_eps", "between", put("rms_norm_eps", -1e-5));
  refused<ConfigError>("layer_norm_epsilon", "between", put("layer_norm_epsilon", 0), "gpt2");
}
TEST_CASE("K10 rope_theta 0; unknown scaling") {
  refused<ConfigError>("rope_theta", "between", put("rope_theta", 0));
  refused<ConfigError>("rope_scaling", "known", put("rope_scaling", {{"rope_type", "foo"}, {"factor", 0}}));
  refused<ConfigError>("rope_parameters", "known", put("rope_parameters", {{"type", "foo"}}));
  refused<ConfigError>("rope_scaling.factor", "between", put("rope_scaling", {{"type", "linear"}, {"factor", 0}}));
  refused<ConfigError>("rope_scaling.factor", "missing", put("rope_scaling", {{"type", "dynamic"}}));
  refused<ConfigError>("partial_rotary_factor", "between", put("partial_rotary_factor", 0));
  refused<ConfigError>("partial_rotary_factor", "even number", put("partial_rotary_factor", 0.4));
  refused<ConfigError>("original_max_position_embeddings", "at least 1",
                       put("rope_scaling", {{"type", "yarn"}, {"factor", 2}, {"original_max_position_embeddings", 0}}));
  refused<ConfigError>("rotary.fast", "more than slow",
                       put("rope_scaling", {{"rope_type", "llama3"}, {"factor", 2}, {"low_freq_factor", 4}, {"high_freq_factor", 1}}));
  const nlohmann::json factors{1.0, 2.0}, three{1.0, 2.0, 3.0};
  const auto longrope = [](nlohmann::json shorter, nlohmann::json longer) {
    return [=](nlohmann::json& json) {
      json.erase("rope_parameters");
      json["rope_scaling"] = {{"type", "longrope"}, {"short_factor", shorter}, {"long_factor", longer}};
    };
  };
  refused<ConfigError>("rope_scaling.short_factor", "has 3 numbers, expected 2", longrope(three, factors), "families/phi3");
  refused<ConfigError>("rope_scaling.long_factor", "has 3 numbers, expected 2", longrope(factors, three), "families/phi3");
  refused<ConfigError>("rotary.short_factors", "positive", longrope({1.0, -1.0}, factors), "families/phi3");
  refused<ConfigError>("rope_scaling", "longrope", put("rope_scaling", {{"type", "linear"}, {"factor", 2}}), "families/phi3");
}
TEST_CASE("K11 unknown activation") {
  refused<ConfigError>("hidden_act", "known", put("hidden_act", "mish"));
  refused<ConfigError>("activation_function", "known", put("activation_function", "mish"), "gpt2");
}
TEST_CASE("K12 positions 0 and 1e12") {
  refused<ConfigError>("max_position_embeddings", "at least 1", put("max_position_embeddings", 0));
  refused<LimitError>("context", "max_context", put("max_position_embeddings", 1'000'000'000'000));
}
TEST_CASE("K13 unknown torch_dtype") { refused<ConfigError>("torch_dtype", "known", put("torch_dtype", "float7")); }
TEST_CASE("K14 a tied head that contradicts the tensors") {
  refused<ConfigError>("tie_word_embeddings", "differs", put("tie_word_embeddings", true));
  const TemporaryDirectory directory;
  const std::string path = with(directory, put("tie_word_embeddings", false), "llama_tied_biased");
  CHECK_THROWS_WITH_AS(load(path), doctest::Contains("lm_head.weight"), ConfigError);
}
TEST_CASE("K15 quantised weights") { refused<ConfigError>("quantization_config", "quantised", put("quantization_config", {{"bits", 4}})); }
TEST_CASE("K16 eos_token_id: a list and null are fine, outside the vocabulary is not") {
  refused<ConfigError>("eos_token_id", "vocabulary", put("eos_token_id", 131));
  refused<ConfigError>("eos_token_id[1]", "vocabulary", put("eos_token_id", {2, -1}));
  const TemporaryDirectory directory;
  CHECK(load(with(directory, put("eos_token_id", {2, 7}))).config().end_tokens == std::vector<TokenId>{2, 7});
  CHECK(load(with(directory, put("eos_token_id", nullptr))).config().end_tokens.empty());
}
TEST_CASE("K17 auto_map is ignored: no code runs") {
  const TemporaryDirectory directory;
  CHECK_NOTHROW(load(with(directory, put("auto_map", {{"AutoModel", "evil.py--Evil"}}))));
}
TEST_CASE("what a family alone asks for is refused by name where it is not supported or does not fit") {
  refused<ConfigError>("layer_types", "names 1 layers of 3", put("layer_types", {"full_attention"}), "families/gemma2");
  refused<ConfigError>("layer_types[1]", "known", put("layer_types", {"full_attention", "foo", "full_attention"}), "families/gemma2");
  refused<ConfigError>("layer_types[0]", "has none", put("layer_types", {"sliding_attention", "full_attention"}), "families/qwen2");
  refused<ConfigError>("layer_types", "not supported", put("layer_types", {"full_attention"}), "families/mistral");
  refused<ConfigError>("sliding_window", "at least 1", put("sliding_window", 0), "families/mistral");
  refused<ConfigError>("query_pre_attn_scalar", "between", put("query_pre_attn_scalar", 0), "families/gemma2");
  refused<ConfigError>("final_logit_softcapping", "between", put("final_logit_softcapping", -3), "families/gemma2");
  refused<ConfigError>("attn_logit_softcapping", "only null", put("attn_logit_softcapping", 50), "families/gemma3");
  refused<ConfigError>("use_bidirectional_attention", "only", put("use_bidirectional_attention", true), "families/gemma3");
  refused<ConfigError>("qk_layernorm", "only", put("qk_layernorm", true), "families/stablelm");
  refused<ConfigError>("apply_residual_connection_post_layernorm", "only", put("apply_residual_connection_post_layernorm", true),
                       "families/bloom");
  refused<ConfigError>("rotary_dim", "even number", put("rotary_dim", 5), "families/gptj");
  refused<ConfigError>("rotary_dim", "up to the head's width, 6", put("rotary_dim", 8), "families/gptj");
  refused<ConfigError>("n_head", "multiple of 4", put("n_head", 6), "families/codegen");
  refused<ConfigError>("no_rope_layers", "names 2 layers of 3", put("no_rope_layers", {1, 0}), "families/smollm3_listed");
  refused<ConfigError>("num_experts_per_tok", "6 of 5 experts", put("num_experts_per_tok", 6), "families/mixtral");
  refused<ConfigError>("num_local_experts", "at least 1", put("num_local_experts", 0), "families/mixtral");
  refused<ConfigError>("output_router_logits", "only", put("output_router_logits", true), "families/mixtral");
  refused<ConfigError>("mlp_only_layers[0]", "layer 3 of 3", put("mlp_only_layers", {3}), "families/qwen2_moe");
  refused<ConfigError>("shared_expert_intermediate_size", "at least 1", put("shared_expert_intermediate_size", -1), "families/qwen2_moe");
}
TEST_CASE("what ChatGLM and GLM-130B do not have is refused by name") {
  const std::string chatglm = "families/chatglm", glm = "families/glm_130b";
  for (const char* key : {"vocab_size", "hidden_size", "num_attention_heads"})
    refused<ConfigError>(key, "at least 1", put(key, 0), chatglm);
  for (const char* key : {"hidden_size", "num_attention_heads", "num_layers"})
    for (const std::string& model : {chatglm, glm}) refused<ConfigError>(key, "", drop(key), model);
  refused<ConfigError>("inner_hidden_size", "", drop("inner_hidden_size"), glm);
  refused<ConfigError>("padded_vocab_size", "ChatGLM2", put("padded_vocab_size", 59), chatglm);
  refused<ConfigError>("multi_query_attention", "ChatGLM2", put("multi_query_attention", true), chatglm);
  refused<ConfigError>("rmsnorm", "ChatGLM2", put("rmsnorm", true), chatglm);
  refused<ConfigError>("quantization_bit", "quantised", put("quantization_bit", 4), chatglm);
  refused<ConfigError>("pre_seq_len", "P-Tuning", put("pre_seq_len", 128), chatglm);
  refused<ConfigError>("layernorm_order", "post", put("layernorm_order", "pre"), glm);
  refused<ConfigError>(
      "hidden_size", "multiple of 4", [](nlohmann::json& json) { json["hidden_size"] = 30, json["num_attention_heads"] = 5; }, chatglm);
  refused<ConfigError>(
      "hidden_size", "multiple of 2", [](nlohmann::json& json) { json["hidden_size"] = 35, json["num_attention_heads"] = 5; }, glm);
  for (const char* key : {"bos_token_id", "gmask_token_id", "mask_token_id"})
    for (const nlohmann::json& value : {nlohmann::json(59), nlohmann::json(-1), nlohmann::json(150001)})
      refused<ConfigError>(key, "not in a vocabulary of 59", put(key, value), chatglm);
  for (const char* key : {"smask_token_id", "end_of_text_token_id"})
    refused<ConfigError>(key, "not in a vocabulary of 59", put(key, 59), glm);
  for (const char* key : {"mask_token_id", "gmask_token_id"})  // the published defaults
    refused<ConfigError>(key, "not in a vocabulary of 59", drop(key), chatglm);
  refused<ConfigError>("infilling.begin", "is a mask token as well", put("bos_token_id", 50), chatglm);
  refused<ConfigError>(
      "infilling.masks", "there are none", [](nlohmann::json& json) { json["mask_token_id"] = json["gmask_token_id"] = nullptr; }, chatglm);
  refused<ConfigError>("bos_token_id", "begins what fills a blank", put("bos_token_id", nullptr), chatglm);
  refused<ConfigError>("eos_token_id", "not in a vocabulary of 59", put("eos_token_id", 59), chatglm);
  refused<ConfigError>("eos_token_id", "not in a vocabulary of 59", drop("eos_token_id"), chatglm);
}
TEST_CASE("older spellings mean the same as newer ones") {
  const auto same = [](const std::string& family, auto&& edit) {
    const TemporaryDirectory directory;
    CHECK(load(with(directory, edit, family)).config() == load(golden(family)).config());
  };
  const auto old_rope = [](nlohmann::json& json) {  // rope_theta and rope_scaling with "type", as before transformers 5
    nlohmann::json rope = json["rope_parameters"];
    json.erase("rope_parameters");
    json["rope_theta"] = rope["rope_theta"];
    rope["type"] = rope["rope_type"];
    rope.erase("rope_theta"), rope.erase("rope_type");
    if (rope["type"] != "default") json["rope_scaling"] = rope;
  };
  for (const char* name : {"llama_llama3", "llama_linear", "llama_dynamic", "llama_yarn", "phi3_long", "mistral", "qwen2", "olmo2"})
    same(concat("families/", name), old_rope);
  same("families/gpt_neox_sequential", [](nlohmann::json& json) {
    json.erase("rope_parameters");
    json["rotary_emb_base"] = 500.0, json["rotary_pct"] = 0.5;
  });
  same("families/gemma3", [](nlohmann::json& json) {
    json.erase("rope_parameters"), json.erase("layer_types"), json.erase("_sliding_window_pattern");
    json["rope_theta"] = 3000.0, json["rope_local_base_freq"] = 90.0, json["sliding_window_pattern"] = 3;
    json["rope_scaling"] = {{"rope_type", "linear"}, {"factor", 2.0}};
  });
  same("families/bloom", [](nlohmann::json& json) {
    json["n_embed"] = json["hidden_size"], json["num_attention_heads"] = json["n_head"], json["num_hidden_layers"] = json["n_layer"];
    json.erase("hidden_size"), json.erase("n_head"), json.erase("n_layer");
  });
  same("families/gemma", [](nlohmann::json& json) { json["hidden_act"] = "gelu"; });
}
TEST_CASE("settings that change the mathematics have one supported value") {
  refused<ConfigError>("scale_attn_weights", "only true", put("scale_attn_weights", false), "gpt2");
  refused<ConfigError>("scale_attn_by_inverse_layer_idx", "only false", put("scale_attn_by_inverse_layer_idx", true), "gpt2");
  refused<ConfigError>("add_cross_attention", "only false", put("add_cross_attention", true), "gpt2");
  const TemporaryDirectory directory;
  CHECK_NOTHROW(load(with(directory, put("rope_scaling", {{"rope_type", "default"}, {"partial_rotary_factor", 1}}))));
}
TEST_CASE("a configuration made by hand is checked as one from a file is") {
  Config good;
  good.vocabulary = 7, good.context = 8, good.width = 8, good.hidden = 16, good.layers = 1;
  good.heads = 2, good.key_heads = 1, good.head_width = 4, good.rotary.width = 4;
  REQUIRE_NOTHROW(good.check("p"));
  const auto refused_as = [&](std::string_view field, std::string_view word, void (*edit)(Config&)) {
    CAPTURE(field);
    Config config = good;
    edit(config);
    try {
      config.check("p");
      FAIL_CHECK("was accepted");
    } catch (const ConfigError& error) {
      CHECK(error.where().path == "p");
      CHECK(error.where().field == field);
      CHECK_MESSAGE(error.reason().find(word) != std::string::npos, error.what());
    }
  };
  refused_as("vocabulary", "is 0, expected at least 1", [](Config& c) { c.vocabulary = 0; });
  refused_as("context", "is -1, expected at least 1", [](Config& c) { c.context = -1; });
  refused_as("layers", "at least 1", [](Config& c) { c.layers = 0; });
  refused_as("width", "expected 1 .. 1048576", [](Config& c) { c.width = 0; });
  refused_as("width", "expected 1 .. 1048576", [](Config& c) { c.width = 1048577; });
  refused_as("hidden", "is 0", [](Config& c) { c.hidden = 0; });
  refused_as("heads", "is 0", [](Config& c) { c.heads = 0; });
  refused_as("key_heads", "is 0", [](Config& c) { c.key_heads = 0; });
  refused_as("head_width", "is 0", [](Config& c) { c.head_width = 0; });
  refused_as("key_heads", "3 heads cannot share 2", [](Config& c) { c.heads = 3, c.key_heads = 2; });
  refused_as("norm_epsilon", "(0, 1)", [](Config& c) { c.norm_epsilon = 0; });
  refused_as("norm_epsilon", "(0, 1)", [](Config& c) { c.norm_epsilon = 1; });
  refused_as("rotary.base", "positive", [](Config& c) { c.rotary.base = 0; });
  refused_as("rotary.base", "positive", [](Config& c) { c.rotary.base = HUGE_VAL; });
  for (void (*edit)(Config&) :
       {+[](Config& c) { c.rotary.width = 0; }, +[](Config& c) { c.rotary.width = 3; }, +[](Config& c) { c.rotary.width = 6; }})
    refused_as("rotary.width", "an even number", edit);
  refused_as("begin_tokens", "token 7 is not in a vocabulary of 7", [](Config& c) { c.begin_tokens = {7}; });
  refused_as("end_tokens", "token -1", [](Config& c) { c.end_tokens = {1, -1}; });
  const auto edge = [&](void (*edit)(Config&)) {
    Config config = good;
    edit(config);
    CHECK_NOTHROW(config.check("p"));
  };
  edge([](Config& c) { c.width = 1048576; });
  edge([](Config& c) { c.end_tokens = {0, 6}; });
  edge([](Config& c) { c.rotary.width = 2; });
}
TEST_CASE("weights of whole numbers, a tokenizer that knows more tokens, types that weights are not kept in, and no model at all") {
  const TemporaryDirectory directory;
  const std::string path = with(directory, [](nlohmann::json&) {});
  const SafetensorsFile file = read_safetensors(golden("models/llama/model.safetensors"));
  std::vector<NamedTensor> tensors;
  for (const std::string& name : file.names()) tensors.push_back({name, file.tensor(name)});
  tensors.front().tensor = Tensor::zeros(tensors.front().tensor.shape(), DType::i32);
  write_safetensors(directory / "model.safetensors", tensors);
  try {
    load(path);
    FAIL_CHECK("was accepted");
  } catch (const ConfigError& error) {
    CHECK(error.where().path == directory / "model.safetensors");
    CHECK(error.where().field == concat("[", quoted(tensors.front().name), "]"));
    CHECK(error.where().offset.has_value());
    CHECK(error.reason().find("has dtype I32") != std::string::npos);
  }
  with(directory, [](nlohmann::json&) {});
  write_all(directory / "plume-tokenizer.json", R"({"kind": "bytes"})");
  try {
    load(path);
    FAIL_CHECK("was accepted");
  } catch (const ConfigError& error) {
    CHECK(error.where().path == path);
    CHECK(error.where().field == "vocabulary");
    CHECK(error.reason().find("knows 256 tokens, the model 131") != std::string::npos);
  }
  for (const DType type : {DType::f16, DType::i32, DType::i8})
    CHECK_THROWS_WITH_AS(load(path, {.dtype = type}), doctest::Contains("f32, bf16 or f64"), ArgumentError);
  Model model = load(golden("models/llama"));
  Config odd = model.config();
  odd.embedding_norm = true;  // LLaMA but for a norm on its embeddings
  CHECK(families::fitting(odd) == nullptr);
  CHECK_THROWS_WITH_AS(save_hugging_face(model, directory / "none", {.dtype = DType::f64}), doctest::Contains("f32, bf16 or f16, not f64"),
                       ArgumentError);
  Model unfit = model;
  unfit.decoder.config = odd;
  CHECK_THROWS_WITH_AS(save(unfit, directory / "none"), doctest::Contains("no model family has a place for every part"), ArgumentError);
  odd.context = Index{1} << 31;
  CHECK_THROWS_WITH_AS(families::write_llama2c(odd), doctest::Contains("2147483648 does not fit a llama2.c file"), ArgumentError);
  CHECK_THROWS_WITH_AS(save(load(golden("models/gpt2")), directory / "m.bin"), doctest::Contains("runs plain LLaMA models"), ArgumentError);
  model.decoder.norm.weight = {};
  CHECK_THROWS_WITH_AS(save(model, directory / "none"), doctest::Contains("no values for norm.weight of shape"), ArgumentError);
  CHECK_THROWS_WITH_AS(load(directory / "absent"), doctest::Contains("find config.json of the model"), IoError);
  CHECK_THROWS_WITH_AS(file_name(families::llama, "blocks.0.nothing"), doctest::Contains("no name for the parameter blocks.0.nothing"),
                       ArgumentError);
}
TEST_CASE("S27 right names, wrong shape: the error names the tensor and both shapes") {
  const TemporaryDirectory directory;
  const std::string path = with(directory, put("intermediate_size", 103));
  CHECK_THROWS_WITH_AS(load(path), doctest::Contains("(104, 48)"), ConfigError);
  CHECK_THROWS_WITH_AS(load(path), doctest::Contains("(103, 48)"), ConfigError);
  CHECK_THROWS_WITH_AS(load(path), doctest::Contains("gate_proj"), ConfigError);
}
TEST_CASE("S28 missing and unexpected tensors are listed") {
  const TemporaryDirectory directory;
  CHECK_THROWS_WITH_AS(load(with(directory, put("num_hidden_layers", 3))), doctest::Contains("model.layers.2.input_layernorm.weight"),
                       ConfigError);
  CHECK_THROWS_WITH_AS(load(with(directory, put("num_hidden_layers", 1))), doctest::Contains("unexpected"), ConfigError);
}
TEST_CASE("unknown keys and the buffers that old GPT-2 files hold are accepted, also without the common prefix") {
  const TemporaryDirectory directory;
  CHECK_NOTHROW(load(with(directory, put("some_new_key", {1, 2, 3}))));
  const SafetensorsFile file = read_safetensors(golden("models/gpt2/model.safetensors"));
  std::vector<NamedTensor> bare{{"h.0.attn.bias", Tensor::zeros({1, 1, 71, 71})}, {"h.1.attn.masked_bias", Tensor::zeros({})}};
  for (const std::string& name : file.names()) bare.push_back({name.substr(std::string("transformer.").size()), file.tensor(name)});
  const std::string path = with(
      directory, [](nlohmann::json&) {}, "gpt2");
  write_safetensors(directory / "model.safetensors", bare);
  CHECK_NOTHROW(load(path));
  bare.push_back({"h.0.attn.foo", Tensor::zeros({1})});
  write_safetensors(directory / "model.safetensors", bare);
  CHECK_THROWS_WITH_AS(load(path), doctest::Contains("h.0.attn.foo"), ConfigError);
}

TEST_CASE("every family names the key whose number cannot be") {
  std::size_t tried = 0;
  for (const auto& entry : std::filesystem::directory_iterator(golden("families"))) {
    const nlohmann::json sound = nlohmann::json::parse(read_all(entry.path().string() + "/config.json"));
    const auto refuses = [&](const std::string& key, const nlohmann::json& value) {
      nlohmann::json changed = sound;
      changed[key] = value;
      CAPTURE(entry.path().string());
      CAPTURE(key);
      CAPTURE(value.dump());
      ++tried;
      try {
        const Json json = Json::parse(changed.dump(), {.path = "config.json"});
        families::read_config(families::of(json), json);
        FAIL_CHECK("was accepted");
      } catch (const InputError& error) {
        CHECK(error.where().path == "config.json");
        CHECK_MESSAGE(error.where().field == key, error.what());
      }
    };
    for (const char* key : {"vocab_size",
                            "hidden_size",
                            "n_embd",
                            "num_hidden_layers",
                            "n_layer",
                            "num_attention_heads",
                            "n_head",
                            "intermediate_size",
                            "n_inner",
                            "max_position_embeddings",
                            "n_positions",
                            "num_key_value_heads",
                            "head_dim",
                            "num_local_experts",
                            "num_experts",
                            "num_experts_per_tok",
                            "moe_intermediate_size",
                            "num_layers",
                            "inner_hidden_size",
                            "max_sequence_length"})
      if (sound.contains(key) && sound[key].is_number())
        for (const nlohmann::json& value :
             {nlohmann::json(0), nlohmann::json(-3), nlohmann::json(1.5), nlohmann::json("x"), nlohmann::json(true)})
          refuses(key, value);
    for (const char* key : {"rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "layernorm_epsilon"})
      if (sound.contains(key))
        for (const nlohmann::json& value : {nlohmann::json(1.5), nlohmann::json(0), nlohmann::json(-1e-5), nlohmann::json("x")})
          refuses(key, value);
  }
  CHECK(tried > 500);
}

TEST_CASE("GPT-3's list of layers") {
  const std::string model = "families/gpt3";
  refused<ConfigError>("attention_layers", "", drop("attention_layers"), model);
  refused<ConfigError>("attention_layers", "has 1 entries for 3 layers", put("attention_layers", {"global"}), model);
  refused<ConfigError>("attention_layers[1]", "is \"wide\", expected global or local", put("attention_layers", {"global", "wide", "local"}),
                       model);
  refused<ConfigError>("window_size", "at least 1", put("window_size", 0), model);
}
TEST_CASE("more layers than tensors are refused before there is memory for them") {
  refused<ConfigError>("layers", "tensors: some are missing", put("num_hidden_layers", 9999));
}
