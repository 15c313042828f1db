#pragma once
// Everything. Programs that want less include single rooms: plume/ops/ops.hpp, plume/models/load.hpp, plume/generate/session.hpp …
#include "plume/autograd/gradient_check.hpp"
#include "plume/autograd/recompute.hpp"
#include "plume/generate/generate.hpp"
#include "plume/generate/score.hpp"
#include "plume/models/load.hpp"
#include "plume/models/save.hpp"
#include "plume/ops/ops.hpp"
#include "plume/optim/adamw.hpp"
#include "plume/optim/schedule.hpp"
#include "plume/optim/sgd.hpp"
#include "plume/tokenizer/train_byte_bpe.hpp"
