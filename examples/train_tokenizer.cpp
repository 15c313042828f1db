// Trains a byte-level BPE tokenizer, the kind of GPT-2, on text files. The directory it writes opens in transformers.
//
//   train_tokenizer --data corpus.txt --vocab-size 4096 --out my-tokenizer
#include "command_line.hpp"
#include "plume/base/directory.hpp"
#include "plume/base/files.hpp"
#include "plume/base/json.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"
#include "plume/tokenizer/train_byte_bpe.hpp"

namespace {

// The tokens of a text, counted in parts of about a megabyte so that Ctrl-C ends it. A part ends where a line does: no piece reaches over
// the place between a visible character and white space.
std::size_t count_tokens(const plume::Tokenizer& tokenizer, std::string_view text, const plume::StopToken& stop) {
  std::size_t tokens = 0;
  while (!text.empty()) {
    stop.check();
    std::size_t end = text.find('\n', std::min<std::size_t>(text.size(), 1u << 20));
    while (end != text.npos && (text[end - 1] == '\n' || text[end - 1] == '\r' || text[end - 1] == ' ')) end = text.find('\n', end + 1);
    tokens += tokenizer.encode(text.substr(0, end), {.special = plume::SpecialText::recognise}).size();
    text.remove_prefix(std::min(end, text.size()));
  }
  return tokens;
}

}  // namespace

int main(int argc, char** argv) {
  example::Flags flags("train_tokenizer", "Trains a byte-level BPE tokenizer on text files.");
  const auto& data = flags.list("--data FILE...", example::required, "text files to learn from");
  const auto& vocabulary_size =
      flags.number("--vocab-size N", plume::Index{4096}, "tokens to learn; 256 bytes and the special tokens are among them", {.min = 257});
  const auto& special =
      flags.list("--special TOKEN...", "special tokens; the first one marks the end of a text; unless given, <|endoftext|>");
  const auto& out = flags.text("--out DIR", example::required, "directory for vocab.json, merges.txt and tokenizer_config.json");
  const auto& json = flags.json();
  const auto& quiet = flags.quiet();

  return flags.run(argc, argv, [&] {
    const example::Stopwatch watch;
    const auto remark = [&](std::string_view text) {
      if (!quiet) std::fprintf(stderr, "%s\n", std::string(text).c_str());
    };
    const plume::StopToken stop = example::stop_on_signal();
    plume::TrainByteBpeOptions options{.vocabulary_size = vocabulary_size, .stop = stop};
    if (!special.empty()) options.special_tokens = special;
    const auto least = static_cast<plume::Index>(options.special_tokens.size()) + 256;
    if (vocabulary_size < least)
      throw example::UsageError("--vocab-size", plume::concat("must be at least ", least, ": 256 bytes and the special tokens"));
    plume::ByteBpeTrainer trainer = [&] {
      try {
        return plume::ByteBpeTrainer(options);
      } catch (const plume::ArgumentError& error) {
        throw example::UsageError("--special", error.what());
      }
    }();

    std::vector<std::string> texts;
    std::size_t bytes = 0, tokens = 0;
    for (const std::string& file : data) bytes += texts.emplace_back(plume::read_text(file)).size();
    plume::make_directory(out);  // a directory that cannot be made is known before the work
    remark(plume::concat("read ", bytes, " bytes from ", texts.size(), " files; counting their pieces"));
    for (const std::string& text : texts) trainer.add(text);
    remark("merging pairs");
    const plume::Tokenizer tokenizer = trainer.train();
    plume::save_tokenizer(tokenizer, out);
    const double seconds = watch.seconds();

    remark(plume::concat("written to ", out, "; counting the tokens of the text"));
    for (const std::string& text : texts) tokens += count_tokens(tokenizer, text, stop);
    const double bytes_per_token = tokens == 0 ? 0.0 : static_cast<double>(bytes) / static_cast<double>(tokens);
    const plume::Index merges = tokenizer.vocabulary() - 256 - static_cast<plume::Index>(options.special_tokens.size());
    if (!quiet)
      std::fprintf(stderr, "%s: %lld tokens, %.2f bytes a token on the training text, %.1f s\n", out.c_str(),
                   static_cast<long long>(tokenizer.vocabulary()), bytes_per_token, seconds);
    if (json) {
      plume::Json report = plume::Json::object();
      report.set("vocab_size", tokenizer.vocabulary())
          .set("merges", merges)
          .set("seconds", seconds)
          .set("bytes_per_token", bytes_per_token);
      std::printf("%s\n", plume::dump(report).c_str());
    }
  });
}
