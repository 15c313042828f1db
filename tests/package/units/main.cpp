// Units with other flags agree: on every bit of what the kernels compute, and on the size of every public type.
#include <algorithm>
#include <cstdio>

#include "unit.hpp"

int main() {
  const Report one = first(), two = second(), three = third();
  const auto same_layouts = [&](const Report& other) {
    const std::size_t count = std::min(one.layouts.size(), other.layouts.size());
    return count > 0 && std::equal(one.layouts.begin(), one.layouts.begin() + static_cast<std::ptrdiff_t>(count), other.layouts.begin());
  };
  int failures = 0;
  const auto check = [&](bool is_right, const char* what) {
    std::printf("%s: %s\n", is_right ? "right" : "WRONG", what);
    failures += !is_right;
  };
  check(one.numbers.size() > 1000 && one.numbers == two.numbers, "results with and without OpenMP, with and without architecture flags");
  check(one.numbers == three.numbers, "results with and without architecture flags, names merged");
  check(one.layouts.size() == two.layouts.size() && same_layouts(two), "sizes of public types with and without OpenMP and flags");
  check(same_layouts(three), "sizes of public types with and without flags");
  return failures == 0 ? 0 : 1;
}
