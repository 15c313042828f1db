// expect: plume: a View takes as many indices as its rank
#include "plume/tensor/view.hpp"

float use(plume::View<const float, 2> x) {
#if defined(ALLOWED)
  return x(0, 1);
#else
  return x(0);
#endif
}
