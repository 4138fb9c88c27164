package cluster

import (
	"strings"
	"testing"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine/enginetest"
)

// A node with a frozen process cannot be removed until that is let go.
func TestAFrozenNodeIsRemoved(t *testing.T) {
	t.Parallel()
	const engine = `
case "$1" in
ps) [ -e removed ] || echo ai-control-plane ;;
container) echo '[{"Id":"d34db33f","Name":"/ai-control-plane","Config":{"Image":"node:1","Labels":{"io.x-k8s.kind.cluster":"ai"}}}]' ;;
run) case "$*" in *"node:1 -c "*d34db33f) touch thawed ;; *) echo "unexpected $*" >&2; exit 1 ;; esac ;;
rm) [ -e thawed ] && touch removed || { echo "did not receive an exit event" >&2; exit 1; } ;;
esac`
	for version, removed := range map[int]bool{1: true, 2: false} {
		e, _ := enginetest.Script(t, engine)
		e.CgroupVersion = version
		err := (&Manager{Engine: e}).removeContainers(t.Context(), "ai")
		if (err == nil) != removed || err != nil && !strings.Contains(err.Error(), "exit event") {
			t.Errorf("cgroup v%d: %v", version, err)
		}
	}
}
