#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "sanitized.hpp"

#if defined(PLUME_TEST_SANITIZED)
// A request for more memory than there is must fail as it does elsewhere: that is what some tests are about.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
#endif
