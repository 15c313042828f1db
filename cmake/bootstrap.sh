# Sourced by examples/quickstart.sh and tests/run.sh from the top of the project:
#   bootstrap [EXTRA...]    finds compiler, tools and headers; installs what is missing where that is allowed, else says how and exits 2
#   present_or_skip ARGUMENT EXTRA...   before it: where ARGUMENT is --if-present and something is missing, prints SKIP and exits 0
#   workflow NAME PRESET    configures, builds and (PRESET test) tests, with the workflow preset NAME; without presets on cmake before 3.25
#   rooms PRESET "ROOM..." "PATTERN..." OPTION...   builds those rooms' tests and runs those that match; OPTIONs stand for the preset before cmake 3.25
#   report PRESET FOLDER... prints what was skipped in those build folders, then ctest's summary of PRESET's
# Honours CXX and PLUME_JOBS. EXTRA names further needs: doctest, nlohmann, simde, pkg-config, aarch64, windows (cross compilers), qemu, wine,
# coverage (a clang with its profiles and llvm-cov), python.

say() { printf '%s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

has_header() {  # has_header FLAGS HEADER [CONDITION]: the header is there, and new enough; preprocessing alone is fast
  # shellcheck disable=SC2086  # several words
  printf '#include <%s>\n#if !(%s)\n#error too old\n#endif\n' "$2" "${3:-1}" | $compiler -x c++ -std=c++20 -E $1 - >/dev/null 2>&1
}

has_coverage() {  # as cmake/clang.cmake looks for a clang
  for clang in clang++ clang++-19 clang++-18 clang++-17 clang++-16 clang++-15 clang++-14; do
    if have $clang; then
      have "$($clang -print-prog-name=llvm-cov)" && have "$($clang -print-prog-name=llvm-profdata)" || return 1
      echo 'int main() {}' | $clang -x c++ -fprofile-instr-generate -o /dev/null - 2>/dev/null
      return
    fi
  done
  return 1
}

missing_needs() {  # prints the names of what is missing
  needs=
  have "${compiler%% *}" || needs="$needs compiler"
  have cmake || needs="$needs cmake"
  have ninja || needs="$needs ninja"
  if [ -z "$needs" ] || have "${compiler%% *}"; then
    has_header '' eigen3/Eigen/Core 'EIGEN_VERSION_AT_LEAST(3, 4, 0)' || has_header '' Eigen/Core 'EIGEN_VERSION_AT_LEAST(3, 4, 0)' || needs="$needs eigen"
    has_header '' xsimd/xsimd.hpp 'XSIMD_VERSION_MAJOR >= 8' || needs="$needs xsimd"
  else
    [ -e /usr/include/eigen3/Eigen/Core ] || needs="$needs eigen"
    [ -e /usr/include/xsimd/xsimd.hpp ] || needs="$needs xsimd"
  fi
  for extra in "$@"; do
    case $extra in
      doctest) [ -e /usr/include/doctest/doctest.h ] || { have "${compiler%% *}" && has_header '' doctest/doctest.h; } || needs="$needs doctest" ;;
      nlohmann) [ -e /usr/include/nlohmann/json.hpp ] || { have "${compiler%% *}" && has_header '' nlohmann/json.hpp; } || needs="$needs nlohmann" ;;
      simde) [ -e /usr/include/simde/x86/avx512.h ] || { have "${compiler%% *}" && has_header '' simde/simde-common.h; } || needs="$needs simde" ;;
      pkg-config) have pkg-config || needs="$needs pkg-config" ;;
      aarch64) have aarch64-linux-gnu-g++ || needs="$needs aarch64" ;;
      qemu) have qemu-aarch64 || needs="$needs qemu" ;;
      windows) have x86_64-w64-mingw32-g++-posix || needs="$needs windows" ;;
      coverage) has_coverage || needs="$needs coverage" ;;
      python) have python3 || needs="$needs python" ;;
      wine) have wine64 || have wine || have /usr/lib/wine/wine64 || needs="$needs wine" ;;
    esac
  done
  printf '%s\n' "${needs# }"
}

