#!/bin/sh
# Builds the programs of a Kubernetes with one node from the source tree that Debian's package
# `kubernetes` holds, for `cargo xtask cluster-test`. Nothing is fetched: all dependencies are in the tree.
#
#   kubernetes.sh SOURCE OUT
#
# SOURCE is the unpacked tree, OUT the folder for the programs. The tree's own makefile would look for
# outdated generated files with programs that it builds for that; all of them but one are in the tree, so
# that one is generated here and the rest is plain `go build`. Cloud providers and Docker are left out,
# which is most of what there is to compile.
#
#   GO   the compiler, which must be as old as the source [/usr/lib/go-1.19/bin/go]
set -eu

[ $# -eq 2 ] || {
  echo 'usage: kubernetes.sh SOURCE OUT' >&2
  exit 64
}
tree=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
go=${GO:-/usr/lib/go-1.19/bin/go}

# The generator wants a GOPATH; so everything is built in one.
export GOPATH="$tree/.go" GOCACHE="$tree/.cache" GO111MODULE=off GOPROXY=off CGO_ENABLED=0
package=k8s.io/kubernetes
mkdir -p "$GOPATH/src/k8s.io"
ln -sfn ../../.. "$GOPATH/src/$package"
cd "$GOPATH/src/$package"

# What the API server says of its own types.
if [ ! -s pkg/generated/openapi/zz_generated.openapi.go ]; then
  "$go" build -o "$tree/.tools/openapi-gen" "./vendor/k8s.io/kube-openapi/cmd/openapi-gen"
  inputs=$(grep -Rl --include='*.go' '^// *+k8s:openapi-gen=' vendor/k8s.io pkg |
    grep -v -e /kube-openapi/ -e /gengo/ -e /code-generator/ -e /sample-apiserver/ -e /zz_generated |
    xargs -n1 dirname | LC_ALL=C sort -u | sed "s|^|$package/|" | paste -sd, -)
  "$tree/.tools/openapi-gen" --logtostderr -i "$inputs" -p "$package/pkg/generated/openapi" \
    -O zz_generated.openapi -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt \
    -r "$tree/.tools/violations"
fi

# Clients ask the server which version it is, and charts go by that.
version='-s -w'
for where in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  for prefix in '' "$package/vendor/"; do
    version="$version -X $prefix$where.gitVersion=v1.20.2 -X $prefix$where.gitMajor=1 -X $prefix$where.gitMinor=20"
    version="$version -X $prefix$where.gitCommit=debian -X $prefix$where.gitTreeState=clean"
  done
done
for program in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy; do
  echo "$program"
  "$go" build -trimpath -tags providerless,dockerless -ldflags "$version" -o "$out/$program" "./cmd/$program"
done
