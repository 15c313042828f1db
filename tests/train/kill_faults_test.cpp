// Ten kills; kill_faults_nightly_test.cpp makes two hundred.
#include "train/kill_loop.hpp"

TEST_CASE("kill -9 during training and inside saves loses nothing") { kill_loop::test(10); }
