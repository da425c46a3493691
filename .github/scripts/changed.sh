#!/usr/bin/env bash
# Which parts of the project a change touches, as `part=true|false` lines: what
# did not change need not be checked again.
#
#   changed.sh BASE HEAD    two commits
#
# Without a BASE that is known here (a first push, a forced one) everything counts
# as changed, as it does when the pipeline itself or the compiler changed.
set -euo pipefail

if [ $# -ne 2 ]; then
  echo 'usage: changed.sh BASE HEAD' >&2
  exit 64
fi
base=$1 head=$2
parts=(rust images charts cluster workflows)

say_all() {
  local part
  for part in "${parts[@]}"; do echo "$part=$1"; done
}

if ! git cat-file -e "$base^{commit}" 2>/dev/null; then
  say_all true
  exit 0
fi
# Three dots: what HEAD brings, not what BASE got meanwhile.
files=$(git diff --name-only "$base...$head")
touched() { grep -qE "$1" <<<"$files"; }

if touched '^(\.github/|\.ci/|rust-toolchain\.toml$)'; then
  say_all true
  exit 0
fi
answer() { if touched "$2"; then echo "$1=true"; else echo "$1=false"; fi; }
rust='^(crates/|benches/|Cargo\.(toml|lock)$|\.cargo/|clippy\.toml$|deny\.toml$|rustfmt\.toml$|README\.md$|docs/openapi\.yaml$)'
answer rust "$rust"
answer images "$rust|^(docker/|\.dockerignore$)"
# Settings and metrics of the charts are compared with the table in the README and with the source.
answer charts '^(charts/|k8s/|crates/|README\.md$)'
# The tests of the manifests read these too: alerts link to sections, plans show prices, the README gives commands.
answer cluster '^(eksctl/|k8s/|charts/|docker/|crates/|docs/operations\.md$|benches/prices\.toml$|README\.md$)'
answer workflows '^(docker/|eksctl/|k8s/|crates/xtask/)'
