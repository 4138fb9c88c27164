package preflight

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
)

const gpu = "nvidia.com/gpu"

// object reads a manifest; it lands in namespace ns unless its kind or the
// manifest says otherwise.
func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	if s, ok := kindsServed[obj.GroupVersionKind()]; obj.GetNamespace() == "" && (!ok || s.namespaced) {
		obj.SetNamespace("ns")
	}
	return obj
}

func resourceOf(group, version, kind, plural string, namespaced bool) (schema.GroupVersionKind, served) {
	gv := schema.GroupVersion{Group: group, Version: version}
	return gv.WithKind(kind), served{gv.WithResource(plural), namespaced}
}

// kindsServed are the kinds that the clusters of tests serve.
var kindsServed = func() map[schema.GroupVersionKind]served {
	out := map[schema.GroupVersionKind]served{}
	for _, k := range []struct {
		group, version, kind, plural string
		namespaced                   bool
	}{
		{"", "v1", "ConfigMap", "configmaps", true},
		{"", "v1", "Secret", "secrets", true},
		{"", "v1", "Service", "services", true},
		{"", "v1", "ServiceAccount", "serviceaccounts", true},
		{"", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", true},
		{"", "v1", "Pod", "pods", true},
		{"", "v1", "Node", "nodes", false},
		{"", "v1", "Namespace", "namespaces", false},
		{"apps", "v1", "Deployment", "deployments", true},
		{"apps", "v1", "StatefulSet", "statefulsets", true},
		{"batch", "v1", "Job", "jobs", true},
		{"batch", "v1", "CronJob", "cronjobs", true},
		{"rbac.authorization.k8s.io", "v1", "Role", "roles", true},
		{"rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", true},
		{"rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", false},
		{"scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", false},
		{"storage.k8s.io", "v1", "StorageClass", "storageclasses", false},
		{"kueue.x-k8s.io", "v1beta2", "LocalQueue", "localqueues", true},
		{"kueue.x-k8s.io", "v1beta2", "ClusterQueue", "clusterqueues", false},
	} {
		gvk, s := resourceOf(k.group, k.version, k.kind, k.plural, k.namespaced)
		out[gvk] = s
	}
	return out
}()

type mapper struct{ meta.RESTMapper }

func (mapper) Reset() {}

func newMapper(leaveOut ...string) mapper {
	var versions []schema.GroupVersion
	for gvk := range kindsServed {
		versions = append(versions, gvk.GroupVersion())
	}
	m := meta.NewDefaultRESTMapper(versions)
next:
	for gvk, s := range kindsServed {
		for _, group := range leaveOut {
			if gvk.Group == group {
				continue next
			}
		}
		scope := meta.RESTScopeRoot
		if s.namespaced {
			scope = meta.RESTScopeNamespace
		}
		m.AddSpecific(gvk, s.resource, s.resource, scope)
	}
	return mapper{m}
}

// seen is a check of the objects and the view of a cluster that holds nothing
// but namespace ns.
func seen(t *testing.T, manifests ...string) (*Check, *view) {
	t.Helper()
	c := &Check{Client: &apply.Client{Mapper: newMapper()}, Server: Server{Version: "v1.37.2"}, Project: "digits", Environment: "production", Namespace: "ns"}
	for _, text := range manifests {
		c.Objects = append(c.Objects, object(t, text))
	}
	v := newView()
	if err := c.served(v); err != nil {
		t.Fatal(err)
	}
	var err error
	if v.pods, err = podSets(c.Objects); err != nil {
		t.Fatal(err)
	}
	v.namespaces["ns"] = &namespace{}
	return c, v
}

// lines are the findings in a line each, with their level.
func lines(r Report) []string {
	var out []string
	for _, f := range r {
		out = append(out, string(f.Level)+" "+f.String())
	}
	return out
}

// expect compares findings with parts of the lines that they are to be.
func expect(t *testing.T, got Report, want ...string) {
	t.Helper()
	have := lines(got)
	if len(have) != len(want) {
		t.Fatalf("%d findings, want %d:\n%s", len(have), len(want), cmp.Diff(want, have))
	}
	for i := range want {
		level, words, _ := strings.Cut(want[i], " ")
		if !strings.HasPrefix(have[i], level+" ") || !strings.Contains(have[i], words) {
			t.Errorf("finding %d is %q, want %q", i, have[i], want[i])
		}
	}
}

func amounts(pairs ...string) corev1.ResourceList {
	out := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		out[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return out
}

func livesAs(obj *unstructured.Unstructured, edit func(*metav1.PartialObjectMetadata)) *metav1.PartialObjectMetadata {
	live := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: obj.GetName(), Namespace: obj.GetNamespace()}}
	if edit != nil {
		edit(live)
	}
	return live
}
