#!/usr/bin/env bash
# Do the network policies hold? A stranger's pod, in a namespace that no policy
# names, must reach the admin port of no pod. Asked by address: a Service does not
# have that port, so its silence would show nothing. Nor would that of a network
# that lets nobody through: the traffic port, which is open to every address of the
# cluster (`networkPolicy.loadBalancerCidrs`), must take the stranger's connection.
#
#   network-policy.sh NAMESPACE    of the services; needs kubectl and the tools' image in the cluster
#
#   IMAGE                          the tools' image [the one of the ETL's version, tripod-tools:0.1.0]
set -euo pipefail

if [ $# -ne 1 ]; then
  echo 'usage: network-policy.sh NAMESPACE' >&2
  exit 64
fi
image=${IMAGE:-tripod-tools:0.1.0}
# Exit code of loadgen for a target that cannot be reached. Any other, of kubectl
# or of an image that is not there, must not pass for a policy that holds.
unreachable=69

pods=$(kubectl get pods --namespace "$1" --selector app.kubernetes.io/part-of=tripod \
  --field-selector status.phase=Running \
  --output 'jsonpath={range .items[*]}{.metadata.name} {.status.podIP}{"\n"}{end}')
[ -n "$pods" ] || { echo "network-policy.sh: no pod runs in $1" >&2; exit 1; }
open=0
# ask ADDRESS:PORT: its exit code in `code`.
ask() {
  code=0
  timeout 60 kubectl run "stranger-$RANDOM" --namespace default --rm --stdin --restart Never --quiet \
    --image "$image" --image-pull-policy IfNotPresent --command -- \
    /loadgen smoke --allow-remote --service qrcode --target "http://$1" </dev/null || code=$?
}
while read -r name address; do
  ask "$address:8080"
  # 1: another service than qrcode has answered.
  if [ "$code" -gt 1 ]; then
    echo "network-policy.sh: $name:8080 takes no connection of a stranger (exit code $code), so its other port shows nothing" >&2
    open=1
    continue
  fi
  ask "$address:9090"
  if [ "$code" -eq "$unreachable" ]; then
    echo "$name: closed to strangers"
  else
    echo "network-policy.sh: $name:9090 answers a stranger, or the question failed (exit code $code)" >&2
    open=1
  fi
done <<<"$pods"
exit "$open"
