// Trains a byte-level BPE tokenizer, the kind of GPT-2, on text files. The directory it writes opens in transformers.
//
//   train_tokenizer --data corpus.txt --vocab-size 4096 --out my-tokenizer
#include "command_line.hpp"
#include "plume/base/files.hpp"
#include "plume/base/json.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"
#include "plume/tokenizer/train_byte_bpe.hpp"

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
    std::vector<std::string> texts;
    std::size_t bytes = 0, tokens = 0;
    for (const std::string& file : data) bytes += texts.emplace_back(plume::read_text(file)).size();
    if (!quiet) std::fprintf(stderr, "read %zu bytes from %zu files\n", bytes, texts.size());

    plume::TrainByteBpeOptions options{.vocabulary_size = vocabulary_size, .stop = example::stop_on_signal()};
    if (!special.empty()) options.special_tokens = special;
    const plume::Tokenizer tokenizer = plume::train_byte_bpe(texts, options);
    plume::save_tokenizer(tokenizer, out);

    const double seconds = watch.seconds();
    for (const std::string& text : texts) tokens += tokenizer.encode(text, {.special = plume::SpecialText::recognise}).size();
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
