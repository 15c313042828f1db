// Adapters as files: what peft wrote, what peft reads, and what is refused.
#include "plume/peft/adapter_files.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "peft/fixture.hpp"
#include "plume/base/json.hpp"
#include "plume/base/sha256.hpp"
#include "plume/formats/safetensors.hpp"
#include "plume/models/rotary_rows.hpp"
#include "plume/models/save.hpp"
#include "temporary_folder.hpp"

using namespace plume;
using namespace plume_test;

namespace {

bool same_layers(const Adapter& a, const Adapter& b) {
  if (a.all().size() != b.all().size()) return false;
  for (std::size_t i = 0; i < a.all().size(); ++i) {
    const LoraLayer &left = a.all()[i], &right = b.all()[i];
    if (left.path != right.path || left.module != right.module || left.rank != right.rank || left.alpha != right.alpha ||
        left.change.term.scale != right.change.term.scale || left.change.dropout != right.change.dropout ||
        !same_bits(left.change.term.a, right.change.term.a) || !same_bits(left.change.term.b, right.change.term.b))
      return false;
  }
  return true;
}

// The adapters that check_lora.py gives to peft: the names of the folders are its names.
struct Written {
  const char *name, *base;
  Lora options;
};
const Written written[] = {
    {"gpt2",
     "gpt2",
     {.rank = 3,
      .alpha = 4.5,
      .targets = {"c_attn", "mlp.c_proj"},
      .rank_pattern = {{"h.1.attn.c_attn", 6}},
      .alpha_pattern = {{"mlp.c_proj", 2}},
      .rslora = true,
      .dropout = 0.05,
      .seed = 1}},
    {"gpt2_q_v", "gpt2", {.rank = 5, .alpha = 10, .fused_qkv = FusedQkv::query_and_value, .seed = 2}},
    {"llama",
     "llama",
     {.rank = 4,
      .alpha = 8,
      .targets = {"*.1.*_proj", "k_proj"},
      .rank_pattern = {{"gate_proj", 2}},
      .alpha_pattern = {{"up_proj", 3}},
      .seed = 3}},
    {"llama_interleaved", "llama", {.rank = 4, .alpha = 8, .targets = {"q_proj", "k_proj", "v_proj"}, .seed = 4}},
};

// The golden LLaMA with its rotary pairs interleaved, as llama2.c files have them: the same function of the tokens.
Model interleaved(Model model) {
  Config& config = model.decoder.config;
  for_each_parameter(model, [&](std::string_view path, Tensor& tensor) {
    if (is_rotated(path))
      tensor = reorder_rotary_rows(tensor, config.head_width, config.rotary.width, RotaryLayout::half_split, RotaryLayout::interleaved);
  });
  config.rotary.layout = RotaryLayout::interleaved;
  for (Block& block : model.decoder.blocks) block.attention.shape.rotary->layout = RotaryLayout::interleaved;
  return model;
}
Model model_of(const Written& entry) {
  Model model = base_model(entry.base);
  return std::string_view(entry.name) == "llama_interleaved" ? interleaved(model) : model;
}

// A copy of a golden adapter whose files the caller changes.
struct Copy {
  std::shared_ptr<const TemporaryFolder> owner = std::make_shared<const TemporaryFolder>();
  const TemporaryFolder& folder = *owner;
  nlohmann::json config;
  std::string weights;
  explicit Copy(const std::string& name = "llama_q_v")
      : config(nlohmann::json::parse(read_all(golden("lora/" + name + "/adapter_config.json")))),
        weights(read_all(golden("lora/" + name + "/adapter_model.safetensors"))) {}
  void write() const {
    folder.write("adapter_config.json", config.dump(2));
    if (!weights.empty()) folder.write("adapter_model.safetensors", weights);
  }
};

// Loading into the golden LLaMA must throw exactly this type, for this file and field, with this word in the reason.
template <class Expected>
void refused(const Copy& copy, std::string_view file, std::string_view field, std::string_view word, const char* base = "llama") {
  copy.write();
  static const Model llama = base_model("llama"), gpt2 = base_model("gpt2");
  CAPTURE(field);
  CAPTURE(word);
  try {
    load_adapter(copy.folder.path(), std::string_view(base) == "llama" ? llama : gpt2);
    FAIL_CHECK("was accepted");
  } catch (const Expected& error) {
    CHECK(typeid(error) == typeid(Expected));
    CHECK_MESSAGE(error.where().path == concat(copy.folder.path(), "/", file), error.what());
    CHECK_MESSAGE(error.where().field == field, error.what());
    CHECK_MESSAGE(error.reason().find(word) != std::string::npos, error.what());
  } catch (const std::exception& error) {
    FAIL_CHECK("another exception: " << error.what());
  }
}
void refused_tensor(const Copy& copy, std::string_view name, std::string_view word) {
  refused<ConfigError>(copy, "adapter_model.safetensors", concat("[\"", name, "\"]"), word);
}
void refused_setting(const char* key, nlohmann::json value, std::string_view word, std::string field = {}) {
  Copy copy;
  copy.config[key] = std::move(value);
  refused<ConfigError>(copy, "adapter_config.json", field.empty() ? key : field, word);
}

// The tensors of an adapter file, changed and written again.
template <class Edit>
Copy with_tensors(Edit&& edit, const std::string& name = "llama_q_v") {
  Copy copy(name);
  Tensors tensors = plume_test::read_safetensors(golden("lora/" + name + "/adapter_model.safetensors"));
  edit(tensors);
  std::vector<NamedTensor> list;
  for (const auto& [key, tensor] : tensors) list.push_back({key, tensor});
  write_safetensors(copy.folder / "adapter_model.safetensors", list);
  copy.weights = read_all(copy.folder / "adapter_model.safetensors");
  return copy;
}
const std::string first_q = "base_model.model.model.layers.0.self_attn.q_proj";

}  // namespace

