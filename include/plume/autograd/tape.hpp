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
PLUME_FUNCTION Tensor one_for(const Tensor& loss);
}  // namespace autograd_detail

class Tape {
 public:
  // Differentiates by every tensor marked as parameter.
  PLUME_FUNCTION Tape();
  // Differentiates by these tensors alone.
  PLUME_FUNCTION explicit Tape(std::span<const Tensor> watched);
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;
  PLUME_FUNCTION ~Tape();

  // The tape in force on this thread, or null.
  static Tape* current() { return thread_slot.tape; }

  // Whether the loss may depend on x through something differentiated by.
  PLUME_FUNCTION bool tracks(const Tensor& x) const;
  // Differentiates by x as well.
  PLUME_FUNCTION void watch(const Tensor& x);
  // Called by traced() for each op.
  PLUME_FUNCTION void record(std::string_view op, const Tensor& output, std::span<const Tensor> inputs, Backward backward);
  // Halves the memory of what a part of the forward pass keeps for the backward pass: its `input`, if a node made it, and the f32 results
  // of the nodes from `first` (a size() of before) on are kept as bfloat16 until the backward pass comes to a node that uses them. All but
  // `output`, which the next part reads. Until then they cannot be read by anybody: see Storage::compress().
  PLUME_FUNCTION void compress(std::size_t first, const Tensor& input, const Tensor& output);
  // For ops whose backward pass needs the very numbers of an input or of the output: compress() leaves them alone. Called after traced().
  PLUME_FUNCTION void keep_exact(const Tensor& x);
  // Called by traced() for the inputs of each op, recorded or not.
  PLUME_FUNCTION void note_uses(std::span<const Tensor> inputs);
  std::size_t size() const { return nodes_.size(); }

  // Gradients of a scalar loss. Runs once: what was saved for it is freed on the way.
  Gradients backward(const Tensor& loss) {
    Gradients gradients;
    backward(loss, gradients);
    return gradients;
  }
  // The same, added to gradients of earlier micro-steps.
  PLUME_FUNCTION void backward(const Tensor& loss, Gradients& gradients);
  // The same; complete(storage) is called as soon as the gradient of all parameters on a storage is final, so that it can be used and
  // released while the pass goes on. Of watched tensors, those that are parameters. ArgumentError: an op that recompute() ran again did not
  // end in traced(), so its uses are not known.
  template <std::invocable<const Storage&> Complete>
  void backward(const Tensor& loss, Gradients& gradients, Complete&& complete) {
    backward(loss, gradients, WhenComplete{const_cast<void*>(static_cast<const void*>(&complete)), [](void* what, const Storage& storage) {
                                             (*static_cast<std::remove_reference_t<Complete>*>(what))(storage);
                                           }});
  }
  // Gradients of sum(output * direction).
  PLUME_FUNCTION void backward(const Tensor& output, const Tensor& direction, Gradients& gradients);

 protected:
  // A tape that records nothing and notes the uses of parameters for another.
  struct NotesFor {
    Tape& tape;
  };
  PLUME_FUNCTION explicit Tape(NotesFor other);

 private:
  struct WhenComplete {
    void* what;
    void (*call)(void* what, const Storage& storage);
  };
  PLUME_FUNCTION void backward(const Tensor& loss, Gradients& gradients, const WhenComplete& complete);
  // done(parameters' storages) is called after each node.
  template <class Done>
  void run(const Tensor& output, const Tensor& direction, Gradients& gradients, Done&& done);

  struct Node {
    std::string_view op;
    const Storage* output;
    Shape shape;
    DType dtype;
    Backward backward;
    std::size_t uses;  // the node's parameters end here in uses_
    std::size_t kept;  // its inputs, and its output behind them, end here in kept_
  };
  PLUME_FUNCTION void compress(const Node& node);
  PLUME_FUNCTION static void expand(std::span<const std::weak_ptr<Storage>> storages);
  class Running;

