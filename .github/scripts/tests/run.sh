#!/usr/bin/env bash
# Tests of the pipelines' scripts, with fake programs in front of the PATH. Prints
# a line for each test and, last, what `cargo test` prints, so that both are summed
# up alike.
set -uo pipefail

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
root=$(cd "$scripts/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# What a pipeline sets would change what the scripts do.
unset REGION REGISTRY TAG RATE DURATION LOADGEN CI TRIPOD_VECTORS IMAGE BIN ROOT
unset TARGETARCH TARGET_CPU CA_BUNDLE
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null

passed=0 failed=0

# A test is a function in a subshell of its own, in an empty folder, with an empty
# folder `fakes` first on its PATH. A command in it that fails ends it.
run_test() {
  local name=$1 folder=$work/$1 said code
  mkdir -p "$folder/fakes"
  # Not as the condition of an `if`: there `set -e` would be ignored.
  said=$(cd "$folder" && PATH="$folder/fakes:$PATH" && set -e && "$name" 2>&1)
  code=$?
  if [ "$code" -eq 0 ]; then
    passed=$((passed + 1))
    echo "test $name ... ok"
  else
    failed=$((failed + 1))
    echo "test $name ... FAILED"
    printf '%s\n' "$said" | sed 's/^/    /'
  fi
}

# fake PROGRAM: its body on standard input; every call is kept in `calls`.
fake() {
  {
    printf '#!/usr/bin/env bash\necho "%s $*" >>"%s/calls"\n' "$1" "$PWD"
    cat
  } >"fakes/$1"
  chmod +x "fakes/$1"
}

same() { [ "$1" = "$2" ] || { printf 'expected: %s\nfound:    %s\n' "$1" "$2"; return 1; }; }
has() { [[ $1 == *"$2"* ]] || { printf 'no "%s" in: %s\n' "$2" "$1"; return 1; }; }

# refused CODE COMMAND...: it must end with that code; what it says goes to `said`.
refused() {
  local wanted=$1 code=0
  shift
  said=$("$@" 2>&1) || code=$?
  same "$wanted" "$code"
}

# --- changed.sh -------------------------------------------------------------------

repository() {
  git init -q -b main .
  git config user.name test
  git config user.email test@example.invalid
  echo one >README.md
  mkdir -p crates/a charts/b docs
  echo one | tee crates/a/lib.rs charts/b/Chart.yaml docs/x.md >/dev/null
  git add README.md crates charts docs
  git commit -qm base
  git switch -qc topic
}

changed() { "$scripts/changed.sh" main HEAD | tr '\n' ' '; }

a_change_in_a_crate_touches_the_charts_that_name_its_settings() {
  repository
  echo two >crates/a/lib.rs
  git commit -qam change
  same 'rust=true images=true charts=true cluster=true workflows=false ' "$(changed)"
}

a_change_in_the_docs_touches_nothing() {
  repository
  echo two >docs/x.md
  git commit -qam change
  same 'rust=false images=false charts=false cluster=false workflows=false ' "$(changed)"
}

what_the_tests_of_the_manifests_read_touches_the_cluster() {
  local file
  for file in README.md docs/operations.md benches/prices.toml; do
    mkdir "$(basename "$file")"
    (
      cd "$(basename "$file")" && repository
      mkdir -p docs benches
      echo two >"$file"
      git add "$file"
      git commit -qm change
      has "$(changed)" 'cluster=true'
    )
  done
  # The files that they do name, so that a new one is not forgotten.
  same "$(printf '%s\n' README.md benches/prices.toml docs/operations.md)" \
    "$(grep -hoE 'ROOT / "(README\.md|docs/[^"]+|benches/[^"]+)"' "$root"/k8s/tests/*.py | sed -E 's/.*"(.*)"/\1/' | LC_ALL=C sort -u)"
}

a_change_of_the_pipeline_touches_everything() {
  repository
  mkdir -p .github/workflows
  echo x >.github/workflows/ci.yml
  git add .github
  git commit -qm change
  same 'rust=true images=true charts=true cluster=true workflows=true ' "$(changed)"
}

the_contract_is_compared_with_the_services() {
  repository
  echo two >docs/openapi.yaml
  git add docs
  git commit -qm change
  has "$(changed)" 'rust=true'
}

what_the_base_got_meanwhile_does_not_count() {
  repository
  echo two >docs/x.md
  git commit -qam change
  git switch -q main
  echo two >crates/a/lib.rs
  git commit -qam meanwhile
  git switch -q topic
  has "$(changed)" 'rust=false'
}

an_unknown_base_counts_as_all_changed() {
  repository
  has "$("$scripts/changed.sh" 0000000000000000000000000000000000000000 HEAD)" 'charts=true'
}

# --- verdict.sh -------------------------------------------------------------------

skipped_jobs_are_well() {
  "$scripts/verdict.sh" '{"lint":{"result":"success"},"test":{"result":"skipped"}}' >/dev/null
}

failed_cancelled_and_unknown_jobs_are_not() {
  for result in failure cancelled ''; do
    refused 1 "$scripts/verdict.sh" "{\"lint\":{\"result\":\"success\"},\"test\":{\"result\":\"$result\"}}"
  done
  has "$said" lint
}

no_jobs_at_all_is_not_well() {
  refused 1 "$scripts/verdict.sh" '{}'
}

# --- ephemeral.sh -----------------------------------------------------------------

# The script finds eksctl/ from where it is itself.
ephemeral() {
  mkdir -p tree/.github/scripts tree/eksctl
  cp "$scripts/ephemeral.sh" tree/.github/scripts/
  for name in up down; do
    printf '#!/bin/sh\necho "%s.sh $*" >>"%s/calls"\n%s\n' "$name" "$PWD" "${ends_with:-}" >"tree/eksctl/$name.sh"
    chmod +x "tree/eksctl/$name.sh"
  done
  tree/.github/scripts/ephemeral.sh "$@"
}

names_tell_run_and_attempt() {
  same tripod-e2e-123-2 "$(ephemeral name 123 2)"
  refused 64 ephemeral name main 1
}

only_throw_away_clusters_are_touched() {
  for verb in up smoke down; do
    refused 64 ephemeral "$verb" tripod-main
    has "$said" 'no throw-away cluster'
  done
  refused 64 ephemeral down 'tripod-e2e-1-1 --name tripod-main'
  [ ! -e calls ]
}

a_cluster_takes_the_images_of_its_commit() {
  REGISTRY=ghcr.io/x TAG=e2e-1 REGION=eu-west-1 ephemeral up tripod-e2e-1-1
  same 'up.sh --small --name tripod-e2e-1-1 --region eu-west-1 --unprotected --sample --yes --registry ghcr.io/x --tag e2e-1' "$(cat calls)"
}

deletes_data_too() {
  ephemeral down tripod-e2e-1-1
  same 'down.sh --name tripod-e2e-1-1 --region us-east-1 --delete-data --yes' "$(cat calls)"
}

ago() { date -u -d "-$1 minutes" +%Y-%m-%dT%H:%M:%S.123000+00:00; }

the_janitor_ends_what_is_older_and_nothing_else() {
  # 7 is old: its cluster is gone and its database is not. 8 is young, though one
  # stack of it was made anew. 9 is old and whole. The rest is not ours to end.
  fake aws <<AWS
printf '%s\t%s\n' '$(ago 300)' tripod-e2e-7-1-database
printf '%s\t%s\n' '$(ago 30)' tripod-e2e-8-1-foundation '$(ago 10)' eksctl-tripod-e2e-8-1-cluster
printf '%s\t%s\n' '$(ago 10)' tripod-e2e-9-2-database '$(ago 290)' eksctl-tripod-e2e-9-2-cluster
printf '%s\t%s\n' '$(ago 9000)' tripod-main-database '$(ago 9000)' eksctl-tripod-e2e-cluster '$(ago 9000)' other
AWS
  ephemeral janitor 4
  same "$(printf '%s\n' 7-1 9-2)" "$(sed -nE 's/^down.sh --name tripod-e2e-([0-9-]+) .*/\1/p' calls | sort)"
  has "$(cat calls)" 'aws cloudformation describe-stacks --region us-east-1'
}

the_janitor_goes_on_after_a_failure_and_says_so() {
  fake aws <<AWS
printf '%s\t%s\n' '$(ago 300)' tripod-e2e-1-1-database '$(ago 300)' tripod-e2e-2-1-database
AWS
  ends_with='exit 1' refused 1 ephemeral janitor 4
  has "$said" 'still there: tripod-e2e-1-1 tripod-e2e-2-1'
}

a_janitor_that_cannot_look_fails() {
  fake aws <<'AWS'
exit 255
AWS
  refused 255 ephemeral janitor 4
  refused 64 ephemeral janitor -4
  refused 64 ephemeral janitor '1 day'
}

asks_through_the_load_balancer_once_it_answers() {
  fake aws </dev/null
  fake kubectl <<'KUBECTL'
echo lb.example.invalid
KUBECTL
  # Not before the third time.
  fake curl <<'CURL'
[ "$(grep -c '^curl' "${0%/fakes/*}/calls")" -ge 3 ]
CURL
  fake loadgen </dev/null
  PAUSE=0 ephemeral smoke tripod-e2e-1-1
  same 'loadgen smoke --target http://lb.example.invalid --allow-remote' "$(tail -n 1 calls)"
}

gives_up_on_a_load_balancer_that_never_answers() {
  fake aws </dev/null
  fake kubectl <<'KUBECTL'
echo lb.example.invalid
KUBECTL
  fake curl <<'CURL'
exit 22
CURL
  PATIENCE=1 PAUSE=0.2 refused 1 ephemeral smoke tripod-e2e-1-1
  has "$said" 'the load balancer does not answer'
}

a_broken_limit_fails_the_load_test() {
  fake aws </dev/null
  fake kubectl <<'KUBECTL'
echo lb.example.invalid
KUBECTL
  fake curl </dev/null
  fake loadgen <<'LOADGEN'
echo figures
exit 1
LOADGEN
  refused 1 ephemeral load tripod-e2e-1-1 report
  same figures "$(cat report/report.txt)"
  has "$(tail -n 1 calls)" "--rate 2000 --duration 2m"
}

# --- packages.sh ------------------------------------------------------------------

# A registry with the versions of one package, as `ID DAYS TAGS` lines on standard
# input; the filter is the script's own.
registry() {
  local id days tags sep='' json='['
  while read -r id days tags; do
    json+="$sep{\"id\": $id, \"created_at\": \"$(date -u -d "-$days days" +%Y-%m-%dT%H:%M:%SZ)\", \"metadata\": {\"container\": {\"tags\": [$tags]}}}"
    sep=,
  done
  echo "$json]" >versions.json
  fake gh <<GH
case "\$*" in
  'api users/Some-One --jq .type') echo ${OWNER_TYPE:-User} ;;
  *--method*) ;;
  *tripod-tools/versions*) jq -r "\${@: -1}" "$PWD/versions.json" ;;
  *) echo 'gh: Package not found. (HTTP 404)' >&2; exit 1 ;;
esac
GH
}

deleted() { sed -nE 's/^gh api --method DELETE (.*)$/\1/p' calls; }

only_old_images_of_throw_away_runs_are_deleted() {
  # 5 is a release as well, 6 has no tag, 7 only looks like one.
  registry <<'VERSIONS'
1 9 "e2e-100"
2 6 "e2e-200"
3 9 "1.2.3"
4 30 "e2e-300", "e2e-301"
5 30 "e2e-400", "1.2.4"
6 30
7 30 "e2e-x"
VERSIONS
  "$scripts/packages.sh" Some-One 7 >said
  same "$(printf 'users/Some-One/packages/container/tripod-tools/versions/%s\n' 1 4)" "$(deleted)"
  has "$(cat said)" 'tripod-tools: deleted e2e-300,e2e-301'
}

packages_of_an_organization_are_its_own() {
  OWNER_TYPE=Organization registry <<<'1 9 "e2e-1"'
  "$scripts/packages.sh" Some-One 7 >/dev/null
  same orgs/Some-One/packages/container/tripod-tools/versions/1 "$(deleted)"
}

a_registry_that_cannot_be_asked_is_not_an_empty_one() {
  fake gh <<'GH'
case "$*" in *.type) echo User ;; *) echo 'HTTP 403: forbidden' >&2; exit 1 ;; esac
GH
  refused 1 "$scripts/packages.sh" Some-One 7
  has "$said" 'tripod-qrcode: HTTP 403'
  refused 64 "$scripts/packages.sh" Some-One 0
  refused 64 "$scripts/packages.sh" 'a/b' 7
}

# --- release.sh -------------------------------------------------------------------

release_tree() {
  mkdir -p tree/charts/blockchain tree/charts/service
  printf '[workspace.dependencies]\nx = 1\n[workspace.package]\nversion = "1.2.3"\n' >tree/Cargo.toml
  printf 'name: blockchain\nversion: 1.2.3\nappVersion: "1.2.3"\n' >tree/charts/blockchain/Chart.yaml
  printf 'name: service\ntype: library\nversion: 1.2.3\n' >tree/charts/service/Chart.yaml
  printf '# Changelog\n\n## Unreleased\n\n- later\n\n## 1.2.3 - 2026-01-01\n\n- first\n- second\n\n## 1.2.2\n\n- older\n' >tree/CHANGELOG.md
}

release() { ROOT=$PWD/tree "$scripts/release.sh" "$@"; }

a_tag_must_say_what_the_files_say() {
  release_tree
  same 1.2.3 "$(release check v1.2.3)"
  refused 64 release check 1.2.3
  refused 64 release check 'v1.2.3; id'
  sed -i 's/^version: .*/version: 1.2.2/' tree/charts/blockchain/Chart.yaml
  refused 1 release check v1.2.3
  has "$said" 'charts/blockchain/Chart.yaml says version 1.2.2'
  release_tree
  sed -i 's/1\.2\.3/1.2.4/' tree/Cargo.toml
  refused 1 release check v1.2.3
  has "$said" 'Cargo.toml says version 1.2.4'
}

a_release_needs_a_section_in_the_changelog() {
  release_tree
  same "$(printf '%s\n' '- first' '- second')" "$(release notes v1.2.3)"
  refused 1 release notes v1.2.30
}

two_digests_make_one_image() {
  # As buildx does: a field by its name alone gives the whole table.
  fake docker <<'DOCKER'
digest=sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc
case "$*" in
  *'imagetools inspect '*'{{.Manifest'*) printf 'Name:      x\nMediaType: y\nDigest:    %s\n' "$digest" ;;
  *'imagetools inspect '*'{{json .Manifest}}') printf '{"mediaType": "y", "digest": "%s", "manifests": []}\n' "$digest" ;;
esac
DOCKER
  a=sha256:$(printf 'a%.0s' {1..64}) b=sha256:$(printf 'b%.0s' {1..64}) c=sha256:$(printf 'c%.0s' {1..64})
  release digest d "$a"
  refused 1 release manifest ghcr.io/x/tripod-qrcode v1.2.3 d
  has "$said" 'has 1 digests'
  release digest d "$b"
  refused 1 release digest d sha256:short
  same "$c" "$(release manifest ghcr.io/x/tripod-qrcode v1.2.3 d)"
  has "$(cat calls)" "docker buildx imagetools create --tag ghcr.io/x/tripod-qrcode:1.2.3 ghcr.io/x/tripod-qrcode@$a ghcr.io/x/tripod-qrcode@$b"
}

charts_are_pushed_but_for_the_library() {
  release_tree
  fake helm <<'HELM'
case "$1" in push) echo "Digest: sha256:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd" ;; esac
HELM
  same "ghcr.io/x/charts/blockchain@sha256:$(printf 'd%.0s' {1..64})" "$(release charts ghcr.io/x/charts v1.2.3 2>/dev/null)"
  # The links in charts/ bring what a chart depends on.
  same 0 "$(grep -cE 'charts/service|dependency-update' calls)"
}