TEST_CASE("saved and loaded again, an adapter is the same bit for bit; so is one that peft saved") {
  for (const Written& entry : written) {
    CAPTURE(entry.name);
    const Model model = model_of(entry);
    const Adapter adapter = random_adapter(model, entry.options);
    const TemporaryFolder folder;
    save(adapter, folder.path(), {.base_model = "some/base"});
    const Adapter again = load_adapter(folder.path(), model);
    const Batch batch = batch_of(entry.base);
    CHECK(same_bits(logits_of(model, batch, &adapter), logits_of(model, batch, &again)));
    if (entry.options.fused_qkv == FusedQkv::all) CHECK(same_layers(adapter, again));  // else the file has zeros for what does not change
    CHECK(again.options().fused_qkv == entry.options.fused_qkv);
    save(again, folder.path() + "/again", {.base_model = "some/base"});
    for (const char* file : {"adapter_model.safetensors", "adapter_config.json", "README.md"})
      CHECK(read_all(folder / file) == read_all(folder.path() + "/again/" + file));
  }
  for (const LoraGolden& fixture : lora_goldens) {
    const Model model = base_model(fixture.base);
    const Adapter adapter = load_adapter(golden(concat("lora/", fixture.name)), model);
    const TemporaryFolder folder;
    save(adapter, folder.path(), {.base_model = fixture.base});
    CHECK(same_layers(adapter, load_adapter(folder.path(), model)));
    const Tensors theirs = plume_test::read_safetensors(golden(concat("lora/", fixture.name, "/adapter_model.safetensors"))),
                  ours = plume_test::read_safetensors(folder / "adapter_model.safetensors");
    CHECK(theirs.size() == ours.size());
    for (const auto& named : theirs) CHECK_MESSAGE(same_bits(named.second, ours.at(named.first)), named.first);
  }
}

TEST_CASE("adapters for peft are written") {
  const char* const directory = std::getenv("PLUME_LORA_OUTPUT");
  if (directory == nullptr) return;  // how tests/golden/check_lora.py gets its input
  for (const Written& entry : written) {
    const Model model = model_of(entry);
    save(random_adapter(model, entry.options), concat(directory, "/", entry.name), {.base_model = entry.base});
  }
}

