# Cross-building for Windows on Debian (g++-mingw-w64-x86-64-posix), with tests under Wine (wine64). The header-only dependencies are those of
# the host; their folder stands last, so that the host's C headers are not found in it.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_CXX_COMPILER x86_64-w64-mingw32-g++-posix)
set(CMAKE_CXX_FLAGS_INIT "-idirafter /usr/include")
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)  # one file, without the compiler's libraries beside it
execute_process(COMMAND "${CMAKE_CXX_COMPILER}" -print-file-name=libgomp.a OUTPUT_VARIABLE gomp OUTPUT_STRIP_TRAILING_WHITESPACE)
if(IS_ABSOLUTE "${gomp}")
  set(OpenMP_gomp_LIBRARY "${gomp}" CACHE FILEPATH "OpenMP, as part of the file too")
endif()
set(CMAKE_CXX_STANDARD_INCLUDE_DIRECTORIES "")
list(APPEND CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES /usr/include)
set(CMAKE_FIND_ROOT_PATH /usr/x86_64-w64-mingw32)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE BOTH)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE BOTH)
find_program(PLUME_WINE NAMES wine64 wine HINTS /usr/lib/wine)
set(CMAKE_CROSSCOMPILING_EMULATOR "${PLUME_WINE}")
