// Turns text into token ids, and ids into text.
//
//   tokenize --model path/to/gpt2 --text "Hello world"
//   tokenize --tokenizer tokenizer.bin --decode --ids 1,15043,3186
#include "command_line.hpp"
#include "plume/base/files.hpp"
#include "plume/base/json.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"

int main(int argc, char** argv) {
  example::Flags flags("tokenize", "Turns text into token ids, and ids into text.");
  const auto& model = flags.text("--model PATH", "", "model directory or file whose tokenizer to use");
  const auto& file_of_tokenizer = flags.text("--tokenizer FILE", "", "tokenizer file or directory to use instead");
  const auto& given_text = flags.text("--text TEXT", "", "text to encode", example::Empty::allowed);
  const auto& file = flags.text("--file FILE", "", "file to encode");
  const auto& decode = flags.toggle("--decode", "turn --ids into text");
  const auto& given_ids = flags.numbers<plume::TokenId>("--ids N,N,...", {}, "token ids to decode", {.min = 0});
  const auto& no_special = flags.toggle("--no-special", "encode without the bos token; decode without the text of special tokens");
  const auto& parse_special = flags.toggle("--parse-special", "text that spells a special token becomes that token");
  const auto& json = flags.json();

  return flags.run(argc, argv, [&] {
    flags.require_one_of({"--model", "--tokenizer"});
    flags.require_one_of({"--text", "--file", "--ids"});
    if (decode != flags.given("--ids")) throw example::UsageError("--decode", "goes with --ids");

    const bool beside = plume::file_exists(model) && !model.ends_with(".gguf");  // a model file: its tokenizer lies beside it, or in it
    const plume::Tokenizer tokenizer = plume::load_tokenizer(beside          ? plume::parent_path(model)
                                                             : model.empty() ? file_of_tokenizer
                                                                             : model);

    std::vector<plume::TokenId> ids = given_ids;
    std::string text;
    for (const plume::TokenId id : ids)
      if (id >= tokenizer.vocabulary())
        throw example::UsageError("--ids", plume::concat("holds ", id, ", the tokenizer knows ", tokenizer.vocabulary(), " tokens"));
    if (decode) {
      text = tokenizer.decode(ids, {.special = no_special ? plume::SpecialTokens::skip : plume::SpecialTokens::keep});
    } else {
      text = flags.given("--file") ? plume::read_text(file) : given_text;
      ids = tokenizer.encode(text, {.special = parse_special ? plume::SpecialText::recognise : plume::SpecialText::plain,
                                    .begin = no_special ? plume::Begin::nothing : plume::Begin::as_configured});
    }

    if (json) {
      plume::Json report = plume::Json::object(), id_list = plume::Json::array(), pieces = plume::Json::array();
      for (const plume::TokenId id : ids) {
        id_list.push(id);
        pieces.push(tokenizer.piece(id));
      }
      report.set("ids", std::move(id_list)).set("pieces", std::move(pieces)).set("text", text);
      text = plume::dump(report);
    } else if (!decode) {
      text.clear();
      for (const plume::TokenId id : ids) text += plume::concat(text.empty() ? "" : " ", id);
    }
    text += '\n';
    if (std::fwrite(text.data(), 1, text.size(), stdout) < text.size()) throw plume::IoError("write", "stdout", errno);
  });
}
