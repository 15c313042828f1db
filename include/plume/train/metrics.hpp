#pragma once
// metrics.jsonl: one JSON object a logged step.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "plume/base/json_value.hpp"
#include "plume/train/loss_chart.hpp"
#include "plume/train/options.hpp"

namespace plume::inline PLUME_ABI {

// What is not finite (the gradient norm of a skipped step) is null; so is the validation loss of a step without evaluation.
PLUME_FUNCTION Json metrics_line(const Progress& progress);

// The log of one run, and the curves of it.
class MetricsLog {
 public:
  explicit MetricsLog(std::string path) : path_(std::move(path)) {}

  // Keeps the lines of steps up to `last`, in order and whole; what a killed run wrote after its checkpoint, or half, goes.
  PLUME_FUNCTION void cut_back(Index last);

  // Appends a line. IoError: it cannot be written.
  PLUME_FUNCTION void append(const Progress& progress);
  const LossCurves& curves() const { return curves_; }

 private:
  PLUME_FUNCTION void draw(Index step, double loss, double validation);

  std::string path_;
  LossCurves curves_;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/base/atomic_save.hpp"
#include "plume/base/files.hpp"
#include "plume/base/json.hpp"

namespace plume::inline PLUME_ABI {

namespace metrics_detail {
inline Json finite_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(); }
}  // namespace metrics_detail

PLUME_FUNCTION Json metrics_line(const Progress& progress) {
  return Json::object()
      .set("step", progress.step)
      .set("tokens", progress.tokens)
      .set("loss", metrics_detail::finite_or_null(progress.loss))
      .set("validation_loss",
           progress.evaluated && progress.validation_loss ? metrics_detail::finite_or_null(*progress.validation_loss) : Json())
      .set("learning_rate", progress.learning_rate)
      .set("gradient_norm", metrics_detail::finite_or_null(progress.gradient_norm))
      .set("tokens_per_second", progress.tokens_per_second)
      .set("rss_bytes", progress.rss_bytes)
      .set("seconds", progress.seconds)
      .set("remaining_seconds", progress.remaining_seconds)
      .set("skipped", progress.skipped);
}

PLUME_FUNCTION void MetricsLog::cut_back(Index last) {
  curves_ = {};
  if (!file_exists(path_)) return;
  const std::string text = read_text(path_);
  std::size_t kept = 0;
  Index before = 0;
  while (kept < text.size()) {
    const std::size_t end = text.find('\n', kept);
    if (end == text.npos) break;
    try {
      const Json line = Json::parse(std::string_view(text).substr(kept, end - kept), {.path = path_});
      const Index step = line.integer("step");
      if (step <= before || step > last) break;
      before = step;
      const auto number = [&](std::string_view key) { return line.at(key).is_null() ? std::nan("") : line.number(key); };
      draw(step, number("loss"), number("validation_loss"));
    } catch (const InputError&) {
      break;
    }
    kept = end + 1;
  }
  if (kept < text.size()) atomic_save(path_, [&](FileWriter& out) { out.write(std::string_view(text).substr(0, kept)); });
}

PLUME_FUNCTION void MetricsLog::append(const Progress& progress) {
  draw(progress.step, progress.loss, progress.evaluated ? progress.validation_loss.value_or(std::nan("")) : std::nan(""));
  const std::string line = dump(metrics_line(progress)) + "\n";
  const Descriptor file(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
  if (file.get() < 0) throw IoError("open", path_, errno);
  const off_t before = ::lseek(file.get(), 0, SEEK_END);
  for (std::string_view left = line; !left.empty();) {
    const ssize_t written = ::write(file.get(), left.data(), left.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const int reason = written < 0 ? errno : EIO;
      if (before >= 0 && ::ftruncate(file.get(), before) != 0) throw IoError("take half a line back from", path_, errno);
      throw IoError("write", path_, reason);
    }
    left.remove_prefix(static_cast<std::size_t>(written));
  }
}

PLUME_FUNCTION void MetricsLog::draw(Index step, double loss, double validation) {
  if (std::isfinite(loss)) curves_.training.push_back({static_cast<double>(step), loss});
  if (std::isfinite(validation)) curves_.validation.push_back({static_cast<double>(step), validation});
}

}  // namespace plume::inline PLUME_ABI
#endif
