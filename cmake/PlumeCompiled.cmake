# plume::compiled, for who wants shorter builds: plume::plume with its functions compiled once, into a static library of the build that links
# it, instead of into each source file.
add_library(plume_compiled STATIC EXCLUDE_FROM_ALL ${plume_compiled_sources})
add_library(plume::compiled ALIAS plume_compiled)
target_link_libraries(plume_compiled PUBLIC plume::plume)
target_compile_definitions(plume_compiled PRIVATE PLUME_COMPILED=2 INTERFACE PLUME_COMPILED=1)
