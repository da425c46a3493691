# shellcheck shell=bash
# What up.sh and down.sh share: talking, asking, running commands or only showing them, and sums of money.
#
# Every command that changes something goes through `run`, every question to the provider through `ask`; with --dry-run neither
# starts anything. Callers set `dry_run`, `assume_yes`, `name`, `region`, `prices` and `work`, a folder of their own.

readonly EXIT_USAGE=64 EXIT_INPUT=65 EXIT_UNAVAILABLE=69

# A long answer would wait for a person in a pager, where a terminal is one.
export AWS_PAGER=

# Stack operations and waits end by themselves; `timeout` is for a client that hangs. --foreground leaves the terminal to the client:
# else it could not ask for a login, and Ctrl-C would reach the script alone, which waits on.
readonly STACK_LIMIT=65m CLUSTER_LIMIT=50m SHORT_LIMIT=2m

say() { printf '%s\n' "$*"; }
current_step=
step() {
  current_step=$*
  printf '\n== %s\n' "$*"
}
warn() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() {
  local code=$1
  shift
  warn "$@"
  exit "$code"
}

# where_stopped CODE ADVICE: for the end of a script that may have stopped half-way.
where_stopped() {
  [ "$1" -ne 0 ] || return 0
  case $current_step in
    '' | Plan*) ;;
    *) warn "stopped in \"$current_step\"; $2" ;;
  esac
}

shown() {
  local word line=
  for word in "$@"; do
    # Words that need no quotes are shown without, so that a plan can be read and pasted.
    if [[ $word =~ ^[A-Za-z0-9_./:=,@%+-]+$ ]]; then
      line+=" $word"
    else
      line+=" '${word//\'/\'\\\'\'}'"
    fi
  done
  printf '%s' "${line# }"
}

# run LIMIT COMMAND...: changes something.
run() {
  local limit=$1 code=0
  shift
  printf '  $ %s\n' "$(shown "$@")"
  [ "$dry_run" = no ] || return 0
  timeout --foreground --kill-after=30s "$limit" "$@" || code=$?
  [ "$code" -eq 0 ] && return 0
  [ "$code" -eq 124 ] && warn "no end within $limit: $(shown "$@")"
  return "$code"
}

# ask PLACEHOLDER COMMAND...: prints what the provider answers; in a dry run the placeholder.
ask() {
  local placeholder=$1
  shift
  printf '  ? %s\n' "$(shown "$@")" >&2
  if [ "$dry_run" = yes ]; then
    printf '%s\n' "$placeholder"
    return 0
  fi
  timeout --foreground --kill-after=5s "$SHORT_LIMIT" "$@"
}

# absent_or PLACEHOLDER PATTERN COMMAND...: as `ask`, but an error that matches the pattern means "none". Any other error is one: taking
# a lost login for an empty account would make up.sh build twice and down.sh leave things running.
absent_or() {
  local placeholder=$1 pattern=$2 output errors code=0
  shift 2
  errors=$(mktemp)
  output=$(ask "$placeholder" "$@" 2>"$errors") || code=$?
  if [ "$code" -eq 0 ]; then
    grep '^  ? ' "$errors" >&2 || true
    rm -f "$errors"
    printf '%s\n' "$output"
    return 0
  fi
  if grep -q -- "$pattern" "$errors"; then
    rm -f "$errors"
    printf 'none\n'
    return 0
  fi
  cat "$errors" >&2
  rm -f "$errors"
  return "$code"
}

stack_status() {
  absent_or "${2:-none}" 'does not exist' aws cloudformation describe-stacks --region "$region" \
    --stack-name "$1" --query 'Stacks[0].StackStatus' --output text
}

# stack_output STACK KEY
stack_output() {
  ask "<$2>" aws cloudformation describe-stacks --region "$region" --stack-name "$1" \
    --query "Stacks[0].Outputs[?OutputKey=='$2'].OutputValue | [0]" --output text
}

