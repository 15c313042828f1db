// The malformed-input catalogue for checkpoints (C). What does not verify is passed over for the checkpoint before, with a warning; what
// verifies and does not fit the run is refused, and model, optimiser and data stay as they are.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>

#include "plume/train/train.hpp"
#include "temporary_folder.hpp"
#include "test_data.hpp"
#include "train/toy.hpp"

using namespace plume;
using plume_test::TemporaryFolder;

namespace {

const toy::Data& data() {
  static const toy::Data all;
  return all;
}

struct Run {
  TrainOptions options = toy::options(8);
  Decoder decoder = toy::model(data().tokenizer.vocabulary(), 1);
  TokenDataset text = data().training;
  std::vector<std::string> warnings;
  explicit Run(const std::string& directory) {
    options.checkpoint_every = 4;
    options.directory = directory;
    options.resume = Resume::newest;
  }
  TrainResult operator()() {
    PackedWindows windows(text, {.sequence = 32, .seed = 0});
    return train(decoder, windows, NoEvaluation{}, options, {.warning = [&](const std::string& warning) { warnings.push_back(warning); }});
  }
};

// A finished run with checkpoints of steps 4 and 8.
struct Finished {
  TemporaryFolder folder;
  std::string newest = folder / "checkpoints/step-8", older = folder / "checkpoints/step-4";
  Finished() { Run{folder.path()}(); }

  // The newest does not verify: reading it throws Error, a run goes on from the older one and says so.
  template <class Error>
  void passed_over(std::string_view word) const {
    CAPTURE(word);
    try {
      read_checkpoint(newest);
      FAIL_CHECK("it verifies");
    } catch (const Error& error) {
      CHECK_MESSAGE(std::string(error.what()).find(word) != std::string::npos, std::string(error.what()));
    } catch (const plume::Error& error) {
      FAIL_CHECK("another type of error: ", std::string(error.what()));
    }
    std::vector<std::string> skipped;
    const auto found = newest_checkpoint(folder / "checkpoints", [&](const std::string& text) { skipped.push_back(text); });
    REQUIRE(found);
    CHECK(found->step == 4);
    REQUIRE(skipped.size() == 1);
    CHECK(skipped[0].find("step-8 is skipped") != std::string::npos);
  }
  // The newest, whole but changed, is refused by a run, which changes nothing.
  template <class Error>
  void refused(const std::function<void(Checkpoint&)>& change, std::string_view word, const std::function<void(Run&)>& other = {}) const {
    CAPTURE(word);
    Checkpoint checkpoint = read_checkpoint(newest);
    for (auto* tensors : {&checkpoint.weights, &checkpoint.optimizer})
      for (NamedTensor& named : *tensors) named.tensor = named.tensor.copy();
    change(checkpoint);
    std::filesystem::remove_all(newest);
    write_checkpoint(folder / "checkpoints", checkpoint);
    Run run(folder.path());
    if (other) other(run);
    const std::vector<float> before = toy::weights(run.decoder);
    try {
      run();
      FAIL_CHECK("not refused");
    } catch (const Error& error) {
      CHECK_MESSAGE(std::string(error.what()).find(word) != std::string::npos, std::string(error.what()));
    } catch (const plume::Error& error) {
      FAIL_CHECK("another type of error: ", std::string(error.what()));
    }
    CHECK(toy::weights(run.decoder) == before);
  }
  void refused_run(const std::function<void(Run&)>& other, std::string_view word) const {
    refused<ConfigError>([](Checkpoint&) {}, word, other);
  }
};

void write_bytes(const std::string& path, std::string_view bytes) { std::ofstream(path, std::ios::binary) << bytes; }

// A manifest with a right checksum.
void change_manifest(const std::string& checkpoint, const std::function<void(Json&)>& change) {
  const std::string path = checkpoint + "/manifest.json";
  Json manifest = Json::parse(plume_test::read_all(path)).at("manifest");
  change(manifest);
  const std::string text = dump(manifest);
  write_bytes(path, dump(Json::object().set("manifest", manifest).set("checksum", crc32c(std::as_bytes(std::span(text))))));
}
// The manifest agrees with what one of its files holds now.
void accept_file(const std::string& checkpoint, const std::string& name) {
  const std::string content = plume_test::read_all(checkpoint + "/" + name);
  change_manifest(checkpoint, [&](Json& manifest) {
    Json list = Json::array();
    for (Json file : manifest.at("files").items()) {
      if (file.text("name") == name) file.set("bytes", content.size()).set("crc32c", crc32c(std::as_bytes(std::span(content))));
      list.push(file);
    }
    manifest.set("files", list);
  });
}
// state.json changed at "a.b", in a checkpoint that is then written anew.
std::function<void(Checkpoint&)> state(const std::string& parent, const std::string& key, const Json& value) {
  return [=](Checkpoint& checkpoint) {
    if (parent.empty()) {
      checkpoint.state.set(key, value);
      return;
    }
    Json part = checkpoint.state.at(parent);
    part.set(key, value);
    checkpoint.state.set(parent, part);
  };
}
Json without(const Json& object, std::string_view key) {
  Json result = Json::object();
  for (const Json::Member& member : object.members())
    if (member.key != key) result.set(member.key, member.value);
  return result;
}
NamedTensor& named(std::vector<NamedTensor>& tensors, std::string_view prefix) {
  for (NamedTensor& each : tensors)
    if (each.name.starts_with(prefix)) return each;
  throw ArgumentError("no such tensor");
}

constexpr const char* parts[] = {"manifest.json", "state.json", "weights.safetensors", "optimizer.safetensors"};

}  // namespace

