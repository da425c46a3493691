#!/bin/sh
# Builds the static binaries that the images hold. The Dockerfile's compile
# stage and `cargo xtask images` both run this, so what is built and how it is
# linked stands here and nowhere else.
#
#   docker/build.sh skeleton FROM TO    the manifests of the workspace FROM with
#                                       empty sources, in TO
#   docker/build.sh dependencies        builds what the empty sources depend on
#   docker/build.sh binaries OUT        builds the binaries; the services' in
#                                       OUT/services, the tools' in OUT/tools
#
# `dependencies` and `binaries` work on the workspace in the current folder.
#
#   TARGETARCH   amd64 or arm64 [this machine's]
#   TARGET_CPU   for rustc's `-C target-cpu`, such as neoverse-n1 for every
#                Graviton from the second on [the architecture's baseline]
#   GIT_COMMIT   what /version and build_info say [unknown]
set -eu

# What a cargo that runs us says of its own package. Build scripts that look at
# these (ring's does) would run again, and all that depends on them be built
# again, whenever the caller changes.
for name in $(env | sed -n 's/^\(CARGO_\(PKG\|MANIFEST\|CRATE\|BIN\)_[A-Z_]*\)=.*/\1/p'); do
  unset "$name"
done

# --- the one list of what is built: packages whose binary has the same name ------

# One image each.
services='blockchain-service qrcode-service twitter-service'
# One image for all.
tools='etl loadgen'

# ---------------------------------------------------------------------------------

fail() {
  printf 'docker/build.sh: %s\n' "$*" >&2
  exit 1
}

target() {
  case "${TARGETARCH:-$(uname -m)}" in
    amd64 | x86_64) echo x86_64-unknown-linux-gnu ;;
    arm64 | aarch64) echo aarch64-unknown-linux-gnu ;;
    *) fail "there is no image for ${TARGETARCH:-$(uname -m)}; TARGETARCH is amd64 or arm64" ;;
  esac
}

# Every file that cargo takes for the root of a target becomes an empty program,
# which is an empty library too. Times are fixed, so that the skeleton of an
# unchanged Cargo.lock is the same file for file.
skeleton() {
  from=$1 to=$2
  (cd "$from" && find . -name Cargo.toml -not -path '*/target/*' -not -path '*/fuzz/*') |
    while read -r manifest; do
      folder=$(dirname "$manifest")
      mkdir -p "$to/$folder"
      cp "$from/$manifest" "$to/$manifest"
      (cd "$from" && find "$folder" -name '*.rs' -not -path '*/fuzz/*' \
        \( -path '*/src/lib.rs' -o -path '*/src/main.rs' -o -path '*/src/bin/*' \
        -o -path '*/benches/*' -o -path '*/examples/*' -o -path '*/tests/*' \)) |
        while read -r source; do
          mkdir -p "$to/$(dirname "$source")"
          echo 'fn main() {}' >"$to/$source"
        done
    done
  for file in Cargo.lock rust-toolchain.toml .cargo/config.toml docker/build.sh; do
    [ -e "$from/$file" ] || continue
    mkdir -p "$to/$(dirname "$file")"
    cp "$from/$file" "$to/$file"
  done
  find "$to" -exec touch -h -d '2020-01-01T00:00:00Z' {} +
}

# `+crt-static` needs an explicit --target: without one cargo would link build
# scripts and derive macros statically too, and the latter must be loadable.
compile() {
  set -- "$(target)"
  flags='-C target-feature=+crt-static'
  [ -z "${TARGET_CPU:-}" ] || flags="$flags -C target-cpu=$TARGET_CPU"
  packages=
  for package in $services $tools; do
    packages="$packages -p $package"
  done
  # shellcheck disable=SC2086 # a list of words
  RUSTFLAGS=$flags "${CARGO:-cargo}" build --release --locked --target "$1" $packages
}

binaries() {
  out=$1
  compile
  built=${CARGO_TARGET_DIR:-target}/$(target)/release
  rm -rf "$out"
  mkdir -p "$out/services" "$out/tools"
  for name in $services; do
    strip -o "$out/services/$name" "$built/$name"
  done
  for name in $tools; do
    strip -o "$out/tools/$name" "$built/$name"
  done
}

case "${1:-}:$#" in
  skeleton:3) skeleton "$2" "$3" ;;
  dependencies:1) compile ;;
  binaries:2) binaries "$2" ;;
  *) fail 'usage: skeleton FROM TO | dependencies | binaries OUT' ;;
esac
