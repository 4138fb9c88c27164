package nodeimage

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage/layer"
)

const kindConfig = `# explicitly use v2 config format
version = 2
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.k8s.io/pause:3.10"
  restrict_oom_score_adj = false
  tolerate_missing_hugepages_controller = true
`

func TestMergeConfig(t *testing.T) {
	t.Parallel()
	got, err := mergeConfig([]byte(kindConfig), "registry.k8s.io/pause:9")
	if err != nil {
		t.Fatal(err)
	}
	tree, err := toml.LoadBytes(got)
	if err != nil {
		t.Fatal(err)
	}
	const cri = "io.containerd.grpc.v1.cri"
	for _, c := range []struct {
		name string
		path []string
		want any
	}{
		{"what kind set stays", []string{"plugins", cri, "tolerate_missing_hugepages_controller"}, true},
		{"what we set wins", []string{"plugins", cri, "restrict_oom_score_adj"}, true},
		{"the pause that is in the image", []string{"plugins", cri, "sandbox_image"}, "registry.k8s.io/pause:9"},
		{"CDI", []string{"plugins", cri, "enable_cdi"}, true},
		{"the pod network", []string{"plugins", cri, "cni", "conf_template"}, "/run/kubectl-ai/pods.conflist.template"},
		{"registry hosts", []string{"plugins", cri, "registry", "config_path"}, "/etc/containerd/certs.d"},
	} {
		if diff := cmp.Diff(c.want, tree.GetPath(c.path)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
	// kind's entrypoint edits this line with sed.
	if !bytes.Contains(got, []byte(`snapshotter = "overlayfs"`)) {
		t.Error("the line of the snapshotter has another form")
	}
}

func TestMergeConfigRefuses(t *testing.T) {
	t.Parallel()
	for name, base := range map[string]string{
		"another version of the format": strings.Replace(kindConfig, "version = 2", "version = 3", 1),
		"no line for the snapshotter":   strings.Replace(kindConfig, `snapshotter = "overlayfs"`, "", 1),
		"no TOML":                       "[[[",
	} {
		if _, err := mergeConfig([]byte(base), "p"); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestUnprivilegedService(t *testing.T) {
	t.Parallel()
	const unit = "[Service]\nExecStart=/usr/local/bin/containerd\nLimitNPROC=infinity\nLimitNOFILE=infinity\nTasksMax=infinity\nOOMScoreAdjust=-999\n\n[Install]\n"
	got, err := unprivilegedService([]byte(unit))
	if err != nil {
		t.Fatal(err)
	}
	want := "[Service]\nExecStart=/usr/local/bin/containerd\nTasksMax=infinity\n\n[Install]\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	if _, err := unprivilegedService(got); err == nil {
		t.Error("a unit without limits is not what was expected, and said nothing")
	}
}

func TestPatientEntrypoint(t *testing.T) {
	t.Parallel()
	got, err := patientEntrypoint([]byte("log_info 'detected cgroup v1'\nmore\n"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(got, []byte("detected cgroup v1")) || !bytes.HasSuffix(got, []byte("\nmore\n")) {
		t.Errorf("got %s", got)
	}
	for _, script := range []string{"", "detected cgroup v1 detected cgroup v1"} {
		if _, err := patientEntrypoint([]byte(script)); err == nil {
			t.Errorf("%q: no error", script)
		}
	}
}

func TestBaseSpec(t *testing.T) {
	t.Parallel()
	hook := map[string]any{"path": "/kind/bin/mount-product-files.sh"}
	for _, c := range []struct {
		name, in string
		want     map[string]any
	}{
		{
			"limits go, the hook comes", `{"process":{"cwd":"/","rlimits":[{"type":"RLIMIT_NOFILE"}]}}`,
			map[string]any{"process": map[string]any{"cwd": "/"}, "hooks": map[string]any{"createContainer": []any{hook}}},
		},
		{
			"after hooks that are there", `{"process":{},"hooks":{"createContainer":[{"path":"/a"}]}}`,
			map[string]any{"process": map[string]any{}, "hooks": map[string]any{"createContainer": []any{map[string]any{"path": "/a"}, hook}}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := baseSpec([]byte(c.in))
			if err != nil {
				t.Fatal(err)
			}
			var doc map[string]any
			if err := json.Unmarshal(got, &doc); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, doc); diff != "" {
				t.Error(diff)
			}
		})
	}
	if got, err := baseSpec([]byte(`{"process":{"n":9223372036854771712}}`)); err != nil || !bytes.Contains(got, []byte("9223372036854771712")) {
		t.Errorf("a large number: %s, %v", got, err)
	}
	if _, err := baseSpec([]byte(`{}`)); err == nil {
		t.Error("a specification without a process: no error")
	}
}

// kindFolder is a made-up images/base/files of kind's.
func kindFolder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, "images", "base", "files", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o444); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestSettings(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		containerdConfig: kindConfig, containerdService: "LimitCORE=infinity\n",
		entrypoint: "detected cgroup v1\n", "kind/bin/hook.sh": "x", "etc/crictl.yaml": "y",
	}
	entries, err := settings(kindFolder(t, files), "p:1", []byte(`{"process":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	byPath := map[string]layer.Entry{}
	for _, e := range entries {
		if _, twice := byPath[e.Path]; twice {
			t.Errorf("%s comes twice", e.Path)
		}
		byPath[e.Path] = e
	}
	for path, executable := range map[string]bool{
		"kind/bin/hook.sh": true, "kind/bin/pod-mtu.sh": true, entrypoint: true, "etc/crictl.yaml": false,
		"kind/version": false, "kind/manifests/default-cni.yaml": false, "kind/manifests/default-storage.yaml": false,
		"etc/cni/pods.conflist.template": false, "etc/containerd/cri-base.json": false,
	} {
		e, ok := byPath[path]
		if !ok {
			t.Errorf("no %s", path)
		} else if got := e.Mode&0o111 != 0; got != executable {
			t.Errorf("%s is executable: %v, want %v", path, got, executable)
		}
	}
	if got := string(byPath["kind/version"].Content); got != Kubernetes+"\n" {
		t.Errorf("kind/version is %q", got)
	}

	delete(files, entrypoint)
	if _, err := settings(kindFolder(t, files), "p:1", []byte(`{"process":{}}`)); err == nil || !strings.Contains(err.Error(), entrypoint) {
		t.Errorf("kind without an entrypoint: %v", err)
	}
}

func TestManifestsAreYAMLWithoutPlaceholders(t *testing.T) {
	t.Parallel()
	entries, err := ownFiles()
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, e := range entries {
		if filepath.Ext(e.Path) != ".yaml" {
			continue
		}
		if bytes.Contains(e.Content, []byte("@")) {
			t.Errorf("%s has a placeholder", e.Path)
		}
		for _, doc := range strings.Split(string(e.Content), "\n---\n") {
			var object struct {
				Kind     string
				Metadata struct{ Name string }
			}
			if err := yaml.Unmarshal([]byte(doc), &object); err != nil {
				t.Errorf("%s: %v", e.Path, err)
			}
			if object.Metadata.Name == "" {
				t.Errorf("%s: an object without a name", e.Path)
			}
			kinds[object.Kind]++
		}
	}
	if kinds["StorageClass"] != 1 || kinds["Deployment"] != 1 {
		t.Errorf("got %v", kinds)
	}
}
