# plume::compiled, for who wants shorter builds: plume::plume with its functions compiled once, into a static library of the build that links
# it, instead of into each source file. Its names are hidden: a shared library that links it shows none of them, and two such libraries in
# one process do not mix. (A shared library also needs CMAKE_POSITION_INDEPENDENT_CODE, as for any static library.)
add_library(plume_compiled STATIC EXCLUDE_FROM_ALL ${plume_compiled_sources})
add_library(plume::compiled ALIAS plume_compiled)
target_link_libraries(plume_compiled PUBLIC plume::plume)
target_compile_definitions(plume_compiled INTERFACE PLUME_COMPILED=1)
set_target_properties(plume_compiled PROPERTIES CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
