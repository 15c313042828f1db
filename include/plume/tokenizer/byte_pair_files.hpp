#pragma once
// Vocabularies that come as a table of tokens and a list of merges, turned into a tokenizer.json as transformers' converters do, so that
// one reader knows them all: GPT-1 [Radford et al. 2018], CLIP [Radford et al. 2021], and the writer for byte-level BPE.
#include <string>
#include <string_view>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/limits.hpp"
#include "plume/tokenizer/tokenizer.hpp"

namespace plume::inline PLUME_ABI {

struct BytePairFiles {
  std::string_view vocabulary = {};                    // JSON: token -> id
  std::string_view merges = {};                        // a pair a line
  std::string vocabulary_path = {}, merges_path = {};  // named in errors
  std::string config = {};                             // the text of tokenizer_config.json; may be empty
  Limits limits = {};
};

// encoder_bpe_40000.json and vocab_40000.bpe. Text is cleaned and lower-cased as OpenAIGPTTokenizerFast of transformers does; the original
// program went through ftfy and spaCy, which differs on rare punctuation.
PLUME_FUNCTION Tokenizer read_gpt1(const BytePairFiles& files);

// vocab.json and merges.txt of CLIP.
PLUME_FUNCTION Tokenizer read_clip(const BytePairFiles& files);

// OpenAI's bpe_simple_vocab_16e6.txt, unpacked: the merges alone, from which the vocabulary follows.
PLUME_FUNCTION Tokenizer read_clip_merges(std::string_view merges, const std::string& path, const Limits& limits = {});

// tokenizer.json of a byte-level tokenizer: what was read for one that came from tokenizer.json, else made from its vocabulary and merges
// (tiktoken ranks become the merges that make each token). ArgumentError: another kind.
PLUME_FUNCTION std::string write_tokenizer_json(const Tokenizer& tokenizer);

// vocab.json, merges.txt and a tokenizer_config.json of a byte-level tokenizer that cuts text as GPT-2 does, for programs that read no
// tokenizer.json. ArgumentError: another kind, or one that these files cannot describe.
PLUME_FUNCTION std::vector<TokenizerFile> write_byte_bpe(const Tokenizer& tokenizer);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <optional>
#include <utility>

#include "plume/base/error.hpp"
#include "plume/base/json.hpp"
#include "plume/tokenizer/byte_bpe.hpp"
#include "plume/tokenizer/pipeline_model.hpp"
#include "plume/tokenizer/tokenizer_json.hpp"

namespace plume::inline PLUME_ABI {

namespace byte_pair_files {

// The lines of merges.txt without its header, as tokenizer.json holds them.
inline Json merge_list(std::string_view text, std::size_t most = std::size_t{0} - 1) {
  Json list = Json::array();
  for (bool first = true; !text.empty(); first = false) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || (first && (line.starts_with("#version") || line.starts_with("\"bpe_simple")))) continue;
    if (list.size() == most) break;
    list.push(Json(line));
  }
  return list;
}

inline Json typed(std::string_view type) { return Json::object().set("type", type); }

inline Json added_token(std::string_view content, std::size_t id) {
  Json token = Json::object();
  token.set("id", id);
  token.set("content", content);
  for (const char* name : {"single_word", "lstrip", "rstrip", "normalized"}) token.set(name, false);
  return std::move(token).set("special", true);
}

inline Json document(Json added, Json normalizer, Json pre_tokenizer, Json post_processor, Json decoder, Json model) {
  Json file = Json::object();
  file.set("version", "1.0");
  file.set("truncation", nullptr);
  file.set("padding", nullptr);
  file.set("added_tokens", std::move(added));
  file.set("normalizer", std::move(normalizer));
  file.set("pre_tokenizer", std::move(pre_tokenizer));
  file.set("post_processor", std::move(post_processor));
  file.set("decoder", std::move(decoder));
  return std::move(file).set("model", std::move(model));
}

inline Json bpe(Json vocabulary, Json merges, Json unknown, std::string_view suffix) {
  Json model = typed("BPE");
  model.set("dropout", nullptr);
  model.set("unk_token", std::move(unknown));
  model.set("continuing_subword_prefix", suffix.empty() ? Json() : Json(""));
  model.set("end_of_word_suffix", suffix.empty() ? Json() : Json(suffix));
  model.set("fuse_unk", false);
  model.set("byte_fallback", false);
  model.set("ignore_merges", false);
  model.set("vocab", std::move(vocabulary));
  return std::move(model).set("merges", std::move(merges));
}

inline Json byte_level(std::string_view use_regex) {
  Json part = typed("ByteLevel");
  part.set("add_prefix_space", false);
  part.set("trim_offsets", true);
  return std::move(part).set("use_regex", use_regex == "use_regex");
}

inline Tokenizer read(const Json& file, const BytePairFiles& files) {
  return read_tokenizer_json(dump(file), {.path = files.vocabulary_path, .limits = files.limits, .config = files.config});
}

inline Json parse(const BytePairFiles& files) {
  Json vocabulary =
      Json::parse(files.vocabulary, {.path = files.vocabulary_path, .limits = files.limits, .max_bytes = files.limits.max_tokenizer_bytes});
  if (!vocabulary.is_object()) throw FormatError(vocabulary.where(), "expected an object of tokens and their ids");
  return vocabulary;
}

inline Tokenizer clip(Json vocabulary, Json merges, const BytePairFiles& files) {
  constexpr std::string_view begin = "<|startoftext|>", end = "<|endoftext|>";
  Json added = Json::array(), post = typed("RobertaProcessing");
  const auto pair = [&](std::string_view name) {
    const auto id = vocabulary.integer(name);
    added.push(added_token(name, static_cast<std::size_t>(id)));
    return Json::array().push(Json(name)).push(id);
  };
  post.set("cls", pair(begin));
  post.set("sep", pair(end));
  post.set("trim_offsets", false);
  post.set("add_prefix_space", false);
  Json collapse = typed("Replace").set("pattern", Json::object().set("Regex", "\\s+")).set("content", " ");
  Json normalizer =
      typed("Sequence").set("normalizers", Json::array().push(typed("NFC")).push(std::move(collapse)).push(typed("Lowercase")));
  Json split = typed("Split");
  split.set("pattern", Json::object().set("Regex", R"('s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)"));
  split.set("behavior", "Removed");
  split.set("invert", true);
  Json pre = typed("Sequence").set("pretokenizers", Json::array().push(std::move(split)).push(byte_level("use_regex")));
  Json space = typed("Replace").set("pattern", Json::object().set("String", "</w>")).set("content", " ");
  Json strip = typed("Strip").set("content", " ").set("start", 0).set("stop", 1);
  Json decoder =
      typed("Sequence").set("decoders", Json::array().push(byte_level("use_regex")).push(std::move(space)).push(std::move(strip)));
  return read(document(std::move(added), std::move(normalizer), std::move(pre), std::move(post), std::move(decoder),
                       bpe(std::move(vocabulary), std::move(merges), Json(end), "</w>")),
              files);
}

}  // namespace byte_pair_files

