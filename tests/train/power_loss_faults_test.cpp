// Power is lost at every moment of a save, and the disk keeps any part of what no sync had covered: the old checkpoint or the new one is
// there.
#include <doctest/doctest.h>

#include <algorithm>

#include "plume/base/atomic_save.hpp"
#include "plume/base/json.hpp"
#include "plume/testing/recording_files.hpp"
#include "plume/train/checkpoint.hpp"
#include "temporary_folder.hpp"
#include "test_data.hpp"

using namespace plume;
using plume::testing::DiskState;
using plume::testing::RecordingFiles;
using plume_test::TemporaryFolder;

namespace {

Checkpoint checkpoint_of(Index step) {
  Checkpoint checkpoint{.step = step, .model = "m", .state = Json::object().set("step", step)};
  for (const char* name : {"a", "b"}) {
    const Tensor tensor = Tensor::empty({8, 8});
    tensor.fill(static_cast<double>(step));
    checkpoint.weights.push_back({name, tensor});
    checkpoint.optimizer.push_back({concat("first.", name), tensor});
  }
  return checkpoint;
}

// Whether a checkpoint holds what was saved at its step, bit for bit.
bool is_whole(const Checkpoint& got) {
  const Checkpoint wanted = checkpoint_of(got.step);
  const auto same = [](const std::vector<NamedTensor>& a, const std::vector<NamedTensor>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const NamedTensor& x, const NamedTensor& y) {
      return x.name == y.name && std::ranges::equal(bytes_of(x.tensor), bytes_of(y.tensor));
    });
  };
  return dump(got.state) == dump(wanted.state) && same(got.weights, wanted.weights) && same(got.optimizer, wanted.optimizer);
}

void restore(const DiskState& state, const std::string& root) {
  std::filesystem::remove_all(root);
  std::filesystem::create_directories(root);
  for (const auto& [path, bytes] : state)  // folders come before what they hold
    if (!bytes)
      std::filesystem::create_directory(root + "/" + path);
    else
      std::ofstream(root + "/" + path, std::ios::binary) << *bytes;
}

}  // namespace

TEST_CASE("a checkpoint: the old or the new one is found whole, and once the save has returned, the new one") {
  for (const Index keep : {1, 2}) {
    const TemporaryFolder folder;
    const RecordingFiles files(folder.path());
    const std::string checkpoints = folder / "checkpoints", after_loss = folder / "after";
    std::vector<std::size_t> saved{0};  // operations when the save of step i had returned
    for (const Index step : {1, 2, 3}) {
      write_checkpoint(checkpoints, checkpoint_of(step), files);
      saved.push_back(files.operations());
      prune_checkpoints(checkpoints, keep, step, files);
    }
    std::size_t states = 0, found_old = 0, found_new = 0;
    for (std::size_t count = 0; count <= files.operations(); ++count) {
      const auto done = static_cast<Index>(std::upper_bound(saved.begin(), saved.end(), count) - saved.begin()) - 1;  // saves that returned
      for (const DiskState& state : files.states_after(count, 96)) {
        restore(state, after_loss);
        const auto newest = newest_checkpoint(after_loss + "/checkpoints");
        const Index step = newest ? newest->step : 0;
        CAPTURE(count);
        const std::string last = count > 0 ? files.describe(count - 1) : "";
        CAPTURE(last);
        REQUIRE(step >= done);
        REQUIRE(step <= done + 1);
        REQUIRE((!newest || is_whole(*newest)));
        ++states;
        ++(step == done ? found_old : found_new);
        if (states % 50 == 0) {  // and the run goes on from there
          write_checkpoint(after_loss + "/checkpoints", checkpoint_of(step + 1));
          prune_checkpoints(after_loss + "/checkpoints", keep, step + 1);
          REQUIRE(is_whole(newest_checkpoint(after_loss + "/checkpoints").value()));
          for (const auto& entry : std::filesystem::directory_iterator(after_loss + "/checkpoints"))
            REQUIRE(entry.path().string().find(".tmp-") == std::string::npos);
        }
      }
    }
    MESSAGE(files.operations(), " operations, ", states, " states of the disk");
    CHECK(states > 200);
    CHECK(found_old > 100);
    CHECK(found_new > 1);
  }
}

TEST_CASE("a file: the old or the new one is there whole, and once the save has returned, the new one") {
  const TemporaryFolder folder;
  const RecordingFiles files(folder.path());
  std::vector<std::size_t> saved{0};
  const auto text_of = [](std::size_t save) { return std::string(100'000, static_cast<char>('0' + save)); };
  for (const std::size_t save : {1u, 2u}) {
    atomic_save(
        folder / "weights", [&](FileWriter& out) { out.write(text_of(save)); }, files);
    saved.push_back(files.operations());
  }
  for (std::size_t count = 0; count <= files.operations(); ++count) {
    const auto done = static_cast<std::size_t>(std::upper_bound(saved.begin(), saved.end(), count) - saved.begin()) - 1;
    for (const DiskState& state : files.states_after(count)) {
      const auto found = state.find("weights");
      CAPTURE(count);
      if (found == state.end())
        REQUIRE(done == 0);
      else
        REQUIRE((found->second == text_of(done) || found->second == text_of(done + 1)));
    }
  }
}

TEST_CASE("the recorder sees what a careless save loses") {
  const TemporaryFolder folder;
  const RecordingFiles files(folder.path());
  const std::string path = folder / "a";
  const auto careless = [&](std::string_view text, bool syncs) {
    const std::string temporary = path + ".new";
    const int descriptor = files.create(temporary.c_str(), 0666);
    files.write(descriptor, text.data(), text.size());
    if (syncs) files.sync(descriptor);
    files.close(descriptor);
    files.rename(temporary.c_str(), path.c_str());
  };
  const auto outcomes = [&] {
    std::vector<std::string> texts;
    for (const DiskState& state : files.states_after(files.operations())) {
      const auto found = state.find("a");
      texts.push_back(found == state.end() ? "absent" : *found->second);
    }
    std::ranges::sort(texts);
    texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
    return texts;
  };
  careless("abcd", true);
  CHECK(outcomes() == std::vector<std::string>{"abcd", "absent"});  // the name was not synced
  save_detail::sync_folder(files, folder.path());
  CHECK(outcomes() == std::vector<std::string>{"abcd"});
  careless("efgh", false);
  CHECK(outcomes() == std::vector<std::string>{"", std::string(4, '\0'), "abcd", "ef", "efgh"});  // renamed before its bytes were there
}
