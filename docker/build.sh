#!/bin/sh
# Builds the static binaries that the images hold. The Dockerfile's compile
# stage and the check of the images both run this, so what is built and how it is
# linked stands here and nowhere else.
#
#   docker/build.sh skeleton FROM TO    the manifests of the workspace FROM with
#                                       empty sources, in TO
#   docker/build.sh dependencies        builds what the empty sources depend on
#   docker/build.sh binaries OUT        builds the binaries; the services' in
#                                       OUT/services, the tools' in OUT/tools,
#                                       and puts the authorities that tools
#                                       trust in OUT/certificates
#   docker/build.sh engine-dependencies
#   docker/build.sh engine OUT          likewise for the query engine, which takes
#                                       longer than all the others together, in
#                                       OUT/engine; after `binaries`, which empties OUT
#
# All but `skeleton` work on the workspace in the current folder.
#
#   TARGETARCH   amd64 or arm64 [this machine's]
#   TARGET_CPU   for rustc's `-C target-cpu`, such as neoverse-n1 for every
#                Graviton from the second on [the architecture's baseline]
#   GIT_COMMIT   what /version and build_info say [unknown]
#   CA_BUNDLE    the public authorities [/etc/ssl/certs/ca-certificates.crt]
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
# In that image too, built by itself.
engine='etl-score'

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
  profile=$1
  shift
  # By itself: inside of a command its failure would not end the script.
  triple=$(target)
  flags='-C target-feature=+crt-static'
  [ -z "${TARGET_CPU:-}" ] || flags="$flags -C target-cpu=$TARGET_CPU"
  packages=
  for package in "$@"; do
    packages="$packages -p $package"
  done
  # shellcheck disable=SC2086 # a list of words
  RUSTFLAGS=$flags "${CARGO:-cargo}" build --profile "$profile" --locked --target "$triple" $packages
}

# All but the query engine.
ordinary() {
  # shellcheck disable=SC2086 # lists of words
  compile release $services $tools
}

# The stripped binaries of a profile, in a folder.
take() {
  profile=$1 folder=$2 triple=$(target)
  shift 2
  mkdir -p "$folder"
  for name in "$@"; do
    strip -o "$folder/$name" "${CARGO_TARGET_DIR:-target}/$triple/$profile/$name"
  done
}

binaries() {
  out=$1 bundle=${CA_BUNDLE:-/etc/ssl/certs/ca-certificates.crt}
  [ -s "$bundle" ] || fail "there are no certificate authorities in $bundle: install ca-certificates or set CA_BUNDLE"
  ordinary
  rm -rf "$out"
  # Empty unless `engine` fills it.
  mkdir -p "$out/engine" "$out/certificates"
  # shellcheck disable=SC2086
  take release "$out/services" $services
  # shellcheck disable=SC2086
  take release "$out/tools" $tools
  cp "$bundle" "$out/certificates/ca-certificates.crt"
}

case "${1:-}:$#" in
  skeleton:3) skeleton "$2" "$3" ;;
  dependencies:1) ordinary ;;
  binaries:2) binaries "$2" ;;
  engine-dependencies:1) compile engine "$engine" ;;
  engine:2)
    compile engine "$engine"
    take engine "$2/engine" "$engine"
    ;;
  *) fail 'usage: skeleton FROM TO | dependencies | binaries OUT | engine-dependencies | engine OUT' ;;
esac
