#pragma once
// What pretrain and finetune share: the flags of a run, its report, and the command that goes on with it.
#include <optional>

#include "command_line.hpp"
#include "plume/base/json.hpp"
#include "plume/train/options.hpp"
#include "progress.hpp"

namespace example {

// "0.1" is a fraction of the data, all else a file.
inline std::optional<double> as_fraction(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}
// The same of --validation, which must lie in [0, 1).
inline std::optional<double> validation_fraction(const std::string& text) {
  const auto fraction = as_fraction(text);
  if (fraction && !(*fraction >= 0 && *fraction < 1)) throw UsageError("--validation", "must be a file or a fraction in [0, 1)");
  return fraction;
}

// The command line again, with --resume, ready to be pasted into a shell.
inline std::string resume_command(int argc, char** argv) {
  std::string command;
  for (int i = 0; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--resume" || word == "--overwrite") continue;
    const bool plain =
        !word.empty() && word.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=./,:+") == word.npos;
    std::string quoted = "'";
    for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    command += (plain ? word : quoted + "'") + " ";
  }
  return command + "--resume";
}

struct RunFlags {
  explicit RunFlags(Flags& flags)
      : log_every(flags.number("--log-every N", plume::Index{10}, "steps between lines of metrics.jsonl", {.min = 1})),
        keep_last(flags.number("--keep-last N", plume::Index{2}, "checkpoints to keep", {.min = 1})),
        resume(flags.toggle("--resume", "go on from the newest whole checkpoint in --out, if there is one")),
        overwrite(flags.toggle("--overwrite", "start again although --out holds checkpoints; removes them")),
        recompute(flags.choice("--recompute", "none", {"none", "mlp", "blocks"},
                               "save memory: activations to compute again in the backward pass, of feed-forward halves or blocks")),
        moments(flags.choice("--moments", "f32", {"f32", "bf16"}, "save memory: AdamW's moments in bf16, rounded stochastically")),
        activations(flags.choice("--activations", "f32", {"f32", "bf16"},
                                 "save memory: what is kept for the backward pass in bf16; gradients differ a little")),
        precision(flags.choice("--precision", "f32", {"f32", "bf16"},
                               "arithmetic of matrix products: bf16 rounds their operands, weights and sums stay f32")),
        time_limit(flags.number("--time-limit SECONDS", 0.0, "stop with a checkpoint after this time; 0: none", {.min = 0})),
        threads(flags.threads()),
        seed(flags.seed()),
        json(flags.json()),
        quiet(flags.quiet()) {}

  void check() const {
    if (resume && overwrite) throw UsageError("--overwrite", "cannot go with --resume");
  }
  // What these flags say, written into a program's own options.
  void apply(plume::TrainOptions& options) const {
    if (auto* const adamw = std::get_if<plume::AdamWOptions>(&options.optimizer)) {
      adamw->seed = seed;
      if (moments == "bf16") adamw->moments = plume::Moments::bf16;
    }
    options.precision = precision == "bf16" ? plume::Precision::bf16 : plume::Precision::f32;
    options.recompute = recompute == "blocks" ? plume::Recompute::blocks
                        : recompute == "mlp"  ? plume::Recompute::mlp
                                              : plume::Recompute::nothing;
    options.activations = activations == "bf16" ? plume::Activations::bf16 : plume::Activations::full;
    options.seed = seed;
    options.log_every = log_every;
    options.keep_last = keep_last;
    options.resume = resume ? plume::Resume::newest : plume::Resume::nothing;
    options.time_limit = time_limit;
    options.threads = threads;
  }

  const plume::Index &log_every, &keep_last;
  const bool &resume, &overwrite;
  const std::string &recompute, &moments, &activations, &precision;
  const double& time_limit;
  const int& threads;
  const std::uint64_t& seed;
  const bool &json, &quiet;
};

// Tries to save; the save at the end may succeed where this one did not.
template <class Save>
void save_or_remark(ProgressLine& line, std::string_view what, Save&& save) {
  try {
    save();
  } catch (const plume::IoError& error) {
    line.remark(plume::concat("warning: the ", what, " is not saved, training goes on: ", error.what()));
  }
}

// The fields of --json that all training programs have.
inline plume::Json run_report(const plume::TrainResult& result, double seconds) {
  const plume::Progress& last = result.progress;
  plume::Json report = plume::Json::object();
  report.set("steps", last.step).set("tokens", last.tokens).set("train_loss", last.loss);
  report.set("validation_loss", last.validation_loss ? plume::Json(*last.validation_loss) : plume::Json());
  report.set("seconds", seconds).set("tokens_per_second", last.tokens_per_second).set("peak_rss_bytes", peak_rss_bytes());
  report.set("checkpoint", result.checkpoint);
  return report;
}

// The report; and for a run that has not finished, how to go on. Cancelled (exit 130): Ctrl-C ended it.
inline void end_run(const RunFlags& flags, const plume::TrainResult& result, const plume::Json& report, const std::string& made, int argc,
                    char** argv) {
  const plume::Progress& last = result.progress;
  if (flags.json) {
    std::printf("%s\n", plume::dump(report).c_str());
  } else if (!flags.quiet) {
    std::fprintf(stderr, "%lld steps, loss %.4f", static_cast<long long>(last.step), last.loss);
    if (last.validation_loss) std::fprintf(stderr, ", validation loss %.4f", *last.validation_loss);
    std::fprintf(stderr, ", %s\n", made.c_str());
  }
  if (result.end == plume::TrainEnd::finished) return;
  std::fflush(stdout);
  std::fprintf(stderr, "stopped at step %lld of %lld; resume with:\n  %s\n", static_cast<long long>(last.step),
               static_cast<long long>(last.steps), resume_command(argc, argv).c_str());
  if (result.end == plume::TrainEnd::stopped) throw plume::Cancelled();
}

}  // namespace example
