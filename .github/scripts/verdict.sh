#!/usr/bin/env bash
# The one required check: did every job that ran end well?
#
#   verdict.sh JSON    `toJSON(needs)`: each job's name and result
#
# A skipped job is well, since only what changed is checked; a cancelled one is
# not, nor is an empty list, which would mean that the list was not passed.
set -euo pipefail

if [ $# -ne 1 ]; then
  echo 'usage: verdict.sh JSON' >&2
  exit 64
fi
jq -r 'to_entries[] | "\(.value.result)\t\(.key)"' <<<"$1"
jq -e 'length > 0 and all(.[]; .result == "success" or .result == "skipped")' <<<"$1" >/dev/null
