#!/usr/bin/env bash
# From nothing to served traffic: key and bucket, cluster, private endpoints, database, add-ons, users, services, smoke test.
#
# Idempotent: what is there and right is left alone, so that it can be run again after a failure or with another setting. What is not
# said again stays as it was: the database's settings are read from its stack, those of the services from a secret beside them.
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
  --admin-cidr CIDR     who may reach the API server [this host's address, as the provider sees it, beside those who may]

  Of these, a later run keeps what it is not told anew:
  --db-class CLASS      shape of the database [db.r7g.xlarge]
  --multi-az            a standby of the database in another zone; --single-az ends it
  --replica             a read replica; --no-replica ends it
  --snapshot ID         start the database from this snapshot
  --unprotected         let anybody delete the database without a word (throw-away clusters); --protected ends it
  --alarm-topic ARN     where alarms of the database are sent; '' for nowhere
  --registry REGISTRY   where the images are, such as ghcr.io/OWNER; '' for the charts' default
  --tag TAG             their version; '' for the charts' default
  --team TEAM_ID        first word of every reply [Tripod]
  --alertmanager FILE   where alerts go: Alertmanager's configuration (k8s/monitoring/alertmanager.yaml is an example); '' for nowhere
  --runbook URL         page that alerts link to, where people read docs/operations.md; '' for its path alone
  --values FILE         further values for the charts; may be repeated, and replaces all files of before; --no-values forgets them

  --rotate USER         a new password for "reader" (the twitter service) or "loader" (the pipeline); the old one stays valid beside it
  --end-old-passwords   ends what --rotate left valid; half an hour after it
  --sample              load generated tweets first: a new platform has no table, and the twitter service is not ready without one
  --no-services         stop before the charts
  --yes                 do not ask
  --dry-run             print the plan, the cost and every command; start nothing

Ends with 0; 1 not confirmed or a step failed; 64 usage; 65 files that do not fit; 69 a program or the provider that cannot be reached.
TEXT
}

rotate='' end_old=no
small=no name='' region=us-east-1 admin_cidr=auto services=yes sample=no assume_yes=no dry_run=no
# What was said in this run. What was not is unset, and found later.
declare -A said=()
values=()
while [ $# -gt 0 ]; do
  case $1 in
    --name | --region | --admin-cidr | --db-class | --snapshot | --alarm-topic | --registry | --tag | --team | --values | --alertmanager | --runbook | --rotate)
      [ $# -ge 2 ] || die "$EXIT_USAGE" "$1 needs a value"
      ;;
  esac
  case $1 in
    --small) small=yes ;;
    --name) name=$2; shift ;;
    --region) region=$2; shift ;;
    --admin-cidr) admin_cidr=$2; shift ;;
    --db-class) said[InstanceClass]=$2; shift ;;
    --multi-az) said[MultiAz]=true ;;
    --single-az) said[MultiAz]=false ;;
    --replica) said[ReadReplica]=true ;;
    --no-replica) said[ReadReplica]=false ;;
    --snapshot) said[SnapshotIdentifier]=$2; shift ;;
    --unprotected) said[DeletionProtection]=false ;;
    --protected) said[DeletionProtection]=true ;;
    --alarm-topic) said[AlarmTopicArn]=$2; shift ;;
    --registry) said[registry]=$2; shift ;;
    --tag) said[tag]=$2; shift ;;
    --team) said[team]=$2; shift ;;
    --alertmanager) said[alertmanager]=$2; shift ;;
    --runbook) said[runbook]=$2; shift ;;
    --values) said[values]=yes; values+=("$2"); shift ;;
    --no-values) said[values]=no ;;
    --rotate) rotate=$2; shift ;;
    --end-old-passwords) end_old=yes ;;
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
valid_region "$region"
valid_name "$name" "$region"
valid_team "${said[team]:-Tripod}"
valid_registry "${said[registry]:-}"
valid_tag "${said[tag]:-}"
valid_page "${said[runbook]:-}"
[ "$admin_cidr" = auto ] || [[ $admin_cidr =~ ^([0-9]{1,3}\.){3}[0-9]{1,3}/[0-9]{1,2}$ ]] ||
  die "$EXIT_USAGE" "--admin-cidr $admin_cidr: expected an address and a length, such as 198.51.100.7/32"
