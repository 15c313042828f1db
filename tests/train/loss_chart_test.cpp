#include "plume/train/loss_chart.hpp"

#include <doctest/doctest.h>

#include <limits>

using namespace plume;

namespace {

std::size_t count(const std::string& text, std::string_view part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

}  // namespace

TEST_CASE("a chart has a curve for each list of points, and a few grid lines") {
  const std::string svg = loss_chart({.training = {{0, 4}, {10, 3}, {20, 2.5}}, .validation = {{10, 3.5}, {20, 3}}});
  CHECK(svg.starts_with("<svg"));
  CHECK(count(svg, "<polyline class=\"curve training\"") == 1);
  CHECK(count(svg, "<polyline class=\"curve validation\"") == 1);
  CHECK(count(svg, "class=\"grid\"") > 4);
  CHECK(count(svg, "class=\"grid\"") < 24);
}

TEST_CASE("points that no chart can show are left out, and what is left is a chart") {
  constexpr double infinite = std::numeric_limits<double>::infinity(), not_a_number = std::numeric_limits<double>::quiet_NaN();
  for (const LossPoint point :
       {LossPoint{5, infinite}, {5, not_a_number}, {5, 1e300}, {infinite, 1}, {not_a_number, 1}, {-3, 1}, {1e200, 1}}) {
    const std::string svg = loss_chart({.training = {{0, 4}, point, {20, 2.5}}, .validation = {}});
    CHECK(svg == loss_chart({.training = {{0, 4}, {20, 2.5}}, .validation = {}}));
  }
  // Values so large that their differences drown, and a line that is flat.
  for (const double loss : {1e29, 1e16, 3.0, 0.0, -1e29}) {
    const std::string svg = loss_chart({.training = {{0, loss}, {7, loss}}, .validation = {}});
    CHECK(count(svg, "class=\"grid\"") < 24);
    CHECK(count(svg, "inf") + count(svg, "nan") == 0);
  }
  CHECK(loss_chart({}).starts_with("<svg"));
}
