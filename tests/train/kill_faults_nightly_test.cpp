// Two hundred kills: a nightly test.
#include "train/kill_loop.hpp"

TEST_CASE("kill -9 during training and inside saves loses nothing, 200 times") { kill_loop::test(200); }
