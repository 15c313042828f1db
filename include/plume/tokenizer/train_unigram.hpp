#pragma once
// Training a unigram tokenizer, the kind of T5, ALBERT and SentencePiece's default [Kudo 2018; google/sentencepiece
// src/unigram_model_trainer.cc]: begin with every frequent substring, fit the pieces' probabilities by expectation maximisation, drop the
// pieces whose loss costs the likelihood of the texts least, and so on until the vocabulary has its size.
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/sort_stably.hpp"
#include "plume/base/stop_token.hpp"
#include "plume/tokenizer/tokenizer.hpp"
#include "plume/tokenizer/unigram_em.hpp"
#include "plume/tokenizer/word_counts.hpp"

namespace plume::inline PLUME_ABI {

// none: decoding gives the text back. nfkc: Unicode compatibility forms become one, as SentencePiece does by default.
enum class TextNormalization : std::uint8_t { none, nfkc };
// Whether characters outside the alphabet become <0x00> .. <0xFF>, as in LLaMA, or the unknown token.
enum class ByteFallback : std::uint8_t { yes, no };

struct TrainUnigramOptions {
  Index vocabulary_size = 8000;  // special tokens and bytes included; fewer if the texts yield fewer
  // Get the first ids; the first one stands for what is unknown. <s> and </s>, where present, are bos and eos.
  std::vector<std::string> special_tokens = {"<unk>", "<s>", "</s>"};
  double character_coverage = 0.9995;  // of the texts' characters, from the most frequent down, are in the alphabet
  ByteFallback byte_fallback = ByteFallback::yes;
  TextNormalization normalization = TextNormalization::none;
  Index seed_size = 1'000'000;     // substrings to begin with
  Index longest_piece = 16;        // characters
  double shrinking_factor = 0.75;  // of the pieces stay in a round
  Index rounds = 2;                // of expectation maximisation between two prunings
  StopToken stop = {};
  TrainTokenizerReport report = {};
};

// Pieces never cross a space, nor two scripts (kana and Han count as one; a combining mark belongs to what it stands on). The same texts
// and options give the same tokenizer for any number of threads, in any order of texts; all of it runs on the threads of the current
// Context. save_tokenizer() writes a tokenizer.json.
class UnigramTrainer {
 public:
  // ArgumentError: no special token to stand for unknown text, one that is empty or repeated, options out of range.
  PLUME_FUNCTION explicit UnigramTrainer(const TrainUnigramOptions& options);
  // A text; a file, which may be larger than memory. Cancelled: options.stop fired. IoError: the file cannot be read.
  void add(std::string_view text) { words_.add(text); }
  void add_file(const std::string& path) { words_.add_file(path); }
  // ArgumentError: special tokens, bytes and the alphabet alone are more than the vocabulary may hold.
  PLUME_FUNCTION Tokenizer train();

 private:
  struct Words {
    WordCounts words, followed;  // followed: each with the character behind it
  };
  PLUME_FUNCTION Words words_by_script(std::vector<std::string>& alphabet);
  PLUME_FUNCTION UnigramPieces first_pieces(const Words& words, const std::vector<std::string>& alphabet) const;
  PLUME_FUNCTION void maximise(const UnigramEm& em, UnigramPieces& pieces, std::size_t least) const;
  PLUME_FUNCTION void prune(const UnigramEm& em, UnigramPieces& pieces, std::size_t size) const;
  PLUME_FUNCTION void keep_likeliest(UnigramPieces& pieces, std::size_t size) const;
  PLUME_FUNCTION Tokenizer assemble(const UnigramPieces& pieces) const;

