package carrier

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
)

func TestAConfigMapRestoresTheTree(t *testing.T) {
	files := map[string]string{"blob": "\xff\xfe\x00", "dir with space/ü.py": "u", strings.Repeat("long/", 60) + "x": "deep"}
	for name, content := range sample {
		files[name] = content
	}
	code := newCode(t, files, nil)
	list := targets(t, "i")
	result, err := configMaps().Carry(t.Context(), code.Code, list, quiet{})
	if err != nil {
		t.Fatal(err)
	}
	objects := result.Objects
	if len(objects) != 1 {
		t.Fatalf("%d ConfigMaps", len(objects))
	}
	configMap := objects[0]
	if configMap.Object["immutable"] != true || configMap.GetNamespace() != "ns" || !strings.HasSuffix(configMap.GetName(), code.Digest().Short()) {
		t.Errorf("%v", configMap.Object["metadata"])
	}
	if got := kubelet(t, list[0], objects).Digest(); got != code.Digest() {
		t.Errorf("the pod would see %s, the laptop has %s", got, code.Digest())
	}
	mounts := list[1].Container.Map()["volumeMounts"].([]any)
	if m := mounts[0].(map[string]any); m["mountPath"] != "/app" || m["readOnly"] != true {
		t.Errorf("mounted as %v", m)
	}
}

// configMaps is the carrier with an engine that has no image.
func configMaps() *ConfigMaps {
	return &ConfigMaps{Resolver: &Resolver{Patience: time.Millisecond}, Project: "p"}
}

// kubelet makes of ConfigMaps what a kubelet does for a pod of the target:
// items with their paths and modes.
func kubelet(t *testing.T, target workload.Target, objects []*unstructured.Unstructured) folder {
	t.Helper()
	root := t.TempDir()
	volumes := target.Spec()["volumes"].([]any)
	if len(volumes) != 1 {
		t.Fatalf("two containers of a pod share the volume, found %d", len(volumes))
	}
	for _, source := range volumes[0].(map[string]any)["projected"].(map[string]any)["sources"].([]any) {
		source := source.(map[string]any)["configMap"].(map[string]any)
		at := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetName() == source["name"] })
		if at < 0 {
			t.Fatalf("the volume is of %v", source["name"])
		}
		for _, item := range source["items"].([]any) {
			item := item.(map[string]any)
			key := item["key"].(string)
			if problems := validation.IsConfigMapKey(key); len(problems) > 0 {
				t.Errorf("key %q: %v", key, problems)
			}
			content, ok, _ := unstructured.NestedString(objects[at].Object, "data", key)
			if !ok {
				encoded, _, _ := unstructured.NestedString(objects[at].Object, "binaryData", key)
				raw, err := base64.StdEncoding.DecodeString(encoded)
				if err != nil {
					t.Fatal(err)
				}
				content = string(raw)
			}
			path := filepath.Join(root, item["path"].(string))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), os.FileMode(item["mode"].(int64))); err != nil {
				t.Fatal(err)
			}
		}
	}
	return scanned(t, root)
}

// Three MiB are more than one ConfigMap holds, and each of several stays below
// what the API allows.
func TestLargerCodeTakesSeveralConfigMaps(t *testing.T) {
	files := map[string]string{"bin*": strings.Repeat("\xff", 700<<10)}
	for i := range 30 {
		files[fmt.Sprintf("m/%02d.py", i)] = strings.Repeat("x", 100<<10) + fmt.Sprint(i)
	}
	code := newCode(t, files, nil)
	list := targets(t, "i")
	result, err := configMaps().Carry(t.Context(), code.Code, list, quiet{})
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Objects) < 4 {
		t.Errorf("%d ConfigMaps", len(result.Objects))
	}
	names := map[string]bool{}
	for _, obj := range result.Objects {
		size := 0
		for _, field := range []string{"data", "binaryData"} {
			values, _, _ := unstructured.NestedStringMap(obj.Object, field)
			for _, v := range values {
				size += len(v)
				if field == "binaryData" {
					size -= len(v) / 4
				}
			}
		}
		if size > 1<<20 {
			t.Errorf("%s has %d bytes", obj.GetName(), size)
		}
		names[obj.GetName()] = true
	}
	if len(names) != len(result.Objects) {
		t.Errorf("names are not their own: %v", names)
	}
	if got := kubelet(t, list[0], result.Objects).Digest(); got != code.Digest() {
		t.Errorf("the pod would see %s, the laptop has %s", got, code.Digest())
	}
}

func TestAConfigMapRefusesWhatItCannotHold(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		links map[string]string
		says  string
	}{
		{"a link", sample, map[string]string{"link": "train.py"}, "link is a symbolic link"},
		{"two dots", map[string]string{"..a": ""}, nil, "..a begins with two dots"},
		{"one file above the limit", map[string]string{"a.py": "", "weights.bin": strings.Repeat("x", 900<<10+1)}, nil, "weights.bin has"},
		{"all above the limit", many(9, 800<<10), nil, "its largest file is"},
		{"more files than a pod template lists", many(4000, 1), nil, "4000 files"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := configMaps().Able(t.Context(), newCode(t, c.files, c.links).Code, targets(t, "i"))
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("err = %v", err)
			}
		})
	}
	code := newCode(t, sample, nil)
	code.Index[0].Sum = [32]byte{}
	var changed *ChangedError
	if _, err := configMaps().Carry(t.Context(), code.Code, targets(t, "i"), quiet{}); !errors.As(err, &changed) {
		t.Errorf("code that was saved meanwhile: %v", err)
	}
}

// many returns n files of that many bytes.
func many(n, size int) map[string]string {
	files := map[string]string{}
	for i := range n {
		files[fmt.Sprintf("%s%d.bin", strings.Repeat("long", max(n/200, 1)-1), i)] = strings.Repeat("x", size)
	}
	return files
}

// What cannot be written to is refused to a program that writes, and to one
// that nobody can be asked about.
func TestReadOnlyCarriersRefuseAProgramThatWrites(t *testing.T) {
	code := newCode(t, sample, nil)
	ask := func(w Writes) error {
		c := configMaps()
		c.Writes = w
		return c.Able(t.Context(), code.Code, targets(t, "i"))
	}
	var written *WrittenError
	if err := ask(func(context.Context) ([]string, error) { return []string{"out/a.pt"}, nil }); !errors.As(err, &written) || written.Paths[0] != "out/a.pt" {
		t.Errorf("one that writes: %v", err)
	}
	var unasked *UnaskedError
	if err := ask(func(context.Context) ([]string, error) { return nil, errors.New("nobody runs") }); !errors.As(err, &unasked) {
		t.Errorf("nobody to ask: %v", err)
	}
	if err := ask(func(context.Context) ([]string, error) { return nil, nil }); err != nil {
		t.Errorf("one that does not: %v", err)
	}
}
