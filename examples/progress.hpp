#pragma once
// The progress line of long runs, on stderr:
//   [#####....] 431/2000  loss 2.13 (val 2.20)  lr 3e-4  |g| 0.8  5.2k tok/s  cpu 197%  rss 1.1G  eta 2:14
// On a terminal one line is redrawn, cut to its width; elsewhere each logged step is a plain line.
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "command_line.hpp"
#include "plume/train/options.hpp"

namespace example {

// 5200 -> "5.2k"
inline std::string short_number(double value) {
  const char* unit = "";
  for (const auto& [size, name] : {std::pair{1e9, "G"}, {1e6, "M"}, {1e3, "k"}})
    if (value >= size) {
      value /= size;
      unit = name;
      break;
    }
  char text[32];
  std::snprintf(text, sizeof text, value < 10 && *unit ? "%.1f%s" : "%.0f%s", value, unit);
  return text;
}

// 134 -> "2:14"
inline std::string clock_time(double seconds) {
  const auto all = static_cast<long long>(std::max(0.0, seconds) + 0.5);
  char text[32];
  if (all >= 3600)
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", all / 3600, all / 60 % 60, all % 60);
  else
    std::snprintf(text, sizeof text, "%lld:%02lld", all / 60, all % 60);
  return text;
}

class ProgressLine {
 public:
  enum class Output { line, none };
  explicit ProgressLine(Output output) : shown_(output == Output::line), terminal_(isatty(STDERR_FILENO) == 1) {
    const char* plain = std::getenv("NO_COLOR");
    colour_ = terminal_ && !(plain && *plain);
  }
  ~ProgressLine() { clear(); }

  void show(const plume::Progress& now) {
    if (!shown_) return;
    if (!terminal_) {
      if (now.logged) std::fprintf(stderr, "%s\n", figures(now).c_str());
      return;
    }
    const bool last = now.step == now.steps;
    if (!last && !now.evaluated && drawn_ && since_.seconds() < 0.1) return;  // ten times a second is enough
    since_ = Stopwatch();
    std::string line = bar(now, 20) + " " + figures(now);
    const std::size_t width = columns();
    if (line.size() >= width) line = bar(now, 6) + " " + figures(now);
    if (line.size() >= width) line.resize(width > 1 ? width - 1 : 0);
    if (colour_) {  // the bar alone
      const std::size_t end = std::min(line.find(']'), line.size() - 1) + 1;
      line = "\x1b[36m" + line.substr(0, end) + "\x1b[0m" + line.substr(end);
    }
    std::fprintf(stderr, "\r\x1b[K%s%s", line.c_str(), last ? "\n" : "");
    std::fflush(stderr);
    drawn_ = !last;
  }
  // A remark above the line.
  void remark(const std::string& text) {
    if (!shown_) return;
    clear();
    std::fprintf(stderr, "%s\n", text.c_str());
  }
  void clear() {
    if (drawn_) std::fprintf(stderr, "\r\x1b[K");
    drawn_ = false;
  }

 private:
  static std::string bar(const plume::Progress& now, int cells) {
    const auto full = static_cast<std::size_t>(now.steps > 0 ? now.step * cells / now.steps : 0);
    return "[" + std::string(full, '#') + std::string(static_cast<std::size_t>(cells) - full, '.') + "]";
  }
  std::string figures(const plume::Progress& now) {
    char validation[40] = "", text[320];
    if (now.validation_loss) std::snprintf(validation, sizeof validation, " (val %.3f)", *now.validation_loss);
    std::snprintf(text, sizeof text, "%lld/%lld  loss %.3f%s  lr %.1e  |g| %.2f  %s tok/s  cpu %.0f%%  rss %s  eta %s",
                  static_cast<long long>(now.step), static_cast<long long>(now.steps), now.loss, validation, now.learning_rate,
                  now.gradient_norm, short_number(now.tokens_per_second).c_str(), cpu_percent(),
                  short_number(static_cast<double>(now.rss_bytes)).c_str(), clock_time(now.remaining_seconds).c_str());
    return text;
  }
  // Of this process, user and system.
  static double cpu_seconds() {
    struct rusage usage = {};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec); };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
  }
  // CPU time over wall time since the last call that lies at least a second back.
  double cpu_percent() {
    const double cpu = cpu_seconds(), wall = clock_.seconds();
    if (wall - wall_before_ >= (percent_ == 0 ? 0.1 : 1)) {
      percent_ = 100 * (cpu - cpu_before_) / (wall - wall_before_);
      wall_before_ = wall;
      cpu_before_ = cpu;
    }
    return percent_;
  }
  static std::size_t columns() {
    struct winsize size = {};
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
  }

  bool shown_, terminal_, colour_ = false, drawn_ = false;
  Stopwatch clock_, since_;
  double wall_before_ = 0, cpu_before_ = cpu_seconds(), percent_ = 0;
};

}  // namespace example
