#pragma once
// Loading and saving tokenizers. Each kind has its own files:
//   vocab.json + merges.txt, or encoder.json + vocab.bpe (with tokenizer_config.json and its kin where present)   byte-level BPE
//   tokenizer.json (with tokenizer_config.json where present)                                                      what it says
//   <encoding>.tiktoken                                                                                           byte-level BPE
//   encoder_bpe_40000.json + vocab_40000.bpe (GPT-1); vocab.json + merges.txt of a CLIPTokenizer                   BPE
//   tokenizer.model, spiece.model, sentencepiece.bpe.model, or another of SentencePiece's (with tokenizer_config.json
//   and added_tokens.json where present)                                                                          what it says
//   ice_text.model of ChatGLM-6B and GLM-130B (with tokenizer_config.json where present)                          SentencePiece Unigram
//   source.spm + target.spm + vocab.json (with tokenizer_config.json and target_vocab.json where present)         Marian
//   vocab.txt of BERT (with tokenizer_config.json where present)                                                  WordPiece
//   tokenizer.gguf, or another GGUF file                                                                          what it says
//   tokenizer.bin or tok*.bin of llama2.c                                                                         SentencePiece BPE
//   plume-tokenizer.json                                                                                          characters, bytes
#include <dirent.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/error.hpp"
#include "plume/base/limits.hpp"
#include "plume/tokenizer/read_marian.hpp"
#include "plume/tokenizer/read_sentencepiece.hpp"
#include "plume/tokenizer/text_pattern.hpp"
#include "plume/tokenizer/tokenizer.hpp"

