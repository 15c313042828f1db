#pragma once
// Reverse-mode differentiation. While a Tape lives on a thread, ops record their backward functions on it.
//   Tape tape;
//   Tensor loss = model.loss(inputs, targets, pass);
//   Gradients gradients = tape.backward(loss);
#include <concepts>
#include <cstring>
#include <memory>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "plume/autograd/gradients.hpp"

namespace plume::inline PLUME_ABI {

// Adds to the gradients of an op's inputs, given the gradient of its output. What the function captures lies in the pool.
class Backward {
 public:
  template <std::invocable<Gradients&, const Tensor&> Function>
  explicit Backward(Function function)
      : captures_(make_shared_in_pool<Function>(std::move(function))),
        call_([](void* captures, Gradients& d, const Tensor& dy) { (*static_cast<Function*>(captures))(d, dy); }) {}
  void operator()(Gradients& d, const Tensor& dy) const { call_(captures_.get(), d, dy); }

 private:
  std::shared_ptr<void> captures_;
  void (*call_)(void*, Gradients&, const Tensor&);
};

namespace autograd_detail {
PLUME_FUNCTION void accumulate(const Tensor& sum, const Tensor& x);
}

class Tape {
 public:
  // Differentiates by every tensor marked as parameter.
  Tape() : before_(thread_slot.tape) { thread_slot.tape = this; }
  // Differentiates by these tensors alone.
  explicit Tape(std::span<const Tensor> watched) : Tape() {
    by_list_ = true;
    for (const Tensor& x : watched) watch(x);
  }
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;
  ~Tape() { thread_slot.tape = before_; }

  // The tape in force on this thread, or null.
  static Tape* current() { return thread_slot.tape; }

  // Whether the loss may depend on x through something differentiated by.
  bool tracks(const Tensor& x) const {
    return notes_for_ == nullptr && x.has_data() && ((!by_list_ && x.storage()->is_parameter()) || tracked_.contains(x.storage().get()));
  }
  // Differentiates by x as well.
  void watch(const Tensor& x) {
    require(x.has_data(), "[tape] a watched tensor has no memory");
    if (tracked_.insert(x.storage().get()).second) keys_.push_back(x.storage());
  }
  // Called by traced() for each op.
  template <class Function>
  void record(std::string_view op, const Tensor& output, Function&& backward) {
    nodes_.push_back({op, output.storage().get(), output.shape(), Backward(std::forward<Function>(backward)), uses_.size()});
    watch(output);
  }
  // Called by traced() for the inputs of each op, recorded or not.
  void note_uses(std::span<const Tensor> inputs) {
    Tape& tape = notes_for_ != nullptr ? *notes_for_ : *this;
    for (const Tensor& x : inputs)
      if (x.has_data() && x.storage()->is_parameter()) tape.uses_.push_back(x.storage().get());
  }
  std::size_t size() const { return nodes_.size(); }

  // Gradients of a scalar loss. Runs once: what was saved for it is freed on the way.
  Gradients backward(const Tensor& loss) {
    Gradients gradients;
    backward(loss, gradients);
    return gradients;
  }
  // The same, added to gradients of earlier micro-steps.
  void backward(const Tensor& loss, Gradients& gradients) {
    require(loss.size() == 1, "[backward] the loss has shape ", loss.shape(), "; a scalar is needed");
    const Tensor one = like(loss);
    one.fill(1);
    backward(loss, one, gradients);
  }
  // The same; complete(storage) is called as soon as the gradient of all parameters on a storage is final, so that it can be used and
  // released while the pass goes on. Of watched tensors, those that are parameters. ArgumentError: an op that recompute() ran again did not
  // end in traced(), so its uses are not known.
  template <std::invocable<const Storage&> Complete>
  void backward(const Tensor& loss, Gradients& gradients, Complete&& complete) {
    require(loss.size() == 1, "[backward] the loss has shape ", loss.shape(), "; a scalar is needed");
    const Tensor one = like(loss);
    one.fill(1);
    Gradients::Uses left;
    for (const Storage* storage : uses_) ++left[storage];
    const Gradients::Expecting expecting(gradients, left);
    run(loss, one, gradients, [&](std::span<const Storage* const> used) {
      for (const Storage* storage : used)
        if (--left[storage] == 0 && gradients.entries_.contains(storage)) complete(*storage);
    });
  }
  // Gradients of sum(output * direction).
  void backward(const Tensor& output, const Tensor& direction, Gradients& gradients) {
    run(output, direction, gradients, [](std::span<const Storage* const>) {});
  }

 protected:
  // A tape that records nothing and notes the uses of parameters for another.
  struct NotesFor {
    Tape& tape;
  };
  explicit Tape(NotesFor other) : Tape() { notes_for_ = &other.tape; }

 private:
  // done(parameters' storages) is called after each node.
  template <class Done>
  void run(const Tensor& output, const Tensor& direction, Gradients& gradients, Done&& done) {
    require(direction.shape() == output.shape(), "[backward] output ", output.shape(), ", direction ", direction.shape());
    require(tracks(output), "[backward] the output depends on no parameter and no watched tensor");
    require(!used_, "[backward] this tape was used: what it saved is freed in its one backward pass; record anew");
    used_ = true;
    const Running running(*this, gradients);
    const Tensor seed = gradients[output];
    autograd_detail::accumulate(seed, direction);
    while (!nodes_.empty()) {
      Node node = std::move(nodes_.back());
      nodes_.pop_back();
      if (const auto found = gradients.entries_.find(node.output); found != gradients.entries_.end()) {  // else no part of this output
        const Tensor dy = found->second.flat.reshape(node.shape);
        node.backward(gradients, dy);
        gradients.entries_.erase(node.output);
      }
      const std::size_t first_use = nodes_.empty() ? 0 : nodes_.back().uses;
      done(std::span<const Storage* const>(uses_).subspan(first_use, node.uses - first_use));
    }
  }

