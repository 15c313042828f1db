// How probable a model finds a text: log-probabilities of its tokens, and perplexity.
//
//   score --model path/to/model --file text.txt
//   score --model path/to/model --ids 1,403,407 --logits logits.npy
#include "plume/generate/score.hpp"

#include "command_line.hpp"
#include "plume/base/json.hpp"
#include "plume/formats/npy.hpp"
#include "plume/generate/generate.hpp"
#include "plume/models/load.hpp"
#include "plume/peft/adapter_files.hpp"

int main(int argc, char** argv) {
  example::Flags flags("score", "Log-probabilities of given text or token ids, and their perplexity.");
  const auto& path = flags.text("--model PATH", example::required, "Hugging Face directory, GGUF file or llama2.c .bin file");
  const auto& tokenizer = flags.text("--tokenizer FILE", "", "tokenizer file or directory, if it is not beside the model");
  const auto& adapter_path = flags.text("--adapter DIR", "", "LoRA adapter of the model, as finetune or peft saved it");
  const auto& given_text = flags.text("--text TEXT", "", "text to score", example::Empty::allowed);
  const auto& file = flags.text("--file FILE", "", "file whose text to score");
  const auto& given_ids = flags.numbers<plume::TokenId>("--ids N,N,...", {}, "token ids to score", {.min = 0});
  const auto& logits_file =
      flags.text("--logits FILE", "", "write the logits of every token (tokens x vocabulary, float32) to this .npy file");
  const auto& stride = flags.number(
      "--stride N", plume::Index{0},
      "tokens by which the window moves over a text longer than the model's context; 0 moves it by the whole context", {.min = 0});
  const auto& threads = flags.threads();
  const auto& json = flags.json();
  flags.quiet();

  return flags.run(argc, argv, [&] {
    flags.require_one_of({"--text", "--file", "--ids"});
    const plume::StopToken interrupt = example::stop_on_signal();
    const plume::Model model = plume::load(path, {.tokenizer = tokenizer});
    const std::optional<plume::Adapter> adapter =
        adapter_path.empty() ? std::nullopt : std::optional(plume::load_adapter(adapter_path, model));
    if (stride > model.config().context)
      throw example::UsageError("--stride", plume::concat("is more than the model's context of ", model.config().context, " tokens"));
    if (!model.tokenizer && !flags.given("--ids"))
      throw example::UsageError("--tokenizer",
                                plume::concat("FILE is needed: no tokenizer (tokenizer.bin and the like) lies beside ", path));

    std::vector<plume::TokenId> ids = given_ids;
    if (flags.given("--text")) ids = plume::prompt_tokens(model, given_text);
    if (flags.given("--file")) ids = plume::prompt_tokens(model, plume::read_text(file));
    if (ids.size() < 2)
      throw example::UsageError(flags.given("--text") ? "--text" : flags.given("--file") ? "--file" : "--ids", "needs at least two tokens");
    for (const plume::TokenId id : ids)
      if (id >= model.config().vocabulary)
        throw example::UsageError("--ids", plume::concat("holds ", id, ", the model knows ", model.config().vocabulary, " tokens"));

    const plume::Context context({.threads = threads});
    const plume::ContextScope scope(context);
    plume::Tensor all_logits;
    if (!logits_file.empty()) all_logits = plume::Tensor::zeros({static_cast<plume::Index>(ids.size()), model.config().vocabulary});
    const plume::Score result = plume::score(model, ids, {.stride = stride, .stop = interrupt, .adapter = adapter ? &*adapter : nullptr},
                                             [&](plume::Index row, const plume::Tensor& logits) {
                                               if (all_logits) all_logits.rows(row, row + logits.rows()).assign(logits);
                                             });
    if (all_logits) plume::write_npy(logits_file, all_logits);

    if (json) {
      plume::Json id_list = plume::Json::array(), logprobs = plume::Json::array();
      for (const plume::TokenId id : ids) id_list.push(id);
      for (const double logprob : result.logprobs) logprobs.push(logprob);
      plume::Json report = plume::Json::object();
      report.set("ids", std::move(id_list)).set("logprobs", std::move(logprobs)).set("nll", result.nll);
      report.set("perplexity", result.perplexity()).set("tokens", result.logprobs.size());
      std::printf("%s\n", plume::dump(report).c_str());
    } else {
      std::printf("%zu tokens scored, mean negative log-probability %.6f, perplexity %.4f\n", result.logprobs.size(), result.nll,
                  result.perplexity());
    }
  });
}
