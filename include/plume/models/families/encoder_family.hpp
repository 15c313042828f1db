#pragma once
#include "plume/models/encoder.hpp"
#include "plume/models/family.hpp"

namespace plume::inline PLUME_ABI::families {

using EncoderFamily = FamilyOf<EncoderConfig>;

}  // namespace plume::inline PLUME_ABI::families
