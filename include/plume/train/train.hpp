#pragma once
// train(): the loop that pretraining and tuning share.
//
//   PackedWindows training(text, {.sequence = 256});
//   EvaluationWindows validation(held_out, {.sequence = 256});
//   TrainResult result = train(model, training, validation, {.steps = 5000, .batch = 64, .directory = "out"});
//
// Loss = sum over trained tokens / number of trained tokens of the whole accumulated batch. A run that was stopped and resumed computes,
// bit for bit, what the uninterrupted run computes.
#include <chrono>
#include <cmath>
#include <utility>

#include "plume/base/atomic_save.hpp"
#include "plume/base/directory.hpp"
#include "plume/base/process.hpp"
#include "plume/data/token_dataset.hpp"
#include "plume/modules/prepare.hpp"
#include "plume/train/checkpoint.hpp"
#include "plume/train/evaluate.hpp"
#include "plume/train/metrics.hpp"
#include "plume/train/options.hpp"
#include "plume/train/state.hpp"

namespace plume::inline PLUME_ABI {

// Validation data of a run that has none.
struct NoEvaluation {
  Index size() const { return 0; }
  TokenBatch at(Index) const { return {}; }
};

namespace train_detail {

// Moving average of tokens per second; dividing by the weight so far removes the bias towards 0 of the first values.
class Speed {
 public:
  void add(double tokens, double seconds) {
    constexpr double keep = 0.95;
    tokens_ = keep * tokens_ + (1 - keep) * tokens;
    seconds_ = keep * seconds_ + (1 - keep) * seconds;
  }
  double tokens_per_second() const { return seconds_ > 0 ? tokens_ / seconds_ : 0; }

 private:
  double tokens_ = 0, seconds_ = 0;  // the same weights in both, so their quotient has no bias
};

template <class M, BatchSource Source, BatchList List>
class Trainer {
 public:
  Trainer(M& model, Source& data, const List& validation, const TrainOptions& options, const TrainCallbacks& callbacks)
      : model_(model),
        data_(data),
        validation_(validation),
        options_(options),
        callbacks_(callbacks),
        optimizer_(std::visit([&](const auto& chosen) { return optimizer_of(model, chosen); }, options.optimizer)),
        context_({.threads = options.threads, .precision = options.precision}),
        folder_(options.directory + "/checkpoints"),
        log_(options.directory + "/metrics.jsonl"),
        linear_weights_(linear_weights(model)) {
    for (const NamedParameter& parameter : parameters()) trained_.push_back(parameter.tensor);
    const auto at_least = [](std::string_view name, Index value, Index least) {
      require(value >= least, "[train] ", name, " is ", value, ", expected at least ", least);
    };
    at_least("steps", options.steps, 0);
    at_least("batch", options.batch, 1);
    at_least("accumulation", options.accumulation, 1);
    at_least("evaluate_every", options.evaluate_every, 0);
    at_least("log_every", options.log_every, 0);
    at_least("checkpoint_every", options.checkpoint_every, 0);
    at_least("keep_last", options.keep_last, 1);
    at_least("max_skips", options.max_skips, 1);
    require(options.clip >= 0 && options.dropout >= 0 && options.dropout < 1 && options.time_limit >= 0, "[train] clip ", options.clip,
            ", dropout ", options.dropout, ", time_limit ", options.time_limit, ": expected clip >= 0, dropout in [0, 1), time_limit >= 0");
    require(
        !options.release_gradients || (options.clip == 0 && options.accumulation == 1), "[train] release_gradients with clip ",
        options.clip, " and accumulation ", options.accumulation,
        ": it updates each parameter before the other gradients exist, so their norm cannot be clipped and nothing accumulated. Set clip "
        "to 0 and accumulation to 1, or leave release_gradients out");
  }

