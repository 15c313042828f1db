#pragma once
// The pipeline of tokenizer.json: added tokens -> normalisers -> added tokens once more -> pre-tokenisers -> model. Every kind of that
// file, of SentencePiece's, llama2.c's and GGUF's runs through this one class; a byte-level vocabulary works on bytes instead of the
// characters that spell them, and with one of the known expressions runs in a loop of its own.
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/tokenizer/added_tokens.hpp"
#include "plume/tokenizer/byte_pairs.hpp"
#include "plume/tokenizer/piece_borders.hpp"
#include "plume/tokenizer/piece_ends.hpp"
#include "plume/tokenizer/pre_tokenizers.hpp"
#include "plume/tokenizer/sentencepiece_decoder.hpp"
#include "plume/tokenizer/token_decoders.hpp"
#include "plume/tokenizer/tokenizer_model.hpp"
#include "plume/tokenizer/unigram_search.hpp"
#include "plume/tokenizer/word_models.hpp"
#include "plume/tokenizer/word_search.hpp"
#include "plume/tokenizer/worker_states.hpp"

namespace plume::inline PLUME_ABI {

// Byte-level BPE on bytes.
struct ByteLevelModel {
  std::vector<std::string> bytes;  // by id; empty for what text cannot become
  std::vector<Merge> merges;
  WholePieces whole = WholePieces::if_merges_make_them;
  MergeOrder order = MergeOrder::as_listed;
};

// What makes text of ids: the steps of a tokenizer.json, the tokens' bytes in a row, or SentencePiece's rules.
enum class Decoding : std::uint8_t { steps, bytes, sentencepiece };

// What the file of a tokenizer says, as data.
struct Pipeline {
  std::string_view kind = "BPE";
  std::vector<AddedToken> added;
  std::vector<Normalizer> normalizers;
  std::vector<PreTokenizer> pre_tokenizers;
  std::optional<ByteLevelModel> byte_level;  // else `words`
  std::optional<WordModel> words;
  std::vector<DecodeStep> decoders;
  bool joins_with_spaces = false;  // the file names no decoder
  Decoding decoding = Decoding::steps;
  SentencePieceDecoding sentencepiece = {};
  bool adds_leading_space = false;  // decoding drops the space that encoding put before a text; only for Decoding::bytes
  bool starts_after_added = false;  // text behind an added token stands at the start once more
  bool starts_always = false;       // so does text behind what was encoded before
  enum class Trim : std::uint8_t { no, yes, keep_first } trim = Trim::no;  // spans lose the spaces of their tokens, or all but the first
  std::vector<TokenizerFile> files;
};

class PipelineModel final : public TokenizerModel {
 public:
  PLUME_FUNCTION PipelineModel(Vocabulary entries, Pipeline pipeline);
  std::string_view kind() const override { return pipeline_.kind; }
  const Pipeline& pipeline() const { return pipeline_; }
  bool adds_leading_space() const override { return pipeline_.adds_leading_space; }
  bool starts_again_at_bos() const override { return !pipeline_.starts_after_added; }
  // Whether plain text may be encoded in parts that begin where every known expression begins a piece.
  bool cuts_at_spaces() const { return style_.has_value() && pipeline_.normalizers.empty() && !raw_text_ && !normalized_text_; }
  // How a byte-level model cuts plain text, where that is one of the known ways.
  const std::optional<PieceStyle>& piece_style() const { return style_; }
  const BytePairs* byte_pairs() const { return pairs_ ? &*pairs_ : nullptr; }  // of a byte-level model

  void encode(std::string_view text, TextPart part, std::vector<TokenId>& ids) const override {
    EncodedText out;
    out.ids.swap(ids);
    encode(text, part, MatchSpecial::no, Spans::skip, out);
    out.ids.swap(ids);
  }
  void encode_with_spans(std::string_view text, TextPart part, EncodedText& out) const override {
    encode(text, part, MatchSpecial::no, Spans::keep, out);
  }
  void encode_special(std::string_view text, TextPart part, Spans spans, EncodedText& out) const override {
    encode(text, part, MatchSpecial::yes, spans, out);
  }
  PLUME_FUNCTION std::unique_ptr<TokenDecoder> decoder(const DecodeOptions& options) const override;
  std::vector<TokenizerFile> files() const override { return pipeline_.files; }
  // What decoding begins with: the piece, or the normalised spelling of an added token that is to be found in normalised text.
  const std::string& spelling(TokenId id) const {
    const auto found = normalized_spellings_.find(id);
    return found == normalized_spellings_.end() ? vocabulary.pieces[static_cast<std::size_t>(id)] : found->second;
  }

