#!/usr/bin/env bash
# From nothing to served traffic: key and bucket, cluster, private endpoints, database, add-ons, users, services, smoke test.
#
# Idempotent: what is there and right is left alone, so that it can be run again after a failure or with another setting.
# It prints its plan and the cost an hour first and asks before it spends. --dry-run prints every command that it would run and
# needs neither an account nor any of the programs.
set -euo pipefail
shopt -s inherit_errexit

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
prices=$root/benches/prices.toml
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$here/lib.sh"

usage() {
  cat <<'TEXT'
usage: eksctl/up.sh [options]

  --small               the live test: cluster-small.yaml, seven c8g.large
  --name NAME           name of the cluster [tripod-main, with --small tripod-small]
  --region REGION       [us-east-1]
  --admin-cidr CIDR     who may reach the API server [this host's address, as the provider sees it]
  --db-class CLASS      shape of the database [db.r7g.xlarge]
  --multi-az            a standby of the database in another zone
  --replica             a read replica
  --snapshot ID         start the database from this snapshot
  --unprotected         let down.sh delete the database without a word (throw-away clusters)
  --alarm-topic ARN     where alarms of the database are sent
  --registry REGISTRY   where the images are, such as ghcr.io/OWNER [the charts' default]
  --tag TAG             their version [the charts' default]
  --team TEAM_ID        first word of every reply [Tripod]
  --values FILE         further values for the charts; may be repeated
  --sample              load generated tweets first: a new platform has no table, and the twitter service is not ready without one
  --no-services         stop before the charts
  --yes                 do not ask
  --dry-run             print the plan, the cost and every command; start nothing

Ends with 0; 1 not confirmed or a step failed; 64 usage; 65 files that do not fit; 69 a program or the provider that cannot be reached.
TEXT
}

small=no name='' region=us-east-1 admin_cidr=auto db_class=db.r7g.xlarge multi_az=false replica=false snapshot='' protected=true
topic='' registry='' tag='' team=Tripod services=yes sample=no assume_yes=no dry_run=no
values=()
while [ $# -gt 0 ]; do
  case $1 in
    --name | --region | --admin-cidr | --db-class | --snapshot | --alarm-topic | --registry | --tag | --team | --values)
      [ $# -ge 2 ] || die "$EXIT_USAGE" "$1 needs a value"
      ;;
  esac
  case $1 in
    --small) small=yes ;;
    --name) name=$2; shift ;;
    --region) region=$2; shift ;;
    --admin-cidr) admin_cidr=$2; shift ;;
    --db-class) db_class=$2; shift ;;
    --multi-az) multi_az=true ;;
    --replica) replica=true ;;
    --snapshot) snapshot=$2; shift ;;
    --unprotected) protected=false ;;
    --alarm-topic) topic=$2; shift ;;
    --registry) registry=$2; shift ;;
    --tag) tag=$2; shift ;;
    --team) team=$2; shift ;;
    --values) values+=("$2"); shift ;;
    --sample) sample=yes ;;
    --no-services) services=no ;;
    --yes) assume_yes=yes ;;
    --dry-run) dry_run=yes ;;
    --help | -h) usage; exit 0 ;;
    *) usage >&2; die "$EXIT_USAGE" "unknown option $1" ;;
  esac
  shift
done

if [ "$small" = yes ]; then
  stand_in=tripod-small file=$here/cluster-small.yaml
else
  stand_in=tripod-main file=$here/cluster.yaml
fi
[ -n "$name" ] || name=$stand_in
valid_name "$name"
valid_region "$region"
[ "$admin_cidr" = auto ] || [[ $admin_cidr =~ ^([0-9]{1,3}\.){3}[0-9]{1,3}/[0-9]{1,2}$ ]] ||
  die "$EXIT_USAGE" "--admin-cidr $admin_cidr: expected an address and a length, such as 198.51.100.7/32"
for extra in ${values[@]+"${values[@]}"}; do
  [ -r "$extra" ] || die "$EXIT_INPUT" "--values $extra: cannot be read"
done
storage=100

readonly HELM_LIMIT=16m
work=$(mktemp -d)
ended() {
  local code=$?
  rm -rf "$work"
  where_stopped "$code" "what was made stays and is billed: mend it and run this again, or run down.sh --name $name"
}
trap ended EXIT
# The user's own kubeconfig is not touched; the last lines say how to get one.
export KUBECONFIG=$work/kubeconfig