  TrainResult run() {
    const ContextScope scope(context_);
    begin();
    try {
      if (state_.unreported) report();
      while (state_.step < options_.steps && !interrupted()) {
        if (!step()) break;
        report();
        if (due(options_.checkpoint_every) && state_.step < options_.steps) save(OnFailure::warn);
      }
    } catch (const Cancelled&) {  // in evaluation
    }
    if (writes()) save(OnFailure::fail);
    result_.end = state_.step >= options_.steps && !state_.unreported ? TrainEnd::finished
                  : options_.stop.requested()                         ? TrainEnd::stopped
                                                                      : TrainEnd::time_limit;
    result_.progress = progress();
    result_.pool_bytes = context_.pool().bytes_held();
    return result_;
  }

 private:
  using Clock = std::chrono::steady_clock;
  enum class OnFailure : std::uint8_t { warn, fail };

  static std::variant<AdamW, Sgd> optimizer_of(M& model, const AdamWOptions& options) { return AdamW(model, options); }
  static std::variant<AdamW, Sgd> optimizer_of(M& model, const SgdOptions& options) { return Sgd(model, options); }
  template <class F>
  decltype(auto) with_optimizer(F&& f) {
    return std::visit(std::forward<F>(f), optimizer_);
  }
  const std::vector<NamedParameter>& parameters() {
    return with_optimizer([](auto& optimizer) -> const std::vector<NamedParameter>& { return optimizer.parameters(); });
  }

  // What a resumed run may change, and is then told about.
  static std::vector<std::pair<std::string, double>> settings_of(const TrainOptions& options) {
    std::vector<std::pair<std::string, double>> settings = {{"batch", static_cast<double>(options.batch)},
                                                            {"accumulation", static_cast<double>(options.accumulation)},
                                                            {"clip", options.clip},
                                                            {"dropout", options.dropout},
                                                            {"bf16", options.precision == Precision::bf16 ? 1.0 : 0.0},
                                                            {"bf16_activations", options.activations == Activations::bf16 ? 1.0 : 0.0}};
    if (const auto* adamw = std::get_if<AdamWOptions>(&options.optimizer))
      settings.insert(
          settings.end(),
          {{"beta1", adamw->beta1}, {"beta2", adamw->beta2}, {"epsilon", adamw->epsilon}, {"weight_decay", adamw->weight_decay}});
    if (const auto* sgd = std::get_if<SgdOptions>(&options.optimizer))
      settings.insert(settings.end(), {{"momentum", sgd->momentum}, {"weight_decay", sgd->weight_decay}});
    return settings;
  }

  bool writes() const { return !options_.directory.empty(); }
  double seconds_of_run() const { return std::chrono::duration<double>(Clock::now() - began_).count(); }
  bool interrupted() const { return options_.stop.requested() || (options_.time_limit > 0 && seconds_of_run() >= options_.time_limit); }
  bool due(Index every) const { return state_.step == options_.steps || (every > 0 && state_.step % every == 0); }
  void warn(const std::string& text) const {
    if (callbacks_.warning) callbacks_.warning(text);
  }

  // A new run, or the newest checkpoint.
  void begin() {
    began_ = Clock::now();
    state_.schedule = options_.schedule;
    state_.settings = settings_of(options_);
    state_.fingerprint = data_.fingerprint();
    state_.optimizer = with_optimizer([](auto& optimizer) { return std::string(optimizer.kind()); });
    state_.random.seed = options_.seed;
    state_.data = data_.cursor();
    if (!writes()) return;
    make_directory(options_.directory);
    std::optional<Checkpoint> checkpoint;
    if (options_.resume == Resume::newest)
      checkpoint = newest_checkpoint(folder_, [&](const std::string& text) { warn(text); });
    else
      require(checkpoint_steps(folder_).empty(), "[train] ", folder_,
              " holds checkpoints of an earlier run: resume it, remove them, or train into another directory");
    if (checkpoint) restore(*checkpoint);
    result_.resumed_from = state_.step;
    log_.cut_back(state_.unreported ? state_.step - 1 : state_.step);
  }

