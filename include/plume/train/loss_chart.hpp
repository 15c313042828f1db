#pragma once
// The loss over the steps as a line chart in SVG, readable on light and dark pages.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "plume/base/text.hpp"

namespace plume::inline PLUME_ABI {

struct LossPoint {
  double step = 0, loss = 0;
};

struct LossCurves {
  std::vector<LossPoint> training, validation;
};

// The chart as the text of an SVG file. Points that are not finite, or beyond what a chart can show (losses of 1e30, steps of 1e15), are
// left out.
PLUME_FUNCTION std::string loss_chart(const LossCurves& curves);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

namespace chart_detail {

// A step of 1, 2 or 5 times a power of ten that cuts `range` into at most `parts` parts.
inline double tick_step(double range, int parts) {
  const double power = std::pow(10, std::floor(std::log10(range / parts)));
  for (const double step : {power, 2 * power, 5 * power})
    if (range / step <= parts) return step;
  return 10 * power;
}

inline std::string fixed(double value, int decimals) {
  std::array<char, 64> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed, decimals).ptr;
  return {text.data(), end};
}

// 250, 2k, 1.5M
inline std::string step_label(double value) {
  for (const auto& [unit, name] : {std::pair{1e9, "G"}, {1e6, "M"}, {1e3, "k"}})
    if (value >= unit) return concat(value / unit, name);
  return concat(value);
}

// At most `most` points: means of neighbours, so that long runs stay small files and noise does not hide the trend.
inline std::vector<LossPoint> thinned(const std::vector<LossPoint>& points, std::size_t most) {
  if (points.size() <= most) return points;
  std::vector<LossPoint> result;
  for (std::size_t part = 0; part < most; ++part) {
    const std::size_t begin = part * points.size() / most, end = (part + 1) * points.size() / most;
    LossPoint sum;
    for (std::size_t i = begin; i < end; ++i) sum = {sum.step + points[i].step, sum.loss + points[i].loss};
    const auto count = static_cast<double>(end - begin);
    result.push_back({sum.step / count, sum.loss / count});
  }
  return result;
}

}  // namespace chart_detail

PLUME_FUNCTION std::string loss_chart(const LossCurves& curves) {
  using chart_detail::fixed;
  constexpr double width = 760, height = 420, left = 62, right = 20, top = 46, bottom = 52;
  LossCurves shown{chart_detail::thinned(curves.training, 600), chart_detail::thinned(curves.validation, 600)};
  double low = INFINITY, high = -INFINITY, last = 0;
  for (auto* curve : {&shown.training, &shown.validation}) {
    std::erase_if(*curve, [](const LossPoint& point) { return !(std::abs(point.loss) <= 1e30 && point.step >= 0 && point.step <= 1e15); });
    for (const LossPoint& point : *curve) {
      low = std::min(low, point.loss);
      high = std::max(high, point.loss);
      last = std::max(last, point.step);
    }
  }
  if (last == 0) low = 0, high = 1, last = 1;
  const double least = std::max(1e-3, 1e-6 * std::max(std::abs(low), std::abs(high)));  // or it is lost in rounding
  if (high - low < least) high = low + least;
  const double y_step = chart_detail::tick_step(high - low, 7), x_step = std::max(1.0, chart_detail::tick_step(last, 8));
  low = std::floor(low / y_step) * y_step;
  high = std::ceil(high / y_step) * y_step;
  const auto x = [&](double step) { return fixed(left + step / last * (width - left - right), 1); };
  const auto y = [&](double loss) { return fixed(top + (high - loss) / (high - low) * (height - top - bottom), 1); };

  std::string svg = concat("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ", width, " ", height, "\" width=\"", width,
                           "\" height=\"", height, "\" role=\"img\" aria-label=\"Loss over training steps\">\n");
  svg +=  // plain rules first, for viewers that know neither variables nor media queries
      "<style>\n"
      "  text { font: 13px system-ui, sans-serif; fill: #52514e }\n"
      "  .page { fill: #ffffff }\n"
      "  .grid { stroke: #e5e4e0; stroke-width: 1 }\n"
      "  .curve { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round }\n"
      "  .training { stroke: #2a78d6 }\n"
      "  .validation { stroke: #d9541e }\n"
      "  @media (prefers-color-scheme: dark) {\n"
      "    text { fill: #c3c2b7 }\n"
      "    .page { fill: #1a1a19 }\n"
      "    .grid { stroke: #343432 }\n"
      "    .training { stroke: #5aa0f0 }\n"
      "    .validation { stroke: #f2854f }\n"
      "  }\n"
      "</style>\n";
  svg += concat("<rect class=\"page\" width=\"", width, "\" height=\"", height, "\"/>\n");
  const auto text = [&](std::string_view at_x, std::string_view at_y, std::string_view anchor, std::string_view words) {
    svg += concat("<text x=\"", at_x, "\" y=\"", at_y, "\" text-anchor=\"", anchor, "\">", words, "</text>\n");
  };
  const auto line = [&](std::string_view type, std::string_view x1, std::string_view y1, std::string_view x2, std::string_view y2) {
    svg += concat("<line class=\"", type, "\" x1=\"", x1, "\" y1=\"", y1, "\" x2=\"", x2, "\" y2=\"", y2, "\"/>\n");
  };
  const int decimals = std::max(0, static_cast<int>(-std::floor(std::log10(y_step) + 1e-9)));
  for (int i = 0; low + i * y_step < high + y_step / 2; ++i) {
    const double value = low + i * y_step;
    line("grid", x(0), y(value), x(last), y(value));
    text(fixed(left - 9, 1), concat(fixed(top + (high - value) / (high - low) * (height - top - bottom) + 4.5, 1)), "end",
         fixed(value, decimals));
  }
  for (double step = 0; step <= last + x_step * 1e-6; step += x_step) {
    line("grid", x(step), y(low), x(step), fixed(height - bottom + 5, 1));
    text(x(step), fixed(height - bottom + 20, 1), "middle", chart_detail::step_label(step));
  }
  text(fixed((left + width - right) / 2, 1), fixed(height - 10, 1), "middle", "step");
  text(fixed(16, 1), fixed(top - 20, 1), "start", "loss");

  double legend = width - right;
  const auto curve = [&](std::string_view type, const std::vector<LossPoint>& points) {
    if (points.empty()) return;
    svg += concat("<polyline class=\"curve ", type, "\" points=\"");
    for (const LossPoint& point : points) svg += concat(x(point.step), ",", y(point.loss), " ");
    svg += "\"/>\n";
    if (points.size() == 1)
      svg += concat("<circle class=\"curve ", type, "\" cx=\"", x(points[0].step), "\" cy=\"", y(points[0].loss), "\" r=\"2\"/>\n");
    const std::string words = concat(type, " ", fixed(points.back().loss, 3));
    text(fixed(legend, 1), fixed(top - 20, 1), "end", words);
    const double begin = legend - 7.2 * static_cast<double>(words.size()) - 30;
    line(concat("curve ", type), fixed(begin, 1), fixed(top - 24.5, 1), fixed(begin + 22, 1), fixed(top - 24.5, 1));
    legend = begin - 24;
  };
  curve("training", shown.training);
  curve("validation", shown.validation);
  return svg + "</svg>\n";
}

}  // namespace plume::inline PLUME_ABI
#endif