for extra in ${values[@]+"${values[@]}"}; do
  [ -r "$extra" ] || die "$EXIT_INPUT" "--values $extra: cannot be read"
done
case $rotate:$end_old in
  :* | reader:no | loader:no) ;;
  *:yes) die "$EXIT_USAGE" "--end-old-passwords: half an hour after --rotate at the earliest, not with it" ;;
  *) die "$EXIT_USAGE" "--rotate $rotate: reader or loader" ;;
esac
if [ -n "${said[alertmanager]:-}" ]; then
  [ "$small" = no ] || die "$EXIT_USAGE" "--alertmanager: a small cluster has no monitoring that could alert"
  grep -qs '^receivers:' "${said[alertmanager]}" ||
    die "$EXIT_INPUT" "--alertmanager ${said[alertmanager]}: no file of Alertmanager's with receivers"
fi
[ "${said[values]:-}" != no ] || values=()
if [ -v 'said[InstanceClass]' ]; then
  price hourly "${said[InstanceClass]}" >/dev/null
fi

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

need_answers
need_programs aws eksctl kubectl helm curl base64 timeout

# The database as this run will have it: what was said, else as it is, else the template's defaults.
declare -A database=([InstanceClass]=db.r7g.xlarge [MultiAz]=false [ReadReplica]=false [SnapshotIdentifier]='' [DeletionProtection]=true
  [AlarmTopicArn]='' [AllocatedStorageGib]=100)
kept=$(absent_or none 'does not exist' aws cloudformation describe-stacks --region "$region" --stack-name "$name-database" \
  --query 'Stacks[0].Parameters[].[ParameterKey,ParameterValue]' --output text) ||
  die "$EXIT_UNAVAILABLE" "the provider does not know us; log in first (aws sts get-caller-identity must work)"
while IFS=$'\t' read -r key value; do
  [ -z "$key" ] || [ ! -v "database[$key]" ] || database[$key]=$value
done <<<"$kept"
for key in "${!database[@]}"; do
  [ ! -v "said[$key]" ] || database[$key]=${said[$key]}
done
db_class=${database[InstanceClass]}

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
if [ "$small" = no ]; then
  if [ -n "${said[alertmanager]:-}" ]; then
    say "  alerts go where ${said[alertmanager]} says"
  else
    say "  alerts reach NOBODY, unless an earlier run had --alertmanager FILE (docs/operations.md, \"Say where alerts go\")"
  fi
fi
say ""
print_costs "$file" "$db_class" "${database[AllocatedStorageGib]}" "$(yes_no "${database[MultiAz]}")" \
  "$(yes_no "${database[ReadReplica]}")" "$small"
say ""
confirm "This is billed from the first minute until eksctl/down.sh has run."

# --- 1. What must exist before the cluster ---

step "1 key, data bucket, roles"
account=$(ask 111122223333 aws sts get-caller-identity --query Account --output text) ||
  die "$EXIT_UNAVAILABLE" "the provider does not know us; log in first (aws sts get-caller-identity must work)"
[[ $account =~ ^[0-9]{12}$ ]] || die "$EXIT_UNAVAILABLE" "not an account number: $account"
ensure_stack "$name-foundation" "$here/foundation.yaml" "ClusterName=$name"
key_arn=$(stack_output "$name-foundation" KeyArn)
[ "$dry_run" = no ] || key_arn=arn:aws:kms:$region:$account:key/11111111-2222-3333-4444-555555555555

# --- 2. The cluster ---

