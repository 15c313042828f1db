// The wire format of protocol buffers: values of each type, messages inside, fields that nobody reads.
#include "plume/base/protobuf.hpp"

#include <doctest/doctest.h>

#include "malformed/protobuf_writer.hpp"

using namespace plume;
using namespace plume_test;

TEST_CASE("Fields in their order, with messages inside and unknown ones between") {
  const std::string inner = number_field(1, 300) + float_field(2, 0.5f) + bytes_field(3, "text");
  const std::string bytes =
      number_field(7, ~std::uint64_t{0}) + varint(100 << 3 | 1) + "8 bytes " + bytes_field(2, inner) + number_field(9, 1);
  ProtobufReader message(std::as_bytes(std::span(bytes)), "made");
  REQUIRE(message.next());
  CHECK(message.number() == 7);
  CHECK(message.integer("seven") == ~std::uint64_t{0});
  REQUIRE(message.next());
  CHECK(message.number() == 100);
  REQUIRE(message.next());
  CHECK(message.number() == 2);
  ProtobufReader part = message.message("part");
  REQUIRE(part.next());
  CHECK(part.integer("a") == 300);
  REQUIRE(part.next());
  CHECK(part.real("b") == 0.5f);
  REQUIRE(part.next());
  CHECK(part.here("c") == "part.c");
  CHECK(part.text("c", "max", 10) == "text");
  CHECK(!part.next());
  REQUIRE(message.next());
  CHECK(message.boolean("nine"));
  CHECK(!message.next());
}

TEST_CASE("A value of another type names the field and where it stands") {
  const std::string bytes = bytes_field(2, number_field(1, 5));
  ProtobufReader message(std::as_bytes(std::span(bytes)), "made");
  REQUIRE(message.next());
  ProtobufReader part = message.message("part");
  REQUIRE(part.next());
  try {
    part.real("score");
    FAIL("accepted");
  } catch (const FormatError& error) {
    CHECK(error.where().path == "made");
    CHECK(error.where().field == "part.score");
    CHECK(error.where().offset == 2);
  }
}
