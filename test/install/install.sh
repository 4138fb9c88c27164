#!/usr/bin/env bash
# Installs a release as krew does, with one link on PATH, for a user whose HOME
# is empty, and tries what comes first: version, doctor, setup, and TAB through
# kubectl.
#
# usage: install.sh DIST KUBECTL
#   DIST     folder of `make release`
#   KUBECTL  a kubectl of 1.26 or newer
set -euo pipefail
dist=$(realpath "$1") kubectl=$(realpath "$2")
cd "$(dirname "$0")/../.."
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
say() { printf '\n$ %s\n' "$*"; }

go run ./krew/validate -archives "$dist" -install "$root/.krew" "$dist/ai.yaml"
mkdir "$root/tools" && ln -s "$kubectl" "$root/tools/kubectl"

# From here on nothing of the machine's own configuration is seen.
export HOME=$root PATH=$root/.krew/bin:$root/tools:/usr/local/bin:/usr/bin:/bin
unset KUBECONFIG XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
cd "$root"

say kubectl ai version
kubectl ai version
say kubectl ai doctor
kubectl ai doctor || [ $? = 3 ] # this machine may lack what sandboxes need; that it says so is enough

say kubectl ai setup
kubectl ai setup
say 'kubectl ai sand<TAB>'
answer=$(kubectl __complete ai sand)
echo "$answer"
grep -q '^sandbox' <<<"$answer" || { echo "install: TAB through kubectl does not complete" >&2; exit 1; }

say kubectl ai setup --remove
kubectl ai setup --remove
left=$(find "$root" -name 'kubectl_complete*')
[ -z "$left" ] || { echo "install: setup --remove left $left" >&2; exit 1; }