step "2 cluster"
rendered=$work/cluster.yaml
networks=$admin_cidr
[ "$networks" != auto ] || networks=$(own_network)
# The comments speak of the stand-ins and are left out. The name comes last: it may look like another stand-in.
sed -e '/^ *#/d' -e "s/000000000000/$account/g" -e "s/us-east-1/$region/g" -e "s|203\.0\.113\.0/24|$networks|" \
  -e "s|arn:aws:kms:$region:$account:key/00000000-0000-0000-0000-$account|$key_arn|" "$file" >"$rendered"
if grep -n '000000000000\|203\.0\.113\.0\|key/00000000-' "$rendered"; then
  die "$EXIT_INPUT" "${file##*/} still holds the stand-ins above"
fi
sed "s/$stand_in/$name/g" "$rendered" >"$rendered.named"
mv "$rendered.named" "$rendered"
complete=$(absent_or none 'ResourceNotFoundException\|No cluster found' aws eks describe-cluster --region "$region" \
  --name "$name" --query 'cluster.tags."tripod.complete"' --output text) ||
  die "$EXIT_UNAVAILABLE" "cannot see whether the cluster exists; see above"
cluster_stack=$(stack_status "eksctl-$name-cluster") ||
  die "$EXIT_UNAVAILABLE" "cannot see whether the cluster's stack exists; see above"
if [ "$complete" != true ] && { [ "$complete" != none ] || [ "$cluster_stack" != none ]; }; then
  # The endpoints are made in a cluster that is whole: where they are, only the tag is gone.
  endpoints_stack=$(stack_status "$name-endpoints") ||
    die "$EXIT_UNAVAILABLE" "cannot see whether the endpoints' stack exists; see above"
  [ "$endpoints_stack" = none ] || die 1 "the cluster $name is not tagged tripod.complete=true, but was in use: the stack $name-endpoints\
 is there. If it is whole, tag it: aws eks tag-resource --region $region --resource-arn arn:aws:eks:$region:$account:cluster/$name\
 --tags tripod.complete=true,tripod.small=$small"
  # Its creation was cut off. Nothing of ours runs in it yet, and eksctl cannot take up where it stopped.
  say "  a half-made cluster is there: it is removed and made again"
  run "$CLUSTER_LIMIT" eksctl delete cluster --region "$region" --name "$name" --wait --disable-nodegroup-eviction
  complete=none
fi
if [ "$complete" = true ]; then
  made_small=$(ask "$small" aws eks describe-cluster --region "$region" --name "$name" \
    --query 'cluster.tags."tripod.small"' --output text)
  [ "$made_small" = "$small" ] || [ "$made_small" = None ] || die "$EXIT_USAGE" "the cluster $name was made $(if [ "$made_small" = yes ]; then
    echo 'with --small: say so again'; else echo 'without --small: leave it out'; fi), or its node groups and endpoints would be mixed"
  say "  it is there; node groups that are missing are added"
  run "$SHORT_LIMIT" aws eks update-kubeconfig --region "$region" --name "$name" --kubeconfig "$KUBECONFIG"
  reach_cluster "$admin_cidr"
  run "$CLUSTER_LIMIT" eksctl create nodegroup --config-file "$rendered" --timeout 40m
else
  in_zones_with_nodes "$rendered"
  run "$CLUSTER_LIMIT" eksctl create cluster --config-file "$rendered" --kubeconfig "$KUBECONFIG" --timeout 45m
  run "$SHORT_LIMIT" aws eks tag-resource --region "$region" \
    --resource-arn "arn:aws:eks:$region:$account:cluster/$name" --tags "tripod.complete=true,tripod.small=$small"
  run "$SHORT_LIMIT" aws eks update-kubeconfig --region "$region" --name "$name" --kubeconfig "$KUBECONFIG"
fi
run 11m kubectl wait --for=condition=Ready nodes --all --timeout=10m

# --- 3. Private ways to the provider ---