packages() {  # packages SYSTEM NEED...: the packages of those needs; fails where there is none
  system=$1
  list=
  shift
  for need in "$@"; do
    case $system:$need in
      apt:compiler) case $compiler in *clang*) list="$list clang" ;; *) list="$list g++" ;; esac ;;
      dnf:compiler) case $compiler in *clang*) list="$list clang" ;; *) list="$list gcc-c++" ;; esac ;;
      pacman:compiler) case $compiler in *clang*) list="$list clang" ;; *) list="$list gcc" ;; esac ;;
      brew:compiler) list="$list gcc" ;;
      apt:ninja | dnf:ninja) list="$list ninja-build" ;;
      apt:eigen) list="$list libeigen3-dev" ;;
      apt:xsimd) list="$list libxsimd-dev" ;;
      apt:doctest) list="$list doctest-dev" ;;
      apt:simde) list="$list libsimde-dev" ;;
      apt:nlohmann) list="$list nlohmann-json3-dev" ;;
      apt:aarch64) list="$list g++-aarch64-linux-gnu" ;;
      pacman:aarch64) list="$list aarch64-linux-gnu-gcc" ;;
      apt:windows) list="$list g++-mingw-w64-x86-64-posix" ;;
      apt:wine) list="$list wine64" ;;
      apt:coverage) list="$list clang llvm libclang-rt-dev" ;;
      dnf:coverage | pacman:coverage) list="$list clang llvm compiler-rt" ;;
      brew:coverage) list="$list llvm" ;;
      apt:python | dnf:python) list="$list python3" ;;
      *:windows | *:wine) return 1 ;;  # the compiler has another name there
      dnf:aarch64 | brew:aarch64 | brew:qemu) return 1 ;;  # no C++ library of the target; no emulation of user programs
      *:qemu) list="$list qemu-user" ;;
      dnf:nlohmann) list="$list json-devel" ;;
      pacman:nlohmann | brew:nlohmann) list="$list nlohmann-json" ;;
      dnf:eigen) list="$list eigen3-devel" ;;
      dnf:xsimd | dnf:doctest | dnf:simde) list="$list $need-devel" ;;
      pacman:pkg-config | brew:pkg-config) list="$list pkgconf" ;;
      *) list="$list $need" ;;
    esac
  done
  printf '%s\n' "${list# }"
}

apt_install='apt-get install -y --no-remove --no-install-recommends'

offer() {  # offer SYSTEM COMMAND NEED...: the command that installs them, where there is one
  line=$2
  system_packages=$1
  shift 2
  if found=$(packages "$system_packages" "$@"); then say "  $line $found"; fi
}

cannot() {  # cannot NEED...: says what to install, exits 2
  say "plume needs: $*. Install with one of:"
  offer apt "Debian, Ubuntu:  sudo $apt_install" "$@"
  offer dnf 'Fedora:          sudo dnf install -y' "$@"
  offer pacman 'Arch:            sudo pacman -S --needed' "$@"
  offer brew 'macOS:           brew install' "$@"
  say "and run this command again."
  exit 2
}

install_needs() {  # install_needs NEED...
  have apt-get || cannot "$@"
  wanted=$(packages apt "$@")
  elevate=
  if [ "$(id -u)" -ne 0 ]; then
    have sudo || cannot "$@"
    elevate=sudo
    [ -t 0 ] || elevate='sudo -n'  # nobody is there to type a password
    if [ "$elevate" = 'sudo -n' ] && ! sudo -n true 2>/dev/null; then cannot "$@"; fi
  fi
  export DEBIAN_FRONTEND=noninteractive
  say "+ $elevate${elevate:+ }$apt_install $wanted"
  # shellcheck disable=SC2086  # several words
  $elevate $apt_install $wanted >&2 2>/dev/null && return 0
  say "+ $elevate${elevate:+ }apt-get update"
  $elevate apt-get update >&2 || cannot "$@"
  # shellcheck disable=SC2086
  $elevate $apt_install $wanted >&2 || cannot "$@"
}

