package cluster

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine/enginetest"
)

// An engine with five clusters: two sandboxes that are whole, of which one is in
// another kubeconfig, one whose making was cut short, a kind cluster of others, and one of which no node ever ran.
const leftoverEngine = `
case "$1 $2" in
"ps -a") echo whole mine cut others never;;
"container inspect")
  one() { echo "{\"Name\":\"/$1\",\"State\":{\"Running\":$2,\"StartedAt\":\"$3\"},\"Config\":{\"Labels\":{\"io.x-k8s.kind.cluster\":\"$1\",\"io.x-k8s.kind.role\":\"control-plane\"}}}"; }
  echo "["; one whole true 2026-11-01T10:00:00Z; echo ,; one mine true 2026-11-01T10:00:00Z; echo ,; one cut true 2026-11-01T10:00:00Z; echo ,; one others false 2026-11-01T10:00:00Z; echo ,; one never false 0001-01-01T00:00:00Z; echo "]";;
cp*) case "$2" in whole*|mine*) tar -c sandbox.json;; cut*) tar -C cut -c sandbox.json;; *) exit 1;; esac;;
*) echo "unexpected $*" >&2; exit 1;;
esac`

func TestLeftovers(t *testing.T) {
	e, dir := enginetest.Script(t, leftoverEngine)
	if err := os.Mkdir(filepath.Join(dir, "cut"), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, mark := range map[string]string{"sandbox.json": `{"kind":"SandboxMark"}`, "cut/sandbox.json": `{"kind":"SandboxMark","unfinished":true}`} {
		if err := os.WriteFile(filepath.Join(dir, path), []byte(mark), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "config")
	const config = `apiVersion: v1
kind: Config
clusters:
- {name: kind-whole, cluster: {server: "https://127.0.0.1:1"}}
- {name: kind-gone, cluster: {server: "https://127.0.0.1:2"}}
- {name: kind-elsewhere, cluster: {server: "https://kind.example.com"}}
contexts:
- {name: kind-whole, context: {cluster: kind-whole}}
- {name: kind-gone, context: {cluster: kind-gone}}
- {name: kind-elsewhere, context: {cluster: kind-elsewhere}}
- {name: work, context: {cluster: kind-gone}}
`
	for path, content := range map[string]string{file: config, file + ".lock": ""} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := &Manager{Engine: e, Kubeconfig: file}
	got, err := m.Leftovers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var unfinished []string
	for _, c := range got.Unfinished {
		unfinished = append(unfinished, c.Name)
	}
	got.Unfinished = nil
	if diff := cmp.Diff([]string{"cut"}, unfinished); diff != "" {
		t.Errorf("unfinished (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Leftovers{NoContext: []string{"mine"}, Unmarked: []string{"never"}, StaleContexts: []string{"kind-gone"}, Locks: []string{file + ".lock"}}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