step "3 private endpoints"
vpc=$(ask '<vpc>' aws eks describe-cluster --region "$region" --name "$name" \
  --query cluster.resourcesVpcConfig.vpcId --output text)
node_group=$(ask '<security-group-of-nodes>' aws eks describe-cluster --region "$region" --name "$name" \
  --query cluster.resourcesVpcConfig.clusterSecurityGroupId --output text)
subnets=$(ask '<private-subnets>' aws ec2 describe-subnets --region "$region" \
  --filters "Name=vpc-id,Values=$vpc" 'Name=tag:kubernetes.io/role/internal-elb,Values=1' \
  --query 'sort(Subnets[].SubnetId)' --output text | tr -s '\t ' ',,')
[ -n "$subnets" ] || die "$EXIT_INPUT" "the network $vpc has no private subnets"
routes=$(ask '<route-tables>' aws ec2 describe-route-tables --region "$region" \
  --filters "Name=association.subnet-id,Values=$subnets" --query 'sort(RouteTables[].RouteTableId)' --output text | tr -s '\t ' ',,')
interfaces=true
[ "$small" = no ] || interfaces=false
ensure_stack "$name-endpoints" "$here/endpoints.yaml" "ClusterName=$name" "VpcId=$vpc" "SubnetIds=$subnets" \
  "RouteTableIds=$routes" "NodeSecurityGroupId=$node_group" "Interfaces=$interfaces"

# --- 4. The database ---

step "4 database"
settings=()
for key in "${!database[@]}"; do
  settings+=("$key=${database[$key]}")
done
ensure_stack "$name-database" "$here/rds.yaml" "ClusterName=$name" "VpcId=$vpc" "SubnetIds=$subnets" \
  "NodeSecurityGroupId=$node_group" "KeyArn=$key_arn" "${settings[@]}"
# As long as the cluster's own are kept (cluster.yaml).
log_owners=("$name-database")
[ "${database[ReadReplica]}" = false ] || log_owners+=("$name-database-replica")
for owner in "${log_owners[@]}"; do
  for log in error slowquery; do
    keep_logs "/aws/rds/instance/$owner/$log" 30
  done
done
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

# receivers: puts where alerts go into a secret, and what names it to the chart into `alerting`. A run that does not say keeps the secret.
readonly RECEIVERS=alertmanager-tripod
alerting=()
receivers() {
  local kept=''
  if [ -n "${said[alertmanager]:-}" ]; then
    ask '' kubectl create secret generic "$RECEIVERS" --namespace monitoring --from-file=alertmanager.yaml="${said[alertmanager]}" \
      --dry-run=client -o yaml >"$work/$RECEIVERS.yaml"
    run "$SHORT_LIMIT" kubectl apply --server-side --force-conflicts -f "$work/$RECEIVERS.yaml"
    kept=yes
  elif [ ! -v 'said[alertmanager]' ]; then
    kept=$(ask '' kubectl get secret "$RECEIVERS" --namespace monitoring --ignore-not-found -o name)
  fi
  [ -z "$kept" ] || alerting=(
    --set "alertmanager.alertmanagerSpec.useExistingSecret=true,alertmanager.alertmanagerSpec.configSecret=$RECEIVERS")
}

step "5 namespaces, add-ons"
run "$SHORT_LIMIT" kubectl apply -f "$root/k8s/namespaces.yaml"
run "$SHORT_LIMIT" kubectl apply -f "$root/k8s/access.yaml"
chart aws-load-balancer-controller kube-system https://aws.github.io/eks-charts 1.17.1 \
  --set "clusterName=$name,region=$region,vpcId=$vpc" --set-string "defaultTags.tripod\\.cluster=$name"
