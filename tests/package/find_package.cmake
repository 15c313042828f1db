# A consumer of the moved package builds and runs; compile commands hold none of our flags.
include("${CMAKE_CURRENT_LIST_DIR}/steps.cmake")
run(${configure} -S "${HERE}/consumer" -B "${WORK}/build" "-DCMAKE_PREFIX_PATH=${INSTALLED}" "-DCMAKE_INSTALL_PREFIX=${WORK}/exported" -DEXPORT=ON)
run("${CMAKE_COMMAND}" --build "${WORK}/build")
run("${WORK}/build/consumer")
run("${CMAKE_COMMAND}" --install "${WORK}/build")  # exports a library that links plume::plume

include("${HERE}/flags.cmake")
check_flags("${WORK}/build/compile_commands.json")
