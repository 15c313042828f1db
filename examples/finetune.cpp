// Tunes a model on conversations, instructions or texts: LoRA beside the model, or all of its weights.
//
//   finetune --model my-model --data chats.jsonl --out my-adapter                      then: chat --model my-model --adapter my-adapter
//   finetune --model my-model --data chats.jsonl --out my-adapter --merge              and a merged model in my-adapter/merged
//   finetune --model my-model --data alpaca.json --method full --out tuned             then: chat --model tuned
//   finetune ... --resume                                                              goes on after Ctrl-C or a crash
//
// Loss counts on answers only, in every turn. --out holds the adapter as Hugging Face's peft lays it out (or the whole model), the chat
// template's name for the program chat (plume_chat.json), and the run's metrics.jsonl, loss.svg and checkpoints/. It is written at each
// evaluation and at the end. A resumed run computes what an uninterrupted run would have.
#include <filesystem>

#include "plume/data/chat_dataset.hpp"
#include "plume/data/chat_template_file.hpp"
#include "plume/data/chats.hpp"
#include "plume/models/load.hpp"
#include "plume/models/save.hpp"
#include "plume/peft/adapted_model.hpp"
#include "plume/peft/adapter_files.hpp"
#include "plume/train/train.hpp"
#include "training_program.hpp"

