#include "../use_plume.hpp"

int main() { return use_plume() ? 0 : 1; }
