package command

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/cli-runtime/pkg/genericclioptions"
)

const twoContexts = `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://prod.example:6443"}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: prod, context: {cluster: c, user: u}}, {name: other, context: {cluster: c, user: u}}, {name: home, context: {cluster: c, user: u, namespace: mine}}]
current-context: other
`

func factory(t *testing.T, args ...string) *Factory {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(path, []byte(twoContexts), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", path)
	f := &Factory{Flags: genericclioptions.NewConfigFlags(true), Version: "v9"}
	root := NewCmdRender(f)
	f.Flags.AddFlags(root.Flags())
	if err := root.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestConnectionFlagsReachTheClient(t *testing.T) {
	f := factory(t, "--as", "alice", "--request-timeout", "7s")
	config, err := f.RESTConfig("prod")
	if err != nil {
		t.Fatal(err)
	}
	if config.Impersonate.UserName != "alice" || config.Timeout != 7*time.Second || config.QPS != -1 || config.UserAgent != "kubectl-ai/v9" {
		t.Errorf("%+v", config)
	}
}

// Without a context of that name it is the pod's own cluster, and outside of a
// pod there is none.
func TestInCluster(t *testing.T) {
	f := factory(t)
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	if _, err := f.RESTConfig("in-cluster"); err == nil {
		t.Error("it found a cluster")
	}
	if _, err := f.RESTConfig("nowhere"); err == nil {
		t.Error("a context that is not there is taken")
	}
}
