// Trains a tokenizer on text files of any size: byte-level BPE (the kind of GPT-2), unigram (SentencePiece's default) or WordPiece (BERT).
// The directory it writes opens in transformers and in Python's tokenizers.
//
//   train_tokenizer --data corpus.txt --vocab-size 4096 --out my-tokenizer
//   train_tokenizer --model unigram --data corpus.txt more.txt --vocab-size 32000 --out my-tokenizer
#include "plume/base/atomic_save.hpp"
#include "plume/base/directory.hpp"
#include "plume/base/files.hpp"
#include "plume/base/json.hpp"
#include "plume/kernels/parallel/context.hpp"
#include "plume/tokenizer/byte_pair_files.hpp"
#include "plume/tokenizer/encode_batch.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"
#include "plume/tokenizer/train_byte_bpe.hpp"
#include "plume/tokenizer/train_unigram.hpp"
#include "plume/tokenizer/train_word_piece.hpp"
#include "step_line.hpp"

namespace {

// The tokens of a text, counted in parts of a few megabytes so that Ctrl-C ends it. A part ends where a line does: no piece reaches over
// the place between a visible character and white space.
std::size_t count_tokens(const plume::Tokenizer& tokenizer, std::string_view text, const plume::StopToken& stop, example::StepLine& line) {
  std::size_t tokens = 0;
  const auto size = static_cast<double>(text.size());
  while (!text.empty()) {
    stop.check();
    line.show("counting tokens", (size - static_cast<double>(text.size())) / 1e6, size / 1e6, " MB");
    std::size_t end = text.find('\n', std::min<std::size_t>(text.size(), std::size_t{1} << 22));
    while (end != text.npos && (text[end - 1] == '\n' || text[end - 1] == '\r' || text[end - 1] == ' ')) end = text.find('\n', end + 1);
    const plume::EncodeOptions options{
        .special = plume::SpecialText::recognise, .begin = plume::Begin::nothing, .end = plume::End::nothing};
    tokens += plume::encode_parallel(tokenizer, text.substr(0, end), options).size();
    text.remove_prefix(std::min(end, text.size()));
  }
  return tokens;
}

}  // namespace