  friend class NestedTape;
  friend class NotingTape;
  PoolVector<Node> nodes_;
  using StorageSet =
      std::unordered_set<const Storage*, std::hash<const Storage*>, std::equal_to<const Storage*>, PoolAllocator<const Storage*>>;
  StorageSet tracked_, exact_;
  PoolVector<std::weak_ptr<Storage>> keys_;  // keep addresses in tracked_ from being used again
  PoolVector<const Storage*> uses_;          // of parameters, in the order of the nodes
  PoolVector<std::weak_ptr<Storage>> kept_;  // what each node's backward function may read
  Tape* notes_for_ = nullptr;
  bool by_list_ = false, used_ = false, has_compressed_ = false;
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
    if (wanted) tape->record(op, output, inputs, Backward(std::forward<Function>(backward)));
  }
  return output;
}
template <class Function>
Tensor traced(std::string_view op, const Tensor& output, std::initializer_list<Tensor> inputs, Function&& backward) {
  return traced(op, output, std::span<const Tensor>(inputs.begin(), inputs.size()), std::forward<Function>(backward));
}

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>

#include "plume/kernels/elementwise/table.hpp"

namespace plume::inline PLUME_ABI {

// While a parameter's gradient comes in parts, tells Gradients how many are left.
struct Gradients::Expecting {
  Gradients& gradients;
  Expecting(Gradients& which, const Uses& left) : gradients(which) { gradients.left_ = &left; }
  Expecting(const Expecting&) = delete;
  Expecting& operator=(const Expecting&) = delete;
  ~Expecting() { gradients.left_ = nullptr; }
};

// While backward runs, nothing is recorded and the gradients ask this tape what it tracks.
class Tape::Running {
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

PLUME_FUNCTION Tape::Tape() : before_(thread_slot.tape) { thread_slot.tape = this; }

PLUME_FUNCTION Tape::Tape(std::span<const Tensor> watched) : Tape() {
  by_list_ = true;
  for (const Tensor& x : watched) watch(x);
}

PLUME_FUNCTION Tape::Tape(NotesFor other) : Tape() { notes_for_ = &other.tape; }

PLUME_FUNCTION Tape::~Tape() { thread_slot.tape = before_; }

PLUME_FUNCTION bool Tape::tracks(const Tensor& x) const {
  return notes_for_ == nullptr && x.has_data() && ((!by_list_ && x.storage()->is_parameter()) || tracked_.contains(x.storage().get()));
}

PLUME_FUNCTION void Tape::watch(const Tensor& x) {
  require(x.has_data(), "[tape] a watched tensor has no memory");
  if (tracked_.insert(x.storage().get()).second) keys_.push_back(x.storage());
}

PLUME_FUNCTION void Tape::record(std::string_view op, const Tensor& output, std::span<const Tensor> inputs, Backward backward) {
  for (const Tensor& x : inputs)
    if (x.has_data() && x.dtype() == DType::f32 && !x.storage()->is_parameter()) kept_.push_back(x.storage());
  kept_.push_back(output.storage());
  nodes_.push_back({op, output.storage().get(), output.shape(), output.dtype(), std::move(backward), uses_.size(), kept_.size()});
  watch(output);
}

PLUME_FUNCTION void Tape::keep_exact(const Tensor& x) {
  if (notes_for_ == nullptr && x.has_data() && tracked_.contains(x.storage().get())) exact_.insert(x.storage().get());
}

PLUME_FUNCTION void Tape::note_uses(std::span<const Tensor> inputs) {
  Tape& tape = notes_for_ != nullptr ? *notes_for_ : *this;
  for (const Tensor& x : inputs)
    if (x.has_data() && x.storage()->is_parameter()) tape.uses_.push_back(x.storage().get());
}

template <class Done>
void Tape::run(const Tensor& output, const Tensor& direction, Gradients& gradients, Done&& done) {
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
      if (has_compressed_) expand(std::span<const std::weak_ptr<Storage>>(kept_).subspan(nodes_.empty() ? 0 : nodes_.back().kept));
      const Tensor dy = found->second.flat.reshape(node.shape);
      node.backward(gradients, dy);
      gradients.entries_.erase(node.output);
    }
    kept_.resize(nodes_.empty() ? 0 : nodes_.back().kept);
    const std::size_t first_use = nodes_.empty() ? 0 : nodes_.back().uses;
    done(std::span<const Storage* const>(uses_).subspan(first_use, node.uses - first_use));
  }
}

PLUME_FUNCTION void Tape::backward(const Tensor& output, const Tensor& direction, Gradients& gradients) {
  run(output, direction, gradients, [](std::span<const Storage* const>) {});
}

PLUME_FUNCTION void Tape::backward(const Tensor& loss, Gradients& gradients) { backward(loss, autograd_detail::one_for(loss), gradients); }