TEST_CASE("C1 a file of length zero") {
  for (const char* part : parts) {
    const Finished run;
    write_bytes(run.newest + "/" + part, "");
    run.passed_over<FormatError>(part);
  }
}

TEST_CASE("C2 files cut at every 4 KiB and in the last byte") {
  const Finished run;
  for (const char* part : parts) {
    const std::string path = run.newest + "/" + part, bytes = plume_test::read_all(path);
    std::vector<std::size_t> cuts = {1, bytes.size() / 2, bytes.size() - 3};
    for (std::size_t at = 4096; at < bytes.size(); at += 4096) cuts.push_back(at);
    for (const std::size_t cut : cuts) {
      write_bytes(path, std::string_view(bytes).substr(0, cut));
      CHECK_THROWS_AS(read_checkpoint(run.newest), FormatError);
    }
    run.passed_over<FormatError>(part == parts[0] ? "manifest.json" : "bytes, the manifest says");
    write_bytes(path, bytes);
  }
  CHECK_NOTHROW(read_checkpoint(run.newest));
}

TEST_CASE("C3 one bit flipped anywhere") {
  const Finished run;
  for (const char* part : parts) {
    const std::string path = run.newest + "/" + part, bytes = plume_test::read_all(path);
    for (std::size_t i = 0; i < 40; ++i) {
      std::string flipped = bytes;
      const std::size_t at = (i * 7919) % (bytes.size() - 2);
      flipped[at] = static_cast<char>(flipped[at] ^ (1 << i % 7));
      if (part == parts[0] && std::string_view(" \n").find(bytes[at]) != std::string_view::npos)
        continue;  // blanks between values say nothing
      write_bytes(path, flipped);
      CAPTURE(at);
      CHECK_THROWS_AS(read_checkpoint(run.newest), InputError);
    }
    write_bytes(path, bytes);
  }
  const std::string path = run.newest + "/weights.safetensors";
  std::string bytes = plume_test::read_all(path);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_bytes(path, bytes);
  run.passed_over<FormatError>("weights.safetensors: is damaged: its checksum");
}

TEST_CASE("C4 wrong magic, and a newer format version") {
  const Finished run;
  change_manifest(run.newest, [](Json& manifest) { manifest.set("magic", "plume-checkpoinT"); });
  run.passed_over<ConfigError>("manifest.magic");
  change_manifest(run.newest, [](Json& manifest) { manifest.set("magic", "plume-checkpoint").set("format", 2); });
  run.passed_over<ConfigError>("is version 2, this library reads version 1");
}

TEST_CASE("C5 a checkpoint of another model") {
  const Finished run;
  run.refused<ConfigError>([](Checkpoint& checkpoint) { checkpoint.model = "vocabulary 7"; }, "is of another model (vocabulary 7)");
  const Finished again;
  again.refused_run([](Run& other) { other.decoder = toy::model(data().tokenizer.vocabulary(), 1, 64); }, "width 64");
}

