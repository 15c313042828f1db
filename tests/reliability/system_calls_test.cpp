// Whichever call into the system fails while something is read or logged: an error that says what and where, nothing leaks, and the same
// call works afterwards. The calls of this program go through the functions below.
#include <dirent.h>
#include <dlfcn.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <filesystem>
#include <string>

#include "malformed/formats.hpp"
#include "plume/base/atomic_save.hpp"
#include "plume/data/token_dataset.hpp"
#include "plume/testing/failing_allocations.hpp"
#include "plume/testing/failing_files.hpp"
#include "temporary.hpp"
#include "temporary_folder.hpp"

using namespace plume;
using namespace plume::testing;
using namespace plume_test;

namespace {

enum class Call : std::uint8_t { open, read, inspect, map, list, find, duplicate, set_mode, write, cut, space };
enum class Way : std::uint8_t { fails, gives_nothing };  // nothing: as at the end of a file

struct CallFault {
  int call = -1;  // which call goes wrong, counted from 0 over those that are watched
  int error_number = EIO;
  Way way = Way::fails;
  std::optional<Call> only = {};  // only these calls are watched
  Failing failing = Failing::once;
};
constinit CallFault fault;
constinit bool armed = false;
constinit int calls = 0;

// As long as it lives.
struct Faulty {
  explicit Faulty(CallFault wanted) {
    fault = wanted;
    calls = 0;
    armed = true;
  }
  ~Faulty() { armed = false; }
  Faulty(const Faulty&) = delete;
  Faulty& operator=(const Faulty&) = delete;
};

bool goes_wrong(Call call) {
  if (!armed || fault.call < 0 || (fault.only && *fault.only != call)) return false;
  const int now = calls++;
  if (fault.failing == Failing::once ? now != fault.call : now < fault.call) return false;
  errno = fault.error_number;
  return true;
}
template <class Function>
Function* system_function(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {
int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? static_cast<mode_t>(va_arg(rest, unsigned)) : 0;
  va_end(rest);
  if (goes_wrong(Call::open)) return -1;
  return ::openat(AT_FDCWD, path, flags, mode);
}
ssize_t read(int file, void* into, size_t size) {
  static const auto system = system_function<ssize_t(int, void*, size_t)>("read");
  if (goes_wrong(Call::read)) return fault.way == Way::fails ? -1 : 0;
  return system(file, into, size);
}
ssize_t write(int file, const void* from, size_t size) {
  static const auto system = system_function<ssize_t(int, const void*, size_t)>("write");
  if (goes_wrong(Call::write)) return fault.way == Way::fails ? -1 : 0;
  return system(file, from, size);
}
int fstat(int file, struct stat* status) noexcept { return goes_wrong(Call::inspect) ? -1 : ::fstatat(file, "", status, AT_EMPTY_PATH); }
void* mmap(void* address, size_t length, int protection, int flags, int file, off_t offset) noexcept {
  static const auto system = system_function<void*(void*, size_t, int, int, int, off_t)>("mmap");
  return goes_wrong(Call::map) ? MAP_FAILED : system(address, length, protection, flags, file, offset);
}
DIR* opendir(const char* path) {
  static const auto system = system_function<DIR*(const char*)>("opendir");
  return goes_wrong(Call::list) ? nullptr : system(path);
}
char* realpath(const char* path, char* resolved) noexcept {
  static const auto system = system_function<char*(const char*, char*)>("realpath");
  return goes_wrong(Call::find) ? nullptr : system(path, resolved);
}
int fcntl(int file, int command, ...) {
  static const auto system = system_function<int(int, int, ...)>("fcntl");
  va_list rest;
  va_start(rest, command);
  void* const argument = va_arg(rest, void*);
  va_end(rest);
  return goes_wrong(Call::duplicate) ? -1 : system(file, command, argument);
}
int fchmod(int file, mode_t mode) noexcept {
  static const auto system = system_function<int(int, mode_t)>("fchmod");
  return goes_wrong(Call::set_mode) ? -1 : system(file, mode);
}
int statvfs(const char* path, struct statvfs* disk) noexcept {
  static const auto system = system_function<int(const char*, struct statvfs*)>("statvfs");
  const int result = system(path, disk);
  if (goes_wrong(Call::space)) disk->f_bavail = 1;
  return result;
}
int ftruncate(int file, off_t length) noexcept {
  static const auto system = system_function<int(int, off_t)>("ftruncate");
  return goes_wrong(Call::cut) ? -1 : system(file, length);
}
}

namespace {

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

// What reads each format; of a checkpoint only its reading, for what trains may go on without it.
struct Reader {
  std::string_view name;
  void (*use)(const std::string& folder);
};
std::vector<Reader> readers_of(const Format& format) {
  if (format.name == "metrics") return {};  // reads what it wrote: below
  if (format.name == "checkpoint")
    return {{format.name, [](const std::string& folder) { read_checkpoint(folder + "/checkpoints/step-2"); }}};
  return {{format.name, format.use}};
}
void place_files(const Format& format, const Workshop& place) {
  Dice dice(5);
  const Files files = format.sound(dice);
  for (std::size_t i = 0; i < files.size(); ++i) place.write(format.files[i], files[i]);
}

// Every call of read(folder) fails once; each failure names the folder and the number, nothing is left open.
void fail_each_call(const Reader& reader, const std::string& folder, CallFault how) {
  CAPTURE(reader.name);
  CAPTURE(how.error_number);
  REQUIRE_NOTHROW(reader.use(folder));  // what is made once and stays
  const std::size_t descriptors = open_descriptors();
  int failures = 0;
  for (how.call = 0;; ++how.call) {
    CAPTURE(how.call);
    REQUIRE(how.call < 400);
    bool failed = false;
    int seen = 0;
    {
      const Faulty faulty(how);
      try {
        reader.use(folder);
      } catch (const IoError& error) {
        failed = true;
        armed = false;
        CHECK(error.error_number() == (how.way == Way::fails ? how.error_number : EIO));
        CHECK(std::string_view(error.what()).find(folder) != std::string_view::npos);
      } catch (const OutOfMemory& error) {  // of memory for a copy of a file
        failed = true;
        armed = false;
        CHECK(std::string_view(error.what()).find("a file read into memory") != std::string_view::npos);
      }
      seen = calls;
    }
    REQUIRE(open_descriptors() == descriptors);
    if (seen <= how.call) {
      CHECK(!failed);
      break;
    }
    CHECK(failed);
    failures += failed ? 1 : 0;
  }
  CHECK(failures > (how.only ? 0 : 2));
}

}  // namespace

TEST_CASE("whichever system call fails while a file is read: IoError, nothing open, and the file reads afterwards") {
  for (const Format& format : formats())
    for (const Reader& reader : readers_of(format)) {
      const Workshop place;
      place_files(format, place);
      for (const int error_number : {EIO, EACCES}) fail_each_call(reader, place.path(), {.error_number = error_number});
      CHECK_NOTHROW(reader.use(place.path()));
    }
}

TEST_CASE("a read that is interrupted is made again; a file that became shorter is an IoError") {
  int reading = 0;  // formats that are read, not mapped
  for (const Format& format : formats())
    for (const Reader& reader : readers_of(format)) {
      const Workshop place;
      place_files(format, place);
      CAPTURE(reader.name);
      for (const Call only : {Call::read, Call::open})
        for (int call = 0, seen = 1; call < seen; ++call) {
          const Faulty faulty({.call = call, .error_number = EINTR, .only = only});
          CHECK_NOTHROW(reader.use(place.path()));
          seen = calls;
        }
      bool reads = false;
      for (int call = 0, seen = 1; call < seen; ++call) {
        const Faulty faulty({.call = call, .way = Way::gives_nothing, .only = Call::read});
        try {
          reader.use(place.path());
        } catch (const IoError& error) {
          reads = true;
          CHECK(std::string_view(error.what()).find("it shrank meanwhile") != std::string_view::npos);
        }
        seen = calls;
      }
      reading += reads ? 1 : 0;
    }
  CHECK(reading > 8);
}

TEST_CASE("mapped or copied: without room for it the file is not read") {
  const TemporaryFolder folder;
  const std::string path = folder.write("a", "hello");
  {
    const Faulty faulty({.call = 0, .error_number = ENODEV, .only = Call::map});
    CHECK_THROWS_WITH_AS(FileMapping::open(path, Mapping::map), doctest::Contains("cannot map"), IoError);
  }
  {
    const Faulty faulty({.call = 0, .error_number = ENOMEM, .only = Call::map});
    CHECK_THROWS_WITH_AS(FileMapping::open(path, Mapping::copy), doctest::Contains("5 bytes for a file read into memory"), OutOfMemory);
  }
  CHECK(FileMapping::open(path, Mapping::copy)->bytes().size() == 5);
  CHECK_THROWS_WITH_AS(FileMapping::open(std::string("a\0b", 3)), doctest::Contains("NUL byte"), ArgumentError);
}

TEST_CASE("folders that cannot be listed") {
  const TemporaryFolder folder;
  folder.write("tokens/tok512.bin", "1");
  {
    const Faulty faulty({.call = 0, .error_number = EACCES, .only = Call::list});
    CHECK_THROWS_WITH_AS(load_tokenizer(folder / "tokens"), doctest::Contains("cannot list"), IoError);
  }
  {
    const Faulty faulty({.call = 0, .error_number = EACCES, .only = Call::list});
    CHECK_THROWS_WITH_AS(checkpoint_steps(folder.path()), doctest::Contains("cannot list"), IoError);
  }
  CHECK(checkpoint_steps(folder.path()).empty());
  CHECK(checkpoint_steps(folder / "absent").empty());
}

TEST_CASE("a save whose lock, mode or folder cannot be had leaves the old file") {
  const TemporaryFolder folder;
  const std::string path = folder.write("a", "old");
  const auto save = [&] { atomic_save(path, [](FileWriter& out) { out.write("new"); }); };
  for (const auto& [call, word] : {std::pair(Call::duplicate, "cannot open"), std::pair(Call::set_mode, "cannot set the mode of")}) {
    const Faulty faulty({.call = 0, .error_number = EMFILE, .only = call});
    CHECK_THROWS_WITH_AS(save(), doctest::Contains(word), IoError);
    armed = false;
    CHECK(read_text(path) == "old");
    CHECK(folder.entries() == 1);
  }
  CHECK_THROWS_WITH_AS(atomic_save(folder.path(), [](FileWriter&) {}), doctest::Contains("not a regular file"), IoError);
  struct Idle final : FileSystem {  // writes nothing, and says so
    ssize_t write(int, const void*, std::size_t) const override { return 0; }
  };
  CHECK_THROWS_WITH_AS(atomic_save(
                           path, [](FileWriter& out) { out.write("new"); }, Idle()),
                       doctest::Contains("cannot write"), IoError);
  CHECK(read_text(path) == "old");
  const auto make = [&] {
    atomic_save_directory(folder / "made", [](const std::string& at) { atomic_save(at + "/b", [](FileWriter&) {}); });
  };
  {
    const Faulty faulty({.call = 1, .error_number = EMFILE, .only = Call::list});  // 0: what killed saves of b left
    CHECK_THROWS_WITH_AS(make(), doctest::Contains("cannot open"), IoError);
  }
  CHECK(folder.entries() == 1);
  make();
  CHECK_THROWS_WITH_AS(make_directory(path + "/below"), doctest::Contains("cannot make the directory"), IoError);
  save();
  CHECK(read_text(path) == "new");
}

TEST_CASE("a checkpoint for which the disk has no room is not begun") {
  const TemporaryFolder folder;
  const Checkpoint checkpoint{.step = 1, .model = "m", .state = Json::object(), .weights = {{"w", Tensor::zeros({64, 64})}}};
  {
    const Faulty faulty({.call = 0, .only = Call::space});
    try {
      write_checkpoint(folder.path(), checkpoint);
      FAIL_CHECK("written");
    } catch (const IoError& error) {
      CHECK(error.error_number() == ENOSPC);
      CHECK(std::string_view(error.what()).find(folder / "step-1: cannot save 81920 bytes") != std::string_view::npos);
    }
  }
  CHECK(folder.entries() == 0);
  CHECK(write_checkpoint(folder.path(), checkpoint) == folder / "step-1");
}

TEST_CASE("a line of the log that cannot be written is taken back") {
  const TemporaryFolder folder;
  const Workshop place;
  MetricsLog log(folder / "metrics.jsonl");
  log.append({.step = 1, .loss = 2});
  const std::string before = read_text(folder / "metrics.jsonl");
  struct Case {
    int call;
    Way way;
    std::optional<Call> only;
    std::string_view word;
  };
  for (const auto& [call, way, only, word] :
       {Case{0, Way::fails, Call::open, "cannot open"}, Case{0, Way::fails, Call::write, "cannot write"},
        Case{0, Way::gives_nothing, Call::write, "cannot write"}}) {
    const Faulty faulty({.call = call, .error_number = ENOSPC, .way = way, .only = only});
    CHECK_THROWS_WITH_AS(log.append({.step = 2, .loss = 2}), doctest::Contains(std::string(word).c_str()), IoError);
    armed = false;
    CHECK(read_text(folder / "metrics.jsonl") == before);
  }
  {
    const Faulty faulty({.call = 1, .error_number = ENOSPC, .failing = Failing::from_then_on});  // after open: write, and cutting back
    CHECK_THROWS_WITH_AS(log.append({.step = 2, .loss = 2}), doctest::Contains("cannot take half a line back"), IoError);
  }
  {
    const Faulty faulty({.call = 0, .error_number = EINTR, .only = Call::write});
    CHECK_NOTHROW(log.append({.step = 2, .loss = 2}));
  }
  CHECK(read_text(folder / "metrics.jsonl").size() > before.size());
}

TEST_CASE("whichever allocation fails while a file is read: OutOfMemory, nothing leaks") {
  for (const Format& format : formats()) {
    std::vector<Reader> readers = readers_of(format);
    if (format.name == "text")
      readers.push_back({"token dataset", [](const std::string& folder) {
                           read_token_dataset({folder + "/chats.txt"}, byte_tokenizer());
                           token_dataset(std::string(99, 'a'), byte_tokenizer());
                         }});
    if (format.name == "checkpoint")
      for (const Reader& more :
           {Reader{"checkpoints", [](const std::string& folder) { newest_checkpoint(folder + "/checkpoints"); }},
            Reader{"old checkpoints", [](const std::string& folder) { prune_checkpoints(folder + "/checkpoints", 3, 3); }}})
        readers.push_back(more);
    if (format.name == "simple_tokenizer")
      readers.push_back({"saved tokenizer", [](const std::string& folder) {
                           if (has_tokenizer(folder)) save_tokenizer(load_tokenizer(folder), folder + "/again");
                         }});
    if (format.name == "byte_bpe")
      readers.push_back({"tokenizer.json", [](const std::string& folder) {
                           const std::string inner = folder + "/t";
                           if (!is_directory(inner)) {
                             make_directory(inner);
                             write_all(inner + "/tokenizer.json", R"({"model": {"type": "WordLevel", "vocab": {"a": 0}}})");
                           }
                           load_tokenizer(inner);
                         }});
    for (const Reader& reader : readers) {
      CAPTURE(reader.name);
      const Workshop place;
      place_files(format, place);
      for (int i = 0; i < 2; ++i) reader.use(place.path());  // what is made once and stays
      std::int64_t all = 0;
      {
        const FailingAllocations none{AllocationFault{}};
        reader.use(place.path());
        all = none.calls();
      }
      const std::int64_t live = live_allocations();
      const std::size_t descriptors = open_descriptors();
      int failures = 0;
      for (std::int64_t call = 0; call < all; call += 1 + all / 60) {
        CAPTURE(call);
        bool failed = false;
        {
          const FailingAllocations failing({.call = call});
          try {
            reader.use(place.path());
          } catch (const OutOfMemory& error) {
            failed = std::string_view(error.what()).starts_with("out of memory: ");
          } catch (const std::bad_alloc&) {  // of this test's own texts
            failed = true;
          }
        }
        CHECK(failed);
        failures += failed ? 1 : 0;
        REQUIRE(live_allocations() == live);
        REQUIRE(open_descriptors() == descriptors);
      }
      CHECK(failures > (all > 20 ? 10 : 0));
      CHECK_NOTHROW(reader.use(place.path()));
    }
  }
}
