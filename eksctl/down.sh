#!/usr/bin/env bash
# Ends a cluster that up.sh made, wholly or half-way, and everything that it left behind: load balancer, target groups, security
# groups, volumes, logs, stacks. Says what it kept. Idempotent: what is gone already is passed over.
set -euo pipefail
shopt -s inherit_errexit

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
prices=$root/benches/prices.toml
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$here/lib.sh"

usage() {
  cat <<'TEXT'
usage: eksctl/down.sh --name NAME [options]

  --name NAME        the cluster to end; never guessed
  --region REGION    [us-east-1]
  --no-snapshot      delete the database without a last snapshot
  --delete-data      also delete the data bucket with all its versions, and the key in 7 days; implies --no-snapshot
  --yes              do not ask
  --dry-run          print every command; start nothing

Ends with 0; 1 not confirmed or something is left (run it again); 64 usage; 69 a program or the provider that cannot be reached.
TEXT
}

name='' region=us-east-1 keep_snapshot=yes delete_data=no assume_yes=no dry_run=no
while [ $# -gt 0 ]; do
  case $1 in
    --name | --region) [ $# -ge 2 ] || die "$EXIT_USAGE" "$1 needs a value" ;;
  esac
  case $1 in
    --name) name=$2; shift ;;
    --region) region=$2; shift ;;
    --no-snapshot) keep_snapshot=no ;;
    --delete-data) delete_data=yes keep_snapshot=no ;;
    --yes) assume_yes=yes ;;
    --dry-run) dry_run=yes ;;
    --help | -h) usage; exit 0 ;;
    *) usage >&2; die "$EXIT_USAGE" "unknown option $1" ;;
  esac
  shift
done
[ -n "$name" ] || { usage >&2; die "$EXIT_USAGE" "--name is missing: which cluster is to end is never guessed"; }
valid_region "$region"
valid_name "$name" "$region"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export KUBECONFIG=$work/kubeconfig
failed=()
# A step that fails does not keep the later ones from running: every thing that is gone is no longer billed.
try() { run "$@" || { failed+=("$(shown "${@:2}")"); return 0; }; }

step "Plan: end $name in $region"
say "  services and load balancer, then database, endpoints, cluster, and what they left behind"
if [ "$keep_snapshot" = yes ]; then
  say "  kept: a last snapshot of the database ($(price gb_month rds_backup) \$ a GB and month), data bucket and key"
elif [ "$delete_data" = no ]; then
  say "  kept: data bucket and key; no snapshot of the database"
else
  say "  kept: nothing; the data bucket goes with all versions, the key in 7 days"
fi
say ""
confirm "This cannot be undone."
need_programs aws eksctl kubectl helm timeout
account=$(ask 111122223333 aws sts get-caller-identity --query Account --output text) ||
  die "$EXIT_UNAVAILABLE" "the provider does not know us; log in first (aws sts get-caller-identity must work)"

# sweep LIMIT COMMAND...: as `try`; what is gone already is what was wanted. The tags of things that were deleted are found for a while.
sweep() {
  if run "$@" 2>"$work/errors"; then
    return 0
  elif grep -q 'NotFound\|is pending deletion' "$work/errors"; then
    say "  it is gone already"
  else
    cat "$work/errors" >&2
    failed+=("$(shown "${@:2}")")
  fi
}

# tagged TYPE KEY: ARNs of our things.
tagged() {
  ask "<$1>" aws resourcegroupstaggingapi get-resources --region "$region" \
    --resource-type-filters "$1" --tag-filters "Key=$2,Values=$name" \
    --query 'ResourceTagMappingList[].ResourceARN' --output text | tr -s '[:blank:]' '\n' | sed '/^None$/d; /^$/d'
}

# --- Services and load balancer ---

step "1 services and load balancer"
cluster=$(absent_or ACTIVE 'ResourceNotFoundException\|No cluster found' aws eks describe-cluster --region "$region" \
  --name "$name" --query cluster.status --output text) ||
  die "$EXIT_UNAVAILABLE" "cannot see whether the cluster exists; see above"
if [ "$cluster" = ACTIVE ] || [ "$cluster" = UPDATING ]; then
  try "$SHORT_LIMIT" aws eks update-kubeconfig --region "$region" --name "$name" --kubeconfig "$KUBECONFIG"
  # From another host than up.sh's the API server may be out of reach, without which eksctl does not delete either.
  reach_cluster auto || failed+=("opening the API server to this host")
  # Ingresses first, while their controller lives: it removes the load balancer with all that belongs to it.
  try 6m kubectl delete ingress --all --namespace tripod --ignore-not-found --wait=true --timeout=5m
  try 6m helm uninstall tripod --namespace tripod --ignore-not-found --wait --timeout 5m
  try 6m helm uninstall kube-prometheus-stack --namespace monitoring --ignore-not-found --wait --timeout 5m
  # Claims first, while the volume driver lives.
  try 6m kubectl delete persistentvolumeclaim --all --namespace monitoring --ignore-not-found --wait=true --timeout=5m
