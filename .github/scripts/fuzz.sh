#!/usr/bin/env bash
# Fuzzes every target of one crate for a while each.
#
#   fuzz.sh CRATE-FOLDER SECONDS
set -euo pipefail

if [ $# -ne 2 ]; then
  echo 'usage: fuzz.sh CRATE-FOLDER SECONDS' >&2
  exit 64
fi
cd "$1"
# libdeflate includes the same static tables once for each instruction set, which the sanitizer takes for two definitions of one thing.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_odr_violation=0}
targets=$(cargo +nightly fuzz list)
[ -n "$targets" ] || { echo "fuzz.sh: $1 has no targets" >&2; exit 1; }
for target in $targets; do
  echo "--- $target"
  cargo +nightly fuzz run "$target" -- -max_total_time="$2" -rss_limit_mb=2048 -timeout=10
done