TEST_CASE("an adapter of plume gives in peft what it gives here") {
  const auto record = nlohmann::json::parse(read_all(golden("lora/from_plume.json")));
  for (const Written& entry : written) {
    CAPTURE(entry.name);
    const auto& expected = record.at(entry.name);
    const Model model = model_of(entry);
    const Adapter adapter = random_adapter(model, entry.options);
    const TemporaryFolder folder;
    save(adapter, folder.path(), {.base_model = entry.base});
    for (const auto& sum : expected.at("sha256").items()) {  // what peft read is what is written today
      const std::string bytes = read_all(folder / sum.key());
      CHECK_MESSAGE(plume::sha256(std::as_bytes(std::span(bytes))) == sum.value().get<std::string>(), sum.key());
    }
    const Batch batch = batch_of(entry.base);
    const Index begin = batch.lengths[0], count = batch.lengths[1];
    Pass pass;
    pass.segments = {{count, nullptr, &adapter}};
    const Tensor logits =
        model.logits(std::span(batch.inputs).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count)), pass);
    double most = 0, worst = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      const Index row = expected.at("rows")[i].get<Index>();
      const auto ours = values_of(logits.rows(row, row + 1)), theirs = expected.at("logits")[i].get<std::vector<double>>();
      REQUIRE(ours.size() == theirs.size());
      for (std::size_t v = 0; v < ours.size(); ++v) {
        worst = std::max(worst, std::abs(ours[v] - theirs[v]));
        most = std::max(most, std::abs(theirs[v]));
      }
    }
    CHECK(worst < 1e-5 * most);
  }
}

TEST_CASE("a merged model, saved and loaded, is the model with its adapter") {
  for (const Written& entry : written) {
    CAPTURE(entry.name);
    Model model = model_of(entry);
    Adapter adapter = random_adapter(model, entry.options);
    const Batch batch = batch_of(entry.base);
    const Tensor expected = logits_of(model, batch, &adapter);
    merge(model, adapter);
    const TemporaryFolder folder;
    save(model, folder.path());
    CHECK(relative_distance(logits_of(load(folder.path()), batch), expected) < 1e-5);
  }
}

TEST_CASE("the configuration says what peft needs, and the card what a reader needs") {
  const Model model = base_model("gpt2"), llama = base_model("llama");
  const TemporaryFolder folder;
  save(random_adapter(model, written[0].options), folder.path(), {.base_model = "openai-community/gpt2"});
  const auto config = nlohmann::json::parse(read_all(folder / "adapter_config.json"));
  CHECK(config["peft_type"] == "LORA");
  CHECK(config["task_type"] == "CAUSAL_LM");
  CHECK(config["base_model_name_or_path"] == "openai-community/gpt2");
  CHECK(config["fan_in_fan_out"] == true);
  CHECK(config["target_modules"] == nlohmann::json({"c_attn", "mlp.c_proj"}));
  CHECK(config["r"] == 3);
  CHECK(config["lora_alpha"] == 4.5);
  CHECK(config["use_rslora"] == true);
  CHECK(config["rank_pattern"] == nlohmann::json({{"transformer.h.1.attn.c_attn", 6}}));
  CHECK(config["alpha_pattern"] == nlohmann::json({{"transformer.h.0.mlp.c_proj", 2}, {"transformer.h.1.mlp.c_proj", 2}}));
  const std::string card = read_all(folder / "README.md");
  for (const char* line : {"---\nbase_model: \"openai-community/gpt2\"\nlibrary_name: peft\n",
                           "| `transformer.h.1.attn.c_attn` | 6 | 4.5 |", "PeftModel.from_pretrained(", "plume::load_adapter("})
    CHECK_MESSAGE(card.find(line) != card.npos, line);
  // Patterns that peft cannot read become whole paths.
  save(random_adapter(llama, written[2].options), folder.path());
  const auto paths = nlohmann::json::parse(read_all(folder / "adapter_config.json"));
  CHECK(paths["target_modules"].size() == 8);
  CHECK(paths["target_modules"][0] == "model.layers.0.self_attn.k_proj");
  CHECK(paths["fan_in_fan_out"] == false);
  CHECK(paths["base_model_name_or_path"].is_null());
}

TEST_CASE("16-bit files become f32, unknown settings at their neutral value pass, and so does the smallest configuration") {
  const Model model = base_model("llama");
  Copy copy = with_tensors([](Tensors& tensors) {
    for (auto& [name, tensor] : tensors) tensor = tensor.to(name.ends_with("lora_A.weight") ? DType::bf16 : DType::f16);
  });
  copy.config["some_future_setting"] = nullptr;
  copy.config["another"] = false;
  copy.config["peft_version"] = "0.17.0";
  copy.write();
  const Adapter adapter = load_adapter(copy.folder.path(), model);
  CHECK(adapter.all()[0].change.term.a.dtype() == DType::f32);
  CHECK(adapter.all()[0].change.term.a.storage()->writable());
  copy.config = {{"peft_type", "LORA"}, {"target_modules", {"q_proj", "v_proj"}}, {"r", 3}};
  copy.write();
  CHECK(load_adapter(copy.folder.path(), model).all()[0].change.term.scale == doctest::Approx(8.0 / 3));
  copy.config["target_modules"] = ".*self_attn.(q|v)_proj";  // a regular expression: the tensors say what it means
  copy.write();
  CHECK(load_adapter(copy.folder.path(), model).all().size() == 4);
}

