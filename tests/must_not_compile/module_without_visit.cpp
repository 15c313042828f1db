// expect: plume: this type has no static visit(self, f) that lists its parts
#include "plume/modules/visit.hpp"

struct Good {
  plume::Tensor weight;
  template <class Self>
  static void visit(Self& self, auto&& f) {
    f("weight", self.weight);
  }
};
struct Bad {
  plume::Tensor weight;
};

plume::Index use() {
#if defined(ALLOWED)
  return plume::count_parameters(Good{});
#else
  return plume::count_parameters(Bad{});
#endif
}
