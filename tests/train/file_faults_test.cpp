// Whichever call of a checkpoint's save fails, once or for good: the old checkpoint is whole, the error says what and where, nothing leaks,
// and the next save works and cleans up.
#include <doctest/doctest.h>
#include <sys/resource.h>

#include <set>

#include "plume/base/atomic_save.hpp"
#include "plume/testing/failing_files.hpp"
#include "plume/train/checkpoint.hpp"
#include "temporary_folder.hpp"
#include "test_data.hpp"

using namespace plume;
using namespace plume::testing;
using plume_test::TemporaryFolder;

namespace {

Checkpoint checkpoint_of(Index step) {
  const Tensor tensor = Tensor::empty({64, 64});
  tensor.fill(static_cast<double>(step));
  return {.step = step,
          .model = "m",
          .state = Json::object().set("step", step),
          .weights = {{"w", tensor}},
          .optimizer = {{"first.w", tensor}}};
}

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

std::set<std::string> names_in(const std::string& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    names.insert(entry.path().lexically_relative(folder).string());
  return names;
}

std::string all_bytes(const std::string& checkpoint) {
  std::string bytes;
  for (const char* name : {"manifest.json", "state.json", "weights.safetensors", "optimizer.safetensors"})
    bytes += plume_test::read_all(checkpoint + "/" + name);
  return bytes;
}

}  // namespace

TEST_CASE("whichever call fails, the old checkpoint stays whole, nothing leaks, and the next save works") {
  struct Case {
    int error_number;
    std::string_view text;
  };
  for (const auto& [error_number, text] : {Case{ENOSPC, "No space left on device"}, Case{EIO, "Input/output error"}, Case{EDQUOT, "quota"},
                                           Case{EMFILE, "Too many open files"}}) {
    for (const Failing failing : {Failing::once, Failing::from_then_on}) {
      for (const Removal removal : {Removal::works, Removal::fails}) {
        const TemporaryFolder folder;
        write_checkpoint(folder.path(), checkpoint_of(1));
        const std::set<std::string> names = names_in(folder.path());
        const std::string old = all_bytes(folder / "step-1");
        const std::size_t descriptors = open_descriptors();
        int failures = 0;
        for (int call = 0, calls = 1; call < calls; ++call) {
          REQUIRE(call < 200);
          const FailingFiles files(
              {.call = call, .error_number = error_number, .failing = failing, .removal = removal, .longest_write = 5000});
          bool failed = false;
          try {
            write_checkpoint(folder.path(), checkpoint_of(2), files);
          } catch (const IoError& error) {
            failed = true;
            CHECK(error.error_number() == error_number);
            const std::string message = error.what();
            CHECK(message.find(text) != message.npos);
            CHECK(message.find(folder.path()) != message.npos);
          }
          calls = failed ? calls + 1 : files.calls();
          failures += failed;
          CAPTURE(call);
          REQUIRE(open_descriptors() == descriptors);
          REQUIRE(all_bytes(folder / "step-1") == old);
          const bool is_new = std::filesystem::exists(folder / "step-2");
          if (is_new) CHECK(read_checkpoint(folder / "step-2").step == 2);  // the sync after the rename, at most
          if (removal == Removal::works && !is_new) CHECK(names_in(folder.path()) == names);
          if (call % 4 == 0 && failed) {  // the disk is well again
            write_checkpoint(folder.path(), checkpoint_of(3), FailingFiles(Fault{}));
            prune_checkpoints(folder.path(), 3, 3);
            for (const std::string& name : names_in(folder.path())) CHECK(name.find(".tmp-") == name.npos);
            CHECK(newest_checkpoint(folder.path()).value().step == 3);
            std::filesystem::remove_all(folder / "step-3");
          }
          std::filesystem::remove_all(folder / "step-2");
        }
        CHECK(failures > 30);
      }
    }
  }
}

TEST_CASE("an interrupted call is made again, and short writes are completed") {
  for (int call = 0;; ++call) {
    const TemporaryFolder folder;
    const FailingFiles files({.call = call, .error_number = EINTR, .failing = Failing::once, .longest_write = 100});
    REQUIRE_NOTHROW(write_checkpoint(folder.path(), checkpoint_of(1), files));
    CHECK_NOTHROW(read_checkpoint(folder / "step-1"));
    if (call >= files.calls()) break;
    call += files.calls() / 50;
  }
}

TEST_CASE("a checkpoint of that step that cannot be verified for want of descriptors is not taken for a damaged one") {
  const TemporaryFolder folder;
  write_checkpoint(folder.path(), checkpoint_of(1));
  const std::string old = all_bytes(folder / "step-1");
  struct rlimit limit = {};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  const struct rlimit small = {.rlim_cur = 200, .rlim_max = limit.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &small) == 0);
  std::vector<int> taken;
  for (int descriptor; (descriptor = ::open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;) taken.push_back(descriptor);
  int writing = 0, reading = 0;
  try {
    write_checkpoint(folder.path(), checkpoint_of(1));
  } catch (const IoError& error) {
    writing = error.error_number();
  }
  try {
    newest_checkpoint(folder.path());
  } catch (const IoError& error) {
    reading = error.error_number();
  }
  for (const int descriptor : taken) ::close(descriptor);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
  CHECK(writing == EMFILE);
  CHECK(reading == EMFILE);
  CHECK(all_bytes(folder / "step-1") == old);
}

TEST_CASE("moments that are not finite never become a checkpoint: a run could not go on from it") {
  const TemporaryFolder folder;
  write_checkpoint(folder.path(), checkpoint_of(1));
  Checkpoint bad = checkpoint_of(2);
  bad.optimizer[0].tensor = bad.optimizer[0].tensor.copy();
  bad.optimizer[0].tensor.writable<float>()[7] = HUGE_VALF;
  CHECK_THROWS_WITH_AS(write_checkpoint(folder.path(), bad), doctest::Contains("first.w"), NumericError);
  CHECK(checkpoint_steps(folder.path()) == std::vector<Index>{1});
}

TEST_CASE("a saved file removes what killed saves of it left, and no other save's temporary") {
  const TemporaryFolder folder;
  for (const char* name : {"weights.tmp-1-0", "weights.tmp-99999999-3"}) folder.write(name, "left by a killed save");
  for (const char* name : {"weights.tmp-1-0x", "other.tmp-1-0", "weights.tmp"}) folder.write(name, "not a temporary of this file");
  const auto text = [](std::string_view value) { return [value](FileWriter& out) { out.write(value); }; };
  atomic_save(folder / "weights", [&](FileWriter& out) {
    out.write("outer");
    atomic_save(folder / "weights", text("inner"));  // another save of the same file at the same time
    CHECK(plume_test::read_all(folder / "weights") == "inner");
  });
  CHECK(plume_test::read_all(folder / "weights") == "outer");
  CHECK(names_in(folder.path()) == std::set<std::string>{"weights", "weights.tmp-1-0x", "other.tmp-1-0", "weights.tmp"});
}