a_push_without_a_digest_is_no_release() {
  release_tree
  fake helm </dev/null
  refused 1 release charts ghcr.io/x/charts v1.2.3
  has "$said" 'no digest of blockchain'
}

# --- install.sh -------------------------------------------------------------------

# A tar file with a program in it; prints its checksum.
archive() {
  printf '#!/bin/sh\necho hello\n' >eksctl
  tar -czf archive eksctl
  sha256sum archive | cut -d ' ' -f 1
}

# download SUM FILE: a fake download of that tar file and of a list of checksums.
download() {
  fake curl <<CURL
while [ "\$1" != -o ]; do shift; done
case "\$3" in
  *checksums.txt) printf '%s  %s\n' "$1" "$2" >"\$2" ;;
  *) cp "$PWD/archive" "\$2" ;;
esac
CURL
  fake uname <<'UNAME'
echo x86_64
UNAME
  mkdir -p bin
}

installs_what_its_checksum_says() {
  download "$(archive)" eksctl_Linux_amd64.tar.gz
  BIN=$PWD/bin "$scripts/install.sh" eksctl
  same hello "$(bin/eksctl)"
}

refuses_a_wrong_or_missing_checksum() {
  archive >/dev/null
  download "$(printf '0%.0s' {1..64})" eksctl_Linux_amd64.tar.gz
  BIN=$PWD/bin refused 1 "$scripts/install.sh" eksctl
  download "$(archive)" another.tar.gz
  BIN=$PWD/bin refused 1 "$scripts/install.sh" eksctl
  has "$said" 'does not name'
  [ ! -e bin/eksctl ]
}

