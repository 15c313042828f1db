#pragma once
// What train() is told, and what it tells.
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "plume/base/file_system.hpp"
#include "plume/base/stop_token.hpp"
#include "plume/kernels/parallel/context.hpp"
#include "plume/modules/pass.hpp"
#include "plume/optim/adamw.hpp"
#include "plume/optim/schedule.hpp"
#include "plume/optim/sgd.hpp"

namespace plume::inline PLUME_ABI {

enum class Resume : std::uint8_t {
  nothing,  // start at step 0; ArgumentError when the directory holds checkpoints of an earlier run
  newest,   // go on from the newest checkpoint that verifies, or start at step 0 where there is none
};

struct TrainOptions {
  Index steps = 2000;      // updates in all, those of earlier runs included
  Index batch = 16;        // sequences of one micro-step
  Index accumulation = 1;  // micro-steps of one update
  CosineSchedule schedule = {};
  std::variant<AdamWOptions, SgdOptions> optimizer = AdamWOptions{};  // its learning_rate is not used: the schedule's is
  double clip = 1;                                                    // of the gradient norm; 0: none
  double dropout = 0;
  Precision precision = Precision::f32;  // of matrix products; weights, gradients and sums stay float
  Recompute recompute = Recompute::nothing;
  Activations activations = Activations::full;  // kept by the forward pass for the backward pass
  // Saves memory: the optimiser updates a parameter as soon as the backward pass has its gradient, which is then released. There is no time
  // at which all gradients exist, so this excludes clipping by their norm (clip must be 0) and accumulation (must be 1), and a gradient
  // that is not finite skips the update of its own parameter alone, not of all.
  bool release_gradients = false;
  std::uint64_t seed = 0;                                              // of dropout
  Index evaluate_every = 250, log_every = 10, checkpoint_every = 250;  // steps; 0: only at the end
  Index keep_last = 2;                                                 // checkpoints
  std::string directory = {};  // of metrics.jsonl, loss.svg and checkpoints/; empty: nothing is written
  Resume resume = Resume::nothing;
  double time_limit = 0;                         // seconds of this run; 0: none
  Index max_skips = 5;                           // updates skipped in a row, because loss or gradient were not finite, before NumericError
  StopToken stop = {};                           // polled at each micro-step and in evaluation
  int threads = 0;                               // 0: all CPUs of the process
  std::shared_ptr<const FileSystem> files = {};  // through which checkpoints are written; null: the system's
};

// One finished step.
struct Progress {
  Index step = 0, steps = 0;                   // updates tried so far, and in all
  std::int64_t tokens = 0;                     // trained so far
  double loss = 0;                             // mean over the steps since the last logged one
  std::optional<double> validation_loss = {};  // the latest
  double learning_rate = 0, gradient_norm = 0;
  double tokens_per_second = 0;  // moving average, bias-corrected
  std::int64_t rss_bytes = 0;
  double seconds = 0, remaining_seconds = 0;  // earlier runs included
  Index skipped = 0;                          // updates so far
  bool logged = false, evaluated = false;     // at this step
};

// Called on the training thread; what they throw ends the training.
struct TrainCallbacks {
  std::function<void(const Progress&)> progress = {};    // after each step
  std::function<void(const Progress&)> evaluated = {};   // after each evaluation: the moment to save the model or to show samples
  std::function<void(const std::string&)> warning = {};  // a checkpoint that could not be written or read, a skipped update
};

enum class TrainEnd : std::uint8_t { finished, stopped, time_limit };

struct TrainResult {
  TrainEnd end = TrainEnd::finished;
  Progress progress = {};       // of the last finished step
  Index resumed_from = 0;       // step of the checkpoint this run began with
  std::string checkpoint = {};  // directory of the last one; empty: none
  std::size_t pool_bytes = 0;   // what the steps took: gradients, activations and working memory
};

}  // namespace plume::inline PLUME_ABI
