#pragma once
// The one place that names the version; CMake reads these lines.
#define PLUME_VERSION_MAJOR 0
#define PLUME_VERSION_MINOR 1
#define PLUME_VERSION_PATCH 0
