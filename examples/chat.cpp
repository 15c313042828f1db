// Talks with a model.
//
//   chat --model my-model --adapter my-adapter
//   chat --model my-model --prompt "Who lives in the mill?"                   one turn
//   printf 'Hello\nAnd then?\n' | chat --model my-model --quiet               a turn a line, its answer on stdout
//
// Lines that begin with a slash are commands, /help lists them; a message that begins with one is written with two. Ctrl-C stops an answer,
// and at the prompt it leaves; so does Ctrl-D. With --json each answer is one object on a line of its own, also one that holds line breaks.
// Where nobody types, a command or message that fails ends the program.
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "conversation.hpp"
#include "plume/base/atomic_save.hpp"
#include "plume/base/json.hpp"
#include "plume/data/chat_template_file.hpp"
#include "plume/data/chats.hpp"
#include "plume/models/load.hpp"
#include "plume/peft/adapter_files.hpp"
#include "sampling_flags.hpp"

namespace {

using plume::Index;

// What a signal finds the program doing. Ctrl-C leaves at the prompt, and stops an answer; a second one leaves at once.
enum Doing : int { working, waiting, answering };
volatile std::sig_atomic_t doing = working, leaving = 0, signals = 0;
const plume::StopSource stop;

void on_signal(int signal) {
  if (doing == waiting || signals != 0) {
    if (isatty(STDERR_FILENO) == 1 && write(STDERR_FILENO, "\n", 1) < 0) _exit(130);
    _exit(130);
  }
  signals = 1;
  if (doing == working || signal == SIGTERM) leaving = 1;
  stop.request();
}

// One line of stdin, or nothing at its end.
std::optional<std::string> read_line() {
  char* line = nullptr;
  std::size_t capacity = 0;
  doing = waiting;
  const ssize_t length = getline(&line, &capacity, stdin);
  doing = working;
  const std::unique_ptr<char, decltype(&std::free)> owner(line, &std::free);
  if (length < 0) return std::nullopt;
  std::string text(line, static_cast<std::size_t>(length));
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  return text;
}

template <class Number>
Number number(std::string_view name, std::string_view word) {
  Number value{};
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  plume::require(error == std::errc() && end == word.data() + word.size(), "[set] ", name, " needs a number, not ", plume::quoted(word));
  return value;
}

// Files of conversations are read by their ending.
std::string chat_file(const std::string& name) {
  plume::require(!name.empty(), "[chat] the command needs a file name");
  return name.ends_with(".json") || name.ends_with(".jsonl") ? name : name + ".json";
}

struct Settings {
  Index max_tokens;
  plume::SamplingOptions sampling;

  std::string text() const {
    return plume::concat("max-tokens ", max_tokens, ", temperature ", sampling.temperature, ", top-k ", sampling.top_k, ", top-p ",
                         sampling.top_p, ", min-p ", sampling.min_p, ", repeat-penalty ", sampling.repetition_penalty, ", seed ",
                         sampling.seed);
  }
  void set(std::string_view name, std::string_view value) {
    Settings changed = *this;
    if (name == "max-tokens")
      changed.max_tokens = number<Index>(name, value);
    else if (name == "temperature")
      changed.sampling.temperature = number<float>(name, value);
    else if (name == "top-k")
      changed.sampling.top_k = number<Index>(name, value);
    else if (name == "top-p")
      changed.sampling.top_p = number<float>(name, value);
    else if (name == "min-p")
      changed.sampling.min_p = number<float>(name, value);
    else if (name == "repeat-penalty")
      changed.sampling.repetition_penalty = number<float>(name, value);
    else if (name == "seed")
      changed.sampling.seed = number<std::uint64_t>(name, value);
    else
      throw plume::ArgumentError(plume::concat("[set] there is no ", plume::quoted(name), "; now: ", text()));
    plume::require(changed.max_tokens >= 1, "[set] max-tokens is ", changed.max_tokens, ": give at least 1");
    changed.sampling.check();
    *this = changed;
  }
};

// strftime of the local time, for templates that write the date.
std::string local_time(std::string_view format) {
  const std::time_t now = std::time(nullptr);
  std::tm parts = {};
  localtime_r(&now, &parts);
  char text[256];
  return {text, std::strftime(text, sizeof text, std::string(format).c_str(), &parts)};
}

constexpr const char* help =
    "/help             these lines\n"
    "/reset            begin again; the system message stays\n"
    "/system TEXT      begin again with another system message; without a text: with none\n"
    "/set NAME VALUE   max-tokens, temperature, top-k, top-p, min-p, repeat-penalty, seed; alone: what they are\n"
    "/save FILE        write the conversation, as finetune reads it (.json is added where no ending is given)\n"
    "/load FILE        go on with a conversation that was saved\n"
    "/adapter DIR      go on with another adapter; none: with the model alone\n"
    "/quit             leave, as Ctrl-D does\n"
    "//...             a message that begins with a slash\n";

}  // namespace

