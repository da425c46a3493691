#!/usr/bin/env bash
# A throw-away cluster on EKS for one run of the pipeline.
#
#   ephemeral.sh name RUN ATTEMPT     the cluster's name; unique, and known by its form
#   ephemeral.sh up NAME              cluster, database, charts
#   ephemeral.sh smoke NAME           golden requests of all paths, through the load balancer
#   ephemeral.sh load NAME FOLDER     a load test; reports in FOLDER
#   ephemeral.sh down NAME            everything of it, whatever state it is in
#   ephemeral.sh janitor HOURS        ends every throw-away cluster that is older
#
#   REGION                            [us-east-1]
#   REGISTRY, TAG                     the images to install [the charts' own]
#   RATE, DURATION                    of the load test [2000 requests a second, 2m]
#   LOADGEN                           the load generator [loadgen]
set -euo pipefail

region=${REGION:-us-east-1}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
loadgen=${LOADGEN:-loadgen}

fail() {
  printf 'ephemeral.sh: %s\n' "$*" >&2
  exit "${code:-1}"
}

# Nothing but this form is ever deleted: a slip must not end a real cluster.
form='^tripod-e2e-[0-9]+-[0-9]+$'
must_be_ephemeral() {
  [[ $1 =~ $form ]] || code=64 fail "$1 is no throw-away cluster: those are called tripod-e2e-RUN-ATTEMPT"
}

up() {
  # Without a table the twitter service is never ready.
  local options=(--small --name "$1" --region "$region" --unprotected --sample --yes)
  [ -z "${REGISTRY:-}" ] || options+=(--registry "$REGISTRY")
  [ -z "${TAG:-}" ] || options+=(--tag "$TAG")
  "$root/eksctl/up.sh" "${options[@]}"
}

down() {
  "$root/eksctl/down.sh" --name "$1" --region "$region" --delete-data --yes
}

# The load balancer's name, once its address resolves and the services behind it
# answer; its first minutes are 503.
target() {
  local host='' limit=$((SECONDS + ${PATIENCE:-600}))
  aws eks update-kubeconfig --name "$1" --region "$region" >&2
  until [ -n "$host" ] && curl -fsS -m 5 -o /dev/null "http://$host/qrcode?type=encode&data=ready"; do
    [ "$SECONDS" -lt "$limit" ] || fail "the load balancer does not answer${host:+ at $host}"
    sleep "${PAUSE:-5}"
    host=$(kubectl get ingress --all-namespaces \
      --output 'jsonpath={.items[0].status.loadBalancer.ingress[0].hostname}' || true)
  done
  echo "http://$host"
}

smoke() {
  local url
  url=$(target "$1")
  "$loadgen" smoke --target "$url" --allow-remote
}

# Connections for that rate when a reply takes a tenth of a second to come: the runner may be a continent away.
load() {
  local url
  url=$(target "$1")
  mkdir -p "$2"
  "$loadgen" run --target "$url" --allow-remote --quiet \
    --rate "${RATE:-2000}" --duration "${DURATION:-2m}" --connections 256 \
    --scenario qrcode,weight=3 --scenario blockchain,weight=1 \
    --fail-if 'errors>0.1%' --json "$2/report.json" | tee "$2/report.txt"
}

# Names of throw-away clusters with anything left of them. Stacks count, not only
# clusters: the database outlives a cluster whose deletion broke off. Of a name's
# stacks the oldest tells the age.
leftovers() {
  local before
  before=$(date -u -d "-$1 hours" +%Y-%m-%dT%H:%M:%S)
  aws cloudformation describe-stacks --region "$region" \
    --query 'Stacks[].[CreationTime,StackName]' --output text |
    sed -nE 's/^([^\t]+)\t(eksctl-)?(tripod-e2e-[0-9]+-[0-9]+)-.*$/\1\t\3/p' |
    sort | awk -F '\t' -v before="$before" '!seen[$2]++ && substr($1, 1, 19) < before { print $2 }'
}

janitor() {
  local name names failed=()
  [[ $1 =~ ^[1-9][0-9]*$ ]] || code=64 fail "$1 is no number of hours"
  # Not a process substitution: its failure would look like an empty list.
  names=$(leftovers "$1")
  for name in $names; do
    must_be_ephemeral "$name"
    echo "ending $name"
    down "$name" || failed+=("$name")
  done
  [ "${#failed[@]}" -eq 0 ] || fail "still there: ${failed[*]}"
}

case "${1:-}:$#" in
  name:3)
    name=tripod-e2e-$2-$3
    must_be_ephemeral "$name"
    echo "$name"
    ;;
  up:2 | smoke:2 | down:2)
    must_be_ephemeral "$2"
    "$1" "$2"
    ;;
  load:3)
    must_be_ephemeral "$2"
    load "$2" "$3"
    ;;
  janitor:2) janitor "$2" ;;
  *) code=64 fail 'usage: name RUN ATTEMPT | up NAME | smoke NAME | load NAME FOLDER | down NAME | janitor HOURS' ;;
esac