namespace plume::inline PLUME_ABI {

struct LoadTokenizerOptions {
  Limits limits = {};                                 // max_tokenizer_bytes, max_vocabulary, max_token_text
  TextPattern::Engine expressions = {};               // for regular expressions that plume does not know: pcre2_pattern.hpp
  LegacySpaces legacy = LegacySpaces::as_configured;  // of tokenizer.model
  TranslationSide side = TranslationSide::source;     // of Marian's files: the language that encode() is given
};

// Byte-level BPE from its two files. The files tokenizer_config.json, special_tokens_map.json and added_tokens.json beside the
// vocabulary say which tokens are special; without them the entries that no merge makes and that are spelled <...> or [...] are.
// FormatError: ids with gaps, a byte missing, merges that do not fit the vocabulary. ConfigError: bos or eos not in the vocabulary.
PLUME_FUNCTION Tokenizer load_byte_bpe(const std::string& vocabulary_path, const std::string& merges_path,
                                       const LoadTokenizerOptions& options = {});

// SentencePiece BPE from llama2.c's tokenizer.bin; its errors are those of read_llama2c_tokenizer().
PLUME_FUNCTION Tokenizer load_llama2c_tokenizer(const std::string& path, const LoadTokenizerOptions& options = {});

// tokenizer.json, with the tokenizer_config.json beside it; its errors are those of read_tokenizer_json().
PLUME_FUNCTION Tokenizer load_tokenizer_json(const std::string& path, const LoadTokenizerOptions& options = {});

// SentencePiece's tokenizer.model, with the tokenizer_config.json and added_tokens.json beside it; its errors are those of
// read_sentencepiece(). A file called ice_text.model is that of ChatGLM-6B or GLM-130B.
PLUME_FUNCTION Tokenizer load_sentencepiece(const std::string& path, const LoadTokenizerOptions& options = {});

// Marian's files in a directory; its errors are those of read_marian().
PLUME_FUNCTION Tokenizer load_marian(const std::string& directory, const LoadTokenizerOptions& options = {});

// BERT's vocab.txt, with the tokenizer_config.json beside it; its errors are those of read_bert().
PLUME_FUNCTION Tokenizer load_bert(const std::string& path, const LoadTokenizerOptions& options = {});

// Characters or bytes from plume-tokenizer.json.
PLUME_FUNCTION Tokenizer load_simple_tokenizer(const std::string& path, const LoadTokenizerOptions& options = {});

// Whether load_tokenizer would find one in a directory.
PLUME_FUNCTION bool has_tokenizer(const std::string& directory);

// The tokenizer of a directory, or of one of the files named above; a .bin file of any name is read as llama2.c's, and
// files of other names as SentencePiece's or GGUF where they begin so. What lies beside a model file is load_tokenizer(parent_path(file)).
// IoError: a file cannot be read. ConfigError: no tokenizer is found, a file of another kind, or several llama2.c files and none called
// tokenizer.bin.
PLUME_FUNCTION Tokenizer load_tokenizer(const std::string& path, const LoadTokenizerOptions& options = {});

// Writes the files of a tokenizer into a directory, which is made if it is absent, with those above it; each file is replaced whole or not
// at all. transformers opens the byte-level kind (GPT2Tokenizer), llama2.c the SentencePiece kind. IoError: the directory or a file cannot
// be written.
PLUME_FUNCTION void save_tokenizer(const Tokenizer& tokenizer, const std::string& directory);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/base/atomic_save.hpp"
#include "plume/base/directory.hpp"
#include "plume/base/files.hpp"
#include "plume/base/json.hpp"
#include "plume/tokenizer/byte_pair_files.hpp"
#include "plume/tokenizer/characters.hpp"
#include "plume/tokenizer/gguf_tokenizer.hpp"
#include "plume/tokenizer/llama2c_tokenizer.hpp"
#include "plume/tokenizer/read_bert.hpp"
#include "plume/tokenizer/read_byte_bpe.hpp"
#include "plume/tokenizer/tiktoken.hpp"
#include "plume/tokenizer/tokenizer_json.hpp"

namespace plume::inline PLUME_ABI {

namespace tokenizer_files {

inline constexpr std::string_view known =
    "known are tokenizer.json, vocab.json + merges.txt, encoder.json + vocab.bpe, encoder_bpe_40000.json + vocab_40000.bpe, .tiktoken, "
    "tokenizer.model, ice_text.model and other files of SentencePiece, source.spm + target.spm + vocab.json, vocab.txt, tokenizer.bin and "
    "other .bin files of llama2.c, GGUF, and plume-tokenizer.json";
inline std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }  // npos + 1 == 0

// The files of a directory with such a beginning and end, sorted.
inline std::vector<std::string> files_named(const std::string& directory, std::string_view begin, std::string_view end) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(opendir(directory.c_str()), closedir);
  if (!listing) throw IoError("list", directory, errno);
  while (const dirent* entry = readdir(listing.get()))
    if (const std::string_view name = entry->d_name; name.starts_with(begin) && name.ends_with(end)) names.emplace_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

inline constexpr std::string_view marian_names[] = {"source.spm", "target.spm"};
inline constexpr std::string_view sentencepiece_names[] = {"ice_text.model", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model"};

inline std::string read_text(const std::string& path, const Limits& limits) {
  return read_file(path, limits.max_tokenizer_bytes, "max_tokenizer_bytes");
}
// A file beside the others; empty where it is absent, and no JSON either where it is there and empty.
inline std::string read_beside(const std::string& path, const Limits& limits) {
  if (!file_exists(path)) return {};
  std::string text = tokenizer_files::read_text(path, limits);
  return text.empty() ? " " : text;
}

inline Json parse(const std::string& path, const Limits& limits) {
  return Json::parse(read_file(path, limits.max_tokenizer_bytes, "max_tokenizer_bytes"),
                     {.path = path, .limits = limits, .max_bytes = limits.max_tokenizer_bytes, .size = JsonSize::table});
}

inline Tokenizer gpt1(const std::string& folder, const Limits& limits) {
  BytePairFiles files;
  files.vocabulary_path = folder + "encoder_bpe_40000.json", files.merges_path = folder + "vocab_40000.bpe";
  const std::string vocabulary = tokenizer_files::read_text(files.vocabulary_path, limits),
                    merges = tokenizer_files::read_text(files.merges_path, limits);
  files.vocabulary = vocabulary, files.merges = merges, files.limits = limits;
  return read_gpt1(files);
}

}  // namespace tokenizer_files

PLUME_FUNCTION Tokenizer load_byte_bpe(const std::string& vocabulary_path, const std::string& merges_path,
                                       const LoadTokenizerOptions& options) try {
  const Json vocabulary = tokenizer_files::parse(vocabulary_path, options.limits);
  const std::string merges = read_file(merges_path, options.limits.max_tokenizer_bytes, "max_tokenizer_bytes");
  SpecialNames special;
  const std::string beside = parent_path(vocabulary_path) + "/";
  if (file_exists(beside + "tokenizer_config.json")) {
    const Json config = tokenizer_files::parse(beside + "tokenizer_config.json", options.limits);
    if (const std::string kind = config.text("tokenizer_class", ""); kind == "CLIPTokenizer" || kind == "CLIPTokenizerFast")
      return read_clip({dump(vocabulary), merges, vocabulary_path, merges_path, dump(config), options.limits});
  }
  for (const char* name : {"special_tokens_map.json", "tokenizer_config.json"})
    if (file_exists(beside + name)) special.read_config(tokenizer_files::parse(beside + name, options.limits));
  if (file_exists(beside + "added_tokens.json")) special.read_added(tokenizer_files::parse(beside + "added_tokens.json", options.limits));
  return ByteBpeReader(vocabulary, merges, merges_path, special, options.limits).read();
} catch (...) {
  rethrow_memory_failure("a tokenizer");
}

PLUME_FUNCTION Tokenizer load_llama2c_tokenizer(const std::string& path, const LoadTokenizerOptions& options) try {
  return read_llama2c_tokenizer(read_file(path, options.limits.max_tokenizer_bytes, "max_tokenizer_bytes"), path, options.limits);
} catch (...) {
  rethrow_memory_failure("a tokenizer");
}

PLUME_FUNCTION Tokenizer load_tokenizer_json(const std::string& path, const LoadTokenizerOptions& options) try {
  TokenizerJsonOptions reading{.path = path, .limits = options.limits, .expressions = options.expressions};
  reading.config = tokenizer_files::read_beside(parent_path(path) + "/tokenizer_config.json", options.limits);
  return read_tokenizer_json(tokenizer_files::read_text(path, options.limits), reading);
} catch (...) {
  rethrow_memory_failure("a tokenizer");
}

PLUME_FUNCTION Tokenizer load_sentencepiece(const std::string& path, const LoadTokenizerOptions& options) try {
  SentencePieceOptions reading{.path = path, .legacy = options.legacy, .limits = options.limits};
  reading.ice_text = tokenizer_files::name_of(path) == "ice_text.model";
  reading.config = tokenizer_files::read_beside(parent_path(path) + "/tokenizer_config.json", options.limits);
  reading.added = tokenizer_files::read_beside(parent_path(path) + "/added_tokens.json", options.limits);
  return read_sentencepiece(tokenizer_files::read_text(path, options.limits), reading);
} catch (...) {
  rethrow_memory_failure("a tokenizer");
}

PLUME_FUNCTION Tokenizer load_marian(const std::string& directory, const LoadTokenizerOptions& options) try {
  MarianFiles reading{.directory = directory, .side = options.side, .limits = options.limits};
  const auto read = [&](std::string_view name) { return tokenizer_files::read_text(concat(directory, '/', name), options.limits); };
  reading.source = read("source.spm"), reading.target = read("target.spm"), reading.vocabulary = read("vocab.json");
  reading.target_vocabulary = tokenizer_files::read_beside(directory + "/target_vocab.json", options.limits);
  reading.config = tokenizer_files::read_beside(directory + "/tokenizer_config.json", options.limits);
  return read_marian(reading);
} catch (...) {
  rethrow_memory_failure("a tokenizer");
}

PLUME_FUNCTION Tokenizer load_bert(const std::string& path, const LoadTokenizerOptions& options) try {
  BertOptions reading{.path = path, .limits = options.limits};
  reading.config = tokenizer_files::read_beside(parent_path(path) + "/tokenizer_config.json", options.limits);
  return read_bert(tokenizer_files::read_text(path, options.limits), reading);
} catch (...) {
  rethrow_memory_failure("a tokenizer");
}

PLUME_FUNCTION Tokenizer load_simple_tokenizer(const std::string& path, const LoadTokenizerOptions& options) try {
  const Json file = tokenizer_files::parse(path, options.limits);
  const std::string& kind = file.text("kind");
  if (kind == "bytes") return byte_tokenizer();
  if (kind != "characters") file.at("kind").fail(concat("unknown kind ", quoted(kind), " (known: characters, bytes)"));
  std::vector<std::string> characters;
  for (const Json& entry : file.at("characters").items()) {
    const std::string& character = entry.as_text();
    if (character.empty() || utf8_length(character, 0) != character.size()) entry.fail(concat(quoted(character), " is not one character"));
    if (!characters.empty() && !(characters.back() < character)) entry.fail("characters must be in code point order, each once");
    characters.push_back(character);
  }
  if (characters.empty()) file.at("characters").fail("is empty");
  return Tokenizer(std::make_shared<CharacterModel>(characters));
} catch (...) {
  rethrow_memory_failure("a tokenizer");
}

PLUME_FUNCTION bool has_tokenizer(const std::string& directory) try {
  for (const std::string_view name :
       {simple_tokenizer_file, std::string_view("tokenizer.json"), std::string_view("vocab.json"), std::string_view("encoder.json"),
        std::string_view("encoder_bpe_40000.json"), std::string_view("vocab.txt")})
    if (file_exists(concat(directory, '/', name))) return true;
  for (const std::string_view name : tokenizer_files::sentencepiece_names)
    if (file_exists(concat(directory, '/', name))) return true;
  for (const std::string_view name : tokenizer_files::marian_names)
    if (file_exists(concat(directory, '/', name))) return true;
  return file_exists(directory + "/tokenizer.gguf") || !tokenizer_files::files_named(directory, "tok", ".bin").empty();
} catch (...) {
  rethrow_memory_failure("a tokenizer");
}

PLUME_FUNCTION Tokenizer load_tokenizer(const std::string& path, const LoadTokenizerOptions& options) try {
  namespace files = tokenizer_files;
  if (!is_directory(path)) {
    if (!file_exists(path)) throw IoError("open", path, ENOENT);
    const std::string name = files::name_of(path), beside = parent_path(path) + "/";
    if (name == simple_tokenizer_file) return load_simple_tokenizer(path, options);
    if (name.ends_with("tokenizer.json")) return load_tokenizer_json(path, options);
    if (name.ends_with(".tiktoken")) return read_tiktoken(files::read_text(path, options.limits), {.path = path, .limits = options.limits});
    if (name == "encoder_bpe_40000.json" || name == "vocab_40000.bpe") return files::gpt1(beside, options.limits);
    if (name == "bpe_simple_vocab_16e6.txt") return read_clip_merges(files::read_text(path, options.limits), path, options.limits);
    if (name == "vocab.json" || name == "merges.txt") return load_byte_bpe(beside + "vocab.json", beside + "merges.txt", options);
    if (name == "encoder.json" || name == "vocab.bpe") return load_byte_bpe(beside + "encoder.json", beside + "vocab.bpe", options);
    if (name == "vocab.txt") return load_bert(path, options);
    std::string beginning;  // the content says what files of other names are
    bool holds_model = false;
    {
      const auto file = FileMapping::open(path);
      const std::string_view bytes(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
      beginning = bytes.substr(0, 16);
      holds_model = name.ends_with(".json") && bytes.find("\"model\"") != bytes.npos && bytes.find("\"vocab\"") != bytes.npos;
    }
    if (looks_like_gguf(beginning) || name.ends_with(".gguf"))
      return load_gguf_tokenizer(path, {.limits = options.limits, .expressions = options.expressions});
    if (name.ends_with(".bin")) return load_llama2c_tokenizer(path, options);
    if (looks_like_sentencepiece(beginning) || name.ends_with(".model")) return load_sentencepiece(path, options);
    if (holds_model) return load_tokenizer_json(path, options);
    throw ConfigError(Where{.path = path}, concat("is no tokenizer file; ", files::known));
  }
  const std::string inside = path + "/";
  if (file_exists(inside + std::string(simple_tokenizer_file)))
    return load_simple_tokenizer(inside + std::string(simple_tokenizer_file), options);
  if (file_exists(inside + "tokenizer.json")) return load_tokenizer_json(inside + "tokenizer.json", options);
  if (file_exists(inside + "encoder_bpe_40000.json")) return files::gpt1(inside, options.limits);
  for (const std::string_view name : files::marian_names)
    if (file_exists(inside + std::string(name))) return load_marian(path, options);
  for (const auto& [vocabulary, merges] : {std::pair("vocab.json", "merges.txt"), std::pair("encoder.json", "vocab.bpe")})
    if (file_exists(inside + vocabulary)) return load_byte_bpe(inside + vocabulary, inside + merges, options);
  for (const std::string_view name : files::sentencepiece_names)
    if (file_exists(inside + std::string(name))) return load_sentencepiece(inside + std::string(name), options);
  if (file_exists(inside + "vocab.txt")) return load_bert(inside + "vocab.txt", options);
  if (file_exists(inside + "tokenizer.gguf"))
    return load_gguf_tokenizer(inside + "tokenizer.gguf", {.limits = options.limits, .expressions = options.expressions});
  const std::vector<std::string> found = files::files_named(path, "tok", ".bin");
  if (std::find(found.begin(), found.end(), "tokenizer.bin") != found.end())
    return load_llama2c_tokenizer(inside + "tokenizer.bin", options);
  if (found.size() == 1) return load_llama2c_tokenizer(inside + found.front(), options);
  if (found.size() > 1)
    throw ConfigError(Where{.path = path},
                      concat("holds ", found.size(), " tokenizers (", found[0], ", ", found[1], " ...); name one of these files"));
  throw ConfigError(Where{.path = path}, concat("holds no tokenizer; ", files::known));
} catch (...) {
  rethrow_memory_failure("a tokenizer");
}

PLUME_FUNCTION void save_tokenizer(const Tokenizer& tokenizer, const std::string& directory) try {
  make_directory(directory);
  for (const TokenizerFile& file : tokenizer.model().files())
    atomic_save(directory + "/" + file.name, [&](FileWriter& out) { out.write(file.content); });
} catch (...) {
  rethrow_memory_failure("a tokenizer");
}

}  // namespace plume::inline PLUME_ABI
#endif
