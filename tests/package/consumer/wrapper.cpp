#include "../use_plume.hpp"

extern "C" [[gnu::visibility("default")]] bool use_plume_in_a_shared_library() { return use_plume(); }
