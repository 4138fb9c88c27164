package cluster

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files")

func TestKindConfig(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		in   configInput
	}{
		{"one_node", configInput{name: "ai", image: "kindest/node:v1.37.0", nodes: 1, kubernetes: "v1.37.0", cgroupVersion: 2}},
		{"workers_cgroup_v1", configInput{name: "ai", image: "kubectl-ai/node:v1.36.3", nodes: 3, kubernetes: "v1.36.3", cgroupVersion: 1}},
		{"old_kubelet_cgroup_v1", configInput{name: "ai", image: "kindest/node:v1.34.4", nodes: 1, kubernetes: "v1.34.4", cgroupVersion: 1}},
		{"registry_in_an_image_without_hosts", configInput{name: "ai", image: "kindest/node:v1.37.0", nodes: 1, kubernetes: "v1.37.0", cgroupVersion: 2, registryConfig: true}},
		{"real_gpus_on_a_worker", configInput{
			name: "ai", image: "kindest/node:v1.37.0", nodes: 2, kubernetes: "v1.37.0", cgroupVersion: 2,
			mounts: [][]Mount{nil, {{"/usr/lib64/libcuda.so.590.48.01", "/run/nvidia/host-driver/usr/lib64/libcuda.so.590.48.01"}}},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := yaml.Marshal(kindConfig(c.in))
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", c.name+".golden")
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
		})
	}
}

func TestCheckName(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"ai": true, "a": true, "team-1": true, strings.Repeat("a", 49): true,
		"": false, "Ai": false, "a.b": false, "-a": false, "a-": false, "a_b": false, strings.Repeat("a", 50): false,
	} {
		err := CheckName(name)
		var wrong *NameError
		if (err == nil) != ok || err != nil && !errors.As(err, &wrong) {
			t.Errorf("CheckName(%q) = %v", name, err)
		}
	}
}

func TestParseMinor(t *testing.T) {
	t.Parallel()
	for version, want := range map[string][3]int{
		"v1.36.3": {1, 36, 1}, "v1.37.0-rc.1": {1, 37, 1}, "latest": {}, "v1.36": {}, "": {}, "1.36.3": {},
	} {
		major, minor, ok := parseMinor(version)
		got := [3]int{}
		if ok {
			got = [3]int{major, minor, 1}
		}
		if got != want {
			t.Errorf("parseMinor(%q) = %v, want %v", version, got, want)
		}
	}
}

func TestNewestImage(t *testing.T) {
	t.Parallel()
	got := newest([]string{"kubectl-ai/node:v1.9.1", "kubectl-ai/node:v1.36.3", "kubectl-ai/node:v1.34.4", "kubectl-ai/node:<none>", "host:5000/node"})
	if got != "kubectl-ai/node:v1.36.3" {
		t.Errorf("got %q", got)
	}
}

func TestRegistryHosts(t *testing.T) {
	t.Parallel()
	for dump, has := range map[string]bool{
		"      config_path = '/etc/containerd/certs.d'":                            true,
		"  config_path = \"/etc/containerd/certs.d:/etc/docker/certs.d\"\n":        true,
		"      config_path = ''\n":                                                 false,
		"    plugin_config_path = '/etc/containerd/certs.d'\n  config_path = ''\n": false,
	} {
		if registryHosts.MatchString(dump) != has {
			t.Errorf("%q: not %v", dump, has)
		}
	}
}
