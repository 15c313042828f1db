#pragma once
// All ops.
#include "plume/ops/activation.hpp"
#include "plume/ops/add.hpp"
#include "plume/ops/attention.hpp"
#include "plume/ops/cross_entropy.hpp"
#include "plume/ops/dropout.hpp"
#include "plume/ops/embedding.hpp"
#include "plume/ops/layer_norm.hpp"
#include "plume/ops/linear.hpp"
#include "plume/ops/low_rank.hpp"
#include "plume/ops/rms_norm.hpp"
#include "plume/ops/rope.hpp"
#include "plume/ops/softmax.hpp"
