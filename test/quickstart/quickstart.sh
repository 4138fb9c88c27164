#!/usr/bin/env bash
# The main job, end to end: a sandbox with simulated GPUs, hot reload of one
# edit into two ranks, proof, promotion to a second cluster. Uses clusters of
# its own, a copy of the sample and a kubeconfig of its own; run it as often
# as you like.
set -euo pipefail
cd "$(dirname "$0")/../.."
ai=$PWD/bin/kubectl-ai
work=$(mktemp -d)
export KUBECONFIG=$work/kubeconfig
sandbox=ai-quickstart production=ai-quickstart-production
start=$SECONDS dev=

finish() {
  status=$?
  if [ -n "$dev" ] && kill -0 "$dev" 2>/dev/null; then kill -INT "$dev"; wait "$dev" || true; fi
  if [ $status != 0 ]; then
    [ -s "$work/dev.log" ] && { echo "--- dev said:"; tail -n 30 "$work/dev.log"; }
    echo "quickstart failed after $((SECONDS - start)) s"
  fi
  if [ -z "${KEEP:-}" ]; then
    for name in $sandbox $production; do "$ai" sandbox delete --name $name --yes >/dev/null 2>&1 || true; done
    rm -rf "$work"
  fi
  exit $status
}
trap finish EXIT

phase() { printf '\n\033[1m%s\033[0m\n' "== $* (at $((SECONDS - start)) s)"; }
# await FILE PATTERN SECONDS: until a line of the file matches.
await() {
  local until=$((SECONDS + $3))
  until grep -qE "$2" "$1" 2>/dev/null; do
    if ! kill -0 "$dev" 2>/dev/null; then echo "dev ended early"; return 1; fi
    if [ $SECONDS -gt $until ]; then echo "no line matches '$2' within $3 s"; return 1; fi
    sleep 0.1
  done
}

phase "Sandbox: one node, 8 simulated H100, a local registry"
"$ai" sandbox delete --name $sandbox --yes >/dev/null 2>&1 || true
"$ai" sandbox delete --name $production --yes >/dev/null 2>&1 || true
"$ai" sandbox create --name $sandbox --gpus fake --profile h100 --gpus-per-node 8 --registry
"$ai" sandbox status --name $sandbox

phase "Hot reload: the sample runs in two ranks"
cp -r samples/digits "$work/digits"
sed -i "s/kind-ai-production/kind-$production/; s/kind-ai$/kind-$sandbox/" "$work/digits/kubectl-ai.yaml"
"$ai" dev "$work/digits" -o json >"$work/receipts.json" 2>"$work/dev.log" &
dev=$!
await "$work/dev.log" 'running' 180
first=$(wc -l <"$work/receipts.json")
sed -n '$p' "$work/dev.log"

phase "One edit, awaited on both ranks"
sed -i 's/rank {rank} of {world} starts/rank {rank} of {world} starts, edited on the laptop/' "$work/digits/src/train.py"
until=$((SECONDS + 60))
while [ "$(wc -l <"$work/receipts.json")" -lt $((first + 2)) ]; do
  [ $SECONDS -gt $until ] && { echo "no receipts for the edit"; exit 1; }
  sleep 0.05
done
await "$work/dev.log" 'rank 1 of 2 starts, edited on the laptop' 30
grep 'edited on the laptop' "$work/dev.log" | tail -n 2
tail -n 2 "$work/receipts.json"

laptop=$("$ai" digest "$work/digits")
echo "laptop:  $laptop"
tail -n 2 "$work/receipts.json" | grep -oE '"rank":[0-9]+|"treeDigest":"[^"]+"' | paste - - | sed 's/^/receipt: /'
[ "$(tail -n 2 "$work/receipts.json" | grep -c "$laptop")" = 2 ] || { echo "the ranks run something else"; exit 1; }

phase "Verify: every rank hashes what it has on disk"
"$ai" verify "$work/digits"
kill -INT "$dev"; wait "$dev" || true; dev=

phase "Production: a second kind cluster"
"$ai" sandbox create --name $production --gpus fake --registry

phase "Promote the same bundle with that very code"
"$ai" promote "$work/digits" --to production --yes
"$ai" history "$work/digits" --to production
release=$("$ai" history "$work/digits" --to production -o json | grep -oE 'sha256:[0-9a-f]{64}' | grep -m1 "${laptop#sha256:}") || { echo "the release holds another tree"; exit 1; }
echo "release: $release"

phase "Done"
cat <<TXT
The digest above is the same on the laptop, in the receipts of both ranks and in
the release record of the second cluster.

Try next:
  bin/kubectl-ai sandbox create             a sandbox of your own
  bin/kubectl-ai dev samples/digits         edit samples/digits/src/train.py and save
  bin/kubectl-ai --help
TXT