bootstrap() {
  compiler=${CXX:-c++}
  needs=$(missing_needs "$@")
  # shellcheck disable=SC2086
  if [ -n "$needs" ]; then
    install_needs $needs
    needs=$(missing_needs "$@")
    if [ -n "$needs" ]; then cannot $needs; fi
  fi
  if ! has_header -fopenmp omp.h; then
    version=$($compiler -dumpversion | cut -d. -f1)
    say "$compiler finds no omp.h. Install its OpenMP (Debian: apt-get install --no-remove libomp-$version-dev; Fedora: libomp-devel; Arch: openmp; macOS: brew install libomp), or use CXX=g++."
    exit 2
  fi
  jobs=${PLUME_JOBS:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)}
  export CMAKE_BUILD_PARALLEL_LEVEL="$jobs" CTEST_PARALLEL_LEVEL="$jobs"
}

present_or_skip() {  # present_or_skip ARGUMENT NEED...: with ARGUMENT --if-present, nothing is installed: what is missing ends the script with SKIP
  [ "$1" = --if-present ] || return 0
  shift
  compiler=${CXX:-c++}
  needs=$(missing_needs "$@")
  [ -z "$needs" ] || { echo "SKIP: absent: $needs"; exit 0; }
}

cmake_at_least() {  # cmake_at_least MINOR: cmake is 3.MINOR or newer
  cmake --version | { IFS=' .' read -r _ _ major minor _; [ "$major" -gt 3 ] || { [ "$major" -eq 3 ] && [ "$minor" -ge "$1" ]; }; }
}

workflow() {
  if cmake_at_least 25; then
    cmake --workflow --preset "$1"
  elif [ "$2" = release ]; then
    cmake -G Ninja -S . -B build/release -DCMAKE_BUILD_TYPE=Release -DPLUME_BUILD_TESTS=OFF -DPLUME_BUILD_BENCH=OFF && cmake --build build/release
  else
    cmake -G Ninja -S . -B "build/$2" -DCMAKE_BUILD_TYPE=Test '-DCMAKE_CXX_FLAGS=-O1 -g -D_GLIBCXX_ASSERTIONS' -DPLUME_BUILD_BENCH=OFF -DPLUME_WERROR=ON &&
      cmake --build "build/$2" &&
      (cd "build/$2" && ctest --output-on-failure --output-log tests.log -LE nightly)
  fi
}

checked='-DCMAKE_BUILD_TYPE=Test -DPLUME_BUILD_BENCH=OFF -DPLUME_BUILD_EXAMPLES=OFF -DPLUME_WERROR=ON'

rooms() {
  preset=$1
  built=$2
  # shellcheck disable=SC2086  # several words
  pattern="^($(echo $3 | tr ' ' '|'))"
  shift 3
  if cmake_at_least 25; then
    cmake --preset "$preset" || return 1
  else
    # shellcheck disable=SC2086  # several words
    cmake -G Ninja -S . -B "build/$preset" '-DCMAKE_CXX_FLAGS=-O1 -g -D_GLIBCXX_ASSERTIONS' $checked "$@" || return 1
  fi
  # shellcheck disable=SC2046,SC2086  # several words
  cmake --build "build/$preset" --target $(printf 'plume_test_%s ' $built) || return 1
  (cd "build/$preset" && ctest --output-on-failure --output-log tests.log -LE nightly --no-tests=error -R "$pattern")
}

report() {
  closing=$1
  skips=$(
    shift
    for folder in "$@"; do cat "build/$folder/Testing/Temporary/LastTest.log" 2>/dev/null || true; done | { grep '^SKIP' || true; }
    printf '%s' "${missing_steps:-}"
  )
  skips=$(printf '%s\n' "$skips" | sort -u | sed '/^$/d')
  if [ -n "$skips" ]; then printf '%s skipped:\n%s\n' "$(printf '%s\n' "$skips" | wc -l | tr -d ' ')" "$skips"; else echo '0 skipped'; fi
  if [ -n "${failed:-}" ]; then echo "failed:$failed"; fi
  if [ -e "build/$closing/tests.log" ]; then sed -n '/tests passed,/,$ { /^\[ERROR_MESSAGE\]/d; p; }' "build/$closing/tests.log"; else echo "build/$closing: no test was run"; fi
}
