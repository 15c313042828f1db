#pragma once
// Where long work without a loss stands, on stderr: on a terminal one line that is redrawn, elsewhere a plain line every few seconds.
#include <unistd.h>

#include <cstdio>
#include <string>
#include <string_view>

#include "command_line.hpp"

namespace example {

class StepLine {
 public:
  enum class Output { shown, none };
  explicit StepLine(Output output) : shown_(output == Output::shown), terminal_(isatty(STDERR_FILENO) == 1) {}
  ~StepLine() { clear(); }

  // "counting words 12.0 of 100.0 MB"; total 0: unknown.
  void show(std::string_view what, double done, double total, const char* unit) {
    if (!shown_ || (since_.seconds() < (terminal_ ? 0.1 : 5) && !(terminal_ && !drawn_))) return;
    since_ = Stopwatch();
    char text[160];
    const int name = static_cast<int>(what.size());
    if (total > 0)
      std::snprintf(text, sizeof text, "%.*s %.*f of %.*f%s (%.0f%%)", name, what.data(), *unit ? 1 : 0, done, *unit ? 1 : 0, total, unit,
                    100 * done / total);
    else
      std::snprintf(text, sizeof text, "%.*s %.*f%s", name, what.data(), *unit ? 1 : 0, done, unit);
    std::fprintf(stderr, terminal_ ? "\r\x1b[K%s" : "%s\n", text);
    std::fflush(stderr);
    drawn_ = terminal_;
  }
  // A remark that stays.
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
  bool shown_, terminal_, drawn_ = false;
  Stopwatch since_;
};

}  // namespace example
