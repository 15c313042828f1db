#include "../use_plume.hpp"

#if defined(PLUME_TEST_WRAPPER)
extern "C" bool use_plume_in_a_shared_library();
#else
static bool use_plume_in_a_shared_library() { return true; }
#endif

int main() { return use_plume() && use_plume_in_a_shared_library() ? 0 : 1; }
