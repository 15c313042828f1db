# Component pcre2: plume::pcre2 is what plume/tokenizer/pcre2_pattern.hpp needs beside plume::plume or plume::compiled. No target is made when
# PCRE2 is not found; the caller reports.
if(NOT TARGET plume::pcre2)
  find_path(PLUME_PCRE2_INCLUDE_DIR pcre2.h)
  find_library(PLUME_PCRE2_LIBRARY NAMES pcre2-8)
  mark_as_advanced(PLUME_PCRE2_INCLUDE_DIR PLUME_PCRE2_LIBRARY)
  if(PLUME_PCRE2_INCLUDE_DIR AND PLUME_PCRE2_LIBRARY)
    add_library(plume::pcre2 INTERFACE IMPORTED)
    target_include_directories(plume::pcre2 SYSTEM INTERFACE "${PLUME_PCRE2_INCLUDE_DIR}")
    target_link_libraries(plume::pcre2 INTERFACE "${PLUME_PCRE2_LIBRARY}")
  endif()
endif()