chart external-secrets external-secrets https://charts.external-secrets.io 2.0.0
if [ "$small" = no ]; then
  chart cluster-autoscaler kube-system https://kubernetes.github.io/autoscaler 9.59.0 \
    --set "autoDiscovery.clusterName=$name,awsRegion=$region"
  receivers
  chart kube-prometheus-stack monitoring https://prometheus-community.github.io/helm-charts 82.8.0 ${alerting[@]+"${alerting[@]}"}
  [ -n "${said[alertmanager]-unsaid}" ] || run "$SHORT_LIMIT" kubectl delete secret "$RECEIVERS" --namespace monitoring --ignore-not-found
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
# A new password is first kept as pending, which nobody is handed; then the database learns it; only then is it the current one. The
# other way round pods would be given a password that the database does not know yet.
# secret_version SECRET STAGE
secret_version() {
  ask None aws secretsmanager list-secret-version-ids --region "$region" --secret-id "$1" \
    --query "Versions[?contains(VersionStages, '$2')].VersionId | [0]" --output text
}
if [ "$end_old" = yes ]; then
  for user in reader loader; do
    secret=$name/database-$user
    current=$(secret_version "$secret" AWSCURRENT)
    pending=$(secret_version "$secret" AWSPENDING)
    [ "$pending" = None ] || [ "$pending" = "$current" ] || die 1 "the password of $user is half changed, and the one in use may be the\
 old one: up.sh --rotate $user first"
  done
fi
versions=()
if [ -n "$rotate" ]; then
  secret=$name/database-$rotate
  current=$(secret_version "$secret" AWSCURRENT)
  pending=$(secret_version "$secret" AWSPENDING)
  # One that a run left half-way is taken up: the database may know it, and has room for two. A third would end the one in use.
  if [ "$pending" = None ] || [ "$pending" = "$current" ]; then
    password=$(ask PASSWORD aws secretsmanager get-random-password --region "$region" --exclude-punctuation --password-length 40 \
      --query RandomPassword --output text)
    (umask 077 && printf '{"username": "tripod_%s", "password": "%s"}\n' "$rotate" "$password" >"$work/password.json")
    run "$SHORT_LIMIT" aws secretsmanager put-secret-value --region "$region" --secret-id "$secret" --version-stages AWSPENDING \
      --secret-string "file://$work/password.json" --query VersionId --output text
    pending=$(secret_version "$secret" AWSPENDING)
  fi
  versions=(-e "/database-$rotate,/s|version: AWSCURRENT|version: uuid/$pending|")
fi
for manifest in secret-store users; do
  # The name may look like a region, and the host begins with the name: in this order nothing is replaced twice.
  sed -e "s/us-east-1/$region/g" -e "s/tripod-main/$name/g" -e "s/DATABASE-HOST/$db_host/g" \
    -e "s|ADMINISTRATOR-SECRET|$admin_secret|g" -e "/name: END_OLD_PASSWORDS/{n;s/\"no\"/\"$end_old\"/;}" \
    ${versions[@]+"${versions[@]}"} "$root/k8s/database/$manifest.yaml" >"$work/$manifest.yaml"
done
# Whom the jobs below may talk to, before there are any.
run "$SHORT_LIMIT" kubectl apply -f "$root/k8s/etl/base.yaml"
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
if [ -n "$rotate" ]; then
  run "$SHORT_LIMIT" aws secretsmanager update-secret-version-stage --region "$region" --secret-id "$secret" \
    --version-stage AWSCURRENT --move-to-version-id "$pending" --remove-from-version-id "$current"
  say "  pods get it within five minutes; up.sh --end-old-passwords in half an hour ends the old one"
fi

# --- What the services were installed with ---

# Kept in a secret, because values may hold what is none of everybody's business.
readonly MEMORY=up-options
# shellcheck disable=SC2016 # the variables are the template's
remembered=$(ask '' kubectl get secret "$MEMORY" --namespace tripod --ignore-not-found \
  -o 'go-template={{range $key, $value := .data}}{{$key}} {{$value}}{{"\n"}}{{end}}')
