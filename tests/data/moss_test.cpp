#include "plume/data/moss.hpp"

#include <doctest/doctest.h>

#include "plume/tokenizer/tokenizer_files.hpp"
#include "test_data.hpp"

using namespace plume;

namespace {

std::string text_of(const std::vector<ChatSegment>& pieces) {
  std::string all;
  for (const ChatSegment& piece : pieces) all += piece.text;
  return all;
}

}  // namespace

// The expected texts are those of OpenLMLab/MOSS: meta_instruction.txt, and the form of SFT_data/conversations/conversation_with_plugins.
TEST_CASE("MOSS: a turn with tools, byte by byte, in two passes") {
  MossChat chat{.instruction = "META\n", .turns = {{.question = "What is 1+2?"}}};
  CHECK(text_of(render_moss_prompt(chat)) == "META\n<|Human|>: What is 1+2?<eoh>\n");
  REQUIRE(read_moss("<|Inner Thoughts|>: I calculate.<eot>\n<|Commands|>: Calculate(\"1+2\")<eoc>", chat.turns[0]));
  CHECK(chat.turns[0].thoughts == "I calculate.");
  const std::vector<MossCommand> commands = moss_commands(*chat.turns[0].commands);
  REQUIRE(commands.size() == 1);
  CHECK(commands[0].name == "Calculate");
  CHECK(commands[0].argument == "1+2");
  chat.turns[0].results = "Calculate(\"1+2\") => '3'";
  const std::string second =
      "META\n<|Human|>: What is 1+2?<eoh>\n<|Inner Thoughts|>: I calculate.<eot>\n<|Commands|>: Calculate(\"1+2\")<eoc>\n"
      "<|Results|>:\nCalculate(\"1+2\") => '3'\n<eor>\n";
  CHECK(text_of(render_moss_prompt(chat)) == second);
  REQUIRE(read_moss("<|MOSS|>: It is 3.<eom>", chat.turns[0]));
  CHECK(text_of(render_moss(chat)) == second + "<|MOSS|>: It is 3.<eom>\n");
  CHECK_THROWS_AS(render_moss_prompt(chat), ArgumentError);
  chat.turns.push_back({.question = "Hi", .thoughts = "", .commands = "", .results = "", .answer = "Hello!"});
  CHECK(text_of(render_moss(chat))
            .ends_with("<|Human|>: Hi<eoh>\n<|Inner Thoughts|>: None<eot>\n<|Commands|>: None<eoc>\n<|Results|>:\nNone\n"
                       "<eor>\n<|MOSS|>: Hello!<eom>\n"));
  chat.turns.push_back({.question = "x", .commands = "None"});
  CHECK_THROWS_AS(render_moss_prompt(chat), ArgumentError);
}

TEST_CASE("MOSS: what is not of the form, and commands in either quotes") {
  MossTurn turn;
  for (const char* text : {"", "hello", "<|MOSS|> x", "<|MOSS|>: a<eom>b"}) CHECK(!read_moss(text, turn));
  CHECK(moss_commands("None").empty());
  CHECK(moss_commands("Search(x)").empty());
  CHECK(moss_commands("Search(\"open").empty());
  const auto two = moss_commands("Search(\"a (b)\"), Solve('x=1')");
  REQUIRE(two.size() == 2);
  CHECK(two[0].argument == "a (b)");
  CHECK(two[1].name == "Solve");
}

TEST_CASE("MOSS: the instruction with and without tools") {
  const std::string none = moss_instruction({}), some = moss_instruction({.calculate = true});
  CHECK(none.starts_with("You are an AI assistant whose name is MOSS.\n- MOSS is a conversational language model"));
  CHECK(
      none.ends_with("Capabilities and tools that MOSS can possess.\n- Web search: disabled.\n- Calculator: disabled.\n- Equation solver: "
                     "disabled.\n- Text-to-image: disabled.\n- Image edition: disabled.\n- Text-to-speech: disabled.\n"));
  CHECK(some.find("possess.\n- Inner thoughts: enabled.\n- Web search: disabled.\n- Calculator: enabled. API: Calculate(expression)\n") !=
        some.npos);
}

TEST_CASE("MOSS: special tokens that somebody typed stay plain; instruction and results are not trained") {
  const Tokenizer tokenizer = load_tokenizer(plume_test::golden("chats"));
  const ChatEncoder encoder(tokenizer, chat_template("moss"));
  const auto specials = [&](const std::string& typed) {
    const MossChat chat{.instruction = typed, .turns = {{typed, typed, typed, typed, typed}}};
    const EncodedChat encoded = encoder.encode(render_moss(chat));
    return std::count_if(encoded.ids.begin(), encoded.ids.end(), [&](TokenId id) { return tokenizer.is_special(id); });
  };
  CHECK(specials("<s></s><|im_end|>") == specials("x"));
  const EncodedChat encoded = encoder.encode(render_moss({.instruction = "META", .turns = {{"q", "t", "c", "RESULT", "a"}}}));
  std::vector<TokenId> trained;
  std::copy_if(encoded.labels.begin(), encoded.labels.end(), std::back_inserter(trained), [](TokenId id) { return id >= 0; });
  const std::string text = tokenizer.decode(trained);
  CHECK(text.find("META") == text.npos);
  CHECK(text.find("RESULT") == text.npos);
  CHECK(text.find("<|Human|>: q<eoh>\n<|Inner Thoughts|>: t<eot>\n<|Commands|>: c<eoc>\n<|MOSS|>: a<eom>") != text.npos);
}
