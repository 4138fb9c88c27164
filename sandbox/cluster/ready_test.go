package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine/enginetest"
)

// A silent API server is waited for as long as its node runs, and no longer.
func TestWaitingEndsWithTheNode(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ inspect, says string }{
		"the engine is gone": {"echo Cannot connect to the Docker daemon >&2; exit 1", "Cannot connect to the Docker daemon"},
		"the node is gone":   {"echo No such container >&2; exit 1", "No such container"},
		"the node stopped":   {"echo false", "node ai-control-plane has stopped"},
	} {
		e, _ := enginetest.Script(t, `case "$1" in container) `+c.inspect+`;; *) exit 1;; esac`)
		err := waitReady(t.Context(), "ai", NewNode(e, "ai-control-plane", ControlPlane), 1, time.Hour, false)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	e, dir := enginetest.Script(t, `case "$1" in container) touch asked; echo true;; *) exit 1;; esac`)
	err := waitReady(t.Context(), "ai", NewNode(e, "ai-control-plane", ControlPlane), 1, time.Millisecond, false)
	var late *NotReadyError
	if !errors.As(err, &late) {
		t.Errorf("a node that runs: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "asked")); err != nil {
		t.Errorf("the engine was not asked: %v", err)
	}
}
