#pragma once
// Training WordPiece, the kind of BERT. The merges are those of Hugging Face tokenizers (tokenizers/src/models/wordpiece/trainer.rs):
// byte-pair training with "##" before what continues a word, the most frequent pair first, among equals the pair of lower ids. The
// original's score, count(ab) / (count(a) count(b)) [Schuster & Nakajima 2012], is not theirs and not this one.
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/stop_token.hpp"
#include "plume/tokenizer/tokenizer.hpp"
#include "plume/tokenizer/word_counts.hpp"

namespace plume::inline PLUME_ABI {

enum class LetterCase : std::uint8_t { lower, keep };  // lower: accents go as well, as in the uncased BERT

struct TrainWordPieceOptions {
  Index vocabulary_size = 30522;  // special tokens included; fewer if the texts yield fewer
  // Get the first ids. [UNK] must be among them; [CLS] and [SEP], where present, stand around a text.
  std::vector<std::string> special_tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  LetterCase letter_case = LetterCase::lower;
  Index alphabet = 1000;    // characters at most, the most frequent; a word with another one is unknown
  Index minimum_count = 2;  // rarer pairs are not merged
  StopToken stop = {};
  TrainTokenizerReport report = {};
};

// Texts are cleaned and cut as BERT does (BertNormalizer, BertPreTokenizer). The same texts and options give the same tokenizer for any
// number of threads, in any order of texts; counting runs on the threads of the current Context. save_tokenizer() writes a tokenizer.json.
class WordPieceTrainer {
 public:
  // ArgumentError: no [UNK], a special token that is empty or repeated, options out of range.
  PLUME_FUNCTION explicit WordPieceTrainer(const TrainWordPieceOptions& options);
  // A text; a file, which may be larger than memory. Cancelled: options.stop fired. IoError: the file cannot be read.
  void add(std::string_view text) { words_.add(text); }
  void add_file(const std::string& path) { words_.add_file(path); }
  // ArgumentError: special tokens and the alphabet alone are more than the vocabulary may hold.
  PLUME_FUNCTION Tokenizer train();

 private:
  PLUME_FUNCTION Tokenizer assemble(const std::vector<std::string>& pieces) const;