  // Checks everything, then changes model, optimiser and data.
  void restore(const Checkpoint& checkpoint) {
    const auto fail = [&](std::string_view field, std::string_view reason) {
      throw ConfigError({.path = checkpoint.path, .field = std::string(field)}, reason);
    };
    if (const std::string ours = model_description(model_); checkpoint.model != ours)
      fail("manifest.model", concat("the checkpoint is of another model (", checkpoint.model, "); this run trains ", ours));
    const TrainState state = read_train_state(checkpoint.state);
    if (state.step != checkpoint.step) fail("state.step", concat("is ", state.step, ", the manifest says ", checkpoint.step));
    if (state.step > options_.steps) fail("state.step", concat("is ", state.step, ", this run ends at step ", options_.steps));
    if (state.optimizer != state_.optimizer)
      fail("state.optimizer.kind", concat("is ", quoted(state.optimizer), ", this run uses ", state_.optimizer));
    if (state.updates > state.step) fail("state.optimizer.updates", concat("is ", state.updates, " after ", state.step, " steps"));
    if (state.fingerprint != state_.fingerprint)
      fail("state.data.fingerprint",
           "the training data or its cut into sequences differ from those of the checkpoint; resume with the same data, tokenizer and "
           "sequence length");
    if (state.random.seed != options_.seed || state.data.seed != state_.data.seed)
      fail("state.random", concat("the checkpoint is of seed ", state.random.seed, ", this run of ", options_.seed));
    const CosineSchedule &then = state.schedule, &now = options_.schedule;
    if (then.peak != now.peak || then.minimum != now.minimum || then.warmup != now.warmup || then.steps != now.steps)
      warn(concat("the learning-rate schedule differs from that of the checkpoint (peak ", then.peak, ", ", then.steps,
                  " steps): the run goes on with peak ", now.peak, ", ", now.steps, " steps"));
    for (const auto& [name, before] : state.settings)
      for (const auto& [ours, value] : state_.settings)
        if (name == ours && before != value)
          warn(concat(name, " differs from that of the checkpoint (", before, "): the run goes on with ", value));
    std::vector<NamedParameter> moments = with_optimizer([](auto& optimizer) { return optimizer.state(); });
    check(checkpoint, "weights", checkpoint.weights, parameters());
    check(checkpoint, "optimizer", checkpoint.optimizer, moments);
    try {
      data_.seek(state.data);
    } catch (const ConfigError& error) {
      fail("state." + error.where().field, error.reason());
    }

    put(checkpoint.weights, parameters());
    put(checkpoint.optimizer, moments);
    with_optimizer([&](auto& optimizer) { optimizer.restore_steps(state.updates); });
    state_ = state;
    state_.schedule = options_.schedule;
    state_.settings = settings_of(options_);
    seconds_before_ = state.seconds;
    result_.checkpoint = checkpoint.path;
  }
  static const NamedTensor* find(const std::vector<NamedTensor>& tensors, std::string_view name) {
    for (const NamedTensor& named : tensors)
      if (named.name == name) return &named;
    return nullptr;
  }
  static void put(const std::vector<NamedTensor>& from, const std::vector<NamedParameter>& into) {
    for (const NamedParameter& parameter : into) {
      const Tensor& source = find(from, parameter.path)->tensor;
      parameter.tensor.assign(source);
      checkpoint_detail::forget_pages(source);
    }
  }
  // The end of a run that yields nothing finite any more.
  [[noreturn]] void give_up(const std::string& reason) {
    const auto good = writes() ? newest_checkpoint(folder_) : std::nullopt;
    if (!good) throw NumericError(concat(reason, ": lower the learning rate"));
    put(good->weights, parameters());
    data_.seek(read_train_state(good->state).data);
    throw NumericError(
        concat(reason, ": the model has the weights of ", good->path, " again; lower the learning rate and resume from there"));
  }
  // The tensors of a file against those they will overwrite.
  static void check(const Checkpoint& checkpoint, std::string_view part, const std::vector<NamedTensor>& got,
                    const std::vector<NamedParameter>& wanted) {
    const auto fail = [&](std::string_view name, std::string_view reason) {
      throw ConfigError({.path = concat(checkpoint.path, "/", part, ".safetensors"), .field = std::string(name)}, reason);
    };
    for (const NamedParameter& parameter : wanted) {
      const NamedTensor* named = find(got, parameter.path);
      if (!named) fail(parameter.path, "this tensor is missing");
      if (named->tensor.shape() != parameter.tensor.shape())
        fail(parameter.path, concat("has shape ", named->tensor.shape(), ", this run needs ", parameter.tensor.shape()));
      if (named->tensor.dtype() != parameter.tensor.dtype())
        fail(parameter.path, concat("has dtype ", named->tensor.dtype(), ", this run keeps ", parameter.tensor.dtype()));
      check_finite(*named, concat(checkpoint.path, "/", part, ".safetensors"));
      visit_dtype(named->tensor.dtype(), [&]<class T>() {
        using Value = std::conditional_t<std::is_arithmetic_v<T>, T, float>;  // through float: the 16-bit types
        if (!parameter.path.starts_with("second.")) return;
        for (const T element : named->tensor.span<T>())
          if (const auto value = static_cast<Value>(element); value < 0)
            fail(parameter.path, concat("holds ", value, "; a second moment is a mean of squares"));
      });
      checkpoint_detail::forget_pages(named->tensor);
    }
    if (got.size() != wanted.size()) fail("", concat("holds ", got.size(), " tensors, this run needs ", wanted.size()));
  }

