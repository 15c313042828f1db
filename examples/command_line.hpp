#pragma once
// The command line of the example programs, so that a main() is a list of flags and then library calls:
//
//   int main(int argc, char** argv) {
//     example::Flags flags("count", "Counts the words of files.");
//     const auto& files = flags.list("--data FILE...", example::required, "text files to read");
//     const auto& least = flags.number("--least N", 1, "leave out words seen less often", {.min = 1});
//     const auto& json = flags.json();
//     return flags.run(argc, argv, [&] { ... });
//   }
//
// A declaration returns a reference whose value run() fills in before it calls the body. Every program understands --help,
// --threads, --seed, --json and --quiet. A flag's value follows it or an equals sign; a list takes several and may be repeated.
// Exit codes: 0 success or --help, 1 a failed run, 2 a wrong command line, 130 cancelled by Ctrl-C.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <vector>

#include "plume/base/error.hpp"
#include "plume/base/stop_token.hpp"

namespace example {

struct Required {};
inline constexpr Required required;  // in place of a default: the program cannot run without this flag

enum class Empty : std::uint8_t { refused, allowed };  // --prompt=

template <class Number>
struct Bounds {
  Number min = std::numeric_limits<Number>::lowest(), max = std::numeric_limits<Number>::max();
};

// A wrong command line: exit 2.
struct UsageError : std::runtime_error {
  UsageError(std::string_view flag, std::string_view problem) : std::runtime_error(plume::concat(flag, " ", problem)) {}
};

class Flags {
 public:
  Flags(std::string program, std::string purpose) : program_(std::move(program)), purpose_(std::move(purpose)) {}

  // One text. The name carries the word that --help shows for the value: "--model PATH".
  const std::string& text(std::string_view name, std::string fallback, std::string help, Empty empty = Empty::refused) {
    auto& value = declare<std::string>(name, fallback, std::move(help), plume::concat('"', fallback, '"'));
    flags_.back().store = [&value, empty, name = flags_.back().name](std::string_view word) {
      if (word.empty() && empty == Empty::refused) throw UsageError(name, "needs a value");
      value = word;
    };
    return value;
  }
  const std::string& text(std::string_view name, Required, std::string help) {
    const auto& value = text(name, std::string(), std::move(help));
    flags_.back().required = true;
    return value;
  }
  // One of several words.
  const std::string& choice(std::string_view name, std::string fallback, std::vector<std::string> words, std::string help) {
    std::string known;
    for (const auto& word : words) known.append(known.empty() ? "" : "|").append(word);
    auto& value = declare<std::string>(plume::concat(name, " ", known), fallback, std::move(help), fallback);
    flags_.back().store = [&value, words, known, name = flags_.back().name](std::string_view word) {
      for (const auto& each : words)
        if (each == word) return void(value = word);
      throw UsageError(name, plume::concat("does not know ", plume::quoted(word), " (known: ", known, ")"));
    };
    return value;
  }
  // One number within bounds; its type is the default's.
  template <class Number>
  const Number& number(std::string_view name, Number fallback, std::string help, std::type_identity_t<Bounds<Number>> bounds = {}) {
    auto& value = declare<Number>(name, fallback, std::move(help), plume::concat(fallback));
    flags_.back().store = [&value, bounds, name = flags_.back().name](std::string_view word) { value = parse(name, word, bounds); };
    return value;
  }
  // Numbers with commas between them: --ids 1,2,3.
  template <class Number>
  const std::vector<Number>& numbers(std::string_view name, std::vector<Number> fallback, std::string help,
                                     std::type_identity_t<Bounds<Number>> bounds = {}) {
    std::string shown;
    for (const Number each : fallback) shown.append(shown.empty() ? "" : ",").append(plume::concat(each));
    auto& value = declare<std::vector<Number>>(name, std::move(fallback), std::move(help), shown.empty() ? "none" : shown);
    flags_.back().store = [&value, bounds, name = flags_.back().name](std::string_view words) {
      value.clear();
      for (std::size_t begin = 0, comma = 0; comma != words.npos; begin = comma + 1) {
        comma = words.find(',', begin);
        value.push_back(parse(name, words.substr(begin, comma - begin), bounds));
      }
    };
    return value;
  }
  // Any number of texts: --data a.txt b.txt --data c.txt. A text that starts with two dashes needs the form --stop=--.
  const std::vector<std::string>& list(std::string_view name, std::string help) {
    auto& value = declare<std::vector<std::string>>(name, {}, std::move(help), "none");
    flags_.back().store = [&value, name = flags_.back().name](std::string_view word) {
      if (word.empty()) throw UsageError(name, "needs a value");
      value.emplace_back(word);
    };
    flags_.back().many = true;
    return value;
  }
  const std::vector<std::string>& list(std::string_view name, Required, std::string help) {
    const auto& value = list(name, std::move(help));
    flags_.back().required = true;
    return value;
  }
  // On when present.
  const bool& toggle(std::string_view name, std::string help) {
    auto& value = declare<bool>(name, false, std::move(help), "off");
    flags_.back().set = [&value] { value = true; };
    return value;
  }

