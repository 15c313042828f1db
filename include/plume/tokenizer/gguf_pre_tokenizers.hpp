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
  bool plain = false;  // tokens are spelled as text is, spaces as U+2581; no steps
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
  bool ignore_merges = false, adds_bos = false, adds_separator = false, spelled = false, plain = false;
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
// DeepSeek LLM: letters with case, as its file lists them
inline constexpr std::string_view deepseek_letters =
    "\\s?[A-Za-z"
    "\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f"
    "\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5"
    "\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45"
    "\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3"
    "\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d"
    "\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d"
    "\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a"
    "\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df"
    "\U0001e900-\U0001e943"
    "]+";
inline constexpr std::string_view asian_letters = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+";
inline constexpr std::string_view spark =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+)";
inline constexpr std::string_view youtu =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view youtu_scripts =
    "[\uac00-\ud7a3\u3131-\u318e]+|[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c\u3001-\u303f\ufe30-\ufe4f]+|[\u3105-"
    "\u312f]+|"
    "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+";
inline constexpr std::string_view afmoe_scripts =
    "[\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf\u0e40-\u0e7f\u0e80-\u0eff\u1780-\u17ff"
    "\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\uac00-\ud7af\u1100-\u11ff]+";
// runs of white space are cut into powers of two
inline constexpr std::string_view jais2 =
    R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1})";
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
      {"gemma4 granite-embed-multi-311m", {}, false, true, false, false, true},
      {"sarvam-moe", {}, false, false, false, false, true},
      {"spark2_5", {R"(\p{N}{1,3})", own(han_and_kana), own(spark), R"(\p{N})"}},
      {"deepseek-llm",
       {"[\r\n]", own(deepseek_letters), "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+", R"(\s+$)", own(asian_letters),
        "<digits>"}},
      {"jais-2", {with_contractions(jais2)}},
      {"youtu", {own(youtu_scripts), own(youtu)}, true},
      {"granite-embed-multi-97m", {own(o200k)}, true},
      {"tiny_aya cohere2moe", {R"(\d{1,3}(?=(?:\d{3})*\b))", own(o200k)}},
      {"superbpe", {R"(\p{N}+)", R"((?=(\d{3})+(?!\d)))"}},
      {"exaone-moe", {own(expression_sweeps::known[1].regex)}},
      {"kimi-k2", {own(expression_sweeps::known[0].regex)}},
      {"afmoe", {own(expression_sweeps::known[2].regex), own(afmoe_scripts), own(deepseek3)}},
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
    GgufPreTokenizer result{{}, row.spelled, row.ignore_merges, row.adds_bos, row.adds_separator, row.plain};
    if (row.plain) return result;
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
