#!/usr/bin/env bash
# Installs the outside witnesses: ONNX Runtime and the TensorFlow Lite C library
# (from npm packages, pinned by SHA-512) and the program that drives them.
#
#   test/reference/install.sh [DIR]
#
# DIR defaults to $EDGEWISE_REFERENCE, else ${XDG_CACHE_HOME:-$HOME/.cache}/edgewise-reference.
# Afterwards DIR has bin/witness and lib/linux_ARCH/*.so. Running it again fetches
# only what is missing or altered. ARCH=arm64 on an amd64 machine makes an arm64
# installation, which wants a DIR of its own; emulated, only TensorFlow Lite runs.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=${1:-${EDGEWISE_REFERENCE:-${XDG_CACHE_HOME:-$HOME/.cache}/edgewise-reference}}
case "${ARCH:-$(uname -m)}" in
  x86_64 | amd64) arch=amd64 node_arch=x64 ;;
  aarch64 | arm64) arch=arm64 node_arch=arm64 ;;
  *) echo "install.sh: no witness libraries for ${ARCH:-$(uname -m)}" >&2; exit 1 ;;
esac
lib=$dir/lib/linux_$arch
mkdir -p "$dir/bin" "$lib"
tmp=$(mktemp -d "$dir/.fetch-XXXXXX")
trap 'rm -rf "$tmp"' EXIT

# fetch NAME VERSION SHA512 prints the path of the npm package's tarball.
fetch() {
  local name=$1 version=$2 sum=$3 file=$tmp/$1-$2.tgz attempt
  for attempt in 1 2 3 4 5; do
    if command -v npm >/dev/null; then
      npm pack --silent --ignore-scripts --pack-destination "$tmp" "$name@$version" >/dev/null 2>&1 || true
    else
      curl -fsSL --retry 2 -o "$file" "https://registry.npmjs.org/$name/-/$name-$version.tgz" || true
    fi
    if [ -f "$file" ] && echo "$sum  $file" | sha512sum --check --status; then
      echo "$file"
      return
    fi
    rm -f "$file"
    echo "install.sh: fetching $name@$version failed (attempt $attempt of 5)" >&2
    sleep $((attempt * 3))
  done
  return 1
}

# library FILE SHA256 PACKAGE VERSION SHA512 MEMBER puts one file of a package into $lib.
library() {
  local file=$lib/$1 sum=$2
  if [ -f "$file" ] && echo "$sum  $file" | sha256sum --check --status; then
    echo "$1: present" >&2
    return
  fi
  echo "$1: fetching $3 $4" >&2
  local package
  package=$(fetch "$3" "$4" "$5")
  tar -xzf "$package" -C "$tmp" "package/$6"
  echo "$sum  $tmp/package/$6" | sha256sum --check --status || { echo "install.sh: $6 of $3 $4 is not the pinned file" >&2; exit 1; }
  mv "$tmp/package/$6" "$file"
  chmod 755 "$file"
}

case $arch in
  amd64)
    ort_sum=ffb75a925ba05e47b235bb66e3e3911714a80b328a9c9425539feb204aa32a23
    tfl_sum=dc89b4cd86d956516570bd483668e6dd98907f49901d0567dedc69a29a56b7f7 ;;
  arm64)
    ort_sum=1f549d46250b005580b597f4164984aaf75b3bcb9f3aeb07c7f8a8fe60b23c76
    tfl_sum=ec0dee4fb3418e680d010248ac1e304d9656cc5c8de54caaf91d666712e2f633 ;;
esac
library libonnxruntime.so.1 $ort_sum onnxruntime-node 1.30.0 \
  b7086cd42d82fc1164cf5c9ce4e634288536194aba0d444eee10f86f1e50d90cb79c0309c115d6f31537355733136f5503d96894b3987a9a03f1f8d318e7c8ab \
  bin/napi-v6/linux/$node_arch/libonnxruntime.so.1
library libtensorflowlite_c.so $tfl_sum tfjs-tflite-node 0.0.2 \
  65e77d6e23b3f65916b1e92f3f07449b15e7b235c99d93bc88e574b36636d10535e5cc223de7731440588866caeec998a6426940d358f52ba4a0a9948bd6e4f7 \
  cc_deps/linux_$arch/libtensorflowlite_c.so

(cd "$here" && CGO_ENABLED=0 GOARCH=$arch GOWORK=off go build -trimpath -o "$dir/bin/witness" ./cmd/witness)
echo "$dir/bin/witness" >&2