# --- network-policy.sh ------------------------------------------------------------

# A cluster of two pods; asking one of them for its admin port ends with the code
# given for it, and for the traffic port with TRAFFIC.
cluster() {
  fake kubectl <<KUBECTL
case "\$*" in
  'get pods '*) printf '%s\n' ${3:-"'qrcode-1 10.0.0.1' 'twitter-1 10.0.0.2'"} ;;
  *http://10.0.0.[12]:8080) exit ${TRAFFIC:-1} ;;
  *http://10.0.0.1:9090) exit $1 ;;
  *http://10.0.0.2:9090) exit $2 ;;
esac
KUBECTL
}

policies_that_hold_pass() {
  cluster 69 69
  same 2 "$("$scripts/network-policy.sh" tripod | grep -c 'closed to strangers')"
}

an_open_port_and_a_question_that_failed_do_not() {
  for code in 0 1 125; do
    cluster 69 "$code"
    refused 1 "$scripts/network-policy.sh" tripod
    has "$said" 'twitter-1:9090 answers a stranger'
  done
}

a_network_that_lets_nobody_through_shows_nothing() {
  TRAFFIC=69 cluster 69 69
  refused 1 "$scripts/network-policy.sh" tripod
  has "$said" 'qrcode-1:8080 takes no connection'
  same 0 "$(grep -c :9090 calls)"
}

