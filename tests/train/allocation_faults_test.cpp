// Whichever allocation fails, once or from then on: OutOfMemory, nothing leaks, what was there before is as it was, and the same call works
// afterwards.
#include <doctest/doctest.h>

#include <set>

#include "plume/base/json.hpp"
#include "plume/generate/generate.hpp"
#include "plume/models/encoder_decoder_files.hpp"
#include "plume/models/encoder_files.hpp"
#include "plume/models/load.hpp"
#include "plume/models/save.hpp"
#include "plume/peft/adapter_files.hpp"
#include "plume/testing/failing_allocations.hpp"
#include "plume/testing/failing_files.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"
#include "plume/tokenizer/train_byte_bpe.hpp"
#include "temporary_folder.hpp"
#include "test_data.hpp"
#include "train/toy.hpp"

using namespace plume;
using namespace plume::testing;
using plume_test::TemporaryFolder;

namespace {

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

// Paths and bytes of all files below a folder.
std::string contents(const std::string& folder) {
  std::set<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    files.insert(entry.path().string() + (entry.is_regular_file() ? "\n" + plume_test::read_all(entry.path().string()) : "/"));
  std::string all;
  for (const std::string& file : files) all += file;
  return all;
}

enum class Outcome : std::uint8_t { success, out_of_memory, bad_alloc, another };

template <class Body>
Outcome end_of(Body& body, AllocationFault fault, std::int64_t* calls = nullptr) {
  const FailingAllocations failing(fault);
  Outcome end = Outcome::success;
  try {
    body();
  } catch (const OutOfMemory& error) {
    end = std::string_view(error.what()).starts_with("out of memory: ") ? Outcome::out_of_memory : Outcome::another;
  } catch (const std::bad_alloc&) {
    end = Outcome::bad_alloc;
  } catch (...) {
    end = Outcome::another;
  }
  if (calls != nullptr) *calls = failing.calls();
  return end;
}

// Fails every allocation of body(thing), or `most` of them evenly spread, in both ways; a fresh thing = make() is there each time, and is
// gone before anything is counted. `check` follows each failure.
template <class Make, class Body, class Check>
void fail_each_with(std::string_view what, Make&& make, Body&& body, Check&& check, std::int64_t most = 400) {
  CAPTURE(what);
  const auto run = [&](AllocationFault fault, std::int64_t* calls = nullptr) {
    auto thing = make();
    auto call = [&] { body(thing); };
    return end_of(call, fault, calls);
  };
  REQUIRE(run({}) == Outcome::success);  // what is made once and stays
  const std::int64_t live = live_allocations();
  std::int64_t calls = 0;
  REQUIRE(run({}, &calls) == Outcome::success);
  REQUIRE(live_allocations() == live);
  REQUIRE(calls > 0);
  const std::size_t descriptors = open_descriptors();
  std::int64_t failures = 0;
  const std::int64_t stride = std::max<std::int64_t>(1, calls / most), edge = most / 10;
  for (std::int64_t call = 0; call < calls; call += call < edge || call + edge > calls ? 1 : stride) {
    for (const Exhausted exhausted : {Exhausted::once, Exhausted::from_then_on}) {
      const Outcome end = run({.call = call, .exhausted = exhausted});
      CAPTURE(call);
      // What fails once may be one that the library can do without: a thread, a wish.
      REQUIRE((end == Outcome::out_of_memory || (end == Outcome::success && exhausted == Exhausted::once)));
      REQUIRE(live_allocations() == live);
      REQUIRE(open_descriptors() == descriptors);
      if (end == Outcome::out_of_memory) ++failures;
      check();
    }
  }
  CHECK(failures > calls / stride);
  REQUIRE(run({}) == Outcome::success);
  CHECK(live_allocations() == live);
  MESSAGE(what, ": ", calls, " allocations, ", failures, " failures");
}
template <class Body, class Check>
void fail_each(std::string_view what, Body&& body, Check&& check, std::int64_t most = 400) {
  fail_each_with(
      what, [] { return 0; }, [&](int) { body(); }, check, most);
}

// A small model with a byte-level tokenizer, and its folder.
struct Fixture {
  Model model;
  TemporaryFolder folder;
  Fixture() {
    const std::string text = toy::corpus(40);
    const Tokenizer tokenizer = train_byte_bpe(std::vector<std::string>{text}, {.vocabulary_size = 270});
    model = Model{toy::model(tokenizer.vocabulary(), 5, 16, 64), tokenizer};
    save(model, folder / "model");
  }
};

}  // namespace

