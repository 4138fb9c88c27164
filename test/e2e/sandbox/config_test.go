//go:build e2e

package sandbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestConfig makes a sandbox from a kind configuration of the user's, with a
// worker before its control plane.
func TestConfig(t *testing.T) {
	m := newMachine(t)
	m.command("sandbox", "delete", "--name", name, "--yes").Run() // of a run that was killed
	t.Cleanup(func() { m.command("sandbox", "delete", "--name", name, "--yes").Run() })
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "hello"), []byte("from this machine"), 0o644); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "kind.yaml")
	content := `kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
name: ` + name + `
networking: {podSubnet: 10.10.0.0/16}
kubeadmConfigPatches:
- |
  kind: KubeletConfiguration
  nodeStatusUpdateFrequency: 3s
nodes:
- role: worker
  labels: {tier: gpu}
- role: control-plane
  extraPortMappings: [{containerPort: 30080, hostPort: 30380, listenAddress: 127.0.0.1}]
  extraMounts: [{hostPath: ` + data + `, containerPath: /data, readOnly: true}]
`
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	_, talk := m.ai(0, "sandbox", "create", "--config", file, "--node", "gpus=0", "--node", "profile=l4,gpus=2")
	if !strings.Contains(talk, "nodeStatusUpdateFrequency is yours") || !strings.Contains(talk, "3s") {
		t.Errorf("nothing said of the slower status:\n%s", talk)
	}
	for _, c := range []struct{ what, got, want string }{
		{"mount", docker(t, "exec", name+"-control-plane", "cat", "/data/hello"), "from this machine"},
		{"port", docker(t, "port", name+"-control-plane", "30080/tcp"), "127.0.0.1:30380"},
		{"patch", docker(t, "exec", name+"-worker", "grep", "nodeStatusUpdateFrequency", "/var/lib/kubelet/config.yaml"), "nodeStatusUpdateFrequency: 3s"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", c.what, c.got, c.want)
		}
	}
	got, err := kubectl(t, "", "get", "node", name+"-worker", "-o", `jsonpath={.metadata.labels.tier} {.spec.podCIDR} {.status.allocatable.nvidia\.com/gpu}`)
	if want := "gpu 10.10.1.0/24 2"; err != nil || got != want {
		t.Errorf("the worker's label, network and GPUs are %q (%v), want %q", got, err, want)
	}
	m.ai(0, "sandbox", "delete", "--name", name, "--yes")
	if left := m.left(); left != "" {
		t.Errorf("left behind: %s", left)
	}
}