# --- The plan ---

yes_no() { if [ "$1" = true ]; then echo yes; else echo no; fi; }

step "Plan: $name in $region"
say "  1 key, data bucket, roles of people   stack $name-foundation     1 min"
say "  2 cluster from ${file##*/}   eksctl                    20 min"
say "  3 private endpoints                   stack $name-endpoints      3 min"
say "  4 database $db_class              stack $name-database      15 min"
say "  5 namespaces, add-ons                 helm                      5 min"
say "  6 users of the database               a job in the cluster      1 min"
[ "$sample" = no ] || say "  - a sample table                      a job in the cluster      2 min"
if [ "$services" = yes ]; then
  say "  7 services and load balancer          helm, charts/tripod       5 min"
  say "  8 smoke test                          helm test                 1 min"
fi
say ""
print_costs "$file" "$db_class" "$storage" "$(yes_no "$multi_az")" "$(yes_no "$replica")" "$small"
say ""
confirm "This is billed from the first minute until eksctl/down.sh has run."

need_programs aws eksctl kubectl helm curl timeout

# --- 1. What must exist before the cluster ---

step "1 key, data bucket, roles"
account=$(ask 111122223333 aws sts get-caller-identity --query Account --output text) ||
  die "$EXIT_UNAVAILABLE" "the provider does not know us; log in first (aws sts get-caller-identity must work)"
