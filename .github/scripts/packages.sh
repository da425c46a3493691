#!/usr/bin/env bash
# Deletes the images that runs of ephemeral-eks pushed and nobody needs any more.
#
#   packages.sh OWNER DAYS    those that are older, of the packages of OWNER on GitHub
#
# A version goes only if each of its tags is e2e-RUN: a release, or anything that
# somebody has tagged by hand, stays. Needs gh with a token that may delete them.
set -euo pipefail

if [ $# -ne 2 ] || ! [[ $1 =~ ^[A-Za-z0-9-]+$ && $2 =~ ^[1-9][0-9]*$ ]]; then
  echo 'usage: packages.sh OWNER DAYS' >&2
  exit 64
fi
owner=$1
before=$(date -u -d "-$2 days" +%Y-%m-%dT%H:%M:%SZ)
case $(gh api "users/$owner" --jq .type) in
  Organization) place=orgs/$owner ;;
  User) place=users/$owner ;;
  *) echo "packages.sh: $owner is neither a user nor an organization" >&2; exit 1 ;;
esac

failed=0
for image in blockchain qrcode twitter tools; do
  versions=$place/packages/container/tripod-$image/versions
  # The filter goes through each page; times in this form sort as text.
  # shellcheck disable=SC2016 # the variables are jq's
  filter='.[] | (.metadata.container.tags // []) as $tags
    | select(($tags | length) > 0 and ($tags | all(test("^e2e-[0-9]+$"))))
    | select(.created_at < "'$before'") | "\(.id) \($tags | join(","))"'
  if ! old=$(gh api --paginate "$versions?per_page=100" --jq "$filter" 2>&1); then
    # Nothing was pushed yet.
    if [[ $old == *'HTTP 404'* ]]; then continue; fi
    echo "packages.sh: tripod-$image: $old" >&2
    failed=1
    continue
  fi
  while read -r id tags; do
    [ -n "$id" ] || continue
    if gh api --method DELETE "$versions/$id" >/dev/null; then
      echo "tripod-$image: deleted $tags"
    else
      failed=1
    fi
  done <<<"$old"
done
exit "$failed"
