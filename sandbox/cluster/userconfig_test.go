package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func readConfig(t *testing.T, name string) *UserConfig {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	u, err := ReadConfig(f)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// The golden file is the user's, with what a sandbox adds: read the
// difference of the two.
func TestTheUsersConfigurationIsKept(t *testing.T) {
	t.Parallel()
	u := readConfig(t, "user.yaml")
	if u.Name() != "mine" || u.Nodes() != 3 {
		t.Errorf("name %q, %d nodes", u.Name(), u.Nodes())
	}
	if diff := cmp.Diff([]string{"kindest/node:v1.35.0"}, u.images()); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
	if delay, ok := u.statusDelay(); !ok || delay != 20*time.Second {
		t.Errorf("delay %v, %v", delay, ok)
	}
	got, err := yaml.Marshal(kindConfig(configInput{
		name: "other", image: "kubectl-ai/node:v1.36.3", nodes: u.Nodes(), kubernetes: "v1.36.3", cgroupVersion: 1, registryConfig: true,
		mounts: [][]Mount{nil, nil, {{"/usr/lib64/libcuda.so.1.2", "/run/nvidia/host-driver/usr/lib64/libcuda.so.1.2"}}}, user: u,
	}))
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "user.golden")
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(diff)
	}
	if len(u.kind.Nodes[2].ExtraMounts) != 0 {
		t.Error("merging changed the user's configuration")
	}
}

func TestConfigurations(t *testing.T) {
	t.Parallel()
	const head = "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n"
	for name, c := range map[string]struct {
		content, refused string
		nodes            int
	}{
		"the smallest":                  {head, "", 1},
		"a worker before its master":    {head + "nodes: [{role: worker}, {role: control-plane}]\n", "", 2},
		"a node without a role":         {head + "nodes: [{}, {role: worker}]\n", "", 2},
		"workers alone":                 {head + "nodes: [{role: worker}]\n", "no node is a control plane", 0},
		"a field that kind has not":     {head + "node: []\n", "field node not found", 0},
		"another version":               {"kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha3\n", "v1alpha4", 0},
		"no kind configuration":         {"apiVersion: v1\nkind: Pod\n", "v1alpha4", 0},
		"nothing":                       {"", "EOF", 0},
		"no YAML":                       {"{", "did not find", 0},
		"a mount over the mark":         {head + "nodes: [{extraMounts: [{hostPath: /x, containerPath: /etc/kubectl-ai/}]}]\n", "/etc/kubectl-ai", 0},
		"a mount over the driver":       {head + "nodes: [{extraMounts: [{hostPath: /x, containerPath: /run/nvidia/host-driver/usr}]}]\n", "/run/nvidia", 0},
		"a mount beside them":           {head + "nodes: [{extraMounts: [{hostPath: /x, containerPath: /etc/kubectl-aid}]}]\n", "", 1},
		"a propagation that is none":    {head + "nodes: [{extraMounts: [{hostPath: /x, containerPath: /y, propagation: Up}]}]\n", "Up", 0},
		"two documents, the first used": {head + "---\n" + head + "nodes: [{}, {}]\n", "", 1},
	} {
		u, err := ReadConfig(strings.NewReader(c.content))
		var refused *ConfigError
		switch {
		case c.refused == "" && (err != nil || u.Nodes() != c.nodes):
			t.Errorf("%s: %v", name, err)
		case c.refused != "" && (!errors.As(err, &refused) || !strings.Contains(err.Error(), c.refused)):
			t.Errorf("%s: %v, want one that says %q", name, err, c.refused)
		}
	}
}

func TestAClusterWithoutAConfiguration(t *testing.T) {
	t.Parallel()
	var u *UserConfig
	if _, ok := u.statusDelay(); ok || u.ownNetwork() {
		t.Error("no configuration has settings")
	}
}