# settled_stack STACK: its status once nothing is under way any more, such as what an interrupted run began.
settled_stack() {
  local status round
  for ((round = 0; round < 280; round++)); do
    status=$(stack_status "$1") || die "$EXIT_UNAVAILABLE" "cannot see whether the stack $1 exists; see above"
    case $status in
      # What a change set leaves that was never carried out; `deploy` goes on from there.
      REVIEW_IN_PROGRESS) ;;
      *_IN_PROGRESS) sleep "${TRIPOD_POLL_S:-15}"; continue ;;
    esac
    printf '%s\n' "$status"
    return 0
  done
  die "$EXIT_UNAVAILABLE" "the stack $1 is still $status after 70 minutes"
}

# ensure_stack STACK TEMPLATE PARAMETER=VALUE...: made, brought up to date or left as it is. What no parameter names stays as it was.
ensure_stack() {
  local stack=$1 template=$2 status
  shift 2
  status=$(settled_stack "$stack")
  case $status in
    ROLLBACK_COMPLETE | ROLLBACK_FAILED | CREATE_FAILED)
      # The rest of a creation that failed holds nothing and cannot be updated.
      say "  $stack is $status: it is removed and made again"
      unprotect "$stack"
      delete_stack "$stack"
      ;;
    DELETE_FAILED | UPDATE_ROLLBACK_FAILED)
      # It was in use: what is left of it may hold data, and whoever stopped half-way knows what was meant.
      die 1 "the stack $stack is $status: end what was begun (its events say what was in the way), then run this again"
      ;;
  esac
  run "$STACK_LIMIT" aws cloudformation deploy --region "$region" --stack-name "$stack" \
    --template-file "$template" --no-fail-on-empty-changeset \
    --capabilities CAPABILITY_NAMED_IAM --tags "tripod.cluster=$name" \
    --parameter-overrides "$@"
}

# database_status PLACEHOLDER IDENTIFIER: "none" where there is none.
database_status() {
  absent_or "$1" 'DBInstanceNotFound' aws rds describe-db-instances --region "$region" \
    --db-instance-identifier "$2" --query 'DBInstances[0].DBInstanceStatus' --output text
}

# unprotect STACK: lets the database of a stack that never came to be go, which its protection would keep.
unprotect() {
  local status
  [ "$1" = "$name-database" ] || return 0
  status=$(database_status none "$1") || die "$EXIT_UNAVAILABLE" "cannot see whether the database exists; see above"
  case $status in
    none | deleting) ;;
    *)
      run "$SHORT_LIMIT" aws rds modify-db-instance --region "$region" --db-instance-identifier "$1" \
        --no-deletion-protection --apply-immediately
      ;;
  esac
}

# keep_logs GROUP DAYS: makes a log group whose lines go after so many days, or sets that of one which is there. The provider makes those
# of a database by itself, with lines that stay for ever; a stack could only declare a group that is not there yet.
keep_logs() {
  local group=$1 days=$2 errors=$work/log-group-errors code=0
  run "$SHORT_LIMIT" aws logs create-log-group --region "$region" --log-group-name "$group" --tags "tripod.cluster=$name" \
    2>"$errors" || code=$?
  if [ "$code" -ne 0 ] && ! grep -q 'ResourceAlreadyExists' "$errors"; then
    cat "$errors" >&2
    return "$code"
  fi
  run "$SHORT_LIMIT" aws logs put-retention-policy --region "$region" --log-group-name "$group" --retention-in-days "$days"
}

delete_stack() {
  run "$SHORT_LIMIT" aws cloudformation delete-stack --region "$region" --stack-name "$1"
  run "$STACK_LIMIT" aws cloudformation wait stack-delete-complete --region "$region" --stack-name "$1"
}