[[ $account =~ ^[0-9]{12}$ ]] || die "$EXIT_UNAVAILABLE" "not an account number: $account"
ensure_stack "$name-foundation" "$here/foundation.yaml" "ClusterName=$name"
key_arn=$(stack_output "$name-foundation" KeyArn)
[ "$dry_run" = no ] || key_arn=arn:aws:kms:$region:$account:key/11111111-2222-3333-4444-555555555555
if [ "$admin_cidr" = auto ]; then
  address=$(ask 198.51.100.7 curl -fsS --max-time 10 https://checkip.amazonaws.com) ||
    die "$EXIT_UNAVAILABLE" "cannot find out this host's address; give --admin-cidr"
  [[ $address =~ ^([0-9]{1,3}\.){3}[0-9]{1,3}$ ]] || die "$EXIT_UNAVAILABLE" "not an address: $address; give --admin-cidr"
  admin_cidr=$address/32
fi

# --- 2. The cluster ---

step "2 cluster"
rendered=$work/cluster.yaml
# The comments speak of the stand-ins and are left out.
sed -e '/^ *#/d' -e "s/$stand_in/$name/g" -e "s/000000000000/$account/g" -e "s/us-east-1/$region/g" \
  -e "s|203\.0\.113\.0/24|$admin_cidr|" \
  -e "s|arn:aws:kms:$region:$account:key/00000000-0000-0000-0000-$account|$key_arn|" "$file" >"$rendered"
if grep -n '000000000000\|203\.0\.113\.0\|key/00000000-' "$rendered"; then
  die "$EXIT_INPUT" "${file##*/} still holds the stand-ins above"
fi
complete=$(absent_or none 'ResourceNotFoundException\|No cluster found' aws eks describe-cluster --region "$region" \
  --name "$name" --query 'cluster.tags."tripod.complete"' --output text) ||
  die "$EXIT_UNAVAILABLE" "cannot see whether the cluster exists; see above"
cluster_stack=$(stack_status "eksctl-$name-cluster") ||
  die "$EXIT_UNAVAILABLE" "cannot see whether the cluster's stack exists; see above"
if [ "$complete" != true ] && { [ "$complete" != none ] || [ "$cluster_stack" != none ]; }; then
  # Its creation was cut off. Nothing of ours runs in it yet, and eksctl cannot take up where it stopped.
  say "  a half-made cluster is there: it is removed and made again"
  run "$CLUSTER_LIMIT" eksctl delete cluster --region "$region" --name "$name" --wait --disable-nodegroup-eviction
  complete=none
fi
if [ "$complete" = true ]; then
  say "  it is there; node groups that are missing are added"
  run "$CLUSTER_LIMIT" eksctl create nodegroup --config-file "$rendered" --timeout 40m
else
  run "$CLUSTER_LIMIT" eksctl create cluster --config-file "$rendered" --kubeconfig "$KUBECONFIG" --timeout 45m
  run "$SHORT_LIMIT" aws eks tag-resource --region "$region" \
    --resource-arn "arn:aws:eks:$region:$account:cluster/$name" --tags tripod.complete=true
fi
run "$SHORT_LIMIT" aws eks update-kubeconfig --region "$region" --name "$name" --kubeconfig "$KUBECONFIG"
run 11m kubectl wait --for=condition=Ready nodes --all --timeout=10m

# --- 3. Private ways to the provider ---

step "3 private endpoints"
vpc=$(ask '<vpc>' aws eks describe-cluster --region "$region" --name "$name" \
  --query cluster.resourcesVpcConfig.vpcId --output text)
node_group=$(ask '<security-group-of-nodes>' aws eks describe-cluster --region "$region" --name "$name" \
  --query cluster.resourcesVpcConfig.clusterSecurityGroupId --output text)
subnets=$(ask '<private-subnets>' aws ec2 describe-subnets --region "$region" \
  --filters "Name=vpc-id,Values=$vpc" 'Name=tag:kubernetes.io/role/internal-elb,Values=1' \
  --query 'Subnets[].SubnetId' --output text | tr -s '\t ' ',,')
[ -n "$subnets" ] || die "$EXIT_INPUT" "the network $vpc has no private subnets"
routes=$(ask '<route-tables>' aws ec2 describe-route-tables --region "$region" \
  --filters "Name=association.subnet-id,Values=$subnets" --query 'RouteTables[].RouteTableId' --output text | tr -s '\t ' ',,')
interfaces=true
[ "$small" = no ] || interfaces=false
ensure_stack "$name-endpoints" "$here/endpoints.yaml" "ClusterName=$name" "VpcId=$vpc" "SubnetIds=$subnets" \
  "RouteTableIds=$routes" "NodeSecurityGroupId=$node_group" "Interfaces=$interfaces"

# --- 4. The database ---

step "4 database"
ensure_stack "$name-database" "$here/rds.yaml" "ClusterName=$name" "VpcId=$vpc" "SubnetIds=$subnets" \
  "NodeSecurityGroupId=$node_group" "KeyArn=$key_arn" "InstanceClass=$db_class" "MultiAz=$multi_az" \
  "AllocatedStorageGib=$storage" "ReadReplica=$replica" "DeletionProtection=$protected" \
  "SnapshotIdentifier=$snapshot" "AlarmTopicArn=$topic"
db_host=$(stack_output "$name-database" Host)
db_connections=$(stack_output "$name-database" MaxConnections)
admin_secret=$(stack_output "$name-database" AdministratorSecret)

# --- 5. Namespaces and add-ons ---

# chart RELEASE NAMESPACE REPOSITORY VERSION [ARGUMENT...]
chart() {
  local release=$1 namespace=$2 repository=$3 version=$4
  shift 4
  run "$HELM_LIMIT" helm upgrade --install "$release" "$release" --repo "$repository" --version "$version" \
    --namespace "$namespace" --wait --timeout 15m --values "$here/addons/$release.yaml" "$@"
}

step "5 namespaces, add-ons"
run "$SHORT_LIMIT" kubectl apply -f "$root/k8s/namespaces.yaml"
chart aws-load-balancer-controller kube-system https://aws.github.io/eks-charts 1.17.1 \
  --set "clusterName=$name,region=$region,vpcId=$vpc" --set-string "defaultTags.tripod\\.cluster=$name"
chart external-secrets external-secrets https://charts.external-secrets.io 2.0.0
if [ "$small" = no ]; then
  chart cluster-autoscaler kube-system https://kubernetes.github.io/autoscaler 9.59.0 \
    --set "autoDiscovery.clusterName=$name,awsRegion=$region"
  chart kube-prometheus-stack monitoring https://prometheus-community.github.io/helm-charts 82.8.0
fi

# --- 6. The users of the database ---

step "6 users of the database"
# The authorities that sign the database's certificate; clients verify it with them.
run "$SHORT_LIMIT" curl -fsS --max-time 60 -o "$work/ca.pem" "https://truststore.pki.rds.amazonaws.com/$region/$region-bundle.pem"
for namespace in tripod tripod-etl; do
  ask '' kubectl create configmap database-ca --namespace "$namespace" --from-file=ca.pem="$work/ca.pem" --dry-run=client \
    -o yaml >"$work/ca-$namespace.yaml"
  run "$SHORT_LIMIT" kubectl apply -f "$work/ca-$namespace.yaml"
done
for manifest in secret-store users; do
  sed -e "s/tripod-main/$name/g" -e "s/us-east-1/$region/g" -e "s/DATABASE-HOST/$db_host/g" \
    -e "s|ADMINISTRATOR-SECRET|$admin_secret|g" "$root/k8s/database/$manifest.yaml" >"$work/$manifest.yaml"
done
run "$SHORT_LIMIT" kubectl apply -f "$work/secret-store.yaml"
# Jobs cannot be changed; one of an earlier run is done with.
run "$SHORT_LIMIT" kubectl delete job database-users --namespace tripod-etl --ignore-not-found --wait=true
run "$SHORT_LIMIT" kubectl apply -f "$work/users.yaml"
users_code=0
run 6m kubectl wait --for=condition=Complete job/database-users --namespace tripod-etl --timeout=5m || users_code=$?
if [ "$users_code" -ne 0 ]; then
  run "$SHORT_LIMIT" kubectl logs job/database-users --namespace tripod-etl --tail=20 || true
fi
# The administrator's password has done its work; it does not stay in the cluster, not even after a failure.
run "$SHORT_LIMIT" kubectl delete externalsecret,secret database-administrator --namespace tripod-etl --ignore-not-found
[ "$users_code" -eq 0 ] || die 1 "the users of the database were not made, see above"

if [ "$sample" = yes ]; then
  step "a sample table"
  sed -e "s/DATABASE-HOST/$db_host/g" -e "s|tripod-tools:0\.1\.0|${registry:+$registry/}tripod-tools:${tag:-0.1.0}|g" \
    "$root/k8s/etl/sample.yaml" >"$work/sample.yaml"
  run "$SHORT_LIMIT" kubectl delete job sample --namespace tripod-etl --ignore-not-found --wait=true
  run "$SHORT_LIMIT" kubectl apply -f "$work/sample.yaml"
  run 6m kubectl wait --for=condition=Complete job/sample --namespace tripod-etl --timeout=5m
fi

if [ "$services" = no ]; then
  say ""
  say "The cluster is ready for the charts."
  exit 0
fi

# --- 7. The services ---

step "7 services"
arguments=(--values "$here/values.yaml")
[ "$small" = no ] || arguments+=(--values "$here/values-small.yaml")
for extra in ${values[@]+"${values[@]}"}; do
  arguments+=(--values "$extra")
done
arguments+=(--set-string "global.teamId=$team,global.awsAccountId=$account"
  --set-string "twitter.database.host=$db_host" --set "twitter.database.maxConnections=$db_connections"
  --set-string "twitter.database.externalSecret.key=$name/database-reader"
  --set-string "twitter.database.externalSecret.region=$region")
[ -z "$registry" ] || arguments+=(--set-string "global.image.registry=$registry")
[ -z "$tag" ] || arguments+=(--set-string "global.image.tag=$tag")
run "$HELM_LIMIT" helm upgrade --install tripod "$root/charts/tripod" --namespace tripod \
  --wait --timeout 15m "${arguments[@]}"

# A load balancer is made within seconds and answers within minutes.
host=
if [ "$dry_run" = yes ]; then
  host=$(ask '<load-balancer>' kubectl get ingress --namespace tripod -o 'jsonpath={.items[0].status.loadBalancer.ingress[0].hostname}')
else
  for _ in {1..60}; do
    host=$(ask '' kubectl get ingress --namespace tripod \
      -o 'jsonpath={.items[0].status.loadBalancer.ingress[0].hostname}' 2>/dev/null) || host=
    [ -z "$host" ] || break
    sleep "${TRIPOD_POLL_S:-5}"
  done
  [ -n "$host" ] || die 1 "no load balancer after 5 minutes; kubectl describe ingress --namespace tripod says why"
fi

step "8 smoke test"
run 6m helm test tripod --namespace tripod --timeout 5m --logs

say ""
say "Served at http://$host/ (names need a minute or two to spread)."
say "  aws eks update-kubeconfig --region $region --name $name     a kubeconfig of your own"
say "  eksctl/down.sh --name $name --region $region                ends it, and its cost of about $cost_total an hour"