no_pods_show_nothing() {
  cluster 69 69 "''"
  refused 1 "$scripts/network-policy.sh" tripod
}

# --- setup.sh, fuzz.sh ------------------------------------------------------------

without_vectors_tests_may_skip_aloud() {
  fake rustup </dev/null
  cp "$root/rust-toolchain.toml" .
  GITHUB_ENV=$PWD/env "$scripts/setup.sh" | grep -q '^::warning::'
  same 'CI=false' "$(cat env)"
  mkdir vectors
  rm env
  GITHUB_ENV=$PWD/env TRIPOD_VECTORS=$PWD/vectors "$scripts/setup.sh"
  same "TRIPOD_VECTORS=$PWD/vectors" "$(cat env)"
  has "$(cat calls)" "component clippy $(sed -nE 's/^channel = "(.*)"/\1/p' rust-toolchain.toml)"
}

fuzzes_every_target_for_a_while() {
  fake cargo <<'CARGO'
case "$*" in *list) printf '%s\n' decode parse ;; esac
CARGO
  "$scripts/fuzz.sh" . 7 >/dev/null
  same 2 "$(grep -c 'fuzz run .* -max_total_time=7' calls)"
}

a_crate_without_fuzz_targets_is_a_mistake() {
  fake cargo </dev/null
  refused 1 "$scripts/fuzz.sh" . 7
}

