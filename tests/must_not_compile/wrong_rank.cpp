// expect: plume: this View has the wrong rank
#include "plume/kernels/reference/norm.hpp"

void use(plume::View<float, 2> y, plume::View<float, 1> line, plume::View<float, 2> x) {
#if defined(ALLOWED)
  plume::kernels::reference::rms_norm<float>(y, {}, x, line, 1e-5);
#else
  plume::kernels::reference::rms_norm<float>(y, {}, line, line, 1e-5);
#endif
}
