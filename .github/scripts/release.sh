#!/usr/bin/env bash
# What a release does beside building.
#
#   release.sh check TAG              does TAG say what Cargo.toml, the charts and the changelog say?
#                                     prints the version
#   release.sh notes TAG              the changelog's section of TAG
#   release.sh digest FOLDER DIGEST   keeps an image's digest as a file in FOLDER, for `manifest`
#   release.sh manifest IMAGE TAG FOLDER
#                                     one image for all architectures out of the digests in FOLDER;
#                                     prints its digest
#   release.sh charts REGISTRY TAG    packages and pushes every chart; prints name and digest of each
set -euo pipefail

root=${ROOT:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}

fail() {
  printf 'release.sh: %s\n' "$*" >&2
  exit "${code:-1}"
}

version_of() {
  [[ $1 =~ ^v([0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?)$ ]] ||
    code=64 fail "$1 is no tag of a release: those are v1.2.3 or v1.2.3-rc.1"
  echo "${BASH_REMATCH[1]}"
}

# The lines under `## VERSION`, up to the next heading of that level.
notes() {
  local version text
  version=$(version_of "$1")
  text=$(awk -v heading="## $version" '
    /^## / { inside = ($0 == heading || index($0, heading " ") == 1); next }
    inside
  ' "$root/CHANGELOG.md" | sed -e '/./,$!d')
  [ -n "$text" ] || fail "CHANGELOG.md has no section '## $version'"
  echo "$text"
}

check() {
  local version found chart
  version=$(version_of "$1")
  found=$(sed -nE '/^\[workspace\.package\]/,/^\[/s/^version = "(.*)"/\1/p' "$root/Cargo.toml")
  [ "$found" = "$version" ] || fail "Cargo.toml says version $found, the tag $version"
  for chart in "$root"/charts/*/Chart.yaml; do
    [ -e "$chart" ] || fail 'there are no charts'
    found=$(sed -nE 's/^version: *"?([^"]*)"?$/\1/p' "$chart")
    [ "$found" = "$version" ] || fail "${chart#"$root"/} says version $found, the tag $version"
    found=$(sed -nE 's/^appVersion: *"?([^"]*)"?$/\1/p' "$chart")
    [ -z "$found" ] || [ "$found" = "$version" ] ||
      fail "${chart#"$root"/} says appVersion $found, the tag $version"
  done
  notes "$1" >/dev/null
  echo "$version"
}

valid_digest() { [[ $1 =~ ^sha256:[0-9a-f]{64}$ ]]; }

digest() {
  valid_digest "$2" || fail "'$2' is no digest"
  mkdir -p "$1"
  : >"$1/${2#sha256:}"
}

manifest() {
  local image=$1 version sources=() file made
  version=$(version_of "$2")
  for file in "$3"/*; do
    valid_digest "sha256:$(basename "$file")" || fail "$file is no digest"
    sources+=("$image@sha256:$(basename "$file")")
  done
  # amd64 and arm64. One of them missing must not become a release.
  [ "${#sources[@]}" -eq 2 ] || fail "$3 has ${#sources[@]} digests, not 2"
  docker buildx imagetools create --tag "$image:$version" "${sources[@]}" >&2
  # buildx prints its table, not the field, for every format that begins with `{{.Manifest`.
  made=$(docker buildx imagetools inspect "$image:$version" --format '{{json .Manifest}}' | jq -r .digest)
  valid_digest "$made" || fail "the registry tells no digest of $image:$version"
  echo "$made"
}

charts() {
  local registry=$1 version folder chart name said pushed
  version=$(version_of "$2")
  folder=$(mktemp -d)
  # shellcheck disable=SC2064 # now, while it is known
  trap "rm -rf '$folder'" EXIT
  for chart in "$root"/charts/*/Chart.yaml; do
    # The library is inside of those that use it.
    ! grep -q '^type: library' "$chart" || continue
    name=$(basename "$(dirname "$chart")")
    # What a chart depends on is linked into its charts/ and goes along. With --dependency-update
    # it would be in the package twice.
    helm package "$(dirname "$chart")" --destination "$folder" >&2
    said=$(helm push "$folder/$name-$version.tgz" "oci://$registry" 2>&1)
    echo "$said" >&2
    pushed=$(sed -nE 's/^Digest: *(sha256:[0-9a-f]{64})$/\1/p' <<<"$said")
    valid_digest "$pushed" || fail "helm tells no digest of $name"
    echo "$registry/$name@$pushed"
  done
}

case "${1:-}:$#" in
  check:2 | notes:2) "$1" "$2" ;;
  digest:3 | charts:3) "$1" "$2" "$3" ;;
  manifest:4) manifest "$2" "$3" "$4" ;;
  *) code=64 fail 'usage: check TAG | notes TAG | digest FOLDER DIGEST | manifest IMAGE TAG FOLDER | charts REGISTRY TAG' ;;
esac
