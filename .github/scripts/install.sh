#!/usr/bin/env bash
# Installs one program that runners lack, of the one version named here, checked
# against the checksums published beside it.
#
#   install.sh eksctl | syft    into BIN [/usr/local/bin]
set -euo pipefail

bin=${BIN:-/usr/local/bin}
case "$(uname -m)" in
  x86_64) arch=amd64 ;;
  aarch64) arch=arm64 ;;
  *) echo "install.sh: no program for $(uname -m) is known" >&2; exit 1 ;;
esac
case "${1:-}" in
  eksctl)
    place=https://github.com/eksctl-io/eksctl/releases/download/v0.231.0
    file=eksctl_Linux_$arch.tar.gz sums=eksctl_checksums.txt
    ;;
  syft)
    place=https://github.com/anchore/syft/releases/download/v1.18.1
    file=syft_1.18.1_linux_$arch.tar.gz sums=syft_1.18.1_checksums.txt
    ;;
  *) echo 'usage: install.sh eksctl | syft' >&2; exit 64 ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
curl -fsSL --retry 3 --max-time 120 -o "$work/$file" "$place/$file"
curl -fsSL --retry 3 --max-time 60 -o "$work/$sums" "$place/$sums"
# Exactly one line: a list that lacks the file must not pass for a good one.
line=$(awk -v file="$file" '$2 == file || $2 == "*" file' "$work/$sums")
[ "$(grep -c . <<<"$line")" -eq 1 ] || { echo "install.sh: $sums does not name $file once" >&2; exit 1; }
(cd "$work" && sha256sum --check --strict --quiet <<<"$line")
tar -xzf "$work/$file" -C "$work" "$1"
install -m 0755 "$work/$1" "$bin/$1"