# --- docker/build.sh --------------------------------------------------------------

build() { "$root/docker/build.sh" "$@"; }

a_skeleton_has_manifests_and_no_line_of_ours() {
  mkdir -p w/crates/a/src w/crates/a/tests w/crates/a/fuzz
  printf '[workspace]\n' >w/Cargo.toml
  printf '[package]\n' | tee w/crates/a/Cargo.toml >w/crates/a/fuzz/Cargo.toml
  echo 'secret' | tee w/crates/a/src/lib.rs w/crates/a/src/other.rs w/crates/a/tests/t.rs >w/Cargo.lock
  build skeleton w s
  same "$(printf '%s\n' Cargo.lock Cargo.toml crates/a/Cargo.toml crates/a/src/lib.rs crates/a/tests/t.rs)" \
    "$(cd s && find . -type f | sed 's|^\./||' | LC_ALL=C sort)"
  same 'fn main() {}' "$(cat s/crates/a/src/lib.rs)"
  # Nothing but manifests and the list of targets decides about it.
  echo 'changed' >w/crates/a/src/lib.rs
  build skeleton w again
  same "$(cd s && tar -c . | sha256sum)" "$(cd again && tar -c . | sha256sum)"
}

binaries_are_static_and_for_the_processor_asked_for() {
  fake cargo <<'CARGO'
echo "RUSTFLAGS=$RUSTFLAGS ${CARGO_PKG_NAME:-clean}" >>"${0%/fakes/*}/calls"
CARGO
  # Set where this runs under cargo.
  unset CARGO
  CARGO_PKG_NAME=xtask TARGETARCH=arm64 TARGET_CPU=neoverse-n1 build dependencies
  has "$(cat calls)" 'cargo build --profile release --locked --target aarch64-unknown-linux-gnu -p blockchain-service'
  has "$(cat calls)" 'RUSTFLAGS=-C target-feature=+crt-static -C target-cpu=neoverse-n1 clean'
  TARGETARCH=riscv64 refused 1 build dependencies
  has "$said" 'no image for riscv64'
  # Nobody but the tools' image waits for the query engine.
  ! grep -q etl-score calls || { echo 'the query engine is built with the rest'; return 1; }
  TARGETARCH=arm64 build engine-dependencies
  has "$(cat calls)" 'cargo build --profile engine --locked --target aarch64-unknown-linux-gnu -p etl-score'
}

