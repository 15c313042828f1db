#define PLUME_TEST_EVERYTHING
#include "report.hpp"

Report second() { return report(); }