# own_network: this host alone, as the provider sees it.
own_network() {
  local address
  address=$(ask 198.51.100.7 curl -fsS --max-time 10 https://checkip.amazonaws.com) ||
    die "$EXIT_UNAVAILABLE" "cannot find out this host's address; give up.sh --admin-cidr"
  [[ $address =~ ^([0-9]{1,3}\.){3}[0-9]{1,3}$ ]] || die "$EXIT_UNAVAILABLE" "not an address: $address; give up.sh --admin-cidr"
  printf '%s/32\n' "$address"
}

# reach_cluster CIDR|auto: lets the network, and nobody else, reach the API server of a cluster that is there; with auto this host too,
# where it does not yet. Needs its kubeconfig.
reach_cluster() {
  local wanted=$1 present own
  present=$(ask "$wanted" aws eks describe-cluster --region "$region" --name "$name" \
    --query "join(',', sort(cluster.resourcesVpcConfig.publicAccessCidrs))" --output text) || return
  if [ "$wanted" = auto ]; then
    ! ask '' kubectl get --raw /readyz --request-timeout=10s >/dev/null || return 0
    own=$(own_network) || return
    case ,$present, in
      # It may, so that something else is in the way.
      *",$own,"*) return 0 ;;
    esac
    wanted=$present,$own
  fi
  [ "$wanted" != "$present" ] || return 0
  say "  the API server is opened to $wanted"
  run "$SHORT_LIMIT" aws eks update-cluster-config --region "$region" --name "$name" \
    --resources-vpc-config "publicAccessCidrs=$wanted" || return
  # The update begins some seconds after it was asked for.
  [ "$dry_run" = yes ] || sleep "${TRIPOD_POLL_S:-15}"
  run 21m aws eks wait cluster-active --region "$region" --name "$name"
}

