#pragma once
// All of a training run but weights and moments, as a checkpoint's state.json holds it.
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "plume/base/json_value.hpp"
#include "plume/base/random.hpp"
#include "plume/data/batch.hpp"
#include "plume/models/config_fields.hpp"
#include "plume/modules/visit.hpp"
#include "plume/optim/schedule.hpp"

namespace plume::inline PLUME_ABI {

struct TrainState {
  Index step = 0;  // updates tried
  std::int64_t tokens = 0;
  double seconds = 0;
  std::string optimizer = {};  // kind
  Index updates = 0;           // made by the optimiser
  Random random = {};          // of dropout: seed, stream of the next micro-step, counter
  DataCursor data = {};
  std::uint64_t fingerprint = 0;  // of the data
  CosineSchedule schedule = {};
  std::vector<std::pair<std::string, double>> settings = {};  // names and values of options that a resumed run may change
  Index skipped = 0, skipped_in_a_row = 0;
  double loss_sum = 0;  // over the steps since the last logged one
  Index loss_count = 0;
  double loss = 0, learning_rate = 0, gradient_norm = 0;  // as last reported
  std::optional<double> validation_loss = {};
  bool unreported = false;  // the run was stopped after the update of this step and before its line in the log
};

PLUME_FUNCTION Json to_json(const TrainState& state);

// ConfigError: a field is missing, of another kind or out of range.
PLUME_FUNCTION TrainState read_train_state(const Json& json);

// One line that differs between models whose weights cannot be exchanged.
template <class M>
std::string model_description(const M& model) {
  std::string text;
  if constexpr (requires {
                  { model.description() } -> std::convertible_to<std::string>;
                }) {
    text = model.description();
  } else if constexpr (requires {
                         { model.config } -> std::convertible_to<Config>;
                       }) {
    text = describe(model.config);
  } else if constexpr (requires {
                         { model.config.encoder } -> std::convertible_to<Config>;
                         { model.config.decoder } -> std::convertible_to<Config>;
                       }) {
    text = concat("encoder: ", describe(model.config.encoder), "; decoder: ", describe(model.config.decoder));
  } else {
    text = concat(count_parameters(model), " parameters");
  }
  return text;
}

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/base/json.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION Json to_json(const TrainState& state) {
  const auto number = [](double value) { return std::isfinite(value) ? Json(value) : Json(); };
  Json json = Json::object();
  json.set("step", state.step).set("tokens", state.tokens).set("seconds", state.seconds);
  json.set("optimizer", Json::object().set("kind", state.optimizer).set("updates", state.updates));
  json.set("random", Json::array().push(state.random.seed).push(state.random.stream).push(state.random.counter));
  json.set("data", Json::object()
                       .set("seed", state.data.seed)
                       .set("epoch", state.data.epoch)
                       .set("position", state.data.position)
                       .set("fingerprint", state.fingerprint));
  json.set("schedule", Json::object()
                           .set("peak", state.schedule.peak)
                           .set("minimum", state.schedule.minimum)
                           .set("warmup", state.schedule.warmup)
                           .set("steps", state.schedule.steps));
  Json settings = Json::object();
  for (const auto& [name, value] : state.settings) settings.set(name, value);
  json.set("settings", std::move(settings));
  json.set("guard", Json::object().set("skipped", state.skipped).set("skipped_in_a_row", state.skipped_in_a_row));
  json.set("report", Json::object()
                         .set("loss_sum", state.loss_sum)
                         .set("loss_count", state.loss_count)
                         .set("loss", number(state.loss))
                         .set("learning_rate", state.learning_rate)
                         .set("gradient_norm", number(state.gradient_norm))
                         .set("validation_loss", state.validation_loss ? number(*state.validation_loss) : Json())
                         .set("unreported", state.unreported));
  return json;
}

PLUME_FUNCTION TrainState read_train_state(const Json& json) {
  const auto counter = [](const Json& parent, std::string_view key) {
    const Index value = parent.integer(key);
    constexpr Index most = Index{1} << 53;  // a run that goes on counting stays far from overflow
    if (value < 0 || value > most) parent.at(key).fail(concat("is ", value, ", expected 0 .. ", most));
    return value;
  };
  const auto number = [](const Json& parent, std::string_view key) { return parent.at(key).is_null() ? std::nan("") : parent.number(key); };
  TrainState state;
  state.step = counter(json, "step");
  state.tokens = counter(json, "tokens");
  state.seconds = json.number("seconds");
  const Json &optimizer = json.at("optimizer"), &random = json.at("random"), &data = json.at("data"), &schedule = json.at("schedule"),
             &guard = json.at("guard"), &report = json.at("report");
  state.optimizer = optimizer.text("kind");
  state.updates = counter(optimizer, "updates");
  if (random.items().size() != 3) random.fail(concat("must be [seed, stream, counter], has ", random.size(), " elements"));
  state.random = {random.at(0).as_unsigned(), random.at(1).as_unsigned(), random.at(2).as_unsigned()};
  state.data = {data.at("seed").as_unsigned(), counter(data, "epoch"), counter(data, "position")};
  state.fingerprint = data.at("fingerprint").as_unsigned();
  state.schedule = {schedule.number("peak"), schedule.number("minimum"), counter(schedule, "warmup"), counter(schedule, "steps")};
  if (const Json* settings = json.find("settings"))
    for (const Json::Member& member : settings->members()) state.settings.emplace_back(member.key, member.value.as_number());
  state.skipped = counter(guard, "skipped");
  state.skipped_in_a_row = counter(guard, "skipped_in_a_row");
  state.loss_sum = report.number("loss_sum");
  state.loss_count = counter(report, "loss_count");
  state.loss = number(report, "loss");
  state.learning_rate = report.number("learning_rate");
  state.gradient_norm = number(report, "gradient_norm");
  if (!report.at("validation_loss").is_null()) state.validation_loss = report.number("validation_loss");
  state.unreported = report.boolean("unreported");
  return state;
}

}  // namespace plume::inline PLUME_ABI
#endif