TEST_CASE("loading a model and a tokenizer") {
  const Fixture fixture;
  const std::string path = fixture.folder / "model", before = contents(path);
  const std::vector<float> expected = toy::weights(fixture.model.decoder);
  const auto works = [&] { CHECK((toy::weights(load(path).decoder) == expected)); };
  int failures = 0;
  fail_each(
      "load", [&] { load(path); },
      [&] {
        if (++failures % 100 == 0) works();
      });
  fail_each(
      "load, mapped", [&] { load(path, {.mapping = Mapping::map}); }, [] {}, 100);
  fail_each(
      "load_tokenizer", [&] { load_tokenizer(path); }, [] {});
  works();
  CHECK(contents(path) == before);
}

TEST_CASE("a session goes on after any failure with the tokens that it would have drawn") {
  const Fixture fixture;
  const Adapter adapter = attach(fixture.model, {.rank = 2, .targets = {"all-linear"}});
  for (const LinearAdapters* const through : {static_cast<const LinearAdapters*>(nullptr), static_cast<const LinearAdapters*>(&adapter)}) {
    const SessionOptions options{.context = 64, .threads = 1, .adapter = through};
    const SamplingOptions sampling{.temperature = 0.9f, .top_k = 20, .top_p = 0.95f, .repetition_penalty = 1.1f, .seed = 4};
    const std::vector<TokenId> prompt = fixture.model.tokenizer.encode("bob sees the ");
    const auto draw = [&](Session& session, std::size_t until) {
      if (session.tokens().empty()) session.feed(prompt);
      while (session.tokens().size() < until) session.next(sampling);
    };
    Session serial(fixture.model, options);
    draw(serial, 50);
    fail_each(
        "Session",
        [&] {
          Session session(fixture.model, options);
          draw(session, 20);
        },
        [] {});
    // A session that failed at each allocation in turn, and went on each time.
    for (const Exhausted exhausted : {Exhausted::once, Exhausted::from_then_on}) {
      for (std::int64_t call = 0; call < 120; call += 1 + call / 20) {
        Session session(fixture.model, options);
        auto body = [&] { draw(session, 50); };
        end_of(body, {.call = call, .exhausted = exhausted});
        CAPTURE(call);
        REQUIRE(end_of(body, {}) == Outcome::success);
        REQUIRE(session.tokens() == serial.tokens());
      }
    }
  }
}

TEST_CASE("generating, encoding and decoding") {
  const Fixture fixture;
  const GenerateOptions options{.max_tokens = 12, .sampling = {.temperature = 0.8f, .seed = 2}, .stop = {"\n\n"}, .threads = 1};
  const std::string expected = generate(fixture.model, "ann likes", options).text;
  // A tokenizer keeps words that it met, so each run has one of its own.
  const std::string path = fixture.folder / "model", sentence = "the old man paints an apple";
  fail_each_with(
      "generate", [&] { return load(path); }, [&](const Model& model) { generate(model, "ann likes", options, [](std::string_view) {}); },
      [] {});
  CHECK(generate(fixture.model, "ann likes", options).text == expected);
  fail_each_with(
      "encode and decode", [&] { return load_tokenizer(path); },
      [&](const Tokenizer& tokenizer) { tokenizer.decode(tokenizer.encode(sentence)); }, [] {});
  // One that failed at each allocation in turn, among words that it had not met, and went on each time.
  const Tokenizer tokenizer = load_tokenizer(path);
  int failures = 0;
  for (const Exhausted exhausted : {Exhausted::once, Exhausted::from_then_on}) {
    for (std::int64_t call = 0; call < 40; ++call) {
      const std::string text =
          plume::concat(sentence, " unmet", call, std::string(20 + static_cast<std::size_t>(call), 'x'), " twice", call);
      const std::vector<TokenId> ids = load_tokenizer(path).encode(text);
      auto body = [&] { tokenizer.encode(text); };
      failures += end_of(body, {.call = call % 5, .exhausted = exhausted}) == Outcome::out_of_memory;
      REQUIRE(tokenizer.encode(text) == ids);
    }
  }
  CHECK(failures > 20);
}

