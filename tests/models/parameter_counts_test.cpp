// The published sizes, to the last parameter, from configurations alone.
#include <doctest/doctest.h>

#include "plume/models/families/families.hpp"

using namespace plume;

namespace {

Index parameters(const std::string& text) {
  const Json json = Json::parse(text);
  const Config config = families::read_config(families::of(json), json);
  config.check();
  return count_parameters(Decoder::described(config));
}

std::string gpt2(Index layers, Index width, Index heads, Index vocabulary = 50257, Index context = 1024) {
  return concat(R"({"model_type": "gpt2", "vocab_size": )", vocabulary, R"(, "n_positions": )", context, R"(, "n_embd": )", width,
                R"(, "n_layer": )", layers, R"(, "n_head": )", heads, "}");
}
std::string llama(Index layers, Index width, Index heads, Index hidden) {
  return concat(R"({"model_type": "llama", "vocab_size": 32000, "hidden_size": )", width, R"(, "intermediate_size": )", hidden,
                R"(, "num_hidden_layers": )", layers, R"(, "num_attention_heads": )", heads, "}");
}
std::string bloom(Index layers, Index width, Index heads) {
  return concat(R"({"model_type": "bloom", "vocab_size": 250880, "hidden_size": )", width, R"(, "n_layer": )", layers, R"(, "n_head": )",
                heads, "}");
}
std::string gpt_neox(Index layers, Index width, Index heads, Index vocabulary) {
  return concat(R"({"model_type": "gpt_neox", "vocab_size": )", vocabulary, R"(, "hidden_size": )", width, R"(, "intermediate_size": )",
                4 * width, R"(, "num_hidden_layers": )", layers, R"(, "num_attention_heads": )", heads, "}");
}

}  // namespace

TEST_CASE("GPT-1, GPT-2 and GPT-3") {
  CHECK(
      parameters(R"({"model_type": "openai-gpt", "vocab_size": 40478, "n_positions": 512, "n_embd": 768, "n_layer": 12, "n_head": 12})") ==
      116'534'784);
  CHECK(parameters(gpt2(12, 768, 12)) == 124'439'808);
  CHECK(parameters(gpt2(24, 1024, 16)) == 354'823'168);
  CHECK(parameters(gpt2(36, 1280, 20)) == 774'030'080);
  CHECK(parameters(gpt2(48, 1600, 25)) == 1'557'611'200);
  CHECK(parameters(gpt2(96, 12288, 96, 50257, 2048)) == 174'604'259'328);
}

TEST_CASE("LLaMA") {
  CHECK(parameters(llama(32, 4096, 32, 11008)) == 6'738'415'616);
  CHECK(parameters(llama(40, 5120, 40, 13824)) == 13'015'864'320);
  CHECK(parameters(llama(60, 6656, 52, 17920)) == 32'528'943'616);
  CHECK(parameters(llama(80, 8192, 64, 22016)) == 65'285'660'672);
}

TEST_CASE("GPT-J, GPT-NeoX, BLOOM, MOSS") {
  CHECK(parameters(R"({"model_type": "gptj", "vocab_size": 50400, "n_embd": 4096, "n_layer": 28, "n_head": 16})") == 6'050'882'784);
  CHECK(parameters(gpt_neox(36, 5120, 40, 50688)) == 11'846'072'320);
  CHECK(parameters(gpt_neox(44, 6144, 64, 50432)) == 20'554'567'680);
  CHECK(parameters(bloom(30, 4096, 32)) == 7'069'016'064);
  CHECK(parameters(bloom(30, 2560, 32)) == 3'002'557'440);
  CHECK(parameters(bloom(24, 2048, 16)) == 1'722'408'960);
  CHECK(parameters(R"({"model_type": "moss", "vocab_size": 107008, "n_embd": 6144, "n_layer": 34, "n_head": 24})") == 16'717'980'160);
}

TEST_CASE("ChatGLM-6B, of both vocabularies, and GLM-130B") {
  const auto chatglm = [](Index vocabulary, std::string_view more) {
    return concat(R"({"architectures": ["ChatGLMModel"], "model_type": "chatglm", "hidden_size": 4096, "inner_hidden_size": 16384, )",
                  R"("num_attention_heads": 32, "num_layers": 28, "vocab_size": )", vocabulary, more, "}");
  };
  const std::string_view shorter = R"(, "bos_token_id": 130004, "eos_token_id": 130005, "mask_token_id": 130000, "gmask_token_id": 130001)";
  CHECK(parameters(chatglm(130528, shorter)) == 6'707'929'088);
  CHECK(parameters(chatglm(130528, concat(shorter, R"(, "tie_word_embeddings": true)"))) == 6'173'286'400);  // the advertised 6.2 billion
  CHECK(parameters(chatglm(150528, "")) == 6'871'769'088);
  CHECK(parameters(R"({"model_type": "glm-130b", "hidden_size": 12288, "inner_hidden_size": 32768, "num_attention_heads": 96,
                       "num_layers": 70, "vocab_size": 150528, "max_sequence_length": 2048, "layernorm_order": "post"})") ==
        128'697'794'560);
}