PLUME_FUNCTION void Tape::backward(const Tensor& loss, Gradients& gradients, const WhenComplete& complete) {
  Gradients::Uses left;
  for (const Storage* storage : uses_) ++left[storage];
  const Gradients::Expecting expecting(gradients, left);
  run(loss, autograd_detail::one_for(loss), gradients, [&](std::span<const Storage* const> used) {
    for (const Storage* storage : used)
      if (--left[storage] == 0 && gradients.entries_.contains(storage)) complete.call(complete.what, *storage);
  });
}

PLUME_FUNCTION Tensor Gradients::find(const Tensor& x) const {
  const auto found = entries_.find(x.storage().get());
  return found == entries_.end() ? Tensor{} : x.on(found->second.flat);
}

PLUME_FUNCTION Tensor Gradients::at(const Tensor& x) const {
  const Tensor gradient = find(x);
  require(static_cast<bool>(gradient), "[gradients] no gradient for a tensor ", x.shape(),
          ": it took no part in the loss, or is not a parameter");
  return gradient;
}

PLUME_FUNCTION void Gradients::release(const Storage& storage) { entries_.erase(&storage); }

PLUME_FUNCTION void Gradients::clear() { entries_.clear(); }

PLUME_FUNCTION Gradients::Entry& Gradients::entry(const Key& x) {
  if (left_ != nullptr && x.is_parameter_) {
    const auto uses = left_->find(x.address_);
    require(uses != left_->end() && uses->second > 0, "[backward] the gradient of a parameter ", x.place_.shape(),
            " was complete before its last part came: an op that uses it, under recompute(), does not end in traced()");
  }
  Entry& found = entries_[x.address_];
  if (found.owner.expired()) found.owner = x.owner_;
  return found;
}

PLUME_FUNCTION void autograd_detail::accumulate(const Tensor& sum, const Tensor& x) {
  visit_float(sum.dtype(), [&]<class T>() { kernels::accumulate<T>(sum.view<T, 2>(), x.view<const T, 2>(), T(1)); });
}

PLUME_FUNCTION Tensor autograd_detail::one_for(const Tensor& loss) {
  require(loss.size() == 1, "[backward] the loss has shape ", loss.shape(), "; a scalar is needed");
  const Tensor one = like(loss);
  one.fill(1);
  return one;
}

PLUME_FUNCTION void Tape::compress(std::size_t first, const Tensor& input, const Tensor& output) {
  for (std::size_t i = std::min(first, nodes_.size()); i-- > 0;) {
    if (nodes_[i].output != input.storage().get()) continue;
    if (input.storage() != output.storage()) compress(nodes_[i]);
    break;
  }
  for (std::size_t i = first; i < nodes_.size(); ++i)
    if (nodes_[i].output != output.storage().get()) compress(nodes_[i]);
}

PLUME_FUNCTION void Tape::compress(const Node& node) {
  const std::shared_ptr<Storage> storage = kept_[node.kept - 1].lock();
  if (!storage || node.dtype != DType::f32 || storage->kind() != StorageKind::owned || storage->is_parameter() || storage->panels() ||
      storage->is_compressed())
    return;
  const bool is_whole = storage->bytes() == static_cast<std::size_t>(node.shape.size()) * sizeof(float);
  if (!is_whole || storage->bytes() <= tensor_alignment || exact_.contains(storage.get())) return;
  storage->compress([](std::span<Bfloat16> into, std::span<const float> from) {
    const auto count = static_cast<Index>(from.size());
    kernels::round_bf16<float>(View<Bfloat16, 1>(into.data(), {count}), View<const float, 1>(from.data(), {count}));
  });
  has_compressed_ = true;
}

PLUME_FUNCTION void Tape::expand(std::span<const std::weak_ptr<Storage>> storages) {
  for (const std::weak_ptr<Storage>& kept : storages) {
    const std::shared_ptr<Storage> storage = kept.lock();
    if (!storage || !storage->is_compressed()) continue;
    storage->expand([](std::span<float> into, std::span<const Bfloat16> from) {
      const auto count = static_cast<Index>(from.size());
      kernels::widen_bf16<float>(View<float, 1>(into.data(), {count}), View<const Bfloat16, 1>(from.data(), {count}));
    });
  }
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
