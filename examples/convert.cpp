// Changes a model's format or the precision of its weights.
//
//   convert --model path/to/model --out model.gguf --type q4_k
//   convert --model model.gguf --out path/to/directory --type bf16
//   convert --model stories260K.bin --out stories
#include <filesystem>

#include "command_line.hpp"
#include "plume/base/json.hpp"
#include "plume/data/chat_template_file.hpp"
#include "plume/models/load.hpp"
#include "plume/models/save.hpp"

namespace {

// Bytes of a model's file, or of the weights in its directory.
std::uintmax_t bytes_of(const std::string& path) {
  if (!std::filesystem::is_directory(path)) return std::filesystem::file_size(path);
  std::uintmax_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path))
    if (entry.path().extension() == ".safetensors") bytes += entry.file_size();
  return bytes;
}

struct Type {
  plume::DType dtype;
  plume::GgmlType gguf;
};
Type type_named(const std::string& name) {
  using plume::DType;
  using plume::GgmlType;
  if (name == "bf16") return {DType::bf16, GgmlType::bf16};
  if (name == "f16") return {DType::f16, GgmlType::f16};
  if (name == "q8_0") return {DType::f32, GgmlType::q8_0};
  if (name == "q4_0") return {DType::f32, GgmlType::q4_0};
  if (name == "q4_k") return {DType::f32, GgmlType::q4_k};
  if (name == "q6_k") return {DType::f32, GgmlType::q6_k};
  return {DType::f32, GgmlType::f32};
}

}  // namespace

int main(int argc, char** argv) {
  example::Flags flags("convert",
                       "Writes a model in another format: a path that ends in .gguf becomes a GGUF file with the tokenizer and chat "
                       "template inside, one in .bin a llama2.c file, any other a Hugging Face directory.");
  const auto& path = flags.text("--model PATH", example::required, "Hugging Face directory, GGUF file or llama2.c .bin file");
  const auto& tokenizer = flags.text("--tokenizer FILE", "", "tokenizer file or directory, if it is not beside the model");
  const auto& out = flags.text("--out PATH", example::required, "file or directory to write");
  const auto& type = flags.choice("--type TYPE", "f32", {"f32", "bf16", "f16", "q8_0", "q4_0", "q4_k", "q6_k"},
                                  "of matrices; directories hold f32, bf16 or f16, .bin files f32");
  const auto& json = flags.json();
  const auto& quiet = flags.quiet();

  return flags.run(argc, argv, [&] {
    const bool gguf = out.ends_with(".gguf"), bin = out.ends_with(".bin");
    if (!gguf && type.starts_with("q")) throw example::UsageError("--type", plume::concat(type, " needs --out to end in .gguf"));
    if (bin && type != "f32") throw example::UsageError("--type", plume::concat(type, " cannot go into a .bin file, which holds f32"));

    const example::Stopwatch time;
    const plume::Model model = plume::load(path, {.tokenizer = tokenizer});
    const std::optional<plume::RepositoryTemplate> chat_template = plume::repository_template(path);
    if (gguf) {
      plume::save_gguf(model, out,
                       {.type = type_named(type).gguf,
                        .name = std::filesystem::path(path).stem().string(),
                        .chat_template = chat_template ? chat_template->program.text() : std::string()});
    } else if (bin) {
      plume::save_llama2c(model, out);
    } else {
      plume::save_hugging_face(model, out, {.dtype = type_named(type).dtype});
      if (chat_template) plume::save_chat_form(plume::ChatForm(*chat_template), out);
    }
    const double seconds = time.seconds();

    const std::uintmax_t before = bytes_of(path), after = bytes_of(out);
    if (json)
      std::printf("%s\n",
                  plume::dump(plume::Json::object().set("bytes_in", before).set("bytes_out", after).set("seconds", seconds)).c_str());
    else if (!quiet)
      std::fprintf(stderr, "%s: %.1f MB of %.1f MB, %.1f s\n", out.c_str(), 1e-6 * static_cast<double>(after),
                   1e-6 * static_cast<double>(before), seconds);
  });
}
