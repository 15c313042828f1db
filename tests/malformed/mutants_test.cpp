// nightly: 20,000 mutants of each format (4,000 under a sanitizer), each read and used, or refused by an error that names the file and says
// why. PLUME_MUTANTS changes the number, PLUME_MUTANT_SEED the mutants.
#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <iostream>

#include "malformed/allocations.hpp"
#include "malformed/formats.hpp"
#include "malformed/refused.hpp"
#include "test_data.hpp"

using namespace plume_test;

namespace {

std::uint64_t setting(const char* name, std::uint64_t usual) {
  const char* text = std::getenv(name);
  return text && *text ? std::strtoull(text, nullptr, 10) : usual;
}

std::string shown(const Format& format, const Files& files) {
  std::string text;
  for (std::size_t i = 0; i < files.size(); ++i)
    text += plume::concat("\n", format.files[i], ": ", files[i] ? plume::quoted(std::string_view(*files[i]).substr(0, 80)) : "absent");
  return text;
}

void try_mutants(const Format& format) {
  const std::uint64_t count = setting("PLUME_MUTANTS", is_sanitized ? 4'000 : 20'000), seed = setting("PLUME_MUTANT_SEED", 1);
  const Workshop place;
  std::uint64_t accepted = 0, failures = 0;
  std::size_t largest = 0;
  const auto begin = std::chrono::steady_clock::now();
  long before = 0;
  for (std::uint64_t i = 0; i < count && failures < 5; ++i) {
    if (i == 100) before = resident_bytes();
    Dice dice(seed, i);
    const Files files = mutant(format, dice);
    std::size_t bytes = 0;
    for (const auto& file : files) bytes += file ? file->size() : 0;
    try {
      const AllocationWatch watch;
      accepted += outcome_of(format, place, files) == Outcome::accepted ? 1u : 0u;
      largest = std::max(largest, watch.largest());
      if (watch.largest() > bytes + largest_allocation_beyond_file)
        throw std::logic_error(plume::concat("allocates ", watch.largest(), " bytes at once"));
    } catch (const std::logic_error& error) {
      ++failures;
      FAIL_CHECK(std::string(format.name), ", mutant ", i, " of seed ", seed, ": ", std::string(error.what()), shown(format, files));
    }
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  CHECK(resident_bytes() - before < 64 << 20);
  const std::uint64_t share = accepted * 100 / count;
  std::cout << format.name << ": " << count << " mutants, " << share << " % accepted, largest allocation " << largest << " bytes, "
            << seconds.count() << " s\n";
  CHECK(share >= format.fewest);
  CHECK(share <= format.most);
}

void try_mutants(std::string_view name) {
  for (const Format& format : formats())
    if (format.name == name) return try_mutants(format);
  FAIL("no such format");
}

}  // namespace

TEST_CASE("every format has its mutants here, by which tests/fuzz/CMakeLists.txt knows it too") {
  const std::string here = read_all(PLUME_TEST_SOURCE_DIR "/malformed/mutants_test.cpp");
  std::size_t found = 0;
  for (std::size_t at = here.find("{ try_mutants(\""); at != here.npos; at = here.find("{ try_mutants(\"", at + 1)) ++found;
  for (const Format& format : formats()) {
    CAPTURE(std::string(format.name));
    CHECK(here.find(plume::concat("{ try_mutants(\"", format.name, "\"); }")) != here.npos);
  }
  CHECK(found == formats().size());
}

TEST_CASE("mutants of JSON") { try_mutants("json"); }
TEST_CASE("mutants of safetensors") { try_mutants("safetensors"); }
TEST_CASE("mutants of a safetensors index with its shards") { try_mutants("safetensors_index"); }
TEST_CASE("mutants of config.json and its weights") { try_mutants("model"); }
TEST_CASE("mutants of the families' models") { try_mutants("families"); }
TEST_CASE("mutants of encoder-decoders") { try_mutants("encoder_decoders"); }
TEST_CASE("mutants of encoders with what says how they pool") { try_mutants("encoders"); }
TEST_CASE("mutants of models with heads of labels") { try_mutants("heads"); }
TEST_CASE("mutants of models in GGUF files") { try_mutants("gguf_model"); }
TEST_CASE("mutants of llama2.c models") { try_mutants("llama2c"); }
TEST_CASE("mutants of tokenizer.bin") { try_mutants("tokenizer_bin"); }
TEST_CASE("mutants of SentencePiece models") { try_mutants("sentencepiece"); }
TEST_CASE("mutants of ChatGLM's ice_text.model") { try_mutants("ice_text"); }
TEST_CASE("mutants of tokenizer.json") { try_mutants("tokenizer_json"); }
TEST_CASE("mutants of Marian's tokenizer") { try_mutants("marian_tokenizer"); }
TEST_CASE("mutants of BERT's vocab.txt") { try_mutants("bert_vocabulary"); }
TEST_CASE("mutants of GGUF tensors") { try_mutants("gguf"); }
TEST_CASE("mutants of GGUF tensors in parts") { try_mutants("gguf_parts"); }
TEST_CASE("mutants of GGUF vocabularies") { try_mutants("gguf_vocabulary"); }
TEST_CASE("mutants of vocab.json, merges.txt and what stands beside them") { try_mutants("byte_bpe"); }
TEST_CASE("mutants of plume-tokenizer.json") { try_mutants("simple_tokenizer"); }
TEST_CASE("mutants of chats, one a line") { try_mutants("chat_lines"); }
TEST_CASE("mutants of chats in one document") { try_mutants("chat_document"); }
TEST_CASE("mutants of plain text") { try_mutants("text"); }
TEST_CASE("mutants of plume_chat.json") { try_mutants("chat_template"); }
TEST_CASE("mutants of a configuration of pretraining") { try_mutants("pretrain_config"); }
TEST_CASE("mutants of metrics.jsonl") { try_mutants("metrics"); }
TEST_CASE("mutants of PEFT adapters") { try_mutants("adapter"); }
TEST_CASE("mutants of PEFT adapters of encoder-decoders") { try_mutants("pair_adapter"); }
TEST_CASE("mutants of checkpoints") { try_mutants("checkpoint"); }
