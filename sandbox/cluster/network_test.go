package cluster

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine/enginetest"
)

// An API server that has just begun fails one command and does the next.
const begins = `mkdir failed 2>/dev/null && { echo net/http: TLS handshake timeout >&2; exit 1; }; `

func TestPodNetworksAreAskedForAgain(t *testing.T) {
	t.Parallel()
	e, _ := enginetest.Script(t, begins+`mkdir early 2>/dev/null && { echo '{"items":[]}'; exit; }
echo '{"items":[{"metadata":{"name":"ai-control-plane"},"spec":{"podCIDRs":["10.244.0.0/24","fd00::/64"]}}]}'`)
	got, err := podNetworks(t.Context(), NewNode(e, "ai-control-plane", ControlPlane), 1)
	if diff := cmp.Diff(map[string][]string{"ai-control-plane": {"10.244.0.0/24"}}, got); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	e, _ = enginetest.Script(t, `echo no JSON`)
	if _, err := podNetworks(t.Context(), NewNode(e, "ai-control-plane", ControlPlane), 1); err == nil || !strings.Contains(err.Error(), "read the list of nodes") {
		t.Errorf("what is no list of nodes: %v", err)
	}
}

func TestTheNetworkDaemonIsLookedForAgain(t *testing.T) {
	t.Parallel()
	for daemons, want := range map[string]bool{"daemonset.apps/kube-proxy": true, "daemonset.apps/kindnet daemonset.apps/kube-proxy": false} {
		e, _ := enginetest.Script(t, begins+"echo "+daemons)
		if got, err := needsRoutes(t.Context(), NewNode(e, "ai-control-plane", ControlPlane)); got != want || err != nil {
			t.Errorf("%s: %v, %v", daemons, got, err)
		}
	}
}