  // One update. False: stopped before it; data and state are as before.
  bool step() {
    const Clock::time_point began = Clock::now();
    Index tokens = 0;
    batches_.resize(static_cast<std::size_t>(options_.accumulation));
    const auto stopped = [&] {
      if (!interrupted()) return false;
      data_.seek(state_.data);
      return true;
    };
    for (TokenBatch& batch : batches_) {
      if (stopped()) return false;
      if constexpr (requires { data_.next(options_.batch, batch); })
        data_.next(options_.batch, batch);
      else
        batch = data_.next(options_.batch);
      tokens += trained_tokens(batch.targets);
    }
    // Weights that several micro-steps share are packed once.
    if (options_.accumulation > 1)
      for (const Tensor& weight : linear_weights_) prepare(weight, Products::forward_and_backward);
    Gradients gradients;
    double loss = 0;
    for (const TokenBatch& batch : batches_) {
      if (stopped()) return false;
      Pass pass;
      pass.segments = segments_of(batch);
      pass.dropout = {.rate = options_.dropout,
                      .seed = options_.seed,
                      .stream = state_.random.stream + static_cast<std::uint64_t>(&batch - batches_.data())};
      pass.training = true;
      pass.recompute = options_.recompute;
      pass.activations = options_.activations;
      Tape tape(trained_);  // by these alone: a base model that was trained before gets no gradients
      const Tensor part = model_.loss(batch.inputs, batch.targets, pass, static_cast<double>(std::max<Index>(tokens, 1)));
      loss += part.item();
      if (options_.release_gradients)
        update_during(tape, part);
      else
        tape.backward(part, gradients);
    }
    if (!options_.release_gradients) update(loss, gradients);
    state_.step += 1;
    state_.tokens += tokens;
    state_.random.stream += static_cast<std::uint64_t>(options_.accumulation);
    state_.data = data_.cursor();
    state_.unreported = true;
    speed_.add(static_cast<double>(tokens), std::chrono::duration<double>(Clock::now() - began).count());
    ++steps_of_run_;
    return true;
  }

