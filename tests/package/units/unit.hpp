#pragma once
// What the units of one program tell each other: results, and sizes of types.
#include <cstddef>
#include <vector>

struct Report {
  std::vector<float> numbers;        // the same bits in every unit
  std::vector<std::size_t> layouts;  // sizeof and alignof of public types
};

Report first();   // everything; OpenMP; no architecture flag
Report second();  // everything; without OpenMP; with architecture flags
Report third();   // one room; OpenMP as in the first, with architecture flags: equal names of the two are merged