 private:
  struct Memory {
    BytePairs::Scratch pairs = {};  // its table also holds the words of other models
    WordSearch::Scratch words = {};
    UnigramSearch::Scratch unigram = {};
    std::vector<TokenId> ids = {};
  };
  struct Call;
  void encode(std::string_view text, TextPart part, MatchSpecial special, Spans spans, EncodedText& out) const {
    memories_.with([] { return Memory{}; },
                   [&](Memory& memory) {
                     encode(text, part, special, spans, memory, out);
                     memory.pairs.release_large(), memory.words.release_large(), memory.unigram.release_large();
                     release_large(memory.ids);
                   });
  }
  PLUME_FUNCTION void trim_spans(std::string_view text, std::size_t first, const Call& call) const;
  PLUME_FUNCTION void encode(std::string_view text, TextPart part, MatchSpecial special, Spans spans, Memory& memory,
                             EncodedText& out) const;
  PLUME_FUNCTION void encode_text(std::string_view text, std::size_t offset, bool starts, Call& call) const;
  PLUME_FUNCTION void encode_styled(std::string_view text, std::size_t offset, const AlignedText* aligned, Call& call) const;
  PLUME_FUNCTION void encode_aligned(AlignedText text, bool starts, Call& call) const;
  PLUME_FUNCTION void encode_words(std::string_view text, const std::vector<Piece>& pieces, Call& call) const;
  PLUME_FUNCTION void encode_unseen(std::string_view word, std::vector<TokenId>& ids, Call& call) const;
  PLUME_FUNCTION void add_byte_spans(std::size_t first, std::size_t begin, const AlignedText* text, Call& call) const;