  // The update of options.release_gradients. A loss that is not finite skips it all; a gradient, the update of its parameter.
  void update_during(Tape& tape, const Tensor& loss) {
    state_.learning_rate = options_.schedule.at(state_.step);
    state_.gradient_norm = std::nan("");
    std::string culprit;
    if (std::isfinite(loss.item())) {
      double squares = 0;
      Gradients gradients;
      with_optimizer([&](auto& optimizer) {
        optimizer.begin_step(state_.learning_rate);
        state_.updates = optimizer.steps();
        tape.backward(loss, gradients, [&](const Storage& storage) {
          for (std::size_t i = 0; i < parameters().size(); ++i) {
            const NamedParameter& parameter = parameters()[i];
            if (parameter.tensor.storage().get() != &storage) continue;
            const Tensor gradient = gradients.find(parameter.tensor);
            const double part = sum_of_squares(gradient);
            squares += part;
            if (std::isfinite(part))
              optimizer.update(i, gradient);
            else
              culprit = concat("; gradient of ", parameter.path, " is not finite: this parameter stays");
          }
          gradients.release(storage);
        });
      });
      state_.gradient_norm = std::sqrt(squares);
    } else {
      culprit = first_not_finite({});
    }
    count_update(loss.item(), culprit);
  }

  // The guard stands before the optimiser: what is not finite touches neither weights nor moments.
  void update(double loss, const Gradients& gradients) {
    state_.learning_rate = options_.schedule.at(state_.step);
    state_.gradient_norm = gradient_norm(parameters(), gradients);
    if (std::isfinite(loss) && std::isfinite(state_.gradient_norm)) {
      with_optimizer([&](auto& optimizer) {
        optimizer.step(gradients, state_.learning_rate, clip_factor(state_.gradient_norm, options_.clip));
        state_.updates = optimizer.steps();
      });
      return count_update(loss, {});
    }
    count_update(loss, first_not_finite(gradients));
  }
  void count_update(double loss, const std::string& culprit) {
    if (std::isfinite(loss) && std::isfinite(state_.gradient_norm)) {
      state_.skipped_in_a_row = 0;
      state_.loss_sum += loss;
      ++state_.loss_count;
      return;
    }
    ++state_.skipped;
    ++state_.skipped_in_a_row;
    warn(concat("step ", state_.step + 1, ": update skipped, loss ", loss, ", gradient norm ", state_.gradient_norm, culprit));
    if (state_.skipped_in_a_row >= options_.max_skips)
      give_up(concat("[train] step ", state_.step + 1, ": ", state_.skipped_in_a_row, " updates in a row skipped, loss ", loss,
                     ", gradient norm ", state_.gradient_norm, culprit));
  }
  std::string first_not_finite(const Gradients& gradients) {
    for (const NamedParameter& parameter : parameters()) {
      for (const auto& [what, tensor] : {std::pair{"weight", parameter.tensor}, {"gradient of", gradients.find(parameter.tensor)}}) {
        if (!tensor) continue;
        try {
          check_finite({parameter.path, tensor});
        } catch (const NumericError& error) {
          return concat("; ", what, " ", error.what());
        }
      }
    }
    return "; all weights and gradients are finite";
  }

  Progress progress() {
    Progress now;
    now.step = state_.step;
    now.steps = options_.steps;
    now.tokens = state_.tokens;
    now.loss = state_.loss_count > 0 ? state_.loss_sum / static_cast<double>(state_.loss_count) : state_.loss;
    now.validation_loss = state_.validation_loss;
    now.learning_rate = state_.learning_rate;
    now.gradient_norm = state_.gradient_norm;
    now.tokens_per_second = speed_.tokens_per_second();
    now.rss_bytes = resident_bytes();
    now.seconds = seconds_before_ + seconds_of_run();
    now.remaining_seconds =
        steps_of_run_ > 0 ? seconds_of_run() / static_cast<double>(steps_of_run_) * static_cast<double>(options_.steps - state_.step) : 0;
    now.skipped = state_.skipped;
    return now;
  }