  TrainWordPieceOptions options_;
  WordCounter words_;
};

PLUME_FUNCTION Tokenizer train_word_piece(std::span<const std::string> texts, const TrainWordPieceOptions& options = {});
inline Tokenizer train_word_piece(const std::vector<std::string>& texts, const TrainWordPieceOptions& options = {}) {
  return train_word_piece(std::span<const std::string>(texts), options);
}

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include "plume/base/error.hpp"
#include "plume/base/json.hpp"
#include "plume/tokenizer/byte_pair_files.hpp"
#include "plume/tokenizer/normalizers.hpp"
#include "plume/tokenizer/pair_merger.hpp"
#include "plume/tokenizer/pre_tokenizers.hpp"
#include "plume/tokenizer/tokenizer_json.hpp"

namespace plume::inline PLUME_ABI {

namespace word_piece_training {

inline constexpr std::string_view prefix = "##";

// Behind an ASCII letter or digit, before ASCII white space or punctuation; or beside an ideograph, which is a word of its own.
inline std::size_t cut(std::string_view text, std::size_t at) {
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) ++at;
  const auto is_word = [](char32_t c) { return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'); };
  const auto is_ideograph = [](char32_t c) { return c >= 0x4e00 && c <= 0x9fff; };
  char32_t last = 0;
  for (std::size_t length = 0; at < text.size(); at += length) {
    const CodePoint point = code_point_at(text, at);
    length = point.length;
    const char32_t c = point.value;
    const bool border = c == '\n' || c == '\t' || (c >= ' ' && c < 0x7f && !is_word(c)) || is_ideograph(c);
    if ((is_word(last) || is_ideograph(last)) && border) return at;
    last = c;
  }
  return text.size();
}

inline void count(std::string_view text, LetterCase letter_case, WordCounts& counts) {
  const bool lower = letter_case == LetterCase::lower;
  AlignedText normal = AlignedText::of(text, 0, Spans::skip);
  normalize(normalizers::Bert{.clean_text = true, .chinese = true, .accents = lower, .lower = lower}, normal);
  PieceText pieces{std::move(normal), {}, true};
  pieces.pieces.push_back({0, pieces.text.text.size()});
  pre_tokenize(pre_tokenizers::Bert{}, pieces, SpellBytes::yes);
  const std::string_view all = pieces.text.text;
  for (const Piece& piece : pieces.pieces) counts.add(all.substr(piece.begin, piece.end - piece.begin), all.size() - piece.begin);
}

}  // namespace word_piece_training

PLUME_FUNCTION WordPieceTrainer::WordPieceTrainer(const TrainWordPieceOptions& options)
    : options_(options),
      words_({.special_tokens = options.special_tokens,
              .cut = word_piece_training::cut,
              .count = [letter_case = options.letter_case](std::string_view text, TextPart,
                                                           WordCounts& counts) { word_piece_training::count(text, letter_case, counts); },
              .stop = options.stop,
              .report = options.report}) {
  for (const std::string& token : options.special_tokens) {
    require(token.size() > 1 && utf8_error(token) == token.size(), "[train_word_piece] the special token ", quoted(token),
            " is shorter than two bytes or not UTF-8");
    require(std::count(options.special_tokens.begin(), options.special_tokens.end(), token) == 1, "[train_word_piece] the special token ",
            quoted(token), " is given twice");
  }
  require(std::count(options.special_tokens.begin(), options.special_tokens.end(), "[UNK]") == 1,
          "[train_word_piece] special_tokens lack [UNK], which stands for unknown words");
  require(options.alphabet >= 1, "[train_word_piece] alphabet is ", options.alphabet, ", must be at least 1");
  require(options.minimum_count >= 1, "[train_word_piece] minimum_count is ", options.minimum_count, ", must be at least 1");
}

PLUME_FUNCTION Tokenizer WordPieceTrainer::train() try {
  using word_piece_training::prefix;
  const WordCounts counts = words_.take();
  const std::vector<WordCount> words = counts.sorted();
  std::map<std::string, Index, std::less<>> of_character;
  for (const WordCount& word : words) {
    if (utf8_error(word.word) != word.word.size()) continue;
    for (std::size_t at = 0; at < word.word.size();) {
      const std::string_view character = word.word.substr(at, code_point_at(word.word, at).length);
      const auto found = of_character.find(character);
      (found != of_character.end() ? found : of_character.emplace(character, 0).first)->second += word.count;
      at += character.size();
    }
  }
  std::vector<std::pair<Index, std::string>> order;
  for (const auto& [character, count] : of_character) order.emplace_back(-count, character);
  std::sort(order.begin(), order.end());
  if (order.size() > static_cast<std::size_t>(options_.alphabet)) order.resize(static_cast<std::size_t>(options_.alphabet));
  std::set<std::string, std::less<>> alphabet;  // in the order of code points, which is that of their bytes
  for (const auto& [count, character] : order) alphabet.insert(character);

  std::vector<std::string> pieces = options_.special_tokens;
  std::unordered_map<std::string, TokenId> id_of;
  const auto id = [&](std::string piece) {
    const auto [entry, fresh] = id_of.try_emplace(std::move(piece), static_cast<TokenId>(pieces.size()));
    if (fresh) pieces.push_back(entry->first);
    return entry->second;
  };
  for (std::size_t i = 0; i < pieces.size(); ++i) id_of.emplace(pieces[i], static_cast<TokenId>(i));
  for (const std::string& character : alphabet) id(character);
  // which characters continue a word, in the same order
  std::set<std::string_view> inside;
  std::vector<const WordCount*> known;
  for (const WordCount& word : words) {
    bool all = utf8_error(word.word) == word.word.size();
    for (std::size_t at = 0; all && at < word.word.size(); at += code_point_at(word.word, at).length)
      all = alphabet.contains(word.word.substr(at, code_point_at(word.word, at).length));
    if (!all) continue;
    known.push_back(&word);
    for (std::size_t at = code_point_at(word.word, 0).length; at < word.word.size(); at += code_point_at(word.word, at).length)
      inside.insert(word.word.substr(at, code_point_at(word.word, at).length));
  }
  for (const std::string_view character : inside) id(concat(prefix, character));
  require(options_.vocabulary_size >= static_cast<Index>(pieces.size()), "[train_word_piece] vocabulary_size is ", options_.vocabulary_size,
          ", but ", options_.special_tokens.size(), " special tokens and the alphabet, once plain and once behind ", prefix, ", are ",
          pieces.size(), " already; raise it, or lower alphabet");

  const auto lower = [](SymbolPair a, SymbolPair b) { return a.left != b.left ? a.left < b.left : a.right < b.right; };
  PairMerger merger(lower);
  std::vector<TokenId> ids;
  for (const WordCount* word : known) {
    ids.clear();
    for (std::size_t at = 0; at < word->word.size();) {
      const std::string_view character = word->word.substr(at, code_point_at(word->word, at).length);
      ids.push_back(id(at == 0 ? std::string(character) : concat(prefix, character)));
      at += character.size();
    }
    merger.add_word(ids, word->count);
  }
  merger.count_pairs();
  while (static_cast<Index>(pieces.size()) < options_.vocabulary_size) {
    options_.stop.check();
    const auto best = merger.best(options_.minimum_count);
    if (!best) break;
    const std::string_view right = pieces[static_cast<std::size_t>(best->pair.right)];
    merger.merge(best->pair, id(concat(pieces[static_cast<std::size_t>(best->pair.left)], right.substr(prefix.size()))));
    if (options_.report)
      options_.report({TrainTokenizerProgress::Phase::merge, static_cast<Index>(pieces.size()), options_.vocabulary_size});
  }
  return assemble(pieces);
} catch (...) {
  rethrow_memory_failure("training a tokenizer");
}

PLUME_FUNCTION Tokenizer WordPieceTrainer::assemble(const std::vector<std::string>& pieces) const {
  namespace files = byte_pair_files;
  const bool lower = options_.letter_case == LetterCase::lower;
  Json vocabulary = Json::object(), added = Json::array();
  for (std::size_t id = 0; id < pieces.size(); ++id) vocabulary.set(pieces[id], id);
  for (std::size_t id = 0; id < options_.special_tokens.size(); ++id) added.push(files::added_token(options_.special_tokens[id], id));
  Json model = files::typed("WordPiece").set("unk_token", "[UNK]").set("continuing_subword_prefix", word_piece_training::prefix);
  model.set("max_input_chars_per_word", 100).set("vocab", std::move(vocabulary));
  Json normalizer = files::typed("BertNormalizer").set("clean_text", true).set("handle_chinese_chars", true);
  normalizer.set("strip_accents", nullptr).set("lowercase", lower);
  Json decoder = files::typed("WordPiece").set("prefix", word_piece_training::prefix).set("cleanup", true);
  Json around;
  const auto place = [&](std::string_view name) {
    const auto found = std::find(options_.special_tokens.begin(), options_.special_tokens.end(), name);
    return found - options_.special_tokens.begin();
  };
  const auto count = static_cast<std::ptrdiff_t>(options_.special_tokens.size());
  if (place("[CLS]") < count && place("[SEP]") < count) {
    around = files::typed("BertProcessing");
    for (const auto& [key, name] : {std::pair("sep", "[SEP]"), std::pair("cls", "[CLS]")})
      around.set(key, Json::array().push(name).push(place(name)));
  }
  Json config = Json::object().set("tokenizer_class", "PreTrainedTokenizerFast");
  for (const auto& [key, name] : {std::pair("pad_token", "[PAD]"), std::pair("unk_token", "[UNK]"), std::pair("cls_token", "[CLS]"),
                                  std::pair("sep_token", "[SEP]"), std::pair("mask_token", "[MASK]")})
    if (place(name) < count) config.set(key, name);
  return read_tokenizer_json(dump(files::document(std::move(added), std::move(normalizer), files::typed("BertPreTokenizer"),
                                                  std::move(around), std::move(decoder), std::move(model))) +
                                 "\n",
                             {.config = dump(config, 2) + "\n"});
}

PLUME_FUNCTION Tokenizer train_word_piece(std::span<const std::string> texts, const TrainWordPieceOptions& options) {
  WordPieceTrainer trainer(options);
  for (const std::string& text : texts) trainer.add(text);
  return trainer.train();
}

}  // namespace plume::inline PLUME_ABI
#endif
