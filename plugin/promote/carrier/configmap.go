package carrier

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

const (
	// chunkLimit is what the values of one ConfigMap may have together. The
	// API allows 1 MiB; keys and metadata need some of it.
	chunkLimit = 900 << 10
	// chunks is how many ConfigMaps the code may take. Chosen: each is a
	// request of every pod's kubelet, and all are in etcd.
	chunks = 8
	// itemsLimit bounds what the list of files takes in the pod template,
	// which is part of an object that etcd takes up to 1.5 MiB of.
	itemsLimit = 768 << 10
)

// TreeAnnotation is on the ConfigMaps: the digest of the whole tree.
const TreeAnnotation = "kubectl-ai.dev/tree-digest"

// ConfigMaps carries code as immutable ConfigMaps in one projected volume,
// whose names hold the digest of the tree.
type ConfigMaps struct {
	// Resolver finds runtime images, to name them by digest; nil: they stay as
	// the bundle names them.
	Resolver *Resolver
	Project  string
	// Writes guards what cannot be written to; nil: nobody asks.
	Writes Writes
}

// Format implements Carrier.
func (*ConfigMaps) Format() string { return FormatConfigMap }

// Able implements Carrier. It returns a *TooLargeError or an *UnfitError for a
// tree that does not fit, *CoveredError, or what Writes says.
func (c *ConfigMaps) Able(ctx context.Context, code Code, targets []workload.Target) error {
	if err := uncovered(targets); err != nil {
		return err
	}
	if _, err := divide(code.Index); err != nil {
		return err
	}
	return c.Writes.check(ctx, c.Format())
}

// Carry implements Carrier.
func (c *ConfigMaps) Carry(ctx context.Context, code Code, targets []workload.Target, r Reporter) (*Result, error) {
	parts, err := divide(code.Index)
	if err != nil {
		return nil, err
	}
	digest := code.Digest()
	result := &Result{Format: c.Format()}
	var sources []any
	var made []*unstructured.Unstructured
	for i, part := range parts {
		name := fmt.Sprintf("%s-code-%s", c.Project, digest.Short())
		if i > 0 {
			name += fmt.Sprintf("-%d", i)
		}
		obj, items, err := encode(code, part, name)
		if err != nil {
			return nil, err
		}
		made = append(made, obj)
		sources = append(sources, map[string]any{"configMap": map[string]any{"name": name, "items": items}})
		result.Code = append(result.Code, "ConfigMap/"+name)
	}
	namespaces := map[string]bool{}
	for _, t := range targets {
		namespace := t.Object.GetNamespace()
		if !namespaces[namespace] {
			namespaces[namespace] = true
			for _, obj := range made {
				obj = obj.DeepCopy()
				if namespace != "" {
					obj.SetNamespace(namespace)
				}
				result.Objects = append(result.Objects, obj)
			}
		}
		image := t.Container.Image()
		var base *Base
		if c.Resolver != nil {
			if base, err = c.Resolver.pin(ctx, t.Container, r); err != nil {
				return nil, err
			}
		}
		mount(t, map[string]any{"projected": map[string]any{"sources": sources}}, digest)
		result.keep(t, image, base)
	}
	return result, nil
}

// part is the entries of one ConfigMap, with their places in the index.
type part struct {
	first   int
	entries tree.Index
}

// divide fills ConfigMaps in path order. A file is never in two.
func divide(index tree.Index) ([]part, error) {
	parts := []part{{}}
	var size, total int64
	largest := tree.Entry{}
	for _, e := range index {
		if e.Kind == tree.Link {
			return nil, &UnfitError{Path: e.Path, Reason: "is a symbolic link, which a ConfigMap cannot hold"}
		}
		if strings.HasPrefix(e.Path, "..") {
			return nil, &UnfitError{Path: e.Path, Reason: "begins with two dots, which a ConfigMap volume keeps for itself"}
		}
		if e.Size > chunkLimit {
			return nil, &UnfitError{Path: e.Path, Reason: fmt.Sprintf("has %d bytes, and one ConfigMap holds %d", e.Size, chunkLimit)}
		}
		if e.Size >= largest.Size {
			largest = e
		}
	}
	items := 0
	for i, e := range index {
		if size+e.Size > chunkLimit {
			parts, size = append(parts, part{first: i}), 0
		}
		last := &parts[len(parts)-1]
		last.entries = append(last.entries, e)
		size, total = size+e.Size, total+e.Size
		items += len(e.Path) + len(keyOf(i, e.Path)) + len(`{"key":"","path":"","mode":420},`)
	}
	if len(parts) > chunks {
		return nil, &TooLargeError{Size: total, Limit: chunks * chunkLimit, Largest: largest.Path, LargestSize: largest.Size}
	}
	if items > itemsLimit {
		return nil, &TooLargeError{Size: total, Limit: chunks * chunkLimit, Files: len(index)}
	}
	return parts, nil
}

// encode turns a part of the tree into a ConfigMap and the items that give its
// files their paths and modes back.
func encode(code Code, p part, name string) (*unstructured.Unstructured, []any, error) {
	data, binary := map[string]any{}, map[string]any{}
	var items []any
	for i, e := range p.entries {
		content, err := code.Read(e)
		if err != nil {
			return nil, nil, err
		}
		key := keyOf(p.first+i, e.Path)
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
	object := map[string]any{
		"apiVersion": "v1",
		"kind":       "ConfigMap",
		"metadata": map[string]any{
			"name":        name,
			"annotations": map[string]any{TreeAnnotation: code.Digest().String()},
		},
		"immutable": true,
	}
	if len(data) > 0 {
		object["data"] = data
	}
	if len(binary) > 0 {
		object["binaryData"] = binary
	}
	return &unstructured.Unstructured{Object: object}, items, nil
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
