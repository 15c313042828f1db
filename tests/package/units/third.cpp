#include "report.hpp"

Report third() { return report(); }
