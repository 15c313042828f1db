#pragma once
// The pre-tokenisers that tokenizer.ggml.pre names. Names and what they mean: ggml-org/llama.cpp src/llama-vocab.cpp; the expressions are
// those of the tokenizer.json that each name stands for, as that file quotes them or as Hugging Face has them.
#include <string>
#include <string_view>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/tokenizer/pre_tokenizers.hpp"

namespace plume::inline PLUME_ABI {

struct GgufPreTokenizer {
  std::vector<PreTokenizer> steps;  // of bytes as they are, the last one ByteLevel, unless `spelled`
  bool spelled = false;             // steps behind ByteLevel see the characters that spell bytes
  bool ignore_merges = false;       // a whole piece that is a token is that token
  bool adds_bos = false;            // unless the file says otherwise
  bool adds_separator = false;
};

// ConfigError at `where`: an unknown name, or one whose expression needs an engine and there is none.
PLUME_FUNCTION GgufPreTokenizer gguf_pre_tokenizer(std::string_view name, const Where& where, const TextPattern::Engine& engine);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/base/error.hpp"
#include "plume/base/text.hpp"

namespace plume::inline PLUME_ABI {

namespace gguf_pre {

// A step is "<digits>" (each alone), "<digit runs>", "<punctuation runs>", "<gpt2>", or an expression whose matches become pieces.
// Steps stand in the order in which they cut; names are separated by spaces.
struct Row {
  std::string_view names;
  std::vector<std::string> steps;
  bool ignore_merges = false, adds_bos = false, adds_separator = false, spelled = false;
};

inline constexpr std::string_view llama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view qwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view o200k =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view tekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view bloom = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+";
inline constexpr std::string_view han_and_kana = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+";
inline constexpr std::string_view deepseek3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// the contractions of (?i:'s|'t|'re|'ve|'m|'ll|'d) one by one, U+017F folds to s
inline constexpr std::string_view contractions = "'[sS\u017f]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|";
inline constexpr std::string_view qwen35 =
    R"([^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view any_digits = R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view bailing = R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)";
inline constexpr std::string_view seed_coder = R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view no_contractions = R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

inline std::vector<Row> rows() {
  const auto own = [](std::string_view text) { return std::string(text); };
  const auto with_contractions = [](std::string_view rest) { return concat(contractions, rest); };
  return {
      {"llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano", {own(llama3)}, true, true},
      {"dbrx smaug-bpe glm4 chatglm-bpe", {own(llama3)}},
      {"qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2", {own(qwen2)}},
      {"gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert mpt olmo jais trillion granite-docling "
       "exaone4",
       {"<gpt2>"}},
      {"jina-v1-en jina-v2-code roberta-bpe", {"<gpt2>"}, false, false, true},
      {"falcon", {"<punctuation runs>", "<gpt2>", "<digit runs>", "[0-9][0-9][0-9]"}, false, false, false, true},
      {"starcoder refact command-r smollm codeshell exaone minerva-7b mellum2", {"<digits>", "<gpt2>"}},
      {"gpt-4o llama4 kanana2 talkie minimax-m2", {own(o200k)}},
      {"tekken", {own(tekken)}, true, true},
      {"deepseek-v3 hunyuan-dense joyai-llm hy_v4", {R"(\p{N}{1,3})", own(han_and_kana), own(deepseek3)}},
      {"deepseek-coder", {"[\r\n]", R"(\s?\p{L}+)", R"(\s?\p{P}+)", "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+", "<digits>"}},
      {"bloom poro-chat gpt3-finnish", {own(bloom)}},
      {"viking", {own(bloom), R"(\p{N})"}},
      {"qwen35", {with_contractions(qwen35)}},
      {"bailingmoe bailingmoe2 llada-moe", {with_contractions(bailing)}},
      {"seed-coder", {with_contractions(seed_coder)}},
      {"ufakzeka", {own(no_contractions)}},
      {"minicpm5", {R"(\p{N}{1,3})", with_contractions(any_digits)}, true},
      {"laguna", {R"([^\n]+|[\n]+)", own(qwen2)}},
      {"chameleon",
       {R"(<sentinel:[0-9]+>)", "IMGIMG[A-I]{1,4}Z", R"([\t\n]|    |  )", "<digits>", R"([\p{P}!-/:-@\[-`{-~])", "<gpt2>"},
       false,
       true},
      // what llama.cpp does where a file names none
      {"default", {R"([\p{P}$+<=>\^~|]+)", "<gpt2>", R"(\p{N}+)", "[0-9][0-9][0-9]"}},
  };
}

}  // namespace gguf_pre

PLUME_FUNCTION GgufPreTokenizer gguf_pre_tokenizer(std::string_view name, const Where& where, const TextPattern::Engine& engine) {
  using SplitBehavior::isolated;
  std::string known;
  for (const gguf_pre::Row& row : gguf_pre::rows()) {
    known.append(known.empty() ? "" : " ").append(row.names);
    const std::string_view names = row.names;
    bool named = false;
    for (std::size_t at = 0; at < names.size() && !named;) {
      const std::size_t end = std::min(names.find(' ', at), names.size());
      named = names.substr(at, end - at) == name;
      at = end + 1;
    }
    if (!named) continue;
    GgufPreTokenizer result{{}, row.spelled, row.ignore_merges, row.adds_bos, row.adds_separator};
    for (const std::string& step : row.steps) {
      if (step == "<gpt2>")
        result.steps.push_back(pre_tokenizers::ByteLevel{false, true});
      else if (step == "<digits>" || step == "<digit runs>")
        result.steps.push_back(pre_tokenizers::Digits{step == "<digits>"});
      else if (step == "<punctuation runs>")
        result.steps.push_back(pre_tokenizers::Punctuation{SplitBehavior::contiguous});
      else
        result.steps.push_back(pre_tokenizers::Split{TextPattern::expression(step, where, engine), isolated});
    }
    const auto* last = std::get_if<pre_tokenizers::ByteLevel>(&result.steps.back());
    if (last == nullptr && !row.spelled) result.steps.push_back(pre_tokenizers::ByteLevel{false, false});
    return result;
  }
  throw ConfigError(where, concat("unknown pre-tokeniser ", quoted(name), " (known: ", known, ")"));
}

}  // namespace plume::inline PLUME_ABI
#endif