else
  say "  no cluster that answers"
fi
# What the controller left: a load balancer in the network would keep the network from being deleted.
while read -r arn; do
  sweep "$SHORT_LIMIT" aws elbv2 delete-load-balancer --region "$region" --load-balancer-arn "$arn"
  try 11m aws elbv2 wait load-balancers-deleted --region "$region" --load-balancer-arns "$arn"
done < <(tagged elasticloadbalancing:loadbalancer elbv2.k8s.aws/cluster)
while read -r arn; do
  sweep "$SHORT_LIMIT" aws elbv2 delete-target-group --region "$region" --target-group-arn "$arn"
done < <(tagged elasticloadbalancing:targetgroup elbv2.k8s.aws/cluster)

# --- Database ---

step "2 database"
database_stack=$(stack_status "$name-database" CREATE_COMPLETE) ||
  die "$EXIT_UNAVAILABLE" "cannot see whether the database exists; see above"
database=$(database_status available "$name-database") ||
  die "$EXIT_UNAVAILABLE" "cannot see whether the database exists; see above"
if [ "$database" != none ] && [ "$database" != deleting ]; then
  try "$SHORT_LIMIT" aws rds modify-db-instance --region "$region" --db-instance-identifier "$name-database" \
    --no-deletion-protection --apply-immediately
fi
if [ "$keep_snapshot" = no ] && [ "$database" != none ]; then
  replica=$(database_status none "$name-database-replica") ||
    die "$EXIT_UNAVAILABLE" "cannot see whether there is a replica; see above"
  if [ "$replica" != none ]; then
    try "$SHORT_LIMIT" aws rds delete-db-instance --region "$region" --db-instance-identifier "$name-database-replica" \
      --skip-final-snapshot
    try 35m aws rds wait db-instance-deleted --region "$region" --db-instance-identifier "$name-database-replica"
  fi
  if [ "$database" != deleting ]; then
    try "$SHORT_LIMIT" aws rds delete-db-instance --region "$region" --db-instance-identifier "$name-database" \
      --skip-final-snapshot --delete-automated-backups
  fi
  try 35m aws rds wait db-instance-deleted --region "$region" --db-instance-identifier "$name-database"
fi

remove_stack() {
  local stack=$1 status=$2
  if [ "$status" = none ]; then
    say "  no stack $stack"
    return 0
  fi
  try "$SHORT_LIMIT" aws cloudformation delete-stack --region "$region" --stack-name "$stack"
  try "$STACK_LIMIT" aws cloudformation wait stack-delete-complete --region "$region" --stack-name "$stack"
}

remove_stack "$name-database" "$database_stack"

# --- Endpoints, cluster ---

step "3 endpoints"
endpoints_stack=$(stack_status "$name-endpoints" CREATE_COMPLETE) ||
  die "$EXIT_UNAVAILABLE" "cannot see whether the endpoints exist; see above"