int main(int argc, char** argv) {
  example::Flags flags("chat", "Talks with a model. Answers go to stdout, all else to stderr; /help lists the commands.");
  const auto& path = flags.text("--model PATH", example::required, "Hugging Face directory, GGUF file or llama2.c .bin file");
  const auto& tokenizer = flags.text("--tokenizer FILE", "", "tokenizer file or directory, if it is not beside the model");
  const auto& adapter_path = flags.text("--adapter DIR", "", "LoRA adapter of the model, as finetune or peft saved it");
  const auto& system = flags.text("--system TEXT", "", "system message", example::Empty::allowed);
  std::vector<std::string> names = {"auto", "model"};
  for (const plume::ChatTemplate& entry : plume::chat_templates) names.emplace_back(entry.name);
  const auto& template_name =
      flags.choice("--template", "auto", names,
                   "what stands around messages; model: the template of the model's repository; auto: as the adapter or the model "
                   "was tuned, else the repository's, chatml if the tokenizer knows it, plain");
  const auto& prompt = flags.text("--prompt TEXT", "", "one message; its answer ends the program");
  const auto& max_tokens = flags.number("--max-tokens N", Index{512}, "tokens of an answer at most", {.min = 1});
  const auto& context = flags.number("--context N", Index{0}, "tokens remembered at most; 0: what the model was made for", {.min = 0});
  const example::SamplingFlags sampling(flags);
  const auto& threads = flags.threads();
  const auto& json = flags.toggle("--json", "print each answer as one JSON object on a line of its own");
  const auto& quiet = flags.quiet();

  return flags.run(argc, argv, [&] {
    struct sigaction action = {};
    action.sa_handler = on_signal;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);

    const plume::Model model = plume::load(path, {.tokenizer = tokenizer});
    if (!model.tokenizer)
      throw example::UsageError("--tokenizer",
                                plume::concat("FILE is needed: no tokenizer (tokenizer.bin and the like) lies beside ", path));
    if (model.config().position == plume::PositionKind::learned && context > model.config().context)
      throw example::UsageError("--context",
                                plume::concat("is more than the ", model.config().context, " positions the model has learned"));
    std::optional<plume::Adapter> adapter;
    if (!adapter_path.empty()) adapter = plume::load_adapter(adapter_path, model);

    const bool one_turn = flags.given("--prompt"), typed = !one_turn && isatty(STDIN_FILENO) == 1;
    const bool terminal = typed && isatty(STDOUT_FILENO) == 1;
    const char* no_colour = std::getenv("NO_COLOR");
    const bool colour = terminal && !(no_colour && *no_colour);
    const auto note = [&](const std::string& text) {
      if (!quiet) std::fprintf(stderr, "%s\n", text.c_str());
    };
    const auto with_clock = [](plume::ChatForm form) {
      if (!form.own) return form;
      plume::RepositoryTemplate own = *form.own;
      own.strftime_now = local_time;
      return plume::ChatForm(std::move(own));
    };
    const auto template_for = [&](const std::string& adapter_directory) -> plume::ChatForm {
      if (template_name == "model") {
        if (auto own = plume::repository_template(path)) return with_clock(std::move(*own));
        throw example::UsageError("--template", plume::concat("model is given, but no chat_template lies beside ", path));
      }
      if (template_name != "auto") return plume::chat_template(template_name);
      if (!adapter_directory.empty()) {
        if (const auto saved = plume::saved_chat_template(adapter_directory)) return *saved;
        if (auto own = plume::repository_template(adapter_directory)) {
          if (const auto beside = plume::repository_template(path)) own->variables = beside->variables;  // the tokens' names
          return with_clock(std::move(*own));
        }
      }
      if (const auto saved = plume::saved_chat_form(path)) return with_clock(*saved);
      const plume::ChatTemplate& usual = plume::usual_chat_template(model.tokenizer);
      note(plume::concat("no template is noted beside the model: using ", usual.name, " (--template names another)"));
      return usual;
    };
    const plume::SessionOptions session{
        .context = context, .threads = threads, .stop = stop.token(), .adapter = adapter ? &*adapter : nullptr};
    example::Conversation talk(model, template_for(adapter_path), session);
    Settings settings{max_tokens, sampling.options()};
    std::vector<plume::Message> opening;
    if (!system.empty()) opening.push_back({plume::Role::system, system});
    talk.begin({opening});

    // One answer, streamed or as an object. `turn` runs the conversation.
    const auto show = [&](auto&& turn) {
      const plume::GenerateOptions options{.max_tokens = settings.max_tokens, .sampling = settings.sampling};
      if (!one_turn) doing = answering;
      const example::Answer answer = turn(options, [&](std::string_view piece) {
        if (json) return;
        std::fwrite(piece.data(), 1, piece.size(), stdout);
        std::fflush(stdout);
      });
      doing = working;
      const plume::Generated& made = answer.generated;
      const double rate = static_cast<double>(made.ids.size()) / std::max(made.generate_seconds, 1e-9);
      if (json) {
        plume::Json report = plume::Json::object();
        report.set("text", answer.text).set("finish_reason", name_of(made.finish_reason)).set("template", talk.form().name);
        report.set("prompt_tokens", answer.prompt_tokens).set("generated_tokens", made.ids.size());
        report.set("computed_tokens", answer.computed_tokens).set("context_tokens", answer.context_tokens);
        report.set("forgotten_messages", answer.forgotten_messages);
        report.set("prompt_seconds", made.prompt_seconds).set("generate_seconds", made.generate_seconds).set("tokens_per_second", rate);
        report.set("peak_rss_bytes", example::peak_rss_bytes());
        std::printf("%s\n", plume::dump(report).c_str());
      } else {
        std::printf("\n");
      }
      std::fflush(stdout);
      if (answer.forgotten_messages > 0)
        note(plume::concat("note: the context of ", talk.context(), " tokens was full: the oldest ", answer.forgotten_messages,
                           " messages are forgotten (/reset begins again)"));
      if (answer.context_full) note("note: the answer was cut off where the context is full");
      if (made.finish_reason == plume::FinishReason::cancelled && made.ids.empty())
        note("stopped before the first token; the message is unsaid");
      char figures[80];
      std::snprintf(figures, sizeof figures, "[%zu tokens, %.1f tokens/s%s]", made.ids.size(), rate,
                    made.finish_reason == plume::FinishReason::stop     ? ""
                    : made.finish_reason == plume::FinishReason::length ? ", cut off"
                                                                        : ", stopped");
      note(figures);
      if (leaving) throw plume::Cancelled();
      stop.reset();
      signals = 0;
    };
    const auto ask = [&](const std::string& text) {
      show([&](const auto& options, const auto& on_text) { return talk.ask(text, options, on_text); });
    };
    const auto begin = [&] { talk.begin({opening}); };

    // False: leave.
    const auto command = [&](const std::string& line) {
      const std::size_t space = std::min(line.find(' '), line.size());
      const std::string name = line.substr(0, space);
      const std::string rest = line.substr(std::min(line.find_first_not_of(' ', space), line.size()));
      if (name == "/quit") return false;
      if (name == "/help") {
        std::fputs(help, stderr);
      } else if (name == "/reset") {
        begin();
      } else if (name == "/system") {
        opening.clear();
        if (!rest.empty()) opening.push_back({plume::Role::system, rest});
        begin();
      } else if (name == "/set") {
        const std::size_t end = std::min(rest.find(' '), rest.size());
        if (!rest.empty()) settings.set(rest.substr(0, end), rest.substr(std::min(rest.find_first_not_of(' ', end), rest.size())));
        note(settings.text());
      } else if (name == "/save") {
        const plume::Chat chat = talk.chat();
        plume::require(chat.messages.size() > opening.size(), "[save] nothing was said yet");
        const std::string file = chat_file(rest);
        plume::atomic_save(file, [&](plume::FileWriter& out) { out.write(plume::dump(plume::to_json(chat)) + "\n"); });
        note(plume::concat(chat.messages.size(), " messages saved to ", file));
      } else if (name == "/load") {
        const std::string file = chat_file(rest);
        const plume::ChatFile found = plume::read_chats(file, {.schema = plume::ChatSchema::messages});
        plume::require(found.chats.size() == 1, "[load] ", file, " holds ", found.chats.size(), " conversations, expected one");
        const plume::Chat& chat = found.chats.front();
        talk.begin(chat);
        opening.clear();
        if (chat.messages.front().role == plume::Role::system) opening.push_back(chat.messages.front());
        note(plume::concat(chat.messages.size(), " messages loaded from ", file));
        if (talk.awaits_answer()) show([&](const auto& options, const auto& on_text) { return talk.answer(options, on_text); });
      } else if (name == "/adapter") {
        plume::require(!rest.empty(), "[adapter] give the directory of an adapter, or none");
        std::optional<plume::Adapter> other;
        if (rest != "none") other = plume::load_adapter(rest, model);
        const plume::ChatForm form = template_for(rest == "none" ? std::string() : rest);
        talk.use(nullptr);  // before the adapter in use goes
        adapter = std::move(other);
        if (adapter) talk.use(&*adapter);
        talk.use(form);
        note(plume::concat("adapter ", rest, ", template ", form.name));
      } else {
        throw plume::ArgumentError(plume::concat("[chat] there is no command ", plume::quoted(name), " (see /help)"));
      }
      return true;
    };

    if (leaving) throw plume::Cancelled();
    if (one_turn) return ask(prompt);
    if (typed) note(plume::concat("template ", talk.form().name, ", context ", talk.context(), " tokens; /help lists the commands"));
    while (true) {
      if (terminal) std::fputs(colour ? "\x1b[36m> \x1b[0m" : "> ", stdout);
      std::fflush(stdout);
      const std::optional<std::string> line = read_line();
      if (!line) break;
      if (line->find_first_not_of(" \t") == line->npos) continue;
      try {
        if (!line->starts_with('/') || line->starts_with("//"))
          ask(line->substr(line->starts_with("//") ? 1 : 0));
        else if (!command(*line))
          break;
      } catch (const plume::Cancelled&) {
        throw;
      } catch (const plume::Error& error) {
        if (!typed) throw;
        doing = working;
        stop.reset();
        signals = 0;
        std::fprintf(stderr, "error: %s\n", error.what());
      }
      if (leaving) throw plume::Cancelled();
    }
    if (terminal) std::printf("\n");
  });
}
