#include "../use_plume.hpp"

bool second() { return use_plume(); }