  // The flags that all programs share. A program that does not ask for threads or a seed accepts them and says in --help that it needs
  // none.
  const int& threads() {
    const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    return number("--threads N", cores, "threads to compute with; all cores unless given", {.min = 1, .max = 1024});
  }
  const std::uint64_t& seed() { return number("--seed N", std::uint64_t{0}, "seed of everything random; equal seeds give equal results"); }
  const bool& json() { return toggle("--json", "print exactly one JSON object on stdout"); }
  const bool& quiet() { return toggle("--quiet", "no progress and no remarks on stderr"); }

  bool given(std::string_view name) const {
    for (const Flag& flag : flags_)
      if (flag.name == name) return flag.given;
    return false;
  }

  // Refuses a command line that does not give exactly one of these flags.
  void require_one_of(const std::vector<std::string_view>& names) const {
    std::string all;
    std::ptrdiff_t count = 0;
    for (const auto name : names) {
      all += plume::concat(all.empty() ? "" : name == names.back() ? " or " : ", ", name);
      count += given(name) ? 1 : 0;
    }
    if (count != 1) throw UsageError(all, count == 0 ? "is required (see --help)" : "cannot be given together");
  }

  // Reads the command line, calls body(), turns what happens into an exit code.
  template <class Body>
  int run(int argc, char** argv, Body&& body) {
    try {
      if (!read(argc, argv)) return help();
      body();
      if (std::fflush(stdout) != 0) throw plume::IoError("write", "stdout", errno);
      if (std::ferror(stdout) != 0) throw plume::IoError("write", "stdout", EIO);  // of an earlier write
      return 0;
    } catch (const UsageError& error) {
      return report(error.what(), 2);
    } catch (const plume::Cancelled&) {
      return 130;
    } catch (const std::exception& error) {
      return report(error.what(), 1);
    }
  }

 private:
  struct Flag {
    std::string name, placeholder, help, fallback;
    std::shared_ptr<void> value;                       // what the declaration's reference points to
    std::function<void(std::string_view)> store = {};  // takes one value; empty for a toggle
    std::function<void()> set = {};                    // of a toggle
    bool many = false, required = false, given = false;
  };

