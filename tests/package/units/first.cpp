#define PLUME_TEST_EVERYTHING
#include "report.hpp"

Report first() { return report(); }