TEST_CASE("C6 number or shape of the parameters differs") {
  Finished().refused<ConfigError>(
      [](Checkpoint& checkpoint) { std::erase_if(checkpoint.weights, [](const NamedTensor& each) { return each.name == "norm.weight"; }); },
      "norm.weight: this tensor is missing");
  Finished().refused<ConfigError>(
      [](Checkpoint& checkpoint) {
        checkpoint.weights.push_back({"more", Tensor::zeros({2})});
      },
      "tensors, this run needs");
  Finished().refused<ConfigError>([](Checkpoint& checkpoint) { named(checkpoint.weights, "norm.weight").tensor = Tensor::zeros({31}); },
                                  "norm.weight: has shape");
}

TEST_CASE("C7 another optimiser") {
  Finished().refused_run([](Run& other) { other.options.optimizer = SgdOptions{}; }, "\"adamw\", this run uses sgd");
}

TEST_CASE("C8 moments missing, negative or NaN") {
  Finished().refused<ConfigError>(
      [](Checkpoint& checkpoint) {
        std::erase_if(checkpoint.optimizer, [](const NamedTensor& each) { return each.name == "second.norm.weight"; });
      },
      "second.norm.weight: this tensor is missing");
  Finished().refused<ConfigError>([](Checkpoint& checkpoint) { named(checkpoint.optimizer, "second.").tensor.fill(-1); },
                                  "a second moment is a mean of squares");
  const Finished finished;  // what is not finite is not even written
  Checkpoint checkpoint = read_checkpoint(finished.newest);
  for (NamedTensor& each : checkpoint.optimizer) each.tensor = each.tensor.copy();
  named(checkpoint.optimizer, "first.").tensor.fill(std::nan(""));
  CHECK_THROWS_WITH_AS(write_checkpoint(finished.folder / "checkpoints", checkpoint), doctest::Contains("first."), NumericError);
  std::string bytes = plume_test::read_all(finished.newest + "/optimizer.safetensors");  // nor read
  const float nan = std::nanf("");
  std::memcpy(bytes.data() + bytes.size() - sizeof nan, &nan, sizeof nan);
  write_bytes(finished.newest + "/optimizer.safetensors", bytes);
  accept_file(finished.newest, "optimizer.safetensors");
  Run run(finished.folder.path());
  const std::vector<float> before = toy::weights(run.decoder);
  CHECK_THROWS_WITH_AS(run(), doctest::Contains("step-8/optimizer.safetensors"), NumericError);
  CHECK(toy::weights(run.decoder) == before);
}

TEST_CASE("C9 random number state of another size") {
  Finished().refused<ConfigError>(state("", "random", Json::array().push(0).push(16)), "must be [seed, stream, counter], has 2 elements");
  Finished().refused<ConfigError>(state("", "random", Json::array().push(-1).push(16).push(0)), "random[0]");
  Finished().refused_run([](Run& other) { other.options.seed = 5; }, "of seed 0, this run of 5");
}

TEST_CASE("C10 step negative, past the end or not that of the directory") {
  Finished().refused<ConfigError>(state("", "step", -3), "step: ");
  Finished().refused<ConfigError>(state("", "step", 7), "is 7, the manifest says 8");
  Finished().refused<ConfigError>(state("optimizer", "updates", 9), "state.optimizer.updates: is 9 after 8 steps");
  Finished().refused_run([](Run& other) { other.options.steps = 6; }, "is 8, this run ends at step 6");
  const Finished run;
  change_manifest(run.newest, [](Json& manifest) { manifest.set("step", -8); });
  run.passed_over<ConfigError>("expected at least 0");
  change_manifest(run.newest, [](Json& manifest) { manifest.set("step", 4); });
  run.passed_over<ConfigError>("named for step 8");
}

TEST_CASE("C11 data cursor past the data, other data") {
  Finished().refused<ConfigError>(state("data", "position", 1'000'000), "step-8: state.data.position");
  Finished().refused<ConfigError>(state("data", "epoch", -1), "epoch");
  for (const std::int64_t many : {std::numeric_limits<std::int64_t>::max(), (std::int64_t{1} << 53) + 1}) {  // would overflow, going on
    Finished().refused<ConfigError>(state("data", "epoch", many), "epoch");
    Finished().refused<ConfigError>(state("", "tokens", many), "tokens");
    Finished().refused<ConfigError>(state("guard", "skipped", many), "guard.skipped");
    Finished().refused<ConfigError>(state("report", "loss_count", many), "loss_count");
  }
  Finished().refused_run([](Run& other) { other.text = other.text.part(1, other.text.size()); }, "data.fingerprint: the training data");
}