  struct Node {
    std::string_view op;
    const Storage* output;
    Shape shape;
    Backward backward;
    std::size_t uses;  // the node's parameters end here in uses_
  };
  // While backward runs, nothing is recorded and the gradients ask this tape what it tracks.
  class Running {
   public:
    Running(const Tape& tape, Gradients& gradients) : gradients_(gradients), outer_(gradients.tape_), recording_(thread_slot.tape) {
      gradients.tape_ = &tape;
      thread_slot.tape = nullptr;
    }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    ~Running() {
      gradients_.tape_ = outer_;
      thread_slot.tape = recording_;
    }

   private:
    Gradients& gradients_;
    const Tape* outer_;
    Tape* recording_;
  };

  friend class NestedTape;
  friend class NotingTape;
  PoolVector<Node> nodes_;
  std::unordered_set<const Storage*, std::hash<const Storage*>, std::equal_to<const Storage*>, PoolAllocator<const Storage*>> tracked_;
  PoolVector<std::weak_ptr<Storage>> keys_;  // keep addresses in tracked_ from being used again
  PoolVector<const Storage*> uses_;          // of parameters, in the order of the nodes
  Tape* notes_for_ = nullptr;
  bool by_list_ = false, used_ = false;
  Tape* before_;
};

// No recording on this thread while it lives.
class NoTape {
 public:
  NoTape() : before_(thread_slot.tape) { thread_slot.tape = nullptr; }
  NoTape(const NoTape&) = delete;
  NoTape& operator=(const NoTape&) = delete;
  ~NoTape() { thread_slot.tape = before_; }

 private:
  Tape* before_;
};

// True when an op must save what its backward pass needs.
inline bool is_traced(const Tensor& x) { return thread_slot.tape != nullptr && thread_slot.tape->tracks(x); }

// What a backward function needs of an input that it does not read; absent if nobody wants the input's gradient.
inline Gradients::Key gradient_key(const Tensor& x) { return is_traced(x) ? Gradients::Key(x) : Gradients::Key(); }

// Every differentiable op ends here: its name, its output, its inputs, its backward function. Returns the output.
template <class Function>
Tensor traced(std::string_view op, const Tensor& output, std::span<const Tensor> inputs, Function&& backward) {
  if (Tape* tape = thread_slot.tape) {
    bool wanted = false;
    for (const Tensor& x : inputs) wanted = wanted || tape->tracks(x);
    tape->note_uses(inputs);
    if (wanted) tape->record(op, output, std::forward<Function>(backward));
  }
  return output;
}
template <class Function>
Tensor traced(std::string_view op, const Tensor& output, std::initializer_list<Tensor> inputs, Function&& backward) {
  return traced(op, output, std::span<const Tensor>(inputs.begin(), inputs.size()), std::forward<Function>(backward));
}

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/kernels/elementwise/table.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION void autograd_detail::accumulate(const Tensor& sum, const Tensor& x) {
  visit_float(sum.dtype(), [&]<class T>() { kernels::accumulate<T>(sum.view<T, 2>(), x.view<const T, 2>(), T(1)); });
}

PLUME_FUNCTION Gradients::Target Gradients::target(const Key& x) {
  if (!x) return {};
  Entry& found = entry(x);
  bool is_fresh = false;
  if (!found.flat) {
    found.flat = Tensor::empty({x.elements_}, dtype_for(x.dtype_));
    is_fresh = x.is_whole();
    if (!is_fresh) clear(found.flat);
  }
  return {x.place_.on(found.flat), is_fresh};
}

PLUME_FUNCTION Gradients::Target Gradients::target(const Tensor& x) {
  return x && tape_ != nullptr && tape_->tracks(x) ? target(Key(x)) : Target{};
}

PLUME_FUNCTION Tensor Gradients::operator[](const Key& x) {
  const Target target = this->target(x);
  if (target.is_fresh) clear(target.tensor);
  return target.tensor;
}

PLUME_FUNCTION Tensor Gradients::operator[](const Tensor& x) {
  return x && tape_ != nullptr && tape_->tracks(x) ? (*this)[Key(x)] : Tensor{};
}

PLUME_FUNCTION void Gradients::clear(const Tensor& dense) {
  std::byte* const first = dense.storage()->data();
  parallel_for(static_cast<Index>(dense.storage()->bytes()), Index{1} << 18, static_cast<Index>(dense.storage()->bytes() / 4),
               [&](Index begin, Index end) { std::memset(first + begin, 0, static_cast<std::size_t>(end - begin)); });
}

PLUME_FUNCTION void Gradients::add(const Tensor& x, const Tensor& contribution) {
  if (x && tape_ != nullptr && tape_->tracks(x)) add(Key(x), contribution);
}

PLUME_FUNCTION void Gradients::add(const Key& x, const Tensor& contribution) {
  if (!x) return;
  Entry& found = entry(x);
  if (!found.flat && contribution.size() == x.elements_ && Key(contribution).is_whole()) {
    found.flat = contribution.reshape({contribution.size()});
    return;
  }
  const Tensor sum = (*this)[x];
  autograd_detail::accumulate(sum, contribution.reshape(sum.shape()));
}

}  // namespace plume::inline PLUME_ABI
#endif
