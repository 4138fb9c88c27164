package carrier

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
)

func TestAConfigMapRestoresTheTree(t *testing.T) {
	files := map[string]string{"blob": "\xff\xfe\x00", "dir with space/ü.py": "u", strings.Repeat("long/", 60) + "x": "deep"}
	for name, content := range sample {
		files[name] = content
	}
	code := newCode(t, files, nil)
	list := targets(t, "i")
	objects, _, err := ConfigMaps(code, "p", list)
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) != 1 {
		t.Fatalf("%d ConfigMaps", len(objects))
	}
	configMap := objects[0]
	if configMap.Object["immutable"] != true || configMap.GetNamespace() != "ns" || !strings.HasSuffix(configMap.GetName(), code.Digest().Short()) {
		t.Errorf("%v", configMap.Object["metadata"])
	}
	// What the kubelet makes of it: items with their paths and modes.
	root := t.TempDir()
	volumes := list[0].Spec()["volumes"].([]any)
	if len(volumes) != 1 {
		t.Fatalf("two containers of a pod share the volume, found %d", len(volumes))
	}
	volume := volumes[0].(map[string]any)["configMap"].(map[string]any)
	if volume["name"] != configMap.GetName() {
		t.Errorf("the volume is of %v", volume["name"])
	}
	for _, item := range volume["items"].([]any) {
		item := item.(map[string]any)
		key := item["key"].(string)
		if problems := validation.IsConfigMapKey(key); len(problems) > 0 {
			t.Errorf("key %q: %v", key, problems)
		}
		content, ok, _ := unstructured.NestedString(configMap.Object, "data", key)
		if !ok {
			encoded, _, _ := unstructured.NestedString(configMap.Object, "binaryData", key)
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
	if got := scanned(t, root).Digest(); got != code.Digest() {
		t.Errorf("the pod would see %s, the laptop has %s", got, code.Digest())
	}
	mounts := list[1].Container.Map()["volumeMounts"].([]any)
	if m := mounts[0].(map[string]any); m["mountPath"] != "/app" || m["readOnly"] != true {
		t.Errorf("mounted as %v", m)
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
		{"more than 1 MiB", map[string]string{"a.py": "", "weights.bin": strings.Repeat("x", 1<<20+1)}, nil, "weights.bin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := ConfigMaps(newCode(t, c.files, c.links), "p", targets(t, "i"))
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("err = %v", err)
			}
		})
	}
	code := newCode(t, sample, nil)
	code.Index[0].Sum = [32]byte{}
	var changed *ChangedError
	if _, _, err := ConfigMaps(code, "p", targets(t, "i")); !errors.As(err, &changed) {
		t.Errorf("code that was saved meanwhile: %v", err)
	}
}
