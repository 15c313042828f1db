# For presets that need clang++: libFuzzer, and an OpenMP that ThreadSanitizer can see into. Without one the usual compiler stays, and the
# tests of the preset say SKIP.
find_program(PLUME_CLANG NAMES clang++ clang++-19 clang++-18 clang++-17 clang++-16 clang++-15 clang++-14)
if(PLUME_CLANG)
  set(CMAKE_CXX_COMPILER "${PLUME_CLANG}")
endif()