binaries_come_with_the_public_authorities_and_room_for_the_engine() {
  fake cargo </dev/null
  fake strip <<'STRIP'
touch "$2"
STRIP
  unset CARGO
  CA_BUNDLE=none refused 1 build binaries out
  has "$said" 'no certificate authorities in none'
  echo bundle >some.crt
  CA_BUNDLE=some.crt build binaries out
  same bundle "$(cat out/certificates/ca-certificates.crt)"
  same '' "$(ls out/engine)"
  has "$(ls out/tools)" loadgen
  build engine out
  same etl-score "$(ls out/engine)"
  has "$(ls out/services)" twitter-service
}

# --- the workflows themselves -----------------------------------------------------

every_action_is_pinned_as_the_list_of_pins_says() {
  local found=0 where action commit version
  while IFS=$'\t' read -r where action commit version; do
    found=$((found + 1))
    grep -qF "| \`$action\` | $version | \`$commit\` |" "$root/.github/PINS.md" ||
      { echo "$where: $action $version $commit is not in .github/PINS.md"; return 1; }
  done < <(grep -rHE '^ *-? *uses: [^.]' "$root/.github/workflows" "$root/.github/actions" |
    sed -E 's/^([^:]+):.*uses: ([^@]+)@([0-9a-f]{40}) # (v[0-9.]+)$/\1\t\2\t\3\t\4/')
  [ "$found" -gt 20 ]
}