int main(int argc, char** argv) {
  example::Flags flags("train_tokenizer", "Trains a tokenizer on text files of any size.");
  const auto& model = flags.choice("--model", "bpe", {"bpe", "unigram", "wordpiece"}, "kind: byte-level BPE, unigram, or WordPiece");
  const auto& data = flags.list("--data FILE...", example::required, "text files to learn from");
  const auto& vocabulary_size = flags.number("--vocab-size N", plume::Index{4096},
                                             "tokens to learn; special tokens, bytes and characters are among them", {.min = 1});
  const auto& special = flags.list(
      "--special TOKEN...",
      "special tokens; bpe: the first one marks the end of a text; unless given, <|endoftext|>, or <unk> <s> </s>, or BERT's five");
  const auto& minimum = flags.number("--min-count N", plume::Index{2}, "bpe, wordpiece: pairs seen less often are not merged", {.min = 1});
  const auto& coverage = flags.number("--character-coverage X", 0.9995,
                                      "unigram: share of the text's characters that are tokens; others become bytes", {.min = 0, .max = 1});
  const auto& nfkc = flags.toggle("--nfkc", "unigram: compatibility forms of Unicode become one; decoding no longer gives them back");
  const auto& cased = flags.toggle("--cased", "wordpiece: keep upper case and accents");
  const auto& out = flags.text("--out DIR", example::required, "directory for tokenizer.json, tokenizer_config.json and so on");
  const auto& threads = flags.threads();
  const auto& json = flags.json();
  const auto& quiet = flags.quiet();

  return flags.run(argc, argv, [&] {
    const bool unigram = model == "unigram", word_piece = model == "wordpiece";
    for (const auto& [flag, fits] :
         {std::pair("--min-count", !unigram), {"--character-coverage", unigram}, {"--nfkc", unigram}, {"--cased", word_piece}})
      if (!fits && flags.given(flag)) throw example::UsageError(flag, plume::concat("means nothing with --model ", model));
    if (coverage == 0) throw example::UsageError("--character-coverage", "must be more than 0");

    const example::Stopwatch watch;
    example::StepLine line(quiet ? example::StepLine::Output::none : example::StepLine::Output::shown);
    const plume::StopToken stop = example::stop_on_signal();
    const plume::Context context({.threads = threads});
    const plume::ContextScope scope(context);
    plume::Index bytes = 0;
    const plume::TrainTokenizerReport report = [&](const plume::TrainTokenizerProgress& now) {
      using enum plume::TrainTokenizerProgress::Phase;
      const auto done = static_cast<double>(now.done), total = static_cast<double>(now.total);
      if (now.phase == count) line.show("counting words", done / 1e6, static_cast<double>(bytes) / 1e6, " MB");
      if (now.phase == merge) line.show("tokens", done, total, "");
      if (now.phase == seed) line.show("looking for frequent substrings of different words,", total, 0, "");
      if (now.phase == prune) line.show("pieces dropped", done, total, "");
    };

    // What a trainer refuses to begin with is a wrong flag.
    const auto train = [&](auto make) {
      auto trainer = [&] {
        try {
          return make();
        } catch (const plume::ArgumentError& error) {
          throw example::UsageError("--special", error.what());
        }
      }();
      for (const std::string& file : data) bytes += static_cast<plume::Index>(plume::FileMapping::open(file)->bytes().size());
      plume::make_directory(out);  // a directory that cannot be made is known before the work
      line.remark(plume::concat("reading ", bytes, " bytes from ", data.size(), " files; counting their pieces"));
      for (const std::string& file : data) trainer->add_file(file);
      line.remark(unigram ? "choosing pieces" : "merging pairs");
      return trainer->train();
    };
    plume::Tokenizer tokenizer;
    plume::Index merges = 0;
    if (unigram) {
      plume::TrainUnigramOptions options{
          .vocabulary_size = vocabulary_size, .character_coverage = coverage, .stop = stop, .report = report};
      options.normalization = nfkc ? plume::TextNormalization::nfkc : plume::TextNormalization::none;
      if (!special.empty()) options.special_tokens = special;
      tokenizer = train([&] { return std::make_unique<plume::UnigramTrainer>(options); });
    } else if (word_piece) {
      plume::TrainWordPieceOptions options{.vocabulary_size = vocabulary_size, .minimum_count = minimum, .stop = stop, .report = report};
      options.letter_case = cased ? plume::LetterCase::keep : plume::LetterCase::lower;
      if (!special.empty()) options.special_tokens = special;
      tokenizer = train([&] { return std::make_unique<plume::WordPieceTrainer>(options); });
    } else {
      plume::TrainByteBpeOptions options{.vocabulary_size = vocabulary_size, .minimum_count = minimum, .stop = stop, .report = report};
      if (!special.empty()) options.special_tokens = special;
      const auto least = static_cast<plume::Index>(options.special_tokens.size()) + 256;
      if (vocabulary_size < least)
        throw example::UsageError("--vocab-size", plume::concat("must be at least ", least, ": 256 bytes and the special tokens"));
      tokenizer = train([&] { return std::make_unique<plume::ByteBpeTrainer>(options); });
      merges = tokenizer.vocabulary() - least;
      const std::string file = plume::write_tokenizer_json(tokenizer);
      plume::atomic_save(out + "/tokenizer.json", [&](plume::FileWriter& to) { to.write(file); });
    }
    plume::save_tokenizer(tokenizer, out);
    const double seconds = watch.seconds();

    line.remark(plume::concat("written to ", out, "; counting the tokens of the text"));
    std::size_t tokens = 0;
    for (const std::string& file : data) {
      const auto mapping = plume::FileMapping::open(file);
      const auto content = mapping->bytes();
      tokens += count_tokens(tokenizer, {reinterpret_cast<const char*>(content.data()), content.size()}, stop, line);
    }
    const double bytes_per_token = tokens == 0 ? 0.0 : static_cast<double>(bytes) / static_cast<double>(tokens);
    char text[120];
    std::snprintf(text, sizeof text, ": %lld tokens, %.2f bytes a token on the training text, %.1f s",
                  static_cast<long long>(tokenizer.vocabulary()), bytes_per_token, seconds);
    line.remark(out + text);
    if (tokenizer.vocabulary() < vocabulary_size)
      line.remark(plume::concat("the text yields no more than these of the ", vocabulary_size, " tokens"));
    if (json) {
      plume::Json report_of_run = plume::Json::object();
      report_of_run.set("vocab_size", tokenizer.vocabulary())
          .set("merges", merges)
          .set("seconds", seconds)
          .set("bytes_per_token", bytes_per_token)
          .set("model", model);
      std::printf("%s\n", plume::dump(report_of_run).c_str());
    }
  });
}
