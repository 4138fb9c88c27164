package bundle

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Side is one of two renderings that are compared.
type Side struct {
	Objects []*unstructured.Unstructured
	Naming  Naming
}

// Open renders the overlay in dir for a comparison.
func Open(dir string, o Options) (Side, error) {
	objects, err := Render(dir, o)
	if err != nil {
		return Side{}, err
	}
	naming, err := NamingOf(dir)
	return Side{objects, naming}, err
}

// Difference is one leaf that two renderings of a bundle do not share. A list
// of plain values is one leaf, since its order matters and its places mean
// nothing by themselves.
type Difference struct {
	Object string `json:"object"` // Kind/name, without the overlay's prefix; "" for the overlay itself
	Field  string `json:"field"`  // spec.template.spec.containers[name=trainer].image
	// A and B are the values; nil where a side has none.
	A     any   `json:"a"`
	B     any   `json:"b"`
	Class Class `json:"class"`
	// Expected says that environments are there to differ in this.
	Expected bool `json:"expected"`
}

// Compare returns every leaf that differs between two renderings of one
// bundle, each once, those that should not differ first. Objects are matched
// by group, kind and the name that they have without prefix, suffix and hash;
// items of a list by what Kubernetes merges them by, such as a container's
// name. show, where given, is applied to every object before its leaves are
// read: it hides what must not be printed and has to keep equal values equal.
func Compare(a, b Side, show func(*unstructured.Unstructured) *unstructured.Unstructured) []Difference {
	var out []Difference
	for _, part := range []struct{ field, a, b string }{
		{"namePrefix", a.Naming.Prefix, b.Naming.Prefix},
		{"nameSuffix", a.Naming.Suffix, b.Naming.Suffix},
	} {
		if part.a != part.b {
			out = append(out, Difference{Field: part.field, A: part.a, B: part.b, Class: ClassNames, Expected: true})
		}
	}
	before, after := byIdentity(a, show), byIdentity(b, show)
	for id, from := range before {
		to, ok := after[id]
		if !ok {
			out = append(out, Difference{Object: id.short(), A: "present", Class: ClassObject})
			continue
		}
		c := comparison{object: from}
		c.values("", from.Object, to.Object)
		out = append(out, c.found...)
	}
	for id := range after {
		if _, ok := before[id]; !ok {
			out = append(out, Difference{Object: id.short(), B: "present", Class: ClassObject})
		}
	}
	slices.SortFunc(out, func(x, y Difference) int {
		return cmp.Or(order(x.Expected, y.Expected), cmp.Compare(x.Object, y.Object), cmp.Compare(x.Field, y.Field))
	})
	return out
}

func order(x, y bool) int {
	switch {
	case x == y:
		return 0
	case y:
		return -1
	}
	return 1
}

type identity struct{ group, kind, name string }

func (i identity) short() string { return i.kind + "/" + i.name }

// byIdentity leaves the namespace out: environments have their own. Two
// objects of one name in two namespaces are told apart by it.
func byIdentity(s Side, show func(*unstructured.Unstructured) *unstructured.Unstructured) map[identity]*unstructured.Unstructured {
	objects := canonical(s.Objects, s.Naming)
	count := map[identity]int{}
	of := func(obj *unstructured.Unstructured) identity {
		gvk := obj.GroupVersionKind()
		return identity{gvk.Group, gvk.Kind, obj.GetName()}
	}
	for _, obj := range objects {
		count[of(obj)]++
	}
	out := map[identity]*unstructured.Unstructured{}
	for _, obj := range objects {
		id := of(obj)
		if count[id] > 1 {
			id.name = obj.GetNamespace() + "/" + id.name
		}
		if show != nil {
			obj = show(obj)
		}
		out[id] = obj
	}
	return out
}

type comparison struct {
	object *unstructured.Unstructured
	found  []Difference
}

func (c *comparison) values(field string, a, b any) {
	if reflect.DeepEqual(a, b) {
		return
	}
	switch from := a.(type) {
	case map[string]any:
		if to, ok := b.(map[string]any); ok {
			c.maps(field, from, to)
			return
		}
	case []any:
		to, ok := b.([]any)
		if key := mergeKey(from, to); ok && key != "" {
			c.lists(field, key, from, to)
			return
		}
	}
	c.leaves(field, a, b)
}

func (c *comparison) maps(field string, a, b map[string]any) {
	for key, from := range a {
		c.values(join(field, key), from, b[key])
	}
	for key, to := range b {
		if _, ok := a[key]; !ok {
			c.values(join(field, key), nil, to)
		}
	}
}

func (c *comparison) lists(field, key string, a, b []any) {
	index := func(list []any) map[string]any {
		out := map[string]any{}
		for _, item := range list {
			out[fmt.Sprint(item.(map[string]any)[key])] = item
		}
		return out
	}
	from, to := index(a), index(b)
	at := func(name string) string { return fmt.Sprintf("%s[%s=%s]", field, key, name) }
	for name, item := range from {
		c.values(at(name), item, to[name])
	}
	for name, item := range to {
		if _, ok := from[name]; !ok {
			c.values(at(name), nil, item)
		}
	}
}

// leaves lists what one side has and the other has not, down to the values.
func (c *comparison) leaves(field string, a, b any) {
	if a == nil || b == nil {
		whole, left := a, true
		if a == nil {
			whole, left = b, false
		}
		side := func(v any) (any, any) {
			if left {
				return v, nil
			}
			return nil, v
		}
		switch v := whole.(type) {
		case map[string]any:
			for key, item := range v {
				if len(v) > 1 && strings.HasSuffix(field, fmt.Sprintf("[%s=%v]", key, item)) {
					continue // the path says it
				}
				x, y := side(item)
				c.leaves(join(field, key), x, y)
			}
			if len(v) > 0 {
				return
			}
		case []any:
			if key := mergeKey(v, nil); key != "" {
				for _, item := range v {
					x, y := side(item)
					c.leaves(fmt.Sprintf("%s[%s=%v]", field, key, item.(map[string]any)[key]), x, y)
				}
				return
			}
		}
	}
	class, expected := classOf(c.object, field)
	c.found = append(c.found, Difference{
		Object: c.object.GetKind() + "/" + c.object.GetName(), Field: field, A: a, B: b, Class: class, Expected: expected,
	})
}

// mergeKeys are the fields by which Kubernetes merges lists of objects
// (x-kubernetes-list-map-keys, patchMergeKey), the most telling first.
var mergeKeys = []string{"name", "mountPath", "devicePath", "containerPort", "port", "key", "topologyKey", "ip", "type", "host"}

// mergeKey returns the field that tells the items of both lists apart, "" when
// there is none.
func mergeKey(a, b []any) string {
	if len(a)+len(b) == 0 {
		return ""
	}
	tells := func(list []any, key string) bool {
		seen := map[string]bool{}
		for _, item := range list {
			m, ok := item.(map[string]any)
			v, has := m[key]
			if !ok || !has || seen[fmt.Sprint(v)] {
				return false
			}
			seen[fmt.Sprint(v)] = true
		}
		return true
	}
	for _, key := range mergeKeys {
		if tells(a, key) && tells(b, key) {
			return key
		}
	}
	return ""
}

func join(field, key string) string {
	if strings.ContainsAny(key, "./[") {
		key = "[" + key + "]"
		return field + key
	}
	if field == "" {
		return key
	}
	return field + "." + key
}