  template <class Value>
  Value& declare(std::string_view name, Value fallback, std::string help, std::string shown) {
    const auto space = std::min(name.find(' '), name.size());
    auto value = std::make_shared<Value>(std::move(fallback));
    flags_.push_back({.name = std::string(name.substr(0, space)),
                      .placeholder = std::string(name.substr(space)),
                      .help = std::move(help),
                      .fallback = std::move(shown),
                      .value = value});
    return *value;
  }
  Flag* find(std::string_view name) {
    for (Flag& flag : flags_)
      if (flag.name == name) return &flag;
    return nullptr;
  }
  template <class Number>
  static Number parse(std::string_view name, std::string_view word, Bounds<Number> bounds) {
    Number value{};
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    bool whole = error == std::errc() && end == word.data() + word.size();
    if constexpr (std::is_floating_point_v<Number>) whole = whole && std::isfinite(value);
    if (error == std::errc::result_out_of_range || (whole && (value < bounds.min || value > bounds.max))) {
      const bool below = error == std::errc() ? value < bounds.min : word.starts_with('-');
      const std::string range = below && bounds.max == Bounds<Number>{}.max ? plume::concat("at least ", bounds.min)
                                                                            : plume::concat("between ", bounds.min, " and ", bounds.max);
      throw UsageError(name, plume::concat("must be ", range, ", not ", plume::quoted(word)));
    }
    if (!whole)
      throw UsageError(name,
                       plume::concat("needs ", std::is_integral_v<Number> ? "a whole number" : "a number", ", not ", plume::quoted(word)));
    return value;
  }

  bool read(int argc, char** argv) {
    if (!find("--threads")) number("--threads N", 1, "accepted by every program; this one runs on one thread", {.min = 1, .max = 1024});
    if (!find("--seed")) number("--seed N", std::uint64_t{0}, "accepted by every program; nothing here is random");
    if (!find("--json")) json();
    if (!find("--quiet")) quiet();
    const std::vector<std::string_view> words(argv + 1, argv + argc);
    for (std::size_t i = 0; i < words.size(); ++i) {
      const auto equals = std::min(words[i].find('='), words[i].size());
      const std::string_view name = words[i].substr(0, equals);
      if (name == "--help" || name == "-h") return false;
      if (!name.starts_with("-")) throw UsageError(plume::quoted(words[i]), "is not a flag (see --help)");
      Flag* flag = find(name);
      if (!flag) throw UsageError(name, "is not known (see --help)");
      flag->given = true;
      if (equals < words[i].size()) {
        if (!flag->store) throw UsageError(name, "takes no value");
        flag->store(words[i].substr(equals + 1));
      } else if (!flag->store) {
        flag->set();
      } else {
        if (i + 1 == words.size() || find(words[i + 1])) throw UsageError(name, "needs a value");
        flag->store(words[++i]);
        while (flag->many && i + 1 < words.size() && !words[i + 1].starts_with("--")) flag->store(words[++i]);
      }
    }
    for (const Flag& flag : flags_)
      if (flag.required && !flag.given) throw UsageError(flag.name, "is required (see --help)");
    return true;
  }
  int help() const {
    std::printf("%s: %s\n\n", program_.c_str(), purpose_.c_str());
    for (const Flag& flag : flags_) {
      const std::string left = flag.name + flag.placeholder, fallback = flag.required ? "required" : "default: " + flag.fallback;
      std::printf("  %-28s %s (%s)\n", left.c_str(), flag.help.c_str(), fallback.c_str());
    }
    std::printf("  %-28s %s\n", "--help", "print this and exit");
    return 0;
  }
  static int report(std::string text, int code) {
    for (char& c : text)
      if (c == '\n' || c == '\r') c = ' ';
    std::fflush(stdout);
    std::fprintf(stderr, "error: %s\n", text.c_str());
    return code;
  }

  std::string program_, purpose_;
  std::vector<Flag> flags_;  // in the order of declaration
};

// A token that fires at the first SIGINT or SIGTERM; a second signal ends the program at once.
inline plume::StopToken stop_on_signal() {
  static plume::StopSource source;
  static volatile std::sig_atomic_t signals = 0;
  const auto handler = [](int) {
    if (signals != 0) _exit(130);
    signals = 1;
    source.request();
  };
  struct sigaction action = {};
  action.sa_handler = handler;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return source.token();
}

// The largest resident set so far, in bytes.
inline std::int64_t peak_rss_bytes() {
  struct rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
#if defined(__APPLE__)
  return usage.ru_maxrss;
#else
  return std::int64_t{usage.ru_maxrss} * 1024;  // Linux counts KiB
#endif
}

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace example