# in_zones_with_nodes FILE: makes a cluster file name as many zones as it does, but such as have nodes of its first shape. Letters mean
# other zones in each account and not every region has the first three.
in_zones_with_nodes() {
  local file=$1 shape count zones barred chosen
  read -r _ shape _ < <(node_groups "$file")
  count=$(zone_count "$file")
  zones=$(ask "${region}a ${region}b ${region}c" aws ec2 describe-instance-type-offerings --region "$region" \
    --location-type availability-zone --filters "Name=instance-type,Values=$shape" \
    --query 'sort(InstanceTypeOfferings[].Location)' --output text)
  # Those in which there is no control plane (the provider's "Subnet requirements for clusters").
  barred=$(ask '' aws ec2 describe-availability-zones --region "$region" \
    --filters 'Name=zone-id,Values=use1-az3,usw1-az2,cac1-az3' --query 'AvailabilityZones[].ZoneName' --output text)
  chosen=$(tr -s '[:blank:]' '\n' <<<"$zones" | awk -v barred="$barred" -v most="$count" '
    $1 != "" && $1 != barred && found < most { line = line (found++ ? ", " : "") $1 }
    END { if (found == most) print line }')
  [ -n "$chosen" ] || die "$EXIT_INPUT" \
    "$region has $shape in these zones: $zones. $count are wanted; take another region or shape (eksctl/cluster*.yaml)"
  sed "s/^availabilityZones: .*/availabilityZones: [$chosen]/" "$file" >"$file.zones"
  mv "$file.zones" "$file"
}

# need_answers: ends a run that would have to ask where nobody is.
need_answers() {
  [ "$dry_run" = yes ] || [ "$assume_yes" = yes ] || [ -t 0 ] || die "$EXIT_USAGE" "nobody is there to ask; --yes answers for you"
}

# confirm QUESTION: goes on, or ends the script with nothing done.
confirm() {
  local answer
  [ "$dry_run" = no ] || { say "Dry run: nothing is asked, started or spent."; return 0; }
  [ "$assume_yes" = no ] || return 0
  need_answers
  printf '%s Type the name of the cluster to go on: ' "$1"
  read -r answer || answer=
  [ "$answer" = "$name" ] || die 1 "not confirmed; nothing was done"
}

need_programs() {
  local program missing=()
  [ "$dry_run" = no ] || return 0
  for program in "$@"; do
    command -v "$program" >/dev/null || missing+=("$program")
  done
  [ "${#missing[@]}" -eq 0 ] || die "$EXIT_UNAVAILABLE" \
    "not installed: ${missing[*]}; docs/operations.md says which versions (--dry-run needs none of them)"
}

# valid_name NAME REGION: things of each of the provider's services are called after it, so that the narrowest of their rules count.
valid_name() {
  [[ $1 =~ ^[a-z][a-z0-9-]{2,30}$ ]] || die "$EXIT_USAGE" \
    "--name $1: 3 to 31 lower-case letters, digits and hyphens, a letter first"
  [[ $1 != *- && $1 != *--* ]] || die "$EXIT_USAGE" \
    "--name $1: no hyphen at the end and no two in a row, which a database may not have"
  local bucket=$1-data-000000000000-$2
  [ "${#bucket}" -le 63 ] || die "$EXIT_USAGE" \
    "--name $1: $((${#bucket} - 63)) characters too long, for the data bucket's name has the region in it and at most 63"
}

valid_region() {
  [[ $1 =~ ^[a-z]{2}(-[a-z]+)+-[0-9]$ ]] || die "$EXIT_USAGE" "--region $1: expected something like us-east-1"
}

# The rules of charts/tripod (values.schema.json) and of registries, asked before an hour of other steps.
valid_team() {
  [[ ${#1} -ge 1 && ${#1} -le 64 && $1 != *,* && $1 != *[[:cntrl:]]* ]] || die "$EXIT_USAGE" \
    "--team $1: 1 to 64 characters without commas and control characters; it is the first word of a line that commas part"
}

valid_registry() {
  [[ -z $1 || $1 =~ ^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$ ]] || die "$EXIT_USAGE" \
    "--registry $1: expected a host and a path in small letters without a scheme, such as ghcr.io/owner"
}

valid_tag() {
  [[ -z $1 || $1 =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$ ]] || die "$EXIT_USAGE" \
    "--tag $1: at most 128 letters, digits, dots, underscores and hyphens, such as 1.2.3"
}

valid_page() {
  [[ -z $1 || $1 =~ ^https?://[A-Za-z0-9._~:/?@%=+-]+$ ]] || die "$EXIT_USAGE" \
    "--runbook $1: expected the address of a page without #, such as https://git.example/tripod/docs/operations.md"
}

# --- Money ---

# price TABLE KEY: a figure from benches/prices.toml.
price() {
  local value
  value=$(awk -v table="[$1]" -v key="$2" '
    /^\[/ { inside = ($0 == table); next }
    inside {
      line = $0
      sub(/[ \t]*#.*/, "", line)
      split(line, part, /[ \t]*=[ \t]*/)
      gsub(/"/, "", part[1])
      if (part[1] == key) { print part[2]; exit }
    }' "$prices")
  [ -n "$value" ] || die "$EXIT_INPUT" "$prices has no price [$1] $2"
  printf '%s\n' "$value"
}

# Sums: "line LABEL COUNT UNIT_PRICE [tier]" adds to the total, and to the tier that the budgets of the prices file speak of.
cost_total=0 cost_tier=0
cost_line() {
  local label=$1 count=$2 unit=$3 tier=${4:-} sum
  sum=$(awk -v a="$count" -v b="$unit" 'BEGIN { printf "%.4f", a * b }')
  printf '  %-46s %6s x %-8s %8.4f\n' "$label" "$count" "$unit" "$sum"
  cost_total=$(awk -v a="$cost_total" -v b="$sum" 'BEGIN { printf "%.4f", a + b }')
  [ -z "$tier" ] || cost_tier=$(awk -v a="$cost_tier" -v b="$sum" 'BEGIN { printf "%.4f", a + b }')
}

# GB a month as dollars an hour.
hourly_gb() { awk -v gb="$1" -v price="$2" 'BEGIN { printf "%.5f", gb * price / 730 }'; }

# node_groups FILE: "name shape desired most volume spot" for each managed node group of a cluster file.
node_groups() {
  awk '
    function flush() { if (group != "") print group, shape, desired, most, volume, spot }
    /^managedNodeGroups:/ { inside = 1; next }
    inside && /^[^ #]/ { inside = 0 }
    !inside { next }
    /^  - name:/ { flush(); group = $3; shape = ""; desired = 0; most = 0; volume = 0; spot = "no" }
    /^    instanceType:/ { shape = $2 }
    /^    instanceTypes:/ { shape = $2; gsub(/[\[\],]/, "", shape) }
    /^    desiredCapacity:/ { desired = $2 }
    /^    maxSize:/ { most = $2 }
    /^    volumeSize:/ { volume = $2 }
    /^    spot: true/ { spot = "yes" }
    END { flush() }' "$1"
}

zone_count() { awk -F'[][]' '/^availabilityZones:/ { print split($2, zones, ","); exit }' "$1"; }

# print_costs CLUSTER_FILE DATABASE_CLASS STORAGE_GIB MULTI_AZ REPLICA SMALL
# Each price is fetched in an assignment of its own: only there does a missing one end the script.
print_costs() {
  local file=$1 class=$2 storage=$3 multi=$4 replica=$5 small=$6
  local group shape desired most volume spot zones gateways copies=1 extra=0 unit gb budget
  zones=$(zone_count "$file")
  gateways=$zones
  [ "$small" = no ] || gateways=1
  [ "$multi" = no ] || copies=2
  [ "$replica" = no ] || copies=$((copies + 1))
  cost_total=0 cost_tier=0
  say "Dollars an hour, $(sed -n 's/^region = "\(.*\)"/\1/p' "$prices"), on demand, prices of $(sed -n 's/^as_of = "\(.*\)"/\1/p' "$prices") (benches/prices.toml):"
  gb=$(price gb_month ebs_gp3)
  while read -r group shape desired most volume spot; do
    unit=$(price hourly "$shape")
    extra=$(awk -v a="$extra" -v b="$unit" -v n="$((most - desired))" 'BEGIN { printf "%.2f", a + b * n }')
    [ "$desired" -gt 0 ] || continue
    cost_line "nodes $group: $shape" "$desired" "$unit" tier
    [ "$spot" = no ] || say "    (spot: on-demand prices are the most they can cost)"
    cost_line "  their volumes, $volume GiB each" "$desired" "$(hourly_gb "$volume" "$gb")"
  done < <(node_groups "$file")
  unit=$(price hourly eks_control_plane)
  cost_line "control plane" 1 "$unit" tier
  unit=$(price hourly "$class")
  cost_line "database $class" "$copies" "$unit" tier
  gb=$(price gb_month rds_gp3)
  cost_line "  its storage, $storage GiB" "$copies" "$(hourly_gb "$storage" "$gb")"
  unit=$(price hourly load_balancer)
  cost_line "load balancer, without capacity units" 1 "$unit" tier
  unit=$(price hourly public_ipv4)
  cost_line "  its addresses and the gateways'" "$((zones + gateways))" "$unit"
  unit=$(price hourly nat_gateway)
  cost_line "gateways to the internet" "$gateways" "$unit"
  if [ "$small" = no ]; then
    unit=$(price hourly interface_endpoint)
    cost_line "private endpoints, 4 in $zones zones" "$((4 * zones))" "$unit"
  fi
  unit=$(price hourly kms_key)
  cost_line "key" 1 "$unit"
  printf '  %-65s %8.4f\n' "web and storage tier (nodes, control plane, database, balancer)" "$cost_tier"
  printf '  %-65s %8.4f\n' "all of it, idle" "$cost_total"
  say "  plus what is moved and used: capacity units, GB through gateways and endpoints, logs, secrets, backups"
  say "  plus up to $extra an hour if every node group grows to its most (spot costs less than that)"
  if [ "$small" = yes ]; then
    budget=$(price budgets live_test)
    say "  budget of a live test for the tier: $budget"
    if awk -v a="$cost_tier" -v b="$budget" 'BEGIN { exit !(a > b) }'; then
      warn "the tier costs more than the live test's budget"
    fi
  fi
}