TEST_CASE("settings that would change the result are refused by name") {
  refused_setting("peft_type", "IA3", "reads LORA");
  refused_setting("use_dora", true, "does not support");
  refused_setting("lora_bias", true, "does not support");
  refused_setting("bias", "all", "biases");
  refused_setting("modules_to_save", {"lm_head"}, "does not support");
  refused_setting("layer_replication", {{0, 2}}, "does not support");
  refused_setting("trainable_token_indices", {1}, "does not support");
  refused_setting("target_parameters", {"experts"}, "does not support");
  refused_setting("alora_invocation_tokens", {5}, "does not support");
  refused_setting("megatron_config", {{"a", 1}}, "does not support");
  refused_setting("some_future_setting", "yes", "does not support");
  refused_setting("some_future_number", 0, "does not support");
  refused_setting("init_lora_weights", "pissa", "changes the base weights");
  refused_setting("r", 0, "expected 1");
  refused_setting("r", "8", "");
  refused_setting("lora_alpha", "16", "");
  refused_setting("lora_dropout", 1.0, "[0, 1)");
  refused_setting("use_rslora", "yes", "");
  refused_setting("rank_pattern", {{"q_proj", -1}}, "expected 1", "rank_pattern.q_proj");
  refused_setting("rank_pattern", {{"q_(a|b)", 3}}, "regular expression", "rank_pattern[\"q_(a|b)\"]");
  refused_setting("alpha_pattern", {{"layers\\.0", 3}}, "regular expression", "alpha_pattern[\"layers\\\\.0\"]");
  refused_setting("target_modules", {"q_proj", ".*v"}, "regular expression", "target_modules[1]");
  refused_setting("target_modules", {"q_proj", "v_proj", "k_proj"}, "model.layers.0.self_attn.k_proj", "target_modules");
  refused_setting("target_modules", 5, "");
  refused_setting("target_modules", {"q_proj", ""}, "empty pattern", "target_modules[1]");
  refused_setting("rank_pattern", {{"", 3}}, "empty pattern", "rank_pattern[\"\"]");
  Copy copy;
  copy.config.erase("peft_type");
  refused<ConfigError>(copy, "adapter_config.json", "peft_type", "");
}

TEST_CASE("tensors that do not fit the configuration or the model are refused, with file and tensor") {
  const std::string a = first_q + ".lora_A.weight", b = first_q + ".lora_B.weight";
  refused_tensor(with_tensors([&](Tensors& tensors) { tensors.erase(b); }), a, "lora_B");
  refused_tensor(with_tensors([&](Tensors& tensors) { tensors.erase(a); }), b, "lora_A");
  refused_tensor(with_tensors([&](Tensors& tensors) { tensors[a] = Tensor::zeros({3, 47}); }), a, "(3, 47)");
  refused_tensor(with_tensors([&](Tensors& tensors) { tensors[a] = Tensor::zeros({4, 48}); }), a, "wrong rank");
  refused_tensor(with_tensors([&](Tensors& tensors) { tensors[b] = Tensor::zeros({47, 3}); }), b, "another base model");
  refused_tensor(with_tensors([&](Tensors& tensors) { tensors[b] = Tensor::zeros({144}); }), b, "(144)");
  refused_tensor(with_tensors([&](Tensors& tensors) { tensors[b] = Tensor::zeros({48, 3}, DType::i32); }), b, "I32");
  const auto added = [&](const std::string& name, const Shape& shape = {3, 48}) {
    return with_tensors([&](Tensors& tensors) { tensors[name] = Tensor::zeros(shape); });
  };
  refused_tensor(added("base_model.model.model.embed_tokens.lora_embedding_A"), "base_model.model.model.embed_tokens.lora_embedding_A",
                 "not a LoRA matrix");
  refused_tensor(added(first_q + ".lora_magnitude_vector", {48}), first_q + ".lora_magnitude_vector", "not a LoRA matrix");
  refused_tensor(added("base_model.model.lm_head.weight"), "base_model.model.lm_head.weight", "not a LoRA matrix");
  refused_tensor(added("model.layers.0.self_attn.k_proj.lora_A.weight"), "model.layers.0.self_attn.k_proj.lora_A.weight",
                 "not a LoRA matrix");
  refused_tensor(added("base_model.model.model.layers.7.self_attn.q_proj.lora_A.weight"),
                 "base_model.model.model.layers.7.self_attn.q_proj.lora_A.weight", "no linear layer");
  refused_tensor(Copy("gpt2_c_attn"), "base_model.model.transformer.h.0.attn.c_attn.lora_A.weight", "no linear layer");
  refused_tensor(Copy("llama_patterns"), "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", "another base model");
  Copy narrow;
  narrow.config["target_modules"] = {"v_proj"};
  refused_tensor(narrow, a, "target_modules");
  const Copy infinite = with_tensors([&](Tensors& tensors) { tensors[b].writable<float>()[7] = INFINITY; });
  infinite.write();
  CHECK_THROWS_WITH_AS(load_adapter(infinite.folder.path(), base_model("llama")), doctest::Contains("q_proj.lora_B.weight"), NumericError);
}