PLUME_FUNCTION Tokenizer read_gpt1(const BytePairFiles& files) {
  namespace bpf = byte_pair_files;
  Json vocabulary = bpf::parse(files);
  Json added = Json::array().push(bpf::added_token("<unk>", static_cast<std::size_t>(vocabulary.integer("<unk>"))));
  Json normalizer = bpf::typed("BertNormalizer");
  normalizer.set("clean_text", true);
  normalizer.set("handle_chinese_chars", true);
  normalizer.set("strip_accents", nullptr);
  normalizer.set("lowercase", true);
  return bpf::read(bpf::document(std::move(added), std::move(normalizer), bpf::typed("BertPreTokenizer"), Json(),
                                 bpf::typed("BPEDecoder").set("suffix", "</w>"),
                                 bpf::bpe(std::move(vocabulary), bpf::merge_list(files.merges), Json("<unk>"), "</w>")),
                   files);
}

PLUME_FUNCTION Tokenizer read_clip(const BytePairFiles& files) {
  return byte_pair_files::clip(byte_pair_files::parse(files), byte_pair_files::merge_list(files.merges), files);
}

PLUME_FUNCTION Tokenizer read_clip_merges(std::string_view merges, const std::string& path, const Limits& limits) {
  constexpr std::size_t most = 49152 - 256 - 2;  // what CLIP uses of the list
  Json list = byte_pair_files::merge_list(merges, most), vocabulary = Json::object();
  std::vector<std::string> characters;
  for (const bool printable : {true, false})  // the order of CLIP's bytes_to_unicode()
    for (unsigned byte = 0; byte < 256; ++byte)
      if (byte_characters::is_printable(byte) == printable) {
        const char raw = static_cast<char>(static_cast<unsigned char>(byte));
        characters.push_back(bytes_to_characters({&raw, 1}));
      }
  std::size_t id = 0;
  for (const char* suffix : {"", "</w>"})
    for (const std::string& character : characters) vocabulary.set(concat(character, suffix), id++);
  for (const Json& merge : list.items()) {
    std::string joined = merge.as_text();
    if (const std::size_t space = joined.find(' '); space != joined.npos) joined.erase(space, 1);
    vocabulary.set(joined, id++);
  }
  for (const char* name : {"<|startoftext|>", "<|endoftext|>"}) vocabulary.set(name, id++);
  return byte_pair_files::clip(std::move(vocabulary), std::move(list), {.vocabulary_path = path, .merges_path = path, .limits = limits});
}