  // Evaluation, log, chart and callbacks of the step that was just made. Cancelled: stopped in evaluation; the next run does it again.
  void report() {
    const bool evaluates = validation_.size() > 0 && due(options_.evaluate_every);
    if (evaluates) state_.validation_loss = evaluate_loss(model_, validation_, options_.stop);
    Progress now = progress();
    now.evaluated = evaluates;
    now.logged = evaluates || due(options_.log_every);
    if (now.logged && state_.loss_count == 0) now.loss = std::nan("");  // every update since the last line was skipped
    if (now.logged) {
      state_.loss = now.loss;
      state_.loss_sum = 0;
      state_.loss_count = 0;
      if (writes()) {
        try {
          log_.append(now);
          if (evaluates || state_.step == options_.steps)
            atomic_save(options_.directory + "/loss.svg", [&](FileWriter& out) { out.write(loss_chart(log_.curves())); });
        } catch (const IoError& error) {
          warn(error.what());
        }
      }
    }
    state_.unreported = false;
    if (callbacks_.progress) callbacks_.progress(now);
    if (evaluates && callbacks_.evaluated) callbacks_.evaluated(now);
  }

  void save(OnFailure on_failure) {
    const auto named = [](const std::vector<NamedParameter>& parameters) {
      std::vector<NamedTensor> tensors;
      for (const NamedParameter& parameter : parameters) tensors.push_back({parameter.path, parameter.tensor});
      return tensors;
    };
    state_.seconds = seconds_before_ + seconds_of_run();
    Checkpoint checkpoint{
        .step = state_.step, .model = model_description(model_), .state = to_json(state_), .weights = named(parameters())};
    checkpoint.optimizer = named(with_optimizer([](auto& optimizer) { return optimizer.state(); }));
    const FileSystem system;
    const FileSystem& files = options_.files ? *options_.files : system;
    try {
      result_.checkpoint = write_checkpoint(folder_, checkpoint, files);
      prune_checkpoints(folder_, options_.keep_last, state_.step, files);
    } catch (const NumericError& error) {
      give_up(concat("[train] step ", state_.step, ": ", error.what()));
    } catch (const IoError& error) {
      if (on_failure == OnFailure::fail) throw;
      warn(concat("no checkpoint at step ", state_.step, ", training goes on: ", error.what()));
    }
  }

  M& model_;
  Source& data_;
  const List& validation_;
  const TrainOptions& options_;
  const TrainCallbacks& callbacks_;
  std::variant<AdamW, Sgd> optimizer_;
  Context context_;
  std::string folder_;
  MetricsLog log_;
  std::vector<Tensor> linear_weights_;  // to prepare before each step
  std::vector<Tensor> trained_;
  TrainState state_;
  TrainResult result_;
  std::vector<TokenBatch> batches_;  // of a step; kept for their memory
  Speed speed_;
  Clock::time_point began_;
  double seconds_before_ = 0;
  Index steps_of_run_ = 0;
};

}  // namespace train_detail

// Trains a model that offers loss(inputs, targets, pass, normalizer), from its present weights or from a checkpoint. Its parameters become
// trainable (owned f32 or f64). `data` ends where the run ends. ArgumentError: an option out of range. ConfigError: a checkpoint that does
// not fit this run. NumericError: options.max_skips updates in a row were not finite, or weights or moments are not when they are saved;
// the model then has the weights of the newest checkpoint, if there is one. IoError: the last checkpoint cannot be written.
template <class M, BatchSource Source, BatchList List = NoEvaluation>
TrainResult train(M& model, Source& data, const List& validation = {}, const TrainOptions& options = {},
                  const TrainCallbacks& callbacks = {}) try {
  return train_detail::Trainer<M, Source, List>(model, data, validation, options, callbacks).run();
} catch (...) {
  rethrow_memory_failure("a training run");
}

}  // namespace plume::inline PLUME_ABI
