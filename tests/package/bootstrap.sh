#!/bin/sh
# bootstrap.sh SOURCE WORK: cmake/bootstrap.sh on machines that lack tools, played by a PATH of its own with stand-ins for id, sudo and apt-get.
set -eu
source=$1
work=$2
compiler=$(command -v g++ || command -v c++)
cmake=$(command -v cmake)
ninja=$(command -v ninja || command -v true)

machine() {  # machine NAME USER_ID: an empty machine
  bin=$work/$1
  rm -rf "$bin" && mkdir -p "$bin"
  for tool in sh cut getconf cat ln; do ln -s "$(command -v $tool)" "$bin/$tool"; done
  printf '#!/bin/sh\necho %s\n' "$2" >"$bin/id"
  chmod +x "$bin/id"
}
stand_in() {  # stand_in NAME: reads a script
  cat >"$bin/$1" && chmod +x "$bin/$1"
}
try() {  # try EXPECTED_STATUS: runs bootstrap, keeps its output
  status=0
  (cd "$source" && PATH=$bin CXX=c++ sh -eu -c ". cmake/bootstrap.sh; bootstrap ${needs:-doctest}") >"$work/output" 2>&1 </dev/null || status=$?
  [ "$status" -eq "$1" ] || fail "exit status $status, expected $1"
}
says() { grep -qF -- "$1" "$work/output" || fail "does not say: $1"; }
fail() {
  echo "$bin: $*"
  cat "$work/output"
  exit 1
}

machine other 0
try 2
says 'plume needs: compiler cmake ninja'
says 'sudo apt-get install -y --no-remove --no-install-recommends g++ cmake ninja-build'
says 'sudo dnf install -y gcc-c++ cmake ninja-build'
says 'sudo pacman -S --needed gcc cmake ninja'
says 'brew install gcc cmake ninja'

needs='aarch64 qemu'
try 2
says 'sudo apt-get install -y --no-remove --no-install-recommends g++ cmake ninja-build g++-aarch64-linux-gnu qemu-user'
says 'sudo pacman -S --needed gcc cmake ninja aarch64-linux-gnu-gcc qemu-user'
! grep -qF dnf "$work/output" || fail 'names packages that Fedora does not have'
needs=

machine user 1000
echo 'echo called >>"$0.log"' | stand_in apt-get
try 2
[ ! -e "$bin/apt-get.log" ] || fail 'calls apt-get without root or sudo'

echo 'exit 1' | stand_in sudo  # asks for a password
try 2
[ ! -e "$bin/apt-get.log" ] || fail 'calls apt-get although sudo needs a password'

machine root 0
stand_in apt-get <<END
#!/bin/sh
echo "\$*" >>"\$0.log"
ln -s "$compiler" "$bin/c++"
ln -s "$cmake" "$bin/cmake"
ln -s "$ninja" "$bin/ninja"
END
try 0
[ "$(cat "$bin/apt-get.log")" = 'install -y --no-remove --no-install-recommends g++ cmake ninja-build' ] || fail "called apt-get $(cat "$bin/apt-get.log")"

machine sudo 1000
stand_in apt-get <"$work/root/apt-get"
sed "s|$work/root|$bin|g" "$work/root/apt-get" >"$bin/apt-get"
printf '#!/bin/sh\n[ "$1" = -n ] && shift\n[ "$1" = true ] || exec "$@"\n' | stand_in sudo
try 0
says '+ sudo -n apt-get install -y --no-remove --no-install-recommends g++ cmake ninja-build'