while read -r key value; do
  case $key in
    registry | tag | team | runbook) [ -v "said[$key]" ] || said[$key]=$(base64 -d <<<"$value") ;;
    values-*)
      [ ! -v 'said[values]' ] || continue
      base64 -d <<<"$value" >"$work/$key"
      values+=("$work/$key")
      ;;
  esac
done <<<"$remembered"
registry=${said[registry]:-} tag=${said[tag]:-} team=${said[team]:-Tripod} runbook=${said[runbook]:-}

# remember: puts them there for the next run.
remember() {
  local at file contents=("--from-literal=registry=$registry" "--from-literal=tag=$tag" "--from-literal=team=$team"
    "--from-literal=runbook=$runbook")
  for at in ${values[@]+"${!values[@]}"}; do
    # Keys come back in the order of the alphabet.
    contents+=("--from-file=$(printf 'values-%03d.yaml' "$at")=${values[$at]}")
  done
  file=$work/$MEMORY.yaml
  ask '' kubectl create secret generic "$MEMORY" --namespace tripod "${contents[@]}" --dry-run=client -o yaml >"$file"
  run "$SHORT_LIMIT" kubectl apply --server-side --force-conflicts -f "$file"
}

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

# cidrs ROLE: the networks of the subnets with this role, as a YAML list. In a dry run such as eksctl makes.
cidrs() {
  local found
  found=$(ask '10.0.0.0/19 10.0.32.0/19' aws ec2 describe-subnets --region "$region" \
    --filters "Name=vpc-id,Values=$vpc" "Name=tag:kubernetes.io/role/$1,Values=1" \
    --query 'sort(Subnets[].CidrBlock)' --output text | tr -s '\t ' ',,') || return
  [ -n "$found" ] || die "$EXIT_INPUT" "the network $vpc has no subnets tagged kubernetes.io/role/$1"
  printf '[%s]\n' "${found//,/, }"
}

step "7 services"
# The load balancer stands in the public subnets and the database in the private ones: nobody else is let in, and nothing else out. Files
# of the user's come later, for an internal load balancer stands elsewhere.
public=$(cidrs elb)
private=$(cidrs internal-elb)
say "  networks.yaml:"
tee "$work/networks.yaml" <<YAML | sed 's/^/    | /'
blockchain: {networkPolicy: {loadBalancerCidrs: $public}}
qrcode: {networkPolicy: {loadBalancerCidrs: $public}}
twitter: {networkPolicy: {loadBalancerCidrs: $public, databaseCidrs: $private}}
YAML
arguments=(--values "$here/values.yaml" --values "$work/networks.yaml")
[ "$small" = no ] || arguments+=(--values "$here/values-small.yaml")
for extra in ${values[@]+"${values[@]}"}; do
  arguments+=(--values "$extra")
done
# As JSON, in which nothing but these two has a meaning: the other forms split a word at commas and braces.
team_json=${team//\\/\\\\}
team_json=${team_json//\"/\\\"}
arguments+=(--set-json "global.teamId=\"$team_json\"" --set-string "global.awsAccountId=$account"
  --set-string "twitter.database.host=$db_host" --set "twitter.database.maxConnections=$db_connections"
  --set-string "twitter.database.externalSecret.key=$name/database-reader"
  --set-string "twitter.database.externalSecret.region=$region")
[ -z "$registry" ] || arguments+=(--set-string "global.image.registry=$registry")
[ -z "$tag" ] || arguments+=(--set-string "global.image.tag=$tag")
if [ -n "$runbook" ]; then
  for service in blockchain qrcode twitter; do
    arguments+=(--set-string "$service.monitoring.runbookUrl=$runbook")
  done
fi
run "$HELM_LIMIT" helm upgrade --install tripod "$root/charts/tripod" --namespace tripod \
  --wait --timeout 15m "${arguments[@]}"
remember

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
[ "$small" = yes ] || [ "${#alerting[@]}" -gt 0 ] ||
  warn "alerts reach nobody: docs/operations.md, \"Say where alerts go\""