TEST_CASE("C12 a file missing, files of two steps") {
  const Finished run;
  std::filesystem::copy_file(run.older + "/optimizer.safetensors", run.newest + "/optimizer.safetensors",
                             std::filesystem::copy_options::overwrite_existing);
  run.passed_over<FormatError>("optimizer.safetensors");
  accept_file(run.newest, "optimizer.safetensors");  // even if the manifest agrees
  run.passed_over<FormatError>("is \"4\", the checkpoint is of step 8");
  change_manifest(run.newest, [](Json& manifest) {
    manifest.set("files", Json::array().push(manifest.at("files").at(0)).push(manifest.at("files").at(1)));
  });
  run.passed_over<ConfigError>("does not list optimizer.safetensors");
}

TEST_CASE("C13 the manifest lists a missing file, or one outside") {
  const Finished run;
  std::filesystem::remove(run.newest + "/state.json");
  run.passed_over<IoError>("state.json");
  const Finished again;
  change_manifest(again.newest, [](Json& manifest) {
    Json list = manifest.at("files");
    list.push(Json::object().set("name", "../step-4/state.json").set("bytes", 1).set("crc32c", 1));
    manifest.set("files", list);
  });
  again.passed_over<FormatError>("leaves its folder");
}

TEST_CASE("C14 a temporary alone is no checkpoint, and goes with the next save") {
  const Finished run;
  const std::string left = run.folder / "checkpoints/step-8.tmp-99-0";
  std::filesystem::rename(run.newest, left);
  std::filesystem::remove_all(run.older);
  CHECK(!newest_checkpoint(run.folder / "checkpoints"));
  Run next(run.folder.path());
  CHECK(next().resumed_from == 0);
  CHECK(!std::filesystem::exists(left));
}

TEST_CASE("C15 the newest was deleted: the one before is used") {
  const Finished run;
  std::filesystem::remove_all(run.newest);
  Run next(run.folder.path());
  CHECK(next().resumed_from == 4);
  std::filesystem::remove(run.newest + "/manifest.json");  // and half deleted: with a warning
  Run last(run.folder.path());
  CHECK(last().resumed_from == 4);
  REQUIRE(last.warnings.size() == 1);
  CHECK(last.warnings[0].find("step-8 is skipped") != std::string::npos);
  CHECK_NOTHROW(read_checkpoint(run.newest));
}

TEST_CASE("C16 schedule missing; a changed one is reported") {
  Finished().refused<ConfigError>([](Checkpoint& checkpoint) { checkpoint.state = without(checkpoint.state, "schedule"); },
                                  "schedule: this key is missing");
  const Finished run;
  Run longer(run.folder.path());
  longer.options.steps = longer.options.schedule.steps = 12;
  CHECK(longer().resumed_from == 8);
  REQUIRE(longer.warnings.size() == 1);
  CHECK(longer.warnings[0].find("schedule differs") != std::string::npos);
}

TEST_CASE("C17 master weights of another type") {
  Finished().refused<ConfigError>(
      [](Checkpoint& checkpoint) {
        named(checkpoint.weights, "embedding").tensor = named(checkpoint.weights, "embedding").tensor.to(DType::bf16);
      },
      "has dtype bf16, this run keeps f32");
}

TEST_CASE("C18 a directory in place of a file, a dangling link, a file in place of the checkpoint") {
  const Finished run;
  const std::string state_path = run.newest + "/state.json";
  std::filesystem::remove(state_path);
  std::filesystem::create_directory(state_path);
  run.passed_over<IoError>("state.json");
  std::filesystem::remove(state_path);
  std::filesystem::create_symlink(run.folder / "nowhere", state_path);
  run.passed_over<IoError>("state.json");
  std::filesystem::remove_all(run.newest);
  write_bytes(run.newest, "not a directory");
  run.passed_over<IoError>("manifest.json");
  if (::geteuid() != 0) {  // root may read everything
    const Finished again;
    ::chmod((again.newest + "/manifest.json").c_str(), 0);
    again.passed_over<IoError>("manifest.json");
  }
}
