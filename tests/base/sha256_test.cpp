#include "plume/base/sha256.hpp"

#include <doctest/doctest.h>

using namespace plume;

namespace {

std::string hash_of(std::string_view text, std::size_t piece) {
  Sha256 hash;
  for (std::size_t begin = 0; begin < text.size(); begin += piece) hash.add(std::as_bytes(std::span(text.substr(begin, piece))));
  return hexadecimal(hash.finish());
}

}  // namespace

TEST_CASE("the examples of FIPS 180-4") {
  CHECK(hash_of("", 1) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(hash_of("abc", 3) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(hash_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 5) ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(hash_of(std::string(1'000'000, 'a'), 999) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// Sums of texts of 0 to 139 bytes, one behind the other, hashed once more: Python's hashlib gives the same.
TEST_CASE("every length around a block, in pieces") {
  std::string text, sums;
  for (int length = 0; length < 140; ++length, text.push_back(static_cast<char>(length * 37))) {
    const std::string sum = sha256(std::as_bytes(std::span(text)));
    for (const std::size_t piece : {1U, 7U, 64U, 200U}) CHECK(hash_of(text, piece) == sum);
    sums.append(sum);
  }
  CHECK(hash_of(sums, 64) == "146dd0f66ba70c37b820dce3457fb45d723f1c0ec562151e6d1deabcd83d72b6");
}