namespace {

using plume::Index;

// "a,b" -> {"a", "b"}
std::vector<std::string> comma_separated(const std::string& text) {
  std::vector<std::string> words;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    if (end > begin) words.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

std::vector<std::string> template_names() {
  std::vector<std::string> names = {"auto"};
  for (const plume::ChatTemplate& entry : plume::chat_templates) names.emplace_back(entry.name);
  return names;
}

// The template a run trains with when the command line names none.
plume::ChatForm chosen_template(const std::string& model_path, const plume::Tokenizer& tokenizer, plume::ChatSchema schema) {
  if (schema == plume::ChatSchema::text) return plume::chat_template("text");
  if (const auto saved = plume::saved_chat_template(model_path)) return *saved;
  if (schema == plume::ChatSchema::alpaca) return plume::chat_template("alpaca");
  if (auto own = plume::repository_template(model_path)) return std::move(*own);
  return plume::usual_chat_template(tokenizer);
}

// A fresh adapter; what the model cannot satisfy is a wrong command line.
plume::Adapter attached(const plume::Model& model, plume::Lora lora) {
  const Index rank = std::exchange(lora.rank, 1);
  std::string_view flag = "--targets";
  try {
    plume::attach(model, lora);
    lora.rank = rank;
    flag = "--rank";
    return plume::attach(model, lora);
  } catch (const plume::ArgumentError& error) {
    throw example::UsageError(flag, plume::concat("does not fit the model: ", error.what()));
  }
}

std::string summary(const plume::ChatDataset& data) {
  const plume::ChatStatistics& found = data.statistics();
  char masked[16];
  std::snprintf(masked, sizeof masked, "%.1f", 100 * found.masked_fraction());
  return plume::concat(found.chats, " chats, ", found.turns, " answers (", found.empty_answers, " empty), ", found.tokens, " tokens, ",
                       masked, " % of them read but not trained; ", found.truncated_chats, " chats truncated by ", found.dropped_tokens,
                       " tokens, dropped: ", found.dropped_chats, " too long, ", found.untrained_chats, " with nothing to train");
}

}  // namespace

int main(int argc, char** argv) {
  example::Flags flags("finetune", "Tunes a model on conversations, instructions or texts.");
  const auto& path = flags.text("--model PATH", example::required, "Hugging Face directory, GGUF file or llama2.c .bin file");
  const auto& tokenizer = flags.text("--tokenizer FILE", "", "tokenizer file or directory, if it is not beside the model");
  const auto& data = flags.list("--data FILE...", example::required, "chats: .jsonl (one a line), .json (an array) or .txt");
  const auto& format = flags.choice("--format", "auto", {"auto", "alpaca", "sharegpt", "messages", "text"},
                                    "what the rows look like; auto: by the keys of the first one");
  const auto& template_name = flags.choice("--template", "auto", template_names(),
                                           "what stands around messages; auto: the model's own, text for texts, alpaca for alpaca rows, "
                                           "chatml if the tokenizer knows it, plain");
  const auto& marker = flags.text("--answer-marker TEXT", "", "of texts: only what follows its last occurrence is trained; empty: all");
  const auto& bad_rows =
      flags.number("--max-bad-rows N", Index{0}, "malformed rows of a file to leave out; one more ends the run", {.min = 0});
  const auto& long_chats =
      flags.choice("--long-chats", "truncate", {"truncate", "drop", "refuse"}, "what becomes of a chat longer than --sequence");
  const auto& validation =
      flags.text("--validation FILE|X", "0.1", "chats to measure the loss on, or the fraction of the data's end; 0: none");
  const auto& out = flags.text("--out DIR", example::required, "where the adapter or model, its log and its checkpoints go");
  const auto& method =
      flags.choice("--method", "lora", {"lora", "full"}, "what is trained: low-rank matrices beside the model, or all weights");
  const auto& rank = flags.number("--rank N", Index{8}, "lora: rank of the matrices", {.min = 1});
  const auto& alpha = flags.number("--alpha X", 16.0, "lora: the change is scaled by alpha / rank");
  const auto& rslora = flags.toggle("--rslora", "lora: scale by alpha / sqrt(rank) instead");
  const auto& targets =
      flags.text("--targets NAME,...", "", "lora: layers to adapt, such as q_proj,v_proj or all-linear; empty: queries and values");
  const auto& weights =
      flags.choice("--weights", "f32", {"f32", "bf16"}, "lora: how the weights are kept that it leaves alone; bf16 takes half the memory");
  const auto& merge = flags.toggle("--merge", "lora: at the end write the merged model too, into DIR/merged");
  const auto& dropout = flags.number(
      "--dropout X", 0.0, "share dropped: of the inputs of LoRA's matrices, or of the activations of a full run", {.min = 0, .max = 0.99});
  const auto& epochs = flags.number("--epochs X", 3.0, "times that each chat is trained, unless --steps is given", {.min = 1e-6});
  const auto& steps = flags.number("--steps N", Index{0}, "updates; 0: as --epochs says", {.min = 0});
  const auto& batch = flags.number("--batch N", Index{8}, "rows of a micro-step", {.min = 1});
  const auto& sequence = flags.number("--sequence N", Index{0}, "most tokens of a row; 0: 512, or what the model was made for", {.min = 0});
  const auto& pack =
      flags.toggle("--pack", "fill each row with as many chats as fit, which do not see each other; otherwise a row is one chat");
  const auto& accumulation = flags.number("--accumulation N", Index{1}, "micro-steps of an update", {.min = 1});
  const auto& rate =
      flags.number("--learning-rate X", 0.0, "peak of a cosine to 0 after 3 % of warm-up; 0: 2e-4 for lora, 2e-5 for full", {.min = 0});
  const auto& decay = flags.number("--weight-decay X", 0.0, "AdamW's, on matrices only", {.min = 0});
  const auto& clip = flags.number("--clip X", 1.0, "bound of the gradient norm, 0: none", {.min = 0});
  const auto& evaluate_every =
      flags.number("--evaluate-every N", Index{0}, "steps between evaluations and checkpoints; 0: once an epoch", {.min = 0});
  const example::RunFlags run(flags);

  return flags.run(argc, argv, [&] {
    run.check();
    const bool is_lora = method == "lora";
    for (const std::string_view flag : {"--rank", "--alpha", "--rslora", "--targets", "--weights", "--merge"})
      if (!is_lora && flags.given(flag)) throw example::UsageError(flag, "is for --method lora");
    std::error_code different;
    if (std::filesystem::equivalent(path, out, different)) throw example::UsageError("--out", "must be another directory than --model");
    const auto fraction = example::validation_fraction(validation);
    const plume::StopToken stop = example::stop_on_signal();
    std::signal(SIGXFSZ, SIG_IGN);  // a file size limit is then an error like a full disk: training goes on

    plume::Model model = plume::load(path, {.dtype = weights == "bf16" ? plume::DType::bf16 : plume::DType::f32, .tokenizer = tokenizer});
    if (!model.tokenizer)
      throw example::UsageError("--tokenizer",
                                plume::concat("FILE is needed: no tokenizer (tokenizer.bin and the like) lies beside ", path));
    const Index context = model.config().context, row = sequence > 0 ? sequence : std::min<Index>(512, context);
    if (row > context) throw example::UsageError("--sequence", plume::concat("is longer than the model's context of ", context));
    const Index base_parameters = plume::count_parameters(model);
    std::optional<plume::Adapter> adapter;
    if (is_lora)
      adapter = attached(
          model,
          {.rank = rank, .alpha = alpha, .targets = comma_separated(targets), .rslora = rslora, .dropout = dropout, .seed = run.seed});
    example::ProgressLine line(run.quiet ? example::ProgressLine::Output::none : example::ProgressLine::Output::line);

    // Files to chats, chats to tokens.
    std::optional<plume::ChatSchema> schema;  // of the first file
    const auto read = [&](const std::string& file) {
      plume::ChatFile found =
          plume::read_chats(file, {.schema = plume::chat_schema(format), .answer_marker = marker, .max_bad_rows = bad_rows, .stop = stop});
      line.remark(plume::concat(file, ": ", found.chats.size(), " chats, read as ", name_of(found.schema)));
      if (found.dropped_messages > 0) line.remark(plume::concat("  ", found.dropped_messages, " answers before a first question left out"));
      if (found.bad_rows > 0) line.remark(plume::concat("  ", found.bad_rows, " malformed rows left out; the first: ", found.bad.front()));
      if (!schema) schema = found.schema;
      return std::move(found.chats);
    };
    std::vector<plume::Chat> chats, held_out;
    for (const std::string& file : data) {
      std::vector<plume::Chat> more = read(file);
      chats.insert(chats.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
    }
    const plume::ChatSchema trained_schema = *schema;
    if (fraction)
      std::tie(chats, held_out) = plume::split_chats(std::move(chats), *fraction);
    else
      held_out = read(validation);
    const plume::ChatForm form = template_name == "auto" ? chosen_template(path, model.tokenizer, trained_schema)
                                                         : plume::ChatForm(plume::chat_template(template_name));
    const plume::ChatEncoder encoder(model.tokenizer, form);
    const plume::ChatDatasetOptions rows{.sequence = row,
                                         .long_chats = long_chats == "drop"     ? plume::LongChats::drop
                                                       : long_chats == "refuse" ? plume::LongChats::refuse
                                                                                : plume::LongChats::truncate,
                                         .stop = stop};
    const plume::ChatDataset training(chats, encoder, rows), checking(held_out, encoder, rows);
    line.remark(plume::concat("template ", form.name, template_name == "auto" ? " (--template names another)" : ""));
    line.remark(plume::concat("training: ", summary(training)));
    if (checking.size() > 0)
      line.remark(plume::concat("validation: ", summary(checking)));
    else if (flags.given("--validation") && fraction != 0.0)
      throw example::UsageError("--validation", plume::concat("gives ", held_out.size(), " chats and nothing to measure a loss on"));
    else if (fraction != 0.0)
      line.remark("warning: too few chats to validate on; no validation loss");

    plume::PackedChats batches(training, {.seed = run.seed, .packing = pack ? plume::Packing::fill_rows : plume::Packing::one_chat});
    const Index rows_of_step = batch * accumulation, steps_of_epoch = (batches.rows() + rows_of_step - 1) / rows_of_step;
    plume::TrainOptions options{.steps = steps, .batch = batch, .accumulation = accumulation, .clip = clip, .directory = out, .stop = stop};
    if (steps == 0)
      options.steps = static_cast<Index>(std::ceil(epochs * static_cast<double>(batches.rows()) / static_cast<double>(rows_of_step)));
    options.schedule = {.peak = rate > 0  ? rate
                                : is_lora ? 2e-4
                                          : 2e-5,
                        .minimum = 0,
                        .warmup = options.steps * 3 / 100,
                        .steps = options.steps};
    options.optimizer = plume::AdamWOptions{.beta2 = 0.999, .weight_decay = decay};
    options.dropout = is_lora ? 0 : dropout;
    options.evaluate_every = options.checkpoint_every = evaluate_every > 0 ? evaluate_every : steps_of_epoch;
    run.apply(options);

    const Index trainable = adapter ? plume::count_parameters(*adapter) : base_parameters;
    const Index total = base_parameters + (adapter ? trainable : 0);
    line.remark(
        plume::concat("training ", trainable, " of ", total, " parameters for ", options.steps, " steps, ", steps_of_epoch, " an epoch"));
    const auto save = [&] {
      adapter ? plume::save(*adapter, out, {.base_model = path}) : plume::save(model, out);
      plume::save_chat_form(form, out);
    };
    const plume::TrainCallbacks callbacks{
        .progress = [&](const plume::Progress& now) { line.show(now); },
        .evaluated = [&](const plume::Progress&) { example::save_or_remark(line, is_lora ? "adapter" : "model", save); },
        .warning = [&](const std::string& text) { line.remark("warning: " + text); }};
    if (run.overwrite) std::filesystem::remove_all(out + "/checkpoints");  // last, when all else has succeeded

    const example::Stopwatch watch;
    const auto trained = [&](auto& parameters) {
      return plume::train(parameters, batches, plume::EvaluationChats(checking, {.batch = batch}), options, callbacks);
    };
    const plume::TrainResult result = [&] {
      if (!adapter) return trained(model.decoder);
      plume::AdaptedModel adapted(model, *adapter);
      return trained(adapted);
    }();
    save();
    line.clear();
    std::string made = plume::concat(is_lora ? "adapter " : "model ", out);
    if (merge && result.end != plume::TrainEnd::stopped) {
      plume::merge(model, *adapter);
      plume::save(model, out + "/merged");
      plume::save_chat_form(form, out + "/merged");
      made.append(plume::concat(", merged model ", out, "/merged"));
    }

    plume::Json report = example::run_report(result, watch.seconds());
    report.set("trainable_parameters", trainable).set("total_parameters", total);
    report.set("masked_fraction", training.statistics().masked_fraction());
    report.set("format", name_of(trained_schema)).set("template", form.name);
    example::end_run(run, result, report, made, argc, argv);
  });
}
