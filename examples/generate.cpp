// Completes a prompt, showing the text as it is written.
//
//   generate --model path/to/model --prompt "Once upon a time"
//   generate --model path/to/model --adapter my-adapter --prompt "Once upon a time"
//   generate --model stories260K.bin --temperature 0 --max-tokens 200
#include "plume/generate/generate.hpp"

#include "plume/base/json.hpp"
#include "plume/models/load.hpp"
#include "plume/peft/adapter_files.hpp"
#include "sampling_flags.hpp"

int main(int argc, char** argv) {
  example::Flags flags("generate", "Completes a prompt. The completion goes to stdout, without the prompt.");
  const auto& path = flags.text("--model PATH", example::required, "Hugging Face directory, GGUF file or llama2.c .bin file");
  const auto& tokenizer = flags.text("--tokenizer FILE", "", "tokenizer file or directory, if it is not beside the model");
  const auto& given_prompt =
      flags.text("--prompt TEXT", "", "text to complete; empty starts from the model's begin token", example::Empty::allowed);
  const auto& prompt_file = flags.text("--prompt-file FILE", "", "file whose text to complete");
  const auto& max_tokens = flags.number("--max-tokens N", plume::Index{128}, "tokens to write at most", {.min = 0});
  const auto& stop = flags.list("--stop TEXT...", "texts that end the completion and are not part of it");
  const auto& adapter_path = flags.text("--adapter DIR", "", "LoRA adapter of the model, as finetune or peft saved it");
  const example::SamplingFlags sampling(flags);
  const auto& threads = flags.threads();
  const auto& json = flags.json();
  const auto& quiet = flags.quiet();

  return flags.run(argc, argv, [&] {
    if (flags.given("--prompt") && flags.given("--prompt-file")) throw example::UsageError("--prompt-file", "cannot go with --prompt");
    const plume::Limits limits;
    if (stop.size() > limits.max_stop_strings)
      throw example::UsageError("--stop", plume::concat("takes at most ", limits.max_stop_strings, " texts"));
    for (const std::string& each : stop)
      if (each.size() > limits.max_stop_string)
        throw example::UsageError("--stop", plume::concat("takes texts of at most ", limits.max_stop_string, " bytes"));
    const plume::StopToken interrupt = example::stop_on_signal();

    const example::Stopwatch loading;
    const plume::Model model = plume::load(path, {.tokenizer = tokenizer});
    const std::optional<plume::Adapter> adapter =
        adapter_path.empty() ? std::nullopt : std::optional(plume::load_adapter(adapter_path, model));
    const double load_seconds = loading.seconds();
    if (!model.tokenizer)
      throw example::UsageError("--tokenizer",
                                plume::concat("FILE is needed: no tokenizer (tokenizer.bin and the like) lies beside ", path));
    const std::string prompt = prompt_file.empty() ? given_prompt : plume::read_text(prompt_file);

    const plume::GenerateOptions options{.max_tokens = max_tokens,
                                         .sampling = sampling.options(),
                                         .stop = stop,
                                         .threads = threads,
                                         .cancel = interrupt,
                                         .adapter = adapter ? &*adapter : nullptr};
    const plume::Generated result = plume::generate(model, prompt, options, [&](std::string_view piece) {
      if (json) return;
      std::fwrite(piece.data(), 1, piece.size(), stdout);
      std::fflush(stdout);
    });

    if (json) {
      plume::Json ids = plume::Json::array();
      for (const plume::TokenId id : result.ids) ids.push(id);
      plume::Json report = plume::Json::object();
      report.set("text", result.text).set("ids", std::move(ids)).set("prompt_tokens", result.prompt_tokens);
      report.set("generated_tokens", result.ids.size()).set("finish_reason", plume::name_of(result.finish_reason));
      report.set("load_seconds", load_seconds)
          .set("prompt_seconds", result.prompt_seconds)
          .set("generate_seconds", result.generate_seconds);
      report.set("peak_rss_bytes", example::peak_rss_bytes());
      std::printf("%s\n", plume::dump(report).c_str());
    } else {
      std::printf("\n");
      if (!quiet)
        std::fprintf(stderr, "%zu tokens, %.1f tokens a second, ended by %s\n", result.ids.size(),
                     static_cast<double>(result.ids.size()) / std::max(result.generate_seconds, 1e-9),
                     std::string(plume::name_of(result.finish_reason)).c_str());
    }
    if (result.finish_reason == plume::FinishReason::cancelled) throw plume::Cancelled();
  });
}