  TrainUnigramOptions options_;
  WordCounter words_;
};

PLUME_FUNCTION Tokenizer train_unigram(std::span<const std::string> texts, const TrainUnigramOptions& options = {});
inline Tokenizer train_unigram(const std::vector<std::string>& texts, const TrainUnigramOptions& options = {}) {
  return train_unigram(std::span<const std::string>(texts), options);
}

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <numeric>
#include <utility>

#include "plume/base/error.hpp"
#include "plume/base/json.hpp"
#include "plume/tokenizer/byte_pair_files.hpp"
#include "plume/tokenizer/normalizers.hpp"
#include "plume/tokenizer/pre_tokenizers.hpp"
#include "plume/tokenizer/tokenizer_json.hpp"
#include "plume/tokenizer/unicode.hpp"
#include "plume/tokenizer/unicode_scripts.hpp"
#include "plume/tokenizer/unigram_seeds.hpp"

namespace plume::inline PLUME_ABI {

namespace unigram_training {

inline constexpr std::string_view block = "\xe2\x96\x81";  // U+2581, a space
inline constexpr char32_t common = 0, inherited = 3;       // numbers of scripts in unicode_scripts.hpp; kana are Han there

inline char32_t script_of(char32_t c) {
  if (c < 0x80) return (c | 0x20) >= 'a' && (c | 0x20) <= 'z' ? char32_t{1} : common;
  const auto after = std::upper_bound(std::begin(unicode_scripts::ranges), std::end(unicode_scripts::ranges), c,
                                      [](char32_t value, const char32_t(&row)[3]) { return value < row[0]; });
  if (after == std::begin(unicode_scripts::ranges) || c > (*(after - 1))[1]) return common;
  return (*(after - 1))[2];
}

// Before a space behind a visible ASCII character; or where a letter ends and ASCII or CJK punctuation follows, which no piece crosses.
inline std::size_t cut(std::string_view text, std::size_t at) {
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) ++at;
  char32_t last = 0;
  for (std::size_t length = 0; at < text.size(); at += length) {
    const CodePoint point = code_point_at(text, at);
    length = point.length;
    const char32_t c = point.value;
    if (c == ' ' && last > ' ' && last < 0x7f) return at;
    const bool mark = (c < 0x80 && script_of(c) == common) || (c >= 0x3001 && c <= 0x3011) || c == 0xff0c || c == 0xff01 || c == 0xff1f;
    if (mark && last != 0 && last != 0xfffd && (category_bit(last) & category_sets::letter) != 0 && script_of(last) != common) return at;
    last = c;
  }
  return text.size();
}

inline void count(std::string_view text, TextPart part, TextNormalization normalization, WordCounts& counts) {
  AlignedText normal = AlignedText::of(text, 0, Spans::skip);
  if (normalization == TextNormalization::nfkc) {
    normalize(normalizers::Nmt{}, normal);
    normalize(NormalForm::nfkc, normal);
  }
  PieceText pieces{std::move(normal), {}, part == TextPart::first};
  pieces.pieces.push_back({0, pieces.text.text.size()});
  pre_tokenize(pre_tokenizers::Metaspace{std::string(block), PrependScheme::first, true}, pieces, SpellBytes::yes);
  const std::string_view all = pieces.text.text;
  for (const Piece& piece : pieces.pieces) counts.add(all.substr(piece.begin, piece.end - piece.begin), all.size() - piece.begin);
}

inline void check(const TrainUnigramOptions& options) {
  require(!options.special_tokens.empty(), "[train_unigram] special_tokens is empty: the first one stands for unknown text");
  for (const std::string& token : options.special_tokens) {
    require(token.size() > 1 && utf8_error(token) == token.size(), "[train_unigram] the special token ", quoted(token),
            " is shorter than two bytes or not UTF-8");
    require(std::count(options.special_tokens.begin(), options.special_tokens.end(), token) == 1, "[train_unigram] the special token ",
            quoted(token), " is given twice");
  }
  require(options.character_coverage > 0 && options.character_coverage <= 1, "[train_unigram] character_coverage is ",
          options.character_coverage, ", must be in (0, 1]");
  require(options.shrinking_factor > 0 && options.shrinking_factor < 1, "[train_unigram] shrinking_factor is ", options.shrinking_factor,
          ", must be in (0, 1)");
  require(options.rounds >= 1 && options.rounds <= 1000, "[train_unigram] rounds is ", options.rounds, ", must be in 1 .. 1000");
  require(options.longest_piece >= 1 && options.longest_piece <= 256, "[train_unigram] longest_piece is ", options.longest_piece,
          ", must be in 1 .. 256");
  require(options.seed_size >= 0, "[train_unigram] seed_size is ", options.seed_size, ", must not be negative");
}

}  // namespace unigram_training

PLUME_FUNCTION UnigramTrainer::UnigramTrainer(const TrainUnigramOptions& options)
    : options_(options),
      words_({.special_tokens = options.special_tokens,
              .cut = unigram_training::cut,
              .count = [normalization = options.normalization](
                           std::string_view text, TextPart part,
                           WordCounts& counts) { unigram_training::count(text, part, normalization, counts); },
              .stop = options.stop,
              .report = options.report}) {
  unigram_training::check(options);
}

// Cuts the words where no piece may cross: between scripts, and around what is not in the alphabet, which is left out.
PLUME_FUNCTION UnigramTrainer::Words UnigramTrainer::words_by_script(std::vector<std::string>& alphabet) {
  namespace training = unigram_training;
  const WordCounts counts = words_.take();
  const std::vector<WordCount> words = counts.sorted();
  std::map<char32_t, Index> characters;
  Index all = 0;
  for (const WordCount& word : words) {
    if (utf8_error(word.word) != word.word.size()) continue;  // no piece can spell it
    for (std::size_t at = 0; at < word.word.size();) {
      const CodePoint point = code_point_at(word.word, at);
      if (point.value != 0) characters[point.value] += word.count, all += word.count;
      at += point.length;
    }
  }
  std::vector<std::pair<Index, char32_t>> order;
  for (const auto& [c, count] : characters) order.emplace_back(-count, c);
  std::sort(order.begin(), order.end());
  std::map<char32_t, bool> kept;
  Index covered = 0;
  for (const auto& [negative, c] : order) {
    if (static_cast<double>(covered) >= options_.character_coverage * static_cast<double>(all)) break;
    covered -= negative;
    kept[c] = true;
  }
  kept[code_point_at(training::block, 0).value] = true;
  if (options_.byte_fallback == ByteFallback::yes)  // so that "<0x41>" in a text never reads like the byte token
    for (const char c : std::string_view("<0x>123456789ABCDEF")) kept[static_cast<char32_t>(c)] = true;
  for (const auto& [c, yes] : kept) append_utf8(alphabet.emplace_back(), c);
  std::sort(alphabet.begin(), alphabet.end());

  Words result;
  std::string spaced;
  for (const WordCount& word : words) {
    if (utf8_error(word.word) != word.word.size()) continue;
    spaced.assign(word.word).append(training::block);
    std::size_t begin = 0;
    char32_t script = training::inherited;  // of the run so far; inherited: any
    const auto end_run = [&](std::size_t end) {
      const std::string_view run = std::string_view(spaced).substr(begin, end - begin);
      if (begin < end) {
        result.words.add(run, spaced.size() - begin, word.count);
        result.followed.add({run.data(), run.size() + code_point_at(spaced, end).length}, spaced.size() - begin, word.count);
      }
      begin = end;
      script = training::inherited;
    };
    for (std::size_t at = 0, length = 0; at < word.word.size(); at += length) {
      const CodePoint point = code_point_at(word.word, at);
      length = point.length;
      if (!kept.contains(point.value)) {
        end_run(at);
        begin = at + length;
        continue;
      }
      if (at == 0 && word.word.starts_with(training::block)) continue;
      const char32_t own = training::script_of(point.value);
      if (own == training::inherited) continue;
      if (script != training::inherited && own != script) end_run(at);
      script = own;
    }
    end_run(word.word.size());
  }
  return result;
}

PLUME_FUNCTION UnigramPieces UnigramTrainer::first_pieces(const Words& counts, const std::vector<std::string>& alphabet) const {
  const std::vector<WordCount> words = counts.words.sorted();
  if (options_.report) options_.report({TrainTokenizerProgress::Phase::seed, 0, static_cast<Index>(words.size())});
  std::map<std::string, Index, std::less<>> of_character;
  for (const std::string& character : alphabet) of_character[character] = 1;
  for (const WordCount& word : words)
    for (std::size_t at = 0; at < word.word.size();) {
      const std::size_t length = code_point_at(word.word, at).length;
      of_character.find(word.word.substr(at, length))->second += word.count;
      at += length;
    }
  std::vector<UnigramSeed> seeds =
      unigram_seeds(counts.followed.sorted(),
                    {.most = options_.seed_size, .longest = options_.longest_piece, .most_endings = options_.vocabulary_size / 2});
  options_.stop.check();
  for (const auto& [character, count] : of_character) seeds.push_back({character, count});
  std::sort(seeds.begin(), seeds.end(), [](const UnigramSeed& a, const UnigramSeed& b) { return a.text < b.text; });
  UnigramPieces pieces;
  double total = 0;
  for (UnigramSeed& seed : seeds) {
    const double weight = static_cast<double>(seed.count) * static_cast<double>(unigram_em::characters(seed.text));
    total += weight;
    pieces.scores.push_back(std::log(weight));
    pieces.texts.push_back(std::move(seed.text));
  }
  for (double& score : pieces.scores) score -= std::log(total);
  return pieces;
}

// One round of expectation maximisation. Pieces that are expected less than half a time go, as long as more than `least` stay.
PLUME_FUNCTION void UnigramTrainer::maximise(const UnigramEm& em, UnigramPieces& pieces, std::size_t least) const {
  constexpr double rarest = 0.5;
  const PieceUses expected = em.expected(pieces);
  UnigramPieces kept;
  std::vector<double> uses;
  const bool drops = pieces.texts.size() > least;
  double total = 0;
  for (std::size_t i = 0; i < pieces.texts.size(); ++i) {
    const double used = static_cast<double>(expected.uses[i]) / expected.scale;
    if (used < rarest && drops && unigram_em::characters(pieces.texts[i]) > 1) continue;
    kept.texts.push_back(std::move(pieces.texts[i]));
    uses.push_back(std::max(used, rarest));
    total += uses.back();
  }
  for (const double used : uses) kept.scores.push_back(unigram_em::digamma(used) - unigram_em::digamma(total));
  pieces = std::move(kept);
}

// Keeps the `size` pieces without which the texts would become unlikeliest, and all characters.
PLUME_FUNCTION void UnigramTrainer::prune(const UnigramEm& em, UnigramPieces& pieces, std::size_t size) const {
  const UnigramEm::Replacements others = em.replacements(pieces);
  const PieceUses uses = em.best(pieces);
  double total = 0;
  for (const std::int64_t count : uses.uses) total += static_cast<double>(count);
  struct Loss {
    double value;
    std::uint32_t piece;
  };
  std::vector<Loss> losses;
  std::vector<char> stays(pieces.texts.size());
  std::size_t staying = 0;
  for (std::uint32_t i = 0; i < pieces.texts.size(); ++i) {
    if (unigram_em::characters(pieces.texts[i]) == 1) {
      stays[i] = 1;
      ++staying;
      continue;
    }
    const auto used = static_cast<double>(uses.uses[i]);
    if (used == 0 || others.useless[i] != 0) continue;
    // its uses pass to the pieces in its place
    const double total_without = std::log(total + used * (static_cast<double>(others.pieces[i].size()) - 1));
    double replaced = 0;
    for (const std::uint32_t other : others.pieces[i]) replaced += std::log(static_cast<double>(uses.uses[other]) + used) - total_without;
    losses.push_back({used * (std::log(used) - std::log(total) - replaced), i});
  }
  std::sort(losses.begin(), losses.end(),
            [](const Loss& a, const Loss& b) { return a.value != b.value ? a.value > b.value : a.piece < b.piece; });
  for (std::size_t i = 0; i < losses.size() && staying < size; ++i, ++staying) stays[losses[i].piece] = 1;
  UnigramPieces kept;
  for (std::size_t i = 0; i < pieces.texts.size(); ++i)
    if (stays[i] != 0) {
      kept.texts.push_back(std::move(pieces.texts[i]));
      kept.scores.push_back(pieces.scores[i]);
    }
  pieces = std::move(kept);
}

// All characters, and the pieces of highest score beside them.
PLUME_FUNCTION void UnigramTrainer::keep_likeliest(UnigramPieces& pieces, std::size_t size) const {
  if (pieces.texts.size() <= size) return;
  std::vector<std::size_t> order(pieces.texts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto is_character = [&](std::size_t i) { return unigram_em::characters(pieces.texts[i]) == 1; };
  sort_stably(order, [&](std::size_t a, std::size_t b) {
    return is_character(a) != is_character(b) ? is_character(a) : pieces.scores[a] > pieces.scores[b];
  });
  order.resize(size);
  std::sort(order.begin(), order.end());
  UnigramPieces kept;
  for (const std::size_t i : order) {
    kept.texts.push_back(std::move(pieces.texts[i]));
    kept.scores.push_back(pieces.scores[i]);
  }
  pieces = std::move(kept);
}

PLUME_FUNCTION Tokenizer UnigramTrainer::train() try {
  std::vector<std::string> alphabet;
  Words counts = words_by_script(alphabet);
  const Index fixed = static_cast<Index>(options_.special_tokens.size()) + (options_.byte_fallback == ByteFallback::yes ? 256 : 0);
  require(options_.vocabulary_size >= fixed + static_cast<Index>(alphabet.size()), "[train_unigram] vocabulary_size is ",
          options_.vocabulary_size, ", but ", fixed, " special tokens and bytes and ", alphabet.size(),
          " characters come first; raise it, or lower character_coverage");
  const auto target = static_cast<std::size_t>(options_.vocabulary_size - fixed);
  UnigramPieces pieces = first_pieces(counts, alphabet);
  counts.followed = {};
  const std::vector<WordCount> words = counts.words.sorted();
  const UnigramEm em(words, options_.stop);
  // As SentencePiece: losses choose a tenth more than wanted, of which the likeliest stay. That makes fewer tokens of a text than losses
  // alone.
  const std::size_t most = target + target / 10, first = pieces.texts.size();
  while (pieces.texts.size() > target) {
    for (Index round = 0; round < options_.rounds; ++round) maximise(em, pieces, most);
    if (pieces.texts.size() <= most) break;
    prune(em, pieces, std::max(most, static_cast<std::size_t>(options_.shrinking_factor * static_cast<double>(pieces.texts.size()))));
    if (options_.report)
      options_.report({TrainTokenizerProgress::Phase::prune, static_cast<Index>(first - pieces.texts.size()),
                       static_cast<Index>(first - std::min(most, first))});
  }
  keep_likeliest(pieces, target);
  for (Index round = 0; round < options_.rounds; ++round) maximise(em, pieces, pieces.texts.size());
  return assemble(pieces);
} catch (...) {
  rethrow_memory_failure("training a tokenizer");
}

PLUME_FUNCTION Tokenizer UnigramTrainer::assemble(const UnigramPieces& pieces) const {
  namespace files = byte_pair_files;
  std::vector<std::size_t> order(pieces.texts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  sort_stably(order, [&](std::size_t a, std::size_t b) { return pieces.scores[a] > pieces.scores[b]; });
  Json vocabulary = Json::array(), added = Json::array();
  const auto put = [&](std::string_view piece, double score) { vocabulary.push(Json::array().push(piece).push(score)); };
  for (std::size_t id = 0; id < options_.special_tokens.size(); ++id) {
    added.push(files::added_token(options_.special_tokens[id], id));
    put(options_.special_tokens[id], 0);
  }
  const bool bytes = options_.byte_fallback == ByteFallback::yes;
  // lower than any text that spells one: only the way around the lattice reaches them
  const double lowest = -1000;
  constexpr char digits[] = "0123456789ABCDEF";
  for (unsigned byte = 0; bytes && byte < 256; ++byte) put(std::string{'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'}, lowest);
  for (const std::size_t i : order) put(pieces.texts[i], pieces.scores[i]);
  Json model = files::typed("Unigram").set("unk_id", 0).set("vocab", std::move(vocabulary)).set("byte_fallback", bytes);
  Json normalizer;
  if (options_.normalization == TextNormalization::nfkc)
    normalizer = files::typed("Sequence").set("normalizers", Json::array().push(files::typed("Nmt")).push(files::typed("NFKC")));
  const auto spaces = [] {
    Json part = files::typed("Metaspace").set("replacement", unigram_training::block).set("prepend_scheme", "first");
    return std::move(part).set("split", true);
  };
  Json decoder = spaces();
  if (bytes) decoder = files::typed("Sequence").set("decoders", Json::array().push(files::typed("ByteFallback")).push(spaces()));
  Json config = Json::object().set("tokenizer_class", "PreTrainedTokenizerFast").set("unk_token", options_.special_tokens[0]);
  for (const auto& [key, name] : {std::pair("bos_token", "<s>"), std::pair("eos_token", "</s>")})
    if (std::count(options_.special_tokens.begin(), options_.special_tokens.end(), name) > 0) config.set(key, name);
  return read_tokenizer_json(
      dump(files::document(std::move(added), std::move(normalizer), spaces(), Json(), std::move(decoder), std::move(model))) + "\n",
      {.config = dump(config, 2) + "\n"});
}

PLUME_FUNCTION Tokenizer train_unigram(std::span<const std::string> texts, const TrainUnigramOptions& options) {
  UnigramTrainer trainer(options);
  for (const std::string& text : texts) trainer.add(text);
  return trainer.train();
}

}  // namespace plume::inline PLUME_ABI
#endif
