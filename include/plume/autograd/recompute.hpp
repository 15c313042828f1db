#pragma once
// Activation checkpointing: run a function without recording it, and run it again in the backward pass.      [Chen et al. 2016]
#include "plume/autograd/tape.hpp"

namespace plume::inline PLUME_ABI {

// A tape inside a backward pass, that differentiates by what the outer tape does and by one input.
class NestedTape : public Tape {
 public:
  NestedTape(const Tape& outer, const Tensor& input) {
    by_list_ = outer.by_list_;
    tracked_ = outer.tracked_;
    if (outer.tracks(input)) watch(input);
  }
};

// In force where recompute() runs its function for the first time: the outer tape must know which parameters the function uses.
class NotingTape : public Tape {
 public:
  explicit NotingTape(Tape& outer) : Tape(NotesFor{outer}) {}
  static bool is_in_force() { return current() != nullptr && current()->notes_for_ != nullptr; }
};

// y = function(x). The function must depend on x and parameters alone and do the same when called again (dropout draws the same mask,
// because it is a function of seed and position). Saves memory for all that the function computes, and costs its forward pass again.
template <class Function>
Tensor recompute(const Tensor& x, Function function) {
  Tape* const outer = Tape::current();
  if (outer == nullptr || NotingTape::is_in_force()) return function(x);
  Tensor y;
  {
    const NotingTape noting(*outer);
    y = function(x);
    // The node below owns its output: give a view, the input itself or a captured tensor a storage of its own.
    const bool owns = y.storage().use_count() == 1 && static_cast<std::size_t>(y.size()) * bytes_of(y.dtype()) == y.storage()->bytes();
    if (!owns) y = y.copy();
  }
  outer->record("recompute", y, {&x, 1}, Backward([=](Gradients& d, const Tensor& dy) {
                  NestedTape tape(*outer, x);
                  const Tensor again = function(x);
                  if (tape.tracks(again)) tape.backward(again, dy, d);  // else nothing in it is differentiated by
                }));
  return y;
}

}  // namespace plume::inline PLUME_ABI
