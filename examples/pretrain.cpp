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

#include "command_line.hpp"
#include "plume/base/json.hpp"
#include "plume/data/token_dataset.hpp"
#include "plume/models/load.hpp"
#include "plume/models/save.hpp"
#include "plume/tokenizer/characters.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"
#include "plume/train/named_configs.hpp"
#include "plume/train/predicted_memory.hpp"
#include "plume/train/train.hpp"
#include "progress.hpp"

namespace {

// "0.1" is a fraction of the data, all else a file.
std::optional<double> as_fraction(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The command line again, with --resume, ready to be pasted into a shell.
std::string resume_command(int argc, char** argv) {
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
  const auto& log_every = flags.number("--log-every N", plume::Index{10}, "steps between lines of metrics.jsonl", {.min = 1});
  const auto& keep = flags.number("--keep-last N", plume::Index{2}, "checkpoints to keep", {.min = 1});
  const auto& resume = flags.toggle("--resume", "go on from the newest whole checkpoint in --out, if there is one");
  const auto& overwrite = flags.toggle("--overwrite", "start again although --out holds checkpoints; removes them");
  const auto& clip = flags.number("--clip X", -1.0, "bound of the gradient norm, 0: none; -1: as the configuration says", {.min = -1});
  const auto& recompute = flags.choice("--recompute", "none", {"none", "mlp", "blocks"},
                                       "save memory: activations to compute again in the backward pass, of feed-forward halves or blocks");
  const auto& moments = flags.choice("--moments", "f32", {"f32", "bf16"}, "save memory: AdamW's moments in bf16, rounded stochastically");
  const auto& release = flags.toggle("--release-gradients",
                                     "save memory: update a parameter as soon as its gradient is complete; needs "
                                     "--clip 0 --accumulation 1, and a gradient that is not finite skips its parameter alone");
  const auto& dry_run = flags.toggle("--dry-run", "print the memory that training will take, and end");
  const auto& precision = flags.choice("--precision", "f32", {"f32", "bf16"},
                                       "arithmetic of matrix products: bf16 rounds their operands, weights and sums stay f32");
  const auto& time_limit = flags.number("--time-limit SECONDS", 0.0, "stop with a checkpoint after this time; 0: none", {.min = 0});
  const auto& threads = flags.threads();
  const auto& seed = flags.seed();
  const auto& json = flags.json();
  const auto& quiet = flags.quiet();

  return flags.run(argc, argv, [&] {
    if (resume && overwrite) throw example::UsageError("--overwrite", "cannot go with --resume");
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
    if (moments == "bf16") config.optimizer.moments = plume::Moments::bf16;
    config.optimizer.seed = seed;
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
      if (!as_fraction(validation)) text += plume::read_text(validation);
      return plume::character_tokenizer(text);
    }();
    plume::TokenDataset training = plume::read_token_dataset(data, tokenizer, {.stop = stop}), held_out;
    if (const auto fraction = as_fraction(validation)) {
      if (!(*fraction >= 0 && *fraction < 1)) throw example::UsageError("--validation", "must be a file or a fraction in [0, 1)");
      std::tie(training, held_out) = training.split(*fraction);
    } else {
      held_out = plume::read_token_dataset({validation}, tokenizer, {.stop = stop});
    }

    if (held_out.size() < 2 && flags.given("--validation") && as_fraction(validation) != 0.0)
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
                                .precision = precision == "bf16" ? plume::Precision::bf16 : plume::Precision::f32,
                                .recompute = recompute == "blocks" ? plume::Recompute::blocks
                                             : recompute == "mlp"  ? plume::Recompute::mlp
                                                                   : plume::Recompute::nothing,
                                .release_gradients = release,
                                .seed = seed,
                                .evaluate_every = config.evaluate_every,
                                .log_every = log_every,
                                .checkpoint_every = config.evaluate_every,
                                .keep_last = keep,
                                .directory = out,
                                .resume = resume ? plume::Resume::newest : plume::Resume::nothing,
                                .time_limit = time_limit,
                                .stop = stop,
                                .threads = threads};
    if (dry_run) return show(plume::predicted_memory(config.model, config.sequence, options), json);
    plume::Model model{plume::Decoder::described(config.model), tokenizer};
    plume::initialise(model.decoder, seed);
    example::ProgressLine line(quiet ? example::ProgressLine::Output::none : example::ProgressLine::Output::line);
    line.remark(plume::concat(plume::count_parameters(model.decoder), " parameters, ", training.size(), " training tokens, ",
                              held_out.size(), " validation tokens, vocabulary ", config.model.vocabulary));
    if (held_out.size() < 2 && as_fraction(validation) != 0.0) line.remark("warning: too little text to validate on; no validation loss");
    const plume::TrainCallbacks callbacks{
        .progress = [&](const plume::Progress& now) { line.show(now); },
        .evaluated =
            [&](const plume::Progress&) {
              try {
                plume::save(model, out);
              } catch (const plume::IoError& error) {  // the save at the end may succeed
                line.remark(plume::concat("warning: the model is not saved, training goes on: ", error.what()));
              }
            },
        .warning = [&](const std::string& text) { line.remark("warning: " + text); }};
    plume::PackedWindows windows(training, {.sequence = config.sequence, .seed = seed});
    std::optional<plume::EvaluationWindows> evaluation;
    if (held_out.size() >= 2) evaluation.emplace(held_out, plume::EvaluationWindowsOptions{.sequence = config.sequence});
    if (overwrite) std::filesystem::remove_all(out + "/checkpoints");  // last, when all else has succeeded

    const example::Stopwatch watch;
    const plume::TrainResult result = evaluation ? plume::train(model.decoder, windows, *evaluation, options, callbacks)
                                                 : plume::train(model.decoder, windows, plume::NoEvaluation{}, options, callbacks);
    plume::save(model, out);
    line.clear();

    const plume::Progress& last = result.progress;
    if (json) {
      const plume::Json validation_loss = last.validation_loss ? plume::Json(*last.validation_loss) : plume::Json();
      const double seconds = watch.seconds();
      plume::Json report = plume::Json::object();
      report.set("steps", last.step).set("tokens", last.tokens).set("train_loss", last.loss).set("validation_loss", validation_loss);
      report.set("seconds", seconds).set("tokens_per_second", last.tokens_per_second).set("peak_rss_bytes", example::peak_rss_bytes());
      report.set("checkpoint", result.checkpoint);
      std::printf("%s\n", plume::dump(report).c_str());
    } else if (!quiet) {
      std::fprintf(stderr, "%lld steps, loss %.4f", static_cast<long long>(last.step), last.loss);
      if (last.validation_loss) std::fprintf(stderr, ", validation loss %.4f", *last.validation_loss);
      std::fprintf(stderr, ", model %s\n", out.c_str());
    }
    if (result.end == plume::TrainEnd::finished) return;
    std::fflush(stdout);
    std::fprintf(stderr, "stopped at step %lld of %lld; resume with:\n  %s\n", static_cast<long long>(last.step),
                 static_cast<long long>(last.steps), resume_command(argc, argv).c_str());
    if (result.end == plume::TrainEnd::stopped) throw plume::Cancelled();  // exit 130
  });
}
