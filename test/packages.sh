# The Debian 12 packages of meshca, in one list for cli/quickstart.sh, test/run.sh and .ci/run. Sourced, not run.
#
#   meshca_install build          what compiling the command needs
#   meshca_install build test     and what ./test/run.sh runs
#   meshca_install ... all        and what ./test/run.sh --all adds (the languages' toolchains apart)
#   meshca_install ... languages  and those toolchains, where none is on the PATH
#   meshca_upgrade build test     the newest versions of those that are installed
#
# Only what is missing is installed, as root or through sudo. A word `tool=package` stands for the package unless
# `tool` is on the PATH already: a newer Go or Rust than Debian's is as good.

MESHCA_PACKAGES_build="
  g++ cmake=cmake ninja=ninja-build pkg-config ccache mold git
  libssl-dev libabsl-dev libprotobuf-dev protobuf-compiler libgrpc++-dev protobuf-compiler-grpc libnghttp2-dev
  libboost1.81-dev
  libsqlite3-dev libyaml-cpp-dev nlohmann-json3-dev libcli11-dev
  prometheus-cpp-dev
  openssl ca-certificates python3=python3 python3-venv"
MESHCA_PACKAGES_test="libcpp-httplib-dev libgtest-dev libgmock-dev libbenchmark-dev go=golang-go procps util-linux faketime"
MESHCA_PACKAGES_all="clang-14 clang-format-14 clang-tidy-14 libclang-rt-14-dev nghttp2-client debootstrap umoci"
MESHCA_PACKAGES_languages="
  java=default-jdk-headless javac=default-jdk-headless mvn=maven node=nodejs npm=npm cargo=cargo-web rustc=rustc-web"

meshca_install() {
  local group list word missing=()
  for group in "$@"; do
    list="MESHCA_PACKAGES_$group"
    for word in ${!list}; do
      case $word in
        *=*) command -v "${word%%=*}" >/dev/null || missing+=("${word#*=}") ;;
        *) dpkg-query -W -f '${Status}' "$word" 2>/dev/null | grep -q '^install ok installed' || missing+=("$word") ;;
      esac
    done
  done
  [ ${#missing[@]} -eq 0 ] && return 0

  if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
    echo "These packages are missing, and installing them needs root or sudo: ${missing[*]}" >&2
    return 1
  fi
  echo "installing: ${missing[*]}"
  meshca_apt_install "${missing[@]}"
}

# A machine that was made some time ago then builds against the headers that a fresh one gets, and the compiler cache of
# one serves the other.
meshca_upgrade() {
  local group list word packages=()
  for group in "$@"; do
    list="MESHCA_PACKAGES_$group"
    for word in ${!list}; do packages+=("${word#*=}"); done
  done
  echo "upgrading the packages of: $*"
  meshca_apt_install --only-upgrade "${packages[@]}"
}

meshca_apt_install() {
  local as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# meshca_venv DIR REQUIREMENTS: a Python environment in DIR with exactly the pinned packages, made anew when the
# list has changed.
meshca_venv() {
  local stamp="$1/installed-requirements.txt"
  cmp -s "$2" "$stamp" && return 0
  echo "installing Python packages from ${2#"$PWD"/}"
  rm -rf "$1"
  python3 -m venv "$1" && "$1/bin/pip" install -q --disable-pip-version-check -r "$2" && cp "$2" "$stamp"
}
