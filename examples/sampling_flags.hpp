#pragma once
// How tokens are drawn: the flags that generate and chat share.
#include "command_line.hpp"
#include "plume/generate/sampler.hpp"

namespace example {

class SamplingFlags {
 public:
  explicit SamplingFlags(Flags& flags)
      : temperature_(flags.number("--temperature X", 0.8f, "0 takes the most probable token each time, higher is more random", {.min = 0})),
        top_k_(flags.number("--top-k N", plume::Index{0}, "choose among the N most probable tokens; 0 is off", {.min = 0})),
        top_p_(flags.number("--top-p X", 1.0f, "choose among the most probable tokens that hold this share; 1 is off",
                            {.min = 1e-6f, .max = 1})),
        min_p_(flags.number("--min-p X", 0.0f, "leave out tokens less probable than this share of the best one; 0 is off",
                            {.min = 0, .max = 1})),
        penalty_(flags.number("--repeat-penalty X", 1.0f, "makes tokens that were used less probable; 1 is off", {.min = 1e-6f})),
        seed_(flags.seed()) {}

  plume::SamplingOptions options() const {
    return {.temperature = temperature_, .top_k = top_k_, .top_p = top_p_, .min_p = min_p_, .repetition_penalty = penalty_, .seed = seed_};
  }

 private:
  const float& temperature_;
  const plume::Index& top_k_;
  const float &top_p_, &min_p_, &penalty_;
  const std::uint64_t& seed_;
};

}  // namespace example
