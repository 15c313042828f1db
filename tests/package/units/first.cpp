#include "../use_plume.hpp"

bool first() { return use_plume(); }
