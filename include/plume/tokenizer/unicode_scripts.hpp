#pragma once
#include "plume/base/config.hpp"
namespace plume::inline PLUME_ABI::unicode_scripts {
inline constexpr char32_t ranges[1][3] = {{0x41,0x5a,0}};
}
