// Trains a language model from scratch.
//
//   pretrain --data book.txt --tokenizer char --config shakespeare-cpu --out my-model
//   pretrain --data train.txt --validation test.txt --tokenizer my-tokenizer --config tiny --out my-model
//   pretrain ... --resume                                                     goes on after Ctrl-C or a crash
//   pretrain ... --dry-run                                                    what memory it will take; trains nothing
//   pretrain ... --recompute mlp --moments bf16 --release-gradients --clip 0 --accumulation 1       the least memory for the speed
//
// --out becomes a model directory (config.json, model.safetensors and the tokenizer's files) with the run's metrics.jsonl, loss.svg and
// checkpoints/. The model is written at each evaluation and at the end. A resumed run computes what an uninterrupted run would have.
#include <filesystem>

#include "plume/base/json.hpp"
#include "plume/data/token_dataset.hpp"
#include "plume/models/load.hpp"
#include "plume/models/save.hpp"
#include "plume/tokenizer/characters.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"
#include "plume/train/named_configs.hpp"
#include "plume/train/predicted_memory.hpp"
#include "plume/train/train.hpp"
#include "training_program.hpp"

namespace {

// A table, or one JSON object.
void show(const plume::MemoryPrediction& memory, bool json) {
  const std::pair<const char*, std::size_t> rows[] = {
      {"parameters", memory.parameters}, {"moments", memory.moments}, {"gradients", memory.gradients}, {"activations", memory.activations},
      {"classifier", memory.classifier}, {"working", memory.working}, {"process", memory.process},     {"total", memory.total()}};
  plume::Json report = plume::Json::object();
  for (const auto& [name, bytes] : rows) {
    if (!json) std::printf("%-12s %10.1f MB\n", name, 1e-6 * static_cast<double>(bytes));
    report.set(std::string(name) + "_bytes", static_cast<std::int64_t>(bytes));
  }
  if (json) std::printf("%s\n", plume::dump(report).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  example::Flags flags("pretrain", "Trains a language model from scratch.");
  const auto& data = flags.list("--data FILE...", example::required, "text files; a line <|endoftext|> separates documents");
  const auto& validation =
      flags.text("--validation FILE|X", "0.1", "text file to measure the loss on, or the fraction of the data's end; 0: none");
  const auto& config_name = flags.text("--config NAME|FILE", "tiny",
                                       "tiny, shakespeare-cpu, shakespeare, gpt2-124m, stories15m, or a JSON file with the same keys");
  const auto& tokenizer_name =
      flags.text("--tokenizer DIR|char|bytes", "char", "tokenizer directory or file; char: the data's characters; bytes: one token a byte");
  const auto& out = flags.text("--out DIR", example::required, "where the model, its log and its checkpoints go");
  const auto& steps = flags.number("--steps N", plume::Index{0}, "updates; 0: as the configuration says", {.min = 0});
  const auto& batch = flags.number("--batch N", plume::Index{0}, "sequences of a micro-step; 0: as the configuration says", {.min = 0});
  const auto& sequence = flags.number("--sequence N", plume::Index{0}, "tokens of a sequence; 0: as the configuration says", {.min = 0});
  const auto& accumulation =
      flags.number("--accumulation N", plume::Index{0}, "micro-steps of an update; 0: as the configuration says", {.min = 0});
  const auto& rate = flags.number("--learning-rate X", 0.0, "peak of the schedule; 0: as the configuration says", {.min = 0});
  const auto& evaluate_every = flags.number("--evaluate-every N", plume::Index{0},
                                            "steps between evaluations and checkpoints; 0: as the configuration says", {.min = 0});
  const auto& clip = flags.number("--clip X", -1.0, "bound of the gradient norm, 0: none; -1: as the configuration says", {.min = -1});
  const auto& release = flags.toggle("--release-gradients",
                                     "save memory: update a parameter as soon as its gradient is complete; needs "
                                     "--clip 0 --accumulation 1, and a gradient that is not finite skips its parameter alone");
  const auto& dry_run = flags.toggle("--dry-run", "print the memory that training will take, and end");
  const example::RunFlags run(flags);

  return flags.run(argc, argv, [&] {
    run.check();
    const plume::StopToken stop = example::stop_on_signal();
    std::signal(SIGXFSZ, SIG_IGN);  // a file size limit is then an error like a full disk: training goes on

    const auto is_ours = [&](const plume::NamedConfig& named) { return named.name == config_name; };
    if (std::none_of(std::begin(plume::named_configs), std::end(plume::named_configs), is_ours) && !plume::file_exists(config_name))
      throw example::UsageError(
          "--config", plume::concat(plume::quoted(config_name),
                                    " is neither a JSON file nor a named configuration (known: ", plume::named_config_names(), ")"));
    plume::PretrainConfig config = plume::pretrain_config(config_name);
    const auto replace = [](auto& value, const auto& given) {
      if (given != 0) value = given;
    };
    if (rate > 0) config.minimum_learning_rate *= rate / config.learning_rate;
    replace(config.learning_rate, rate);
    replace(config.steps, steps);
    replace(config.batch, batch);
    replace(config.accumulation, accumulation);
    if (clip >= 0) config.clip = clip;
    if (release && (config.clip != 0 || config.accumulation != 1))
      throw example::UsageError(
          "--release-gradients",
          plume::concat("updates each parameter before the other gradients exist: it needs --clip 0 --accumulation 1, here clip is ",
                        config.clip, ", accumulation ", config.accumulation));
    replace(config.evaluate_every, evaluate_every);
    if (sequence > config.model.context)
      throw example::UsageError("--sequence", plume::concat("is longer than the context of ", config.model.context));
    replace(config.sequence, sequence);
    config.warmup = std::min(config.warmup, config.steps / 4);

    // Text to tokens. The last part of the data, or a file of its own, is for validation.
    const auto tokenizer = [&] {
      if (tokenizer_name == "bytes") return plume::byte_tokenizer();
      if (tokenizer_name != "char") return plume::load_tokenizer(tokenizer_name);
      std::string text;
      for (const std::string& path : data) text += plume::read_text(path);
      if (!example::as_fraction(validation)) text += plume::read_text(validation);
      return plume::character_tokenizer(text);
    }();
    plume::TokenDataset training = plume::read_token_dataset(data, tokenizer, {.stop = stop}), held_out;
    if (const auto fraction = example::validation_fraction(validation)) {
      std::tie(training, held_out) = training.split(*fraction);
    } else {
      held_out = plume::read_token_dataset({validation}, tokenizer, {.stop = stop});
    }

    if (held_out.size() < 2 && flags.given("--validation") && example::as_fraction(validation) != 0.0)
      throw example::UsageError("--validation", plume::concat("gives ", held_out.size(), " tokens, a loss needs at least two"));

    // A fresh model of that vocabulary.
    config.model.vocabulary = tokenizer.vocabulary();
    if (const auto token = tokenizer.bos()) config.model.begin_tokens = {*token};
    if (const auto token = tokenizer.eos()) config.model.end_tokens = {*token};
    plume::TrainOptions options{.steps = config.steps,
                                .batch = config.batch,
                                .accumulation = config.accumulation,
                                .schedule = config.schedule(),
                                .optimizer = config.optimizer,
                                .clip = config.clip,
                                .dropout = config.dropout,
                                .release_gradients = release,
                                .evaluate_every = config.evaluate_every,
                                .checkpoint_every = config.evaluate_every,
                                .directory = out,
                                .stop = stop};
    run.apply(options);
    if (dry_run) return show(plume::predicted_memory(config.model, config.sequence, options), run.json);
    plume::Model model{plume::Decoder::described(config.model), tokenizer};
    plume::initialise(model.decoder, run.seed);
    example::ProgressLine line(run.quiet ? example::ProgressLine::Output::none : example::ProgressLine::Output::line);
    line.remark(plume::concat(plume::count_parameters(model.decoder), " parameters, ", training.size(), " training tokens, ",
                              held_out.size(), " validation tokens, vocabulary ", config.model.vocabulary));
    if (held_out.size() < 2 && example::as_fraction(validation) != 0.0)
      line.remark("warning: too little text to validate on; no validation loss");
    const plume::TrainCallbacks callbacks{
        .progress = [&](const plume::Progress& now) { line.show(now); },
        .evaluated = [&](const plume::Progress&) { example::save_or_remark(line, "model", [&] { plume::save(model, out); }); },
        .warning = [&](const std::string& text) { line.remark("warning: " + text); }};
    plume::PackedWindows windows(training, {.sequence = config.sequence, .seed = run.seed});
    std::optional<plume::EvaluationWindows> evaluation;
    if (held_out.size() >= 2) evaluation.emplace(held_out, plume::EvaluationWindowsOptions{.sequence = config.sequence});
    if (run.overwrite) std::filesystem::remove_all(out + "/checkpoints");  // last, when all else has succeeded

    const example::Stopwatch watch;
    const plume::TrainResult result = evaluation ? plume::train(model.decoder, windows, *evaluation, options, callbacks)
                                                 : plume::train(model.decoder, windows, plume::NoEvaluation{}, options, callbacks);
    plume::save(model, out);
    line.clear();

    example::end_run(run, result, example::run_report(result, watch.seconds()), plume::concat("model ", out), argc, argv);
  });
}
