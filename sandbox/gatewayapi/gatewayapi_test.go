package gatewayapi_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/engine/enginetest"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gatewayapi"
	"github.com/kubectl-ai/kubectl-ai/sandbox/image"
)

type silence struct{}

func (silence) Start(string) {}
func (silence) End(error)    {}

// The node gets what the build carries, and what it refuses is an error.
func TestInstall(t *testing.T) {
	t.Parallel()
	carried := fstest.MapFS{"crds/gateway-api.yaml": {Data: []byte("kind: CustomResourceDefinition\n")}}
	for _, c := range []struct {
		name, script string
		carried      fs.FS
		wait         time.Duration
		words        string
	}{
		{"it is applied and waited for", `echo "$*" >>calls; cat >>stdin`, carried, time.Minute, ""},
		{"it has no conditions at first", `
			echo "$*" >>calls; cat >>stdin
			case "$*" in *" wait "*) mkdir waited && { echo .status.conditions accessor error >&2; exit 1; };; esac; true`, carried, time.Minute, ""},
		{"it is established before it is listed", `
			echo "$*" >>calls; cat >>stdin
			case "$*" in *" get gateways.gateway.networking.k8s.io,"*) mkdir asked && { echo "the server doesn't have a resource type" >&2; exit 1; };; esac; true`, carried, time.Minute, ""},
		{"another version is there", `cat >/dev/null; echo 'conflict with "helm"' >&2; exit 1`, carried, time.Minute, `conflict with "helm"`},
		{"it is not served in time", `cat >/dev/null; case "$*" in *" wait "*) echo timed out >&2; exit 1;; esac`, carried, time.Millisecond, "timed out"},
		{"it is not listed in time", `cat >/dev/null; case "$*" in *" get "*) echo no resource type >&2; exit 1;; esac`, carried, time.Millisecond, "wait for the CRDs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e, dir := enginetest.Script(t, c.script)
			sandbox := cluster.Cluster{Name: "s", Nodes: []cluster.Node{cluster.NewNode(e, "s-control-plane", cluster.ControlPlane)}}
			err := gatewayapi.Install(t.Context(), c.carried, sandbox, c.wait, silence{})
			if c.words != "" {
				if err == nil || !strings.Contains(err.Error(), c.words) {
					t.Errorf("err = %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			calls, err := os.ReadFile(filepath.Join(dir, "calls"))
			if err != nil || !strings.Contains(string(calls), " apply --server-side ") || !strings.Contains(string(calls), " wait --for=condition=Established --timeout=1m0s ") ||
				!strings.HasSuffix(string(calls), " get gateways.gateway.networking.k8s.io,httproutes.gateway.networking.k8s.io -A -o name --request-timeout=5s\n") {
				t.Errorf("calls: %s, %v", calls, err)
			}
			stdin, err := os.ReadFile(filepath.Join(dir, "stdin"))
			if err != nil || strings.Count(string(stdin), "CustomResourceDefinition") < 2 {
				t.Errorf("stdin: %s, %v", stdin, err)
			}
		})
	}
	var none *image.NoPayloadError
	if err := gatewayapi.Install(t.Context(), fstest.MapFS{}, cluster.Cluster{}, time.Minute, silence{}); !errors.As(err, &none) {
		t.Errorf("err = %v", err)
	}
}