PLUME_FUNCTION std::string write_tokenizer_json(const Tokenizer& tokenizer) {
  namespace bpf = byte_pair_files;
  for (const TokenizerFile& file : tokenizer.model().files())
    if (file.name == "tokenizer.json") return file.content;
  const auto* plain = dynamic_cast<const ByteBpeModel*>(&tokenizer.model());
  const auto* pipeline = dynamic_cast<const PipelineModel*>(&tokenizer.model());
  require(plain != nullptr || (pipeline != nullptr && pipeline->byte_pairs() != nullptr),
          "[write_tokenizer_json] needs a byte-level tokenizer or one that came from tokenizer.json, this one is ", tokenizer.kind(),
          "; transformers' AutoTokenizer(...).save_pretrained writes a tokenizer.json of it");
  const BytePairs& pairs = plain ? plain->byte_pairs() : *pipeline->byte_pairs();
  const Vocabulary& vocabulary = tokenizer.model().vocabulary;
  Json vocab = Json::object(), added = Json::array(), merges = Json::array();
  std::size_t last = 0;  // ordinary token: special ones before it stand in the table as well, so that its ids have no gap
  for (std::size_t id = 0; id < vocabulary.size(); ++id)
    if (!vocabulary.is_special(static_cast<TokenId>(id))) last = id;
  for (std::size_t id = 0; id < vocabulary.size(); ++id) {
    const bool special = vocabulary.is_special(static_cast<TokenId>(id));
    if (special) added.push(bpf::added_token(vocabulary.pieces[id], id));
    if (!special || id < last) vocab.set(vocabulary.pieces[id], id);
  }
  const auto piece = [&](TokenId id) { return vocabulary.pieces[static_cast<std::size_t>(id)]; };
  const bool ranked = pairs.order() == MergeOrder::by_result;
  if (ranked)
    for (const Merge& merge : pairs.making_merges()) merges.push(Json::array().push(piece(merge.left)).push(piece(merge.right)));
  else
    for (const Merge& merge : pairs.merges()) merges.push(Json::array().push(piece(merge.left)).push(piece(merge.right)));
  Json model = bpf::bpe(std::move(vocab), std::move(merges), Json(), "");
  model.set("ignore_merges", ranked);
  Json pre = bpf::byte_level("use_regex");
  if (pipeline) {
    const auto* split = std::get_if<pre_tokenizers::Split>(&pipeline->pipeline().pre_tokenizers.at(0));
    require(split != nullptr, "[write_tokenizer_json] the pre-tokeniser has no expression");
    Json regex = bpf::typed("Split");
    regex.set("pattern", Json::object().set("Regex", split->pattern.source()));
    regex.set("behavior", "Removed");
    regex.set("invert", true);
    pre = bpf::typed("Sequence").set("pretokenizers", Json::array().push(std::move(regex)).push(bpf::byte_level("")));
  }
  Json around;
  if (plain && vocabulary.begins_with_bos && vocabulary.bos) {
    const std::string bos = piece(*vocabulary.bos);
    const auto part = [](std::string_view kind, std::string_view id) {
      return Json::object().set(kind, Json::object().set("id", id).set("type_id", 0));
    };
    Json entry = Json::object().set("id", bos).set("ids", Json::array().push(*vocabulary.bos)).set("tokens", Json::array().push(bos));
    around = bpf::typed("TemplateProcessing").set("single", Json::array().push(part("SpecialToken", bos)).push(part("Sequence", "A")));
    around.set("pair", Json::array().push(part("SpecialToken", bos)).push(part("Sequence", "A")).push(part("Sequence", "B")));
    around.set("special_tokens", Json::object().set(bos, std::move(entry)));
  }
  return dump(bpf::document(std::move(added), Json(), std::move(pre), std::move(around), bpf::byte_level("use_regex"), std::move(model))) +
         "\n";
}

PLUME_FUNCTION std::vector<TokenizerFile> write_byte_bpe(const Tokenizer& tokenizer) {
  if (const auto* plain = dynamic_cast<const ByteBpeModel*>(&tokenizer.model())) return plain->files();
  const auto* pipeline = dynamic_cast<const PipelineModel*>(&tokenizer.model());
  require(pipeline != nullptr && pipeline->byte_pairs() != nullptr, "[write_byte_bpe] needs a byte-level tokenizer, this one is ",
          tokenizer.kind());
  require(pipeline->piece_style() == piece_styles::gpt2 && pipeline->cuts_at_spaces() && pipeline->pipeline().normalizers.empty(),
          "[write_byte_bpe] the tokenizer cuts text in another way than GPT-2: vocab.json and merges.txt cannot say how; write a "
          "tokenizer.json");
  const BytePairs& pairs = *pipeline->byte_pairs();
  const Vocabulary& vocabulary = pipeline->vocabulary;
  std::vector<std::string> pieces = vocabulary.pieces;
  Vocabulary copy(std::move(pieces), pairs.bytes(), vocabulary.special());
  copy.bos = vocabulary.bos, copy.eos = vocabulary.eos, copy.begins_with_bos = vocabulary.begins_with_bos;
  return ByteBpeModel(std::move(copy), pairs.order() == MergeOrder::by_result ? pairs.making_merges() : pairs.merges()).files();
}

}  // namespace plume::inline PLUME_ABI
#endif