  Pipeline pipeline_;
  TextMatcher raw_, normalized_;                     // of added tokens; values are indices of pipeline_.added
  bool raw_text_ = false, normalized_text_ = false;  // whether one of them is not special
  bool needs_origin_ = false;                        // Metaspace asks whether a piece stands at the start of the original
  bool decodes_bytes_ = false;
  std::unordered_map<TokenId, std::string> normalized_spellings_;  // where they are not the pieces
  std::optional<PieceStyle> style_;                                // the only pre-tokeniser
  std::optional<BytePairs> pairs_;
  WordSearch search_;
  UnigramSearch unigram_;
  PieceBorders borders_;  // where the text of a model that merges may be cut into shorter words
  mutable WorkerStates<Memory> memories_;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>

#include "plume/tokenizer/byte_characters.hpp"

namespace plume::inline PLUME_ABI {

namespace pipeline_details {

// Where merging cannot reach across.
inline PieceBorders borders_of(const WordModel& model) {
  using Unknown = PieceBorders::Unknown;
  std::vector<std::string_view> texts;
  if (const auto* bpe = std::get_if<word_models::Bpe>(&model)) {
    if (!bpe->prefix.empty() || !bpe->suffix.empty() || bpe->ignore_merges) return {};
    const bool has_bytes = bpe->bytes && std::none_of(bpe->bytes->begin(), bpe->bytes->end(), [](TokenId id) { return id < 0; });
    if (!has_bytes && !bpe->unknown) return {};  // a character that leaves no trace makes others neighbours
    const auto stands_for_unknown = [&](TokenId id) {
      return id == bpe->unknown || (bpe->bytes && std::find(bpe->bytes->begin(), bpe->bytes->end(), id) != bpe->bytes->end());
    };
    for (const Merge& merge : bpe->merges)
      if (stands_for_unknown(merge.left) || stands_for_unknown(merge.right)) return {};
    for (const auto& [text, id] : bpe->ids) texts.push_back(text);
    return PieceBorders(texts, has_bytes ? Unknown::bytes : Unknown::shared);
  }
  const auto* scored = std::get_if<word_models::ScoredBpe>(&model);
  if (scored == nullptr) return {};
  for (std::size_t id = 0; id < scored->pieces.size(); ++id) {
    // What an unused piece falls into is told by its last merge, anywhere in a text.
    if (scored->kinds[id] == word_models::ScoredBpe::Kind::unused) return {};
    if (scored->kinds[id] != word_models::ScoredBpe::Kind::absent) texts.push_back(scored->pieces[id]);
  }
  return PieceBorders(texts, scored->bytes ? Unknown::bytes : Unknown::shared);
}

}  // namespace pipeline_details

struct PipelineModel::Call {
  Spans spans;
  EncodedText* out;
  Memory& memory;
  bool trims = false;
  std::unordered_map<std::size_t, std::string> covered = {};  // what tokens stand for, by their place, where trimming asks for it
  std::vector<WordToken> tokens = {};
  std::unordered_map<std::string, std::vector<WordToken>> known = {};  // pieces of this call
};

PLUME_FUNCTION PipelineModel::PipelineModel(Vocabulary entries, Pipeline pipeline)
    : TokenizerModel(std::move(entries)), pipeline_(std::move(pipeline)) {
  for (std::uint32_t i = 0; i < pipeline_.added.size(); ++i) {
    const AddedToken& token = pipeline_.added[i];
    if (!token.normalized) {
      raw_.add(token.content, i);
      raw_text_ = raw_text_ || !token.special;
      continue;
    }
    AlignedText content = AlignedText::of(token.content, 0, Spans::skip);
    for (const Normalizer& step : pipeline_.normalizers) normalize(step, content);
    normalized_.add(content.text, i);
    normalized_text_ = normalized_text_ || !token.special;
    if (content.text != vocabulary.pieces[static_cast<std::size_t>(token.id)]) normalized_spellings_.emplace(token.id, content.text);
  }
  for (const PreTokenizer& step : pipeline_.pre_tokenizers)
    if (const auto* space = std::get_if<pre_tokenizers::Metaspace>(&step); space && space->prepend == PrependScheme::first)
      needs_origin_ = true;
  // A special token's spelling may stand for other bytes too: those of one that a normaliser spelled, say.
  const auto spells_itself = [&](TokenId id) {
    const std::string& piece = vocabulary.pieces[static_cast<std::size_t>(id)];
    return byte_level_bytes(piece) == piece;
  };
  const std::vector<TokenId> special = vocabulary.special();
  decodes_bytes_ = normalized_spellings_.empty() && pipeline_.decoders.size() == 1 &&
                   std::holds_alternative<token_decoders::ByteLevel>(pipeline_.decoders[0]) &&
                   std::all_of(special.begin(), special.end(), spells_itself);
  if (pipeline_.words) {
    borders_ = pipeline_details::borders_of(*pipeline_.words);
    search_ = WordSearch(*pipeline_.words, vocabulary.pieces);
    if (const auto* unigram = std::get_if<word_models::Unigram>(&*pipeline_.words)) unigram_ = UnigramSearch(*unigram);
  }
  if (!pipeline_.byte_level) return;
  ByteLevelModel& model = *pipeline_.byte_level;
  pairs_.emplace(model.bytes, std::move(model.merges), model.whole, model.order);
  // one known expression alone, or a split by it and then ByteLevel that only spells bytes
  const std::vector<PreTokenizer>& steps = pipeline_.pre_tokenizers;
  const auto* level = steps.empty() ? nullptr : std::get_if<pre_tokenizers::ByteLevel>(&steps.back());
  if (!level || level->add_prefix_space) return;
  if (steps.size() == 1 && level->use_regex) style_ = piece_styles::gpt2;
  if (steps.size() != 2 || level->use_regex) return;
  if (const auto* split = std::get_if<pre_tokenizers::Split>(&steps[0]);
      split && (split->behavior == SplitBehavior::isolated || (split->behavior == SplitBehavior::removed && split->inverted)))
    style_ = split->pattern.style();
}

PLUME_FUNCTION void PipelineModel::encode(std::string_view text, TextPart part, MatchSpecial special, Spans spans, Memory& memory,
                                          EncodedText& out) const {
  Call call{spans, &out, memory};
  call.trims = pipeline_.trim != Pipeline::Trim::no && spans == Spans::keep;
  const std::size_t first = out.spans.size();
  const auto add_token = [&](const AddedToken& token, TokenSpan span, std::string_view covered) {
    if (call.trims) call.covered.emplace(out.ids.size(), covered);
    out.ids.push_back(token.id);
    if (spans == Spans::keep) out.spans.push_back(span);
  };
  const bool match_normalized = !normalized_.empty() && (special == MatchSpecial::yes || normalized_text_);
  const auto section = [&](std::size_t begin, std::size_t end) {
    const bool starts = begin == 0 && part == TextPart::first;
    const std::string_view view = text.substr(begin, end - begin);
    const auto keeps = [&](const Normalizer& step) { return surely_keeps(step, view); };
    if (std::all_of(pipeline_.normalizers.begin(), pipeline_.normalizers.end(), keeps)) {
      if (!match_normalized) return encode_text(view, begin, starts, call);
      for (const AddedSection& inner : cut_at_added_tokens(view, normalized_, pipeline_.added, special)) {
        if (inner.token)
          add_token(*inner.token, {begin + inner.begin, begin + inner.end}, view.substr(inner.begin, inner.end - inner.begin));
        else
          encode_text(view.substr(inner.begin, inner.end - inner.begin), begin + inner.begin, starts && inner.begin == 0, call);
      }
      return;
    }
    AlignedText normal = AlignedText::of(view, begin, needs_origin_ ? Spans::keep : spans);
    normal.starts = starts || pipeline_.starts_always || (pipeline_.starts_after_added && begin > 0);
    for (const Normalizer& step : pipeline_.normalizers) normalize(step, normal);
    if (!match_normalized) return encode_aligned(std::move(normal), part == TextPart::first, call);
    for (const AddedSection& inner : cut_at_added_tokens(normal.text, normalized_, pipeline_.added, special)) {
      if (inner.token) {
        add_token(*inner.token, normal.span(inner.begin, inner.end),
                  std::string_view(normal.text).substr(inner.begin, inner.end - inner.begin));
        continue;
      }
      AlignedText piece = normal.empty_copy();
      piece.copy(normal, inner.begin, inner.end);
      encode_aligned(std::move(piece), part == TextPart::first, call);
    }
  };
  if (raw_.empty() || (special == MatchSpecial::no && !raw_text_)) {
    section(0, text.size());
  } else {
    for (const AddedSection& outer : cut_at_added_tokens(text, raw_, pipeline_.added, special)) {
      if (outer.token)
        add_token(*outer.token, {outer.begin, outer.end}, text.substr(outer.begin, outer.end - outer.begin));
      else
        section(outer.begin, outer.end);
    }
  }
  if (call.trims) trim_spans(text, first, call);
}

// What ByteLevel and RobertaProcessing do with trim_offsets [tokenizers/src/pre_tokenizers/byte_level.rs process_offsets].
PLUME_FUNCTION void PipelineModel::trim_spans(std::string_view text, std::size_t first, const Call& call) const {
  EncodedText& out = *call.out;
  const auto continues = [&](std::size_t at) { return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80; };
  for (std::size_t i = first; i < out.spans.size(); ++i) {
    TokenSpan& span = out.spans[i];
    const auto covered = call.covered.find(i);
    const std::string_view piece =
        covered != call.covered.end() ? covered->second : vocabulary.pieces[static_cast<std::size_t>(out.ids[i])];
    std::vector<bool> spaces;
    for (std::size_t at = 0, length = 0; at < piece.size(); at += length) {
      const CodePoint point = code_point_at(piece, at);
      length = point.length;
      spaces.push_back(point.value == byte_characters::of_byte[' '] || (category_bit(point.value) & category_sets::space) != 0);
    }
    std::size_t leading = 0, trailing = 0;
    while (leading < spaces.size() && spaces[leading]) ++leading;
    while (trailing < spaces.size() && spaces[spaces.size() - 1 - trailing]) ++trailing;
    // one space in front of a text may be that which a pre-tokeniser put there
    std::size_t character = span.begin;  // where the one begins that the span may cover a part of
    while (character > 0 && span.begin - character < 3 && continues(character)) --character;
    if ((i == first || character == 0) && pipeline_.trim == Pipeline::Trim::keep_first && leading == 1) leading = 0;
    for (; leading > 0 && span.begin < span.end; --leading)
      while (++span.begin < span.end && continues(span.begin)) continue;
    for (; trailing > 0 && span.end > span.begin; --trailing)
      while (--span.end > span.begin && continues(span.end)) continue;
  }
}

PLUME_FUNCTION void PipelineModel::encode_text(std::string_view text, std::size_t offset, bool starts, Call& call) const {
  if (text.empty()) return;
  if (style_) return encode_styled(text, offset, nullptr, call);
  encode_aligned(AlignedText::of(text, offset, needs_origin_ ? Spans::keep : call.spans), starts, call);
}

// `aligned`: whose text it is, else the text lies at `offset` of the original.
PLUME_FUNCTION void PipelineModel::encode_styled(std::string_view text, std::size_t offset, const AlignedText* aligned, Call& call) const {
  std::vector<TokenId>& ids = call.out->ids;
  const std::size_t first = ids.size();
  reserve_more(ids, text.size() / 3);
  visit_style(*style_, [&]<PieceStyle style>() {
    PieceEnds<style> ends(text);
    pairs_->encode_text(
        text, [&](std::size_t at) { return ends.next(at); }, ids, call.memory.pairs);
  });
  if (call.spans == Spans::keep) add_byte_spans(first, offset, aligned, call);
}

// Spans of the ids from `first` on, whose bytes follow each other from `begin`, in the text given or in the original.
PLUME_FUNCTION void PipelineModel::add_byte_spans(std::size_t first, std::size_t begin, const AlignedText* text, Call& call) const {
  for (std::size_t i = first; i < call.out->ids.size(); ++i) {
    const std::size_t end = begin + pipeline_.byte_level->bytes[static_cast<std::size_t>(call.out->ids[i])].size();
    call.out->spans.push_back(text ? text->span(begin, end) : TokenSpan{begin, end});
    begin = end;
  }
}

PLUME_FUNCTION void PipelineModel::encode_aligned(AlignedText text, bool starts, Call& call) const {
  if (text.text.empty()) return;
  if (style_) return encode_styled(text.text, 0, &text, call);
  if (text.aligned) starts = starts && text.from[0].begin == 0;
  PieceText cut{std::move(text), {}, starts};
  cut.pieces.push_back({0, cut.text.text.size()});
  for (const PreTokenizer& step : pipeline_.pre_tokenizers) pre_tokenize(step, cut, pairs_ ? SpellBytes::no : SpellBytes::yes);
  if (call.spans == Spans::skip) return encode_words(cut.text.text, cut.pieces, call);
  EncodedText& out = *call.out;
  const std::string_view all = cut.text.text;
  call.memory.pairs.known.expect(all.size());
  const auto* unigram = pipeline_.words ? std::get_if<word_models::Unigram>(&*pipeline_.words) : nullptr;
  // An unknown token of this model stands for what it covers; that of others for its own spelling.
  const TokenId unknown = unigram && call.trims ? unigram->unknown.value_or(-1) : -1;
  if (!borders_.empty()) {  // shorter pieces, the same ids
    std::vector<Piece> parts;
    for (const Piece& piece : cut.pieces) {
      PieceBorders::Cursor borders(borders_, all.substr(0, piece.end), piece.begin);
      for (std::size_t at = piece.begin, end = 0; at < piece.end; at = end) parts.push_back({at, end = borders.next()});
    }
    cut.pieces = std::move(parts);
  }
  for (const Piece& piece : cut.pieces) {
    const std::string_view view = all.substr(piece.begin, piece.end - piece.begin);
    if (view.empty()) continue;
    if (pairs_) {
      const std::size_t first = out.ids.size();
      pairs_->encode(view, all.size() - piece.begin, out.ids, call.memory.pairs);
      add_byte_spans(first, piece.begin, &cut.text, call);
      continue;
    }
    constexpr std::size_t longest_known = 256, most_known = 1 << 16;
    const std::vector<WordToken>* tokens = &call.tokens;
    call.tokens.clear();
    if (view.size() <= longest_known && call.known.size() < most_known) {
      const auto [entry, fresh] = call.known.try_emplace(std::string(view));
      if (fresh) encode_word(*pipeline_.words, view, entry->second);
      tokens = &entry->second;
    } else {
      encode_word(*pipeline_.words, view, call.tokens);
    }
    for (const WordToken& token : *tokens) {
      if (token.id == unknown) call.covered.emplace(out.ids.size(), view.substr(token.begin, token.end - token.begin));
      out.ids.push_back(token.id);
      out.spans.push_back(cut.text.span(piece.begin + token.begin, piece.begin + token.end));
    }
  }
}

PLUME_FUNCTION void PipelineModel::encode_words(std::string_view text, const std::vector<Piece>& pieces, Call& call) const {
  std::vector<TokenId>& ids = call.out->ids;
  WordCache& known = call.memory.pairs.known;
  known.expect(text.size());
  reserve_more(ids, text.size() / 4);
  if (unigram_) {
    for (const Piece& piece : pieces)
      unigram_.encode(std::get<word_models::Unigram>(*pipeline_.words), text, piece, ids, known, call.memory.unigram);
    return;
  }
  std::size_t end = 0;  // of the last piece that is not empty; they follow each other
  for (const Piece& piece : pieces)
    if (piece.end > piece.begin) end = piece.end;
  auto next_piece = [next = pieces.data()](std::size_t) mutable {
    while (next->begin == next->end) ++next;
    return *next++;
  };
  if (pairs_) return pairs_->encode_pieces(text, end, next_piece, ids, call.memory.pairs);
  std::vector<TokenId>& fresh = call.memory.ids;
  const auto make = [&](const WordCache::Key& key, std::string_view word, bool) -> WordCache::Found {
    fresh.clear();
    encode_unseen(word, fresh, call);
    known.insert(key, word, fresh);
    fresh.reserve(WordCache::readable_ids);
    return {fresh.data(), static_cast<std::uint32_t>(fresh.size())};
  };
  const auto may_use = [](const WordCache::Found&) { return true; };
  if (borders_.empty()) return encode_known_words(text, 0, end, known, ids, next_piece, may_use, make);
  for (const Piece& piece : pieces) {
    PieceBorders::Cursor borders(borders_, text.substr(0, piece.end), piece.begin);
    encode_known_words(
        text, piece.begin, piece.end, known, ids,
        [&](std::size_t at) {
          return Piece{at, borders.next()};
        },
        may_use, make);
  }
}

PLUME_FUNCTION void PipelineModel::encode_unseen(std::string_view word, std::vector<TokenId>& ids, Call& call) const {
  if (search_.encode(*pipeline_.words, word, ids, call.memory.words)) return;
  call.tokens.clear();
  encode_word(*pipeline_.words, word, call.tokens);
  for (const WordToken& token : call.tokens) ids.push_back(token.id);
}

// Decodes by the steps of the file; special tokens are left out, or pass through them as any other.
class PipelineDecoder final : public TokenDecoder {
 public:
  PipelineDecoder(const PipelineModel& model, const DecodeOptions& options)
      : model_(&model), options_(options), chain_(model.pipeline().decoders) {}
  void push(TokenId id, std::string& text) override {
    if (options_.special == SpecialTokens::skip && model_->vocabulary.is_special(id)) return;
    std::string token = model_->spelling(id);
    if (std::exchange(started_, true) && model_->pipeline().joins_with_spaces) token.insert(token.begin(), ' ');
    chain_.push(std::move(token), text);
  }
  void finish(std::string& text) override { chain_.finish(text); }
  std::unique_ptr<TokenDecoder> clone() const override { return std::make_unique<PipelineDecoder>(*this); }

 private:
  const PipelineModel* model_;
  DecodeOptions options_;
  DecodeChain chain_;
  bool started_ = false;
};

PLUME_FUNCTION std::unique_ptr<TokenDecoder> PipelineModel::decoder(const DecodeOptions& options) const {
  if (pipeline_.decoding == Decoding::sentencepiece)
    return std::make_unique<SentencePieceDecoder>(vocabulary, pipeline_.sentencepiece, options);
  if (decodes_bytes_ || pipeline_.decoding == Decoding::bytes) return TokenizerModel::decoder(options);
  return std::make_unique<PipelineDecoder>(*this, options);
}

}  // namespace plume::inline PLUME_ABI
#endif
