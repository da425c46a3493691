#!/usr/bin/env bash
# A throw-away cluster on this host, with MySQL, sample data and all charts; `helm test`; a roll-out under load without a failed request.
#
# usage: k8s/kind/smoke.sh [--keep] [--no-images]
#   --keep        leave the cluster running (kind delete cluster --name tripod ends it)
#   --no-images   the images tripod-{blockchain,qrcode,twitter,tools}:0.1.0 are in the cluster already
#
# Needs kind, kubectl, helm, openssl 3, and the images in the local docker. Every wait is bounded. Ends with 0, or 1 and the state of all pods.
# Where the host has a MySQL with an AppArmor profile (Ubuntu), that holds for the pod's too and must be unloaded before:
# sudo apparmor_parser --remove /etc/apparmor.d/usr.sbin.mysqld
set -euo pipefail
shopt -s inherit_errexit

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
readonly CLUSTER=tripod VERSION=0.1.0 DATABASE=mysql.tripod-etl.svc EXIT_USAGE=64 EXIT_UNAVAILABLE=69

keep=no images=yes
for argument in "$@"; do
  case $argument in
    --keep) keep=yes ;;
    --no-images) images=no ;;
    *) sed -n 's/^# \{0,1\}//; 4,6p' "$0" >&2; exit "$EXIT_USAGE" ;;
  esac
done
for program in kind kubectl helm openssl timeout; do
  command -v "$program" >/dev/null || { echo "smoke.sh: $program is not installed" >&2; exit "$EXIT_UNAVAILABLE"; }
done

work=$(mktemp -d)
export KUBECONFIG=$work/kubeconfig
made=no
finish() {
  local code=$?
  if [ "$code" -ne 0 ] && [ "$made" = yes ]; then
    echo "=== what went wrong" >&2
    timeout 1m kubectl get pods --all-namespaces -o wide >&2 || true
    timeout 1m kubectl get events --all-namespaces --sort-by=.lastTimestamp | tail -40 >&2 || true
    timeout 1m kubectl logs --namespace tripod --selector app.kubernetes.io/part-of=tripod --tail=20 --prefix >&2 || true
  fi
  # Only a cluster of our own making: one that was there before is somebody's.
  if [ "$made" = yes ] && [ "$keep" = no ]; then
    timeout 5m kind delete cluster --name "$CLUSTER" >&2 || true
  fi
  rm -rf "$work"
  exit "$code"
}
trap finish EXIT

step() { printf '=== %s\n' "$*"; }

step "cluster"
if timeout 1m kind get clusters | grep -qx "$CLUSTER"; then
  echo "smoke.sh: a cluster named $CLUSTER is there already; kind delete cluster --name $CLUSTER removes it" >&2
  exit 1
fi
made=yes
timeout 10m kind create cluster --config "$here/cluster.yaml" --kubeconfig "$KUBECONFIG" --wait 5m
if [ "$images" = yes ]; then
  for image in blockchain qrcode twitter tools; do
    timeout 5m kind load docker-image "tripod-$image:$VERSION" --name "$CLUSTER"
  done
fi

step "database"
timeout 1m kubectl apply -f "$root/k8s/namespaces.yaml" -f "$root/k8s/etl/base.yaml"
password() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
password >"$work/root"
password >"$work/reader"
password >"$work/loader"
# An authority of our own, so that everybody checks whose certificate it is, as with a real database.
certificate() {
  timeout 1m openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout "$work/$1-key.pem" -out "$work/$1.pem" "${@:2}" 2>"$work/openssl.log" ||
    { cat "$work/openssl.log" >&2; return 1; }
}
certificate ca -subj "/CN=Tripod throw-away authority" -addext keyUsage=critical,keyCertSign,cRLSign
certificate server -subj "/CN=mysql" -CA "$work/ca.pem" -CAkey "$work/ca-key.pem" \
  -addext "subjectAltName=DNS:$DATABASE" -addext basicConstraints=critical,CA:FALSE -addext extendedKeyUsage=serverAuth
timeout 1m kubectl create secret generic mysql --namespace tripod-etl --from-file="$work/root" \
  --from-file="$work/ca.pem" --from-file="$work/server.pem" --from-file="$work/server-key.pem"
timeout 1m kubectl create secret generic database-loader --namespace tripod-etl --from-file=password="$work/loader"
timeout 1m kubectl create secret generic database-reader --namespace tripod --from-file=password="$work/reader"
for namespace in tripod-etl tripod; do
  timeout 1m kubectl create configmap database-ca --namespace "$namespace" --from-file="$work/ca.pem"
done
timeout 1m kubectl apply -f "$here/mysql.yaml"
timeout 6m kubectl rollout status deployment/mysql --namespace tripod-etl --timeout=5m
# The statements go through standard input: passwords are in no argument and no log.
# The rights are those of k8s/database/users.yaml.
# shellcheck disable=SC2016 # expanded in the pod, not here
{
  printf "CREATE USER 'tripod_reader'@'%%' IDENTIFIED BY '%s' REQUIRE SSL;\n" "$(cat "$work/reader")"
  printf "GRANT SELECT ON tripod.* TO 'tripod_reader'@'%%';\n"
  printf "CREATE USER 'tripod_loader'@'%%' IDENTIFIED BY '%s' REQUIRE SSL;\n" "$(cat "$work/loader")"
  printf "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, LOCK TABLES ON tripod.* TO 'tripod_loader'@'%%';\n"
} | timeout 1m kubectl exec --stdin --namespace tripod-etl deployment/mysql -- \
  sh -c 'MYSQL_PWD=$(cat /secrets/root) exec mysql --user=root --batch'

step "sample data"
sed -e "s/DATABASE-HOST/$DATABASE/g" "$root/k8s/etl/sample.yaml" >"$work/sample.yaml"
timeout 1m kubectl apply -f "$work/sample.yaml"
timeout 6m kubectl wait --for=condition=Complete job/sample --namespace tripod-etl --timeout=5m

step "charts"
timeout 11m helm upgrade --install tripod "$root/charts/tripod" --namespace tripod --values "$here/values.yaml" --wait --timeout 10m

step "golden requests of every path"
timeout 6m helm test tripod --namespace tripod --timeout 5m --logs

step "roll-out under load"
# The load runs inside, as a load balancer's would, and its exit code is the verdict.
timeout 1m kubectl apply -f "$here/load-test.yaml"
timeout 3m kubectl wait --for=jsonpath='{.status.ready}'=1 job/load --namespace tripod --timeout=2m
for service in blockchain qrcode twitter; do
  timeout 1m kubectl rollout restart "deployment/tripod-$service" --namespace tripod
done
for service in blockchain qrcode twitter; do
  timeout 6m kubectl rollout status "deployment/tripod-$service" --namespace tripod --timeout=5m
done
load_code=0
timeout 6m kubectl wait --for=condition=Complete job/load --namespace tripod --timeout=5m || load_code=$?
timeout 1m kubectl logs job/load --namespace tripod --all-containers --tail=60
[ "$load_code" -eq 0 ] || { echo "smoke.sh: requests failed during the roll-out, see the report above" >&2; exit 1; }

step "all well"