remove_stack "$name-endpoints" "$endpoints_stack"
# Groups that the load balancer controller made; they hold on to the network too. Rules that let them in, such as the nodes', hold on to
# them in turn.
while read -r arn; do
  group=${arn##*/}
  rules=$(ask '' aws ec2 describe-security-groups --region "$region" --filters "Name=ip-permission.group-id,Values=$group" \
    --query 'SecurityGroups[].GroupId' --output text | tr -s '[:blank:]' '\n')
  for other in $rules; do
    rule_ids=$(ask '' aws ec2 describe-security-group-rules --region "$region" --filters "Name=group-id,Values=$other" \
      --query "SecurityGroupRules[?!IsEgress && ReferencedGroupInfo.GroupId=='$group'].SecurityGroupRuleId" --output text)
    read -ra rule_ids <<<"$rule_ids"
    [ "${#rule_ids[@]}" -eq 0 ] || sweep "$SHORT_LIMIT" aws ec2 revoke-security-group-ingress --region "$region" \
      --group-id "$other" --security-group-rule-ids "${rule_ids[@]}"
  done
  sweep "$SHORT_LIMIT" aws ec2 delete-security-group --region "$region" --group-id "$group"
done < <(tagged ec2:security-group elbv2.k8s.aws/cluster)

step "4 cluster"
cluster_stack=$(stack_status "eksctl-$name-cluster" CREATE_COMPLETE) ||
  die "$EXIT_UNAVAILABLE" "cannot see whether the cluster's stack exists; see above"
if [ "$cluster" != none ] || [ "$cluster_stack" != none ]; then
  # Disruption budgets would hold the nodes of a cluster that nobody uses any more.
  try "$CLUSTER_LIMIT" eksctl delete cluster --region "$region" --name "$name" --wait --disable-nodegroup-eviction
else
  say "  no cluster"
fi

# --- Leftovers ---

step "5 what was left behind"
while read -r arn; do
  sweep "$SHORT_LIMIT" aws ec2 delete-volume --region "$region" --volume-id "${arn##*/}"
done < <(tagged ec2:volume tripod.cluster)
for group in "/aws/eks/$name/cluster" /aws/rds/instance/"$name"-database{,-replica}/{error,slowquery}; do
  found=$(ask "$group" aws logs describe-log-groups --region "$region" --log-group-name-prefix "$group" \
    --query 'logGroups[0].logGroupName' --output text)
  [ "$found" != "$group" ] || try "$SHORT_LIMIT" aws logs delete-log-group --region "$region" --log-group-name "$group"
done

# --- Data ---

bucket=$name-data-$account-$region key_kept='' holders=''
if [ "$delete_data" = yes ]; then
  step "6 data"
  foundation=$(stack_status "$name-foundation" CREATE_COMPLETE) ||
    die "$EXIT_UNAVAILABLE" "cannot see whether the foundation exists; see above"
  key_arn=
  [ "$foundation" = none ] || key_arn=$(stack_output "$name-foundation" KeyArn)
  present=$(absent_or "$bucket" 'Not Found\|NoSuchBucket\|404' aws s3api head-bucket --region "$region" --bucket "$bucket") ||
    die "$EXIT_UNAVAILABLE" "cannot see whether the bucket $bucket exists; see above"
  if [ "$present" != none ]; then
    # Each call lists and deletes at most 1,000 versions; the bound is 10 million of them.
    for ((round = 0; round < 10000; round++)); do
      # shellcheck disable=SC2016 # the back quotes are the query language's
      versions=$(ask '{"Key"}' aws s3api list-object-versions --region "$region" --bucket "$bucket" --max-items 1000 --no-paginate \
        --query '[Versions[].{Key:Key,VersionId:VersionId},DeleteMarkers[].{Key:Key,VersionId:VersionId}][][] | {Objects:@,Quiet:`true`}' \
        --output json)
      [[ $versions == *'"Key"'* ]] || break
      printf '%s\n' "$versions" >"$work/versions.json"
      run "$SHORT_LIMIT" aws s3api delete-objects --region "$region" --bucket "$bucket" --delete "file://$work/versions.json" ||
        { failed+=("emptying $bucket"); break; }
      [ "$dry_run" = no ] || break
    done
  fi
  # Only the stack knows the key: it goes when what takes long and may be interrupted is done.
  if [ -n "$key_arn" ]; then
    # Snapshots of before, and databases that were made from them, are lost with it.
    snapshots=$(ask '' aws rds describe-db-snapshots --region "$region" --snapshot-type manual \
      --query "DBSnapshots[?KmsKeyId=='$key_arn'].DBSnapshotIdentifier" --output text)
    databases=$(ask '' aws rds describe-db-instances --region "$region" \
      --query "DBInstances[?KmsKeyId=='$key_arn'].DBInstanceIdentifier" --output text)
    read -r holders <<<"$(tr -s '[:space:]' ' ' <<<"$snapshots $databases")"
    if [ -n "$holders" ]; then
      key_kept=$key_arn
    else
      sweep "$SHORT_LIMIT" aws kms schedule-key-deletion --region "$region" --key-id "$key_arn" --pending-window-in-days 7
    fi
  fi
  remove_stack "$name-foundation" "$foundation"
  [ "$present" = none ] || try "$SHORT_LIMIT" aws s3api delete-bucket --region "$region" --bucket "$bucket"
fi

# --- What is left ---

step "Left"
left=no
if [ -n "$key_kept" ]; then
  say "  key $key_kept, which encrypts: $holders; when they are gone: aws kms schedule-key-deletion --region $region --key-id $key_kept"
  left=yes
fi
snapshots=$(ask '<snapshots>' aws rds describe-db-snapshots --region "$region" --snapshot-type manual \
  --query "DBSnapshots[?DBInstanceIdentifier=='$name-database'].[DBSnapshotIdentifier,AllocatedStorage]" --output text)
if [ -n "$snapshots" ] && [ "$snapshots" != None ]; then
  while read -r id size; do
    say "  snapshot $id${size:+, at most $size GB}; aws rds delete-db-snapshot --region $region --db-snapshot-identifier $id"
  done <<<"$snapshots"
  left=yes
fi
if [ "$delete_data" = no ]; then
  foundation=$(stack_status "$name-foundation" CREATE_COMPLETE) || foundation=unknown
  if [ "$foundation" != none ]; then
    say "  stack $name-foundation with the bucket $bucket and the key (1 \$ a month); --delete-data removes them"
    left=yes
  fi
fi
[ "$left" = yes ] || say "  nothing"
if [ "${#failed[@]}" -gt 0 ]; then
  warn "these failed; run it again, which is safe:"
  printf '  %s\n' "${failed[@]}" >&2
  exit 1
fi
say "$name is gone."