# What a step says fails with it: neither a pipe's first half nor a command inside
# of another's argument may fail unseen, or a wrong tag becomes a release and a
# change that cannot be looked at counts as none.
no_step_of_a_workflow_fails_unseen() {
  local workflow
  for workflow in "$root"/.github/workflows/*.yml; do
    grep -A 4 '^defaults:' "$workflow" | grep -qx '    shell: bash' || { echo "$workflow: its shell has no pipefail"; return 1; }
    ! grep -nE '(echo|printf)[^|&;]*\$\(' "$workflow" || { echo "$workflow: a command in echo's argument fails unseen"; return 1; }
  done
}

# A second attempt is the same run, where a name can be taken only once.
every_upload_may_be_made_again() {
  local uploads
  uploads=$(cat "$root"/.github/workflows/*.yml | grep -A 6 'uses: actions/upload-artifact@')
  [ "$(grep -c uses: <<<"$uploads")" -gt 3 ]
  same "$(grep -c uses: <<<"$uploads")" "$(grep -cx '          overwrite: true' <<<"$uploads")"
}

# A registry refuses capitals, which the name of an owner may have.
images_are_named_in_small_letters() {
  same '' "$(grep -rnE 'github\.(repository|repository_owner) *}}' "$root/.github/workflows" | grep -v 'head.repo')"
}

# Steps of `cargo xtask test` that a workflow runs.
steps() { sed -nE 's/.*cargo xtask test --only (.*)/\1/p' "$@" | tr ' ' '\n' | LC_ALL=C sort -u; }

# What `cargo xtask test` runs by itself some workflow runs too, and the one check
# that is required waits for every job of its workflow.
every_step_runs_in_a_workflow_and_every_job_counts() {
  local plan
  plan=$(sed -nE '/let mut plan = vec!\[/,/\];/s/^ *Step::([A-Za-z]+),$/\L\1/p' "$root/crates/xtask/src/test.rs" | LC_ALL=C sort -u)
  [ "$(wc -l <<<"$plan")" -gt 10 ]
  same "$plan" "$(steps "$root"/.github/workflows/*.yml)"
  # Those that take too long are the exception.
  same engines "$(comm -23 <(echo "$plan") <(steps "$root"/.github/workflows/{ci,charts}.yml))"
  same "$(sed -nE '/^jobs:/,$s/^  ([a-z]+):$/\1/p' "$root/.github/workflows/ci.yml" | grep -vx ci | LC_ALL=C sort)" \
    "$(sed -nE 's/^    needs: \[(.*)\]$/\1/p' "$root/.github/workflows/ci.yml" | sed 's/, /\n/g' | LC_ALL=C sort)"
}

every_chart_of_a_release_is_attested() {
  same "$(grep -L '^type: library' "$root"/charts/*/Chart.yaml | sed 's|/Chart.yaml$||; s|.*/||' | LC_ALL=C sort)" \
    "$(sed -nE 's|^ *subject-name: .*/charts/([a-z]+)$|\1|p' "$root/.github/workflows/release.yml")"
  same "$(sed -nE 's|^ *subject-name: .*/charts/([a-z]+)$|\1|p' "$root/.github/workflows/release.yml")" \
    "$(sed -nE 's|^ *subject-digest: .*steps\.charts\.outputs\.([a-z]+) .*|\1|p' "$root/.github/workflows/release.yml")"
}

# A crate that has fuzz targets is fuzzed.
every_fuzzed_crate_is_on_the_schedule() {
  same "$(find "$root"/crates -maxdepth 2 -name fuzz -printf '%P\n' | cut -d / -f 1 | LC_ALL=C sort)" \
    "$(sed -nE 's/^ *crate: \[(.*)\]$/\1/p' "$root/.github/workflows/audit.yml" | sed 's/, /\n/g')"
}

every_script_that_a_workflow_runs_is_there() {
  local script
  grep -rhoE '(\.github/scripts|docker|k8s|eksctl)/[a-z0-9/-]+\.sh' "$root/.github/workflows" "$root/.github/actions" | sort -u >scripts
  [ -s scripts ]
  while read -r script; do
    # What another folder brings is looked at where that folder is.
    [ -d "$root/$(dirname "$script")" ] || continue
    [ -x "$root/$script" ] || { echo "$script is not there or not executable"; return 1; }
  done <scripts
}

for test in $(declare -F | sed 's/^declare -f //'); do
  case $test in
    run_test | fake | same | has | refused | repository | changed | ephemeral | ago | release_tree | release | archive | download | build | cluster | steps | registry | deleted) ;;
    *) run_test "$test" ;;
  esac
done
[ "$failed" -eq 0 ] && verdict=ok || verdict=FAILED
printf '\ntest result: %s. %d passed; %d failed; 0 ignored\n' "$verdict" "$passed" "$failed"
[ "$failed" -eq 0 ]
