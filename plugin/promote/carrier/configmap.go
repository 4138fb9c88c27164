package carrier

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// configMapLimit is what a ConfigMap's values may have together: 1 MiB, by
// the API's validation of ConfigMaps.
const configMapLimit = 1 << 20

const codeVolume = "kubectl-ai-code"

// ConfigMaps carries code as an immutable ConfigMap whose name holds the
// digest. It edits the targets and returns the ConfigMap to apply. It returns
// a *TooLargeError or an *UnfitError for a tree that does not fit.
func ConfigMaps(code Code, project string, targets []workload.Target) ([]*unstructured.Unstructured, *Result, error) {
	if err := uncovered(targets); err != nil {
		return nil, nil, err
	}
	digest := code.Digest()
	configMap := fmt.Sprintf("%s-code-%s", project, digest.Short())
	data, binary, items, err := encode(code)
	if err != nil {
		return nil, nil, err
	}
	content := map[string]any{
		"apiVersion": "v1",
		"kind":       "ConfigMap",
		"metadata": map[string]any{
			"name":        configMap,
			"annotations": map[string]any{"kubectl-ai.dev/tree-digest": digest.String()},
		},
		"immutable": true,
	}
	if len(data) > 0 {
		content["data"] = data
	}
	if len(binary) > 0 {
		content["binaryData"] = binary
	}
	var objects []*unstructured.Unstructured
	namespaces := map[string]bool{}
	result := &Result{Images: map[string]string{}}
	for _, t := range targets {
		namespace := t.Object.GetNamespace()
		if !namespaces[namespace] {
			namespaces[namespace] = true
			obj := (&unstructured.Unstructured{Object: content}).DeepCopy()
			if namespace != "" {
				obj.SetNamespace(namespace)
			}
			objects = append(objects, obj)
		}
		mount(t, configMap, items)
		setVariable(t.Container, DigestVariable, digest.String())
		result.Images[t.String()] = t.Container.Image()
	}
	return objects, result, nil
}

// encode turns the tree into the values of a ConfigMap and the items that
// give them their paths and modes back.
func encode(code Code) (data, binary map[string]any, items []any, err error) {
	var size, largest int64
	name := ""
	for _, e := range code.Index {
		if e.Kind == tree.Link {
			return nil, nil, nil, &UnfitError{Path: e.Path, Reason: "is a symbolic link, which a ConfigMap cannot hold"}
		}
		if strings.HasPrefix(e.Path, "..") {
			return nil, nil, nil, &UnfitError{Path: e.Path, Reason: "begins with two dots, which a ConfigMap volume keeps for itself"}
		}
		size += e.Size
		if e.Size > largest || name == "" {
			largest, name = e.Size, e.Path
		}
	}
	if size > configMapLimit {
		return nil, nil, nil, &TooLargeError{Size: size, Limit: configMapLimit, Largest: name, LargestSize: largest}
	}
	data, binary = map[string]any{}, map[string]any{}
	for i, e := range code.Index {
		content, err := code.read(e)
		if err != nil {
			return nil, nil, nil, err
		}
		key := keyOf(i, e.Path)
		if utf8.Valid(content) {
			data[key] = string(content)
		} else {
			binary[key] = base64.StdEncoding.EncodeToString(content)
		}
		mode := int64(0o644)
		if e.Kind == tree.Executable {
			mode = 0o755
		}
		items = append(items, map[string]any{"key": key, "path": e.Path, "mode": mode})
	}
	return data, binary, items, nil
}

// keyOf encodes a path as a key: its place in the index makes it unique, the
// rest is for people. Keys may hold letters, digits, '-', '_' and '.'.
func keyOf(i int, path string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		case r == '/':
			return '_'
		}
		return '-'
	}, path)
	if len(clean) > 200 { // a key has 253 bytes at most
		clean = clean[len(clean)-200:]
	}
	return fmt.Sprintf("%04d-%s", i, clean)
}

// mount gives a target the ConfigMap at its mount path. Containers of a pod
// share the volume.
func mount(t workload.Target, configMap string, items []any) {
	spec := t.Spec()
	volumes, _ := spec["volumes"].([]any)
	if !slices.ContainsFunc(volumes, func(v any) bool {
		m, _ := v.(map[string]any)
		return m["name"] == codeVolume
	}) {
		spec["volumes"] = append(volumes, map[string]any{
			"name":      codeVolume,
			"configMap": map[string]any{"name": configMap, "items": items},
		})
	}
	c := t.Container.Map()
	mounts, _ := c["volumeMounts"].([]any)
	c["volumeMounts"] = append(mounts, map[string]any{"name": codeVolume, "mountPath": t.MountPath, "readOnly": true})
}

// setVariable gives a container a variable unless it has one of that name.
func setVariable(c workload.Container, name, value string) {
	env, _ := c.Map()["env"].([]any)
	for _, item := range env {
		if m, _ := item.(map[string]any); m["name"] == name {
			return
		}
	}
	c.Map()["env"] = append(env, map[string]any{"name": name, "value": value})
}