TEST_CASE("metadata that plume does not know; adapters and models that no file can hold") {
  const SafetensorsFile file = plume::read_safetensors(golden("lora/llama_q_v/adapter_model.safetensors"));
  std::vector<NamedTensor> tensors;
  for (const std::string& name : file.names()) tensors.push_back({name, file.tensor(name)});
  Copy copy;
  write_safetensors(copy.folder / "adapter_model.safetensors", tensors, {{"plume_fused_qkv", "key"}});
  copy.weights = read_all(copy.folder / "adapter_model.safetensors");
  refused<ConfigError>(copy, "adapter_model.safetensors", "__metadata__.plume_fused_qkv", "known: query_and_value");
  const TemporaryFolder folder;
  CHECK_THROWS_WITH_AS(save(Adapter(), folder / "none"), doctest::Contains("the adapter has no layers"), ArgumentError);
  Model model = base_model("llama");
  model.decoder.config.embedding_norm = true;  // LLaMA but for a norm on its embeddings: no family
  const Adapter adapter = attach(model, {.rank = 2, .targets = {"attention.q"}});
  CHECK_THROWS_WITH_AS(save(adapter, folder / "none"), doctest::Contains("has no name in a PEFT file"), ArgumentError);
  CHECK(folder.entries() == 0);
}

TEST_CASE("pickles, torn files and missing files are refused") {
  const Model model = base_model("llama");
  Copy pickle;
  pickle.weights.clear();
  pickle.folder.write("adapter_model.bin", std::string("PK\x03\x04 a zip of pickles"));
  refused<FormatError>(pickle, "adapter_model.bin", "format", "never reads");
  Copy disguised;
  disguised.weights = std::string("PK\x03\x04 a zip of pickles");
  refused<FormatError>(disguised, "adapter_model.safetensors", "magic", "never reads");
  Copy torn;
  torn.weights.resize(torn.weights.size() - 5);
  torn.write();
  CHECK_THROWS_AS(load_adapter(torn.folder.path(), model), FormatError);
  Copy broken;
  broken.write();
  broken.folder.write("adapter_config.json", "{\"peft_type\": \"LORA\", ");
  CHECK_THROWS_AS(load_adapter(broken.folder.path(), model), FormatError);
  Copy alone;
  alone.weights.clear();
  alone.write();
  CHECK_THROWS_AS(load_adapter(alone.folder.path(), model), IoError);
  CHECK_THROWS_AS(load_adapter("/nowhere", model), IoError);
  Copy foreign;
  const std::size_t at = foreign.weights.find("{\"format\":\"pt\"}");
  REQUIRE(at != std::string::npos);
  std::vector<NamedTensor> none;
  write_safetensors(foreign.folder / "adapter_model.safetensors", none);
  foreign.weights = read_all(foreign.folder / "adapter_model.safetensors");
  foreign.config["target_modules"] = nullptr;
  refused<ConfigError>(foreign, "adapter_model.safetensors", "", "no tensors");
}
