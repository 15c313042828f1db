// Characters and bytes.
#include "plume/tokenizer/characters.hpp"

#include <vector>

#include "test_data.hpp"

using Ids = std::vector<plume::TokenId>;

TEST_CASE("Characters: ids in code point order, as nanoGPT numbers tiny Shakespeare") {
  const auto tokenizer = plume::character_tokenizer("hello é世 b");
  CHECK(tokenizer.kind() == "characters");
  CHECK(tokenizer.vocabulary() == 8);
  CHECK(tokenizer.encode("ho é世") == Ids{3, 5, 0, 6, 7});
  CHECK(tokenizer.decode(tokenizer.encode("世éb oleh")) == "世éb oleh");
  CHECK(tokenizer.piece(7) == "世");
  CHECK(!tokenizer.bos());
  CHECK_THROWS_WITH_AS(tokenizer.encode("hex"),
                       "[encode] the character \"x\" at byte 2 is not among the 8 of this vocabulary; build it from text that has it, or "
                       "use byte_tokenizer()",
                       plume::ArgumentError);
  CHECK_THROWS_AS(tokenizer.encode("h\xff"), plume::ArgumentError);
  CHECK_THROWS_AS(tokenizer.encode("h", {.begin = plume::Begin::bos}), plume::ArgumentError);
  CHECK_THROWS_AS(plume::character_tokenizer(""), plume::ArgumentError);
  CHECK_THROWS_AS(plume::character_tokenizer("a\xff"), plume::ArgumentError);
  if (const auto path = plume_test::test_data("corpora/tinyshakespeare.txt")) {
    const auto shakespeare = plume::character_tokenizer(plume_test::read_all(*path));
    CHECK(shakespeare.vocabulary() == 65);
    CHECK(shakespeare.encode("hii there") == Ids{46, 47, 47, 1, 58, 46, 43, 56, 43});  // karpathy/ng-video-lecture, gpt-dev.ipynb
  }
}

TEST_CASE("Bytes: 256 ids, any text") {
  const auto tokenizer = plume::byte_tokenizer();
  CHECK(tokenizer.vocabulary() == 256);
  CHECK(tokenizer.encode("a\xff") == Ids{97, 255});
  CHECK(tokenizer.piece(10) == "<0x0A>");
  CHECK(tokenizer.decode(Ids{228, 184, 150}) == "世");
}