TEST_CASE("attaching, merging, and adapter files") {
  Fixture fixture;
  const std::vector<float> before = toy::weights(fixture.model.decoder);
  const Lora options{.rank = 2, .targets = {"all-linear"}};
  const Adapter adapter = attach(fixture.model, options);
  const auto is_untouched = [&] { REQUIRE((toy::weights(fixture.model.decoder) == before)); };
  fail_each(
      "attach", [&] { attach(fixture.model, options); }, is_untouched);
  fail_each_with(
      "merge", [&] { return std::pair(fixture.model, attach(fixture.model, options)); },
      [&](auto& pair) {
        merge(pair.first, pair.second);  // into handles of its own: the weights of the fixture stay
        unmerge(pair.first, pair.second);
      },
      is_untouched, 150);
  const std::string path = fixture.folder / "adapter";
  save(adapter, path);
  const std::string saved = contents(path);
  fail_each(
      "load_adapter", [&] { load_adapter(path, fixture.model); }, is_untouched, 200);
  fail_each(
      "save an adapter", [&] { save(adapter, path); }, [&] { REQUIRE(contents(path) == saved); }, 60);
}

TEST_CASE("saving a model leaves the old files or the new ones, and no others") {
  const Fixture fixture;
  for (const std::string& path : {fixture.folder / "again", fixture.folder / "again.bin"}) {
    save(fixture.model, path);
    const std::string before = contents(fixture.folder.path());
    fail_each(
        "save", [&] { save(fixture.model, path); }, [&] { REQUIRE(contents(fixture.folder.path()) == before); }, 60);
  }
}

TEST_CASE("saving encoders and encoder-decoders leaves the old files or the new ones, and no others") {
  const TemporaryFolder folder;
  const Encoder encoder = load_encoder(plume_test::golden("encoders/bert"));
  const EncoderDecoder pair = load_encoder_decoder(plume_test::golden("encoder_decoders/t5"));
  const std::string of_encoder = folder / "encoder", of_pair = folder / "pair";
  save(encoder, of_encoder);
  save(pair, of_pair);
  const std::string before = contents(folder.path());
  const auto as_before = [&] { REQUIRE(contents(folder.path()) == before); };
  fail_each(
      "save an encoder", [&] { save(encoder, of_encoder); }, as_before, 60);
  fail_each(
      "save an encoder-decoder", [&] { save(pair, of_pair); }, as_before, 60);
}

TEST_CASE("training: the checkpoints stay whole, and the run that goes on ends as if nothing had happened") {
  const toy::Data data;
  struct Training {
    Decoder decoder;
    PackedWindows windows;
    TrainOptions options = toy::options(6);
    Training(const toy::Data& data, const std::string& directory)
        : decoder(toy::model(data.tokenizer.vocabulary(), 1, 16)), windows(data.training, {.sequence = 16, .seed = 3}) {
      options.checkpoint_every = 2;
      options.log_every = 3;
      options.directory = directory;
      options.resume = Resume::newest;
      options.files = std::make_shared<FailingFiles>(Fault{});  // does not wait for the disk
    }
    void operator()() { train(decoder, windows, NoEvaluation{}, options); }
  };
  const TemporaryFolder whole, folder;
  Training uninterrupted(data, whole.path());
  uninterrupted();
  const std::string checkpoints = folder / "checkpoints";
  const auto back_to_step_4 = [&] {
    std::filesystem::remove_all(checkpoints);
    std::filesystem::copy(whole / "checkpoints", checkpoints, std::filesystem::copy_options::recursive);
    std::filesystem::remove_all(checkpoints + "/step-6");
  };
  std::filesystem::copy(whole / "metrics.jsonl", folder / "metrics.jsonl");
  int failures = 0;
  fail_each_with(
      "train",
      [&] {
        back_to_step_4();
        return std::make_unique<Training>(data, folder.path());
      },
      [](const std::unique_ptr<Training>& training) { (*training)(); },
      [&] {
        REQUIRE(newest_checkpoint(checkpoints).value().step >= 4);
        if (++failures % 8 != 0) return;
        Training again(data, folder.path());
        again();
        REQUIRE((toy::weights(again.decoder) == toy::weights(uninterrupted.decoder)));
        for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path()))
          REQUIRE(entry.path().string().find(".tmp-") == std::string::npos);
      },
      100);
}
