# plume::kernels, for who wants shorter builds: plume::plume with the fast kernels compiled once, into a static library of the build that links
# it, instead of into each source file.
add_library(plume_kernels STATIC EXCLUDE_FROM_ALL "${plume_kernels_source}")
add_library(plume::kernels ALIAS plume_kernels)
target_link_libraries(plume_kernels PUBLIC plume::plume)
target_compile_definitions(plume_kernels INTERFACE PLUME_COMPILED_KERNELS)
