// plume inside shared libraries: loaded and unloaded again, beside the host's own copy, and beside another version.
#include <dirent.h>
#include <dlfcn.h>
#include <doctest/doctest.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

#include "plume/base/error.hpp"
#include "plume/base/random.hpp"
#include "plume/base/text.hpp"

namespace {

constexpr double sum = 4096.0 * 4095 / 2;

// Where the libraries of CMakeLists.txt are, or those that other_compilers.sh made.
std::string folder() {
  const char* const other = std::getenv("PLUME_TEST_PLUGINS");
  return other != nullptr ? other : PLUME_TEST_PLUGIN_DIR;
}

// One of them, loaded with all its names for everybody.
class Plugin {
 public:
  explicit Plugin(const std::string& name)
      : path_(plume::concat(folder(), "/libplume_test_", name, ".so")), handle_(::dlopen(path_.c_str(), RTLD_NOW | RTLD_GLOBAL)) {
    REQUIRE_MESSAGE(handle_ != nullptr, ::dlerror());
  }
  Plugin(const Plugin&) = delete;
  Plugin& operator=(const Plugin&) = delete;
  ~Plugin() { ::dlclose(handle_); }
  template <class Function>
  Function* find(const char* name) const {
    void* const address = ::dlsym(handle_, name);
    REQUIRE_MESSAGE(address != nullptr, name);
    return reinterpret_cast<Function*>(address);
  }
  void check() const {
    for (const int threads : {1, 3}) CHECK(find<double(int)>("plugin_sum")(threads) == sum);
    CHECK(find<bool()>("plugin_catches")());
  }
  unsigned random() const { return find<unsigned()>("plugin_random")(); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  void* handle_;
};

bool is_loaded(const std::string& path) {
  void* const handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_NOLOAD);
  if (handle != nullptr) ::dlclose(handle);
  return handle != nullptr;
}

int threads_of_process() {
  int count = 0;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc/self/task"), &::closedir);
  while (folder && ::readdir(folder.get())) ++count;
  return count;
}

constexpr unsigned our_random = 0x6627e8d5u;  // of Philox4x32-10, as published

}  // namespace

TEST_CASE("a library with hidden names is loaded, used and unloaded again and again; no thread and no code of it stays") {
  const int threads = threads_of_process();
  std::string path;
  for (int round = 0; round < 3; ++round) {
    {
      const Plugin plugin("plugin_hidden");
      path = plugin.path();
      plugin.check();
      CHECK(plugin.random() == our_random);
      CHECK(threads_of_process() == threads);
    }
    CHECK_FALSE(is_loaded(path));
  }
}

TEST_CASE("a library is used and unloaded by a thread of the host") {
  std::string path;
  std::thread([&] {
    const Plugin plugin("plugin_hidden");
    path = plugin.path();
    plugin.check();
  }).join();
  CHECK_FALSE(is_loaded(path));
}

TEST_CASE("errors of a library reach a host that knows its type") {
  const Plugin plugin("plugin_visible");
  CHECK_THROWS_WITH_AS(plugin.find<void()>("plugin_throws")(), "[plugin] thrown to the host", std::exception);
  CHECK_THROWS_AS(plugin.find<void()>("plugin_throws")(), plume::ArgumentError);
}

// All names are visible, so that the loader would give both libraries one function, variable or thread-local slot wherever two names are
// equal.
TEST_CASE("two versions in one process: each library has its own code and its own data") {
  const Plugin other("plugin_other"), ours("plugin_visible");
  CHECK(plume::Random{}.at(0)[0] == our_random);
  CHECK(ours.random() == our_random);
  CHECK(other.random() != our_random);
  std::thread beside([&] { other.check(); });
  ours.check();
  beside.join();
  other.check();
  // The other version's errors are other types.
  CHECK_THROWS_AS(other.find<void()>("plugin_throws")(), std::exception);
  bool is_ours = false;
  try {
    other.find<void()>("plugin_throws")();
  } catch (const plume::Error&) {
    is_ours = true;
  } catch (const std::exception&) {
  }
  CHECK_FALSE(is_ours);
}
