package promote

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

func TestUninstallKeepsData(t *testing.T) {
	set := member(t, `{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: db, namespace: ns}, spec: {volumeClaimTemplates: [{metadata: {name: data}}]}}`)
	claim := object(t, `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data-db-0, namespace: ns, uid: uid-claim}}`)
	stranger := object(t, `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data-db-backup, namespace: ns, uid: uid-stranger}}`)
	config := member(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: ns}}`)
	kept := member(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: kept, namespace: ns, annotations: {helm.sh/resource-policy: keep}}}`)
	anew := member(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: anew, namespace: ns}}`)
	own := member(t, `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: own, namespace: ns}}`)
	crd := member(t, `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: widgets.example.org}, spec: {group: example.org, names: {kind: Widget, plural: widgets}, versions: [{name: v1, served: true}]}}`)
	widget := object(t, `{apiVersion: example.org/v1, kind: Widget, metadata: {name: theirs, namespace: other, uid: uid-theirs}}`)
	namespace := object(t, `{apiVersion: v1, kind: Namespace, metadata: {name: ns, uid: uid-ns}}`)
	state := func() *release.State {
		s := &release.State{Current: 1, Last: 1}
		for _, f := range formersOf(set, config, kept, own, crd) {
			s.Inventory = append(s.Inventory, f.entry)
		}
		s.Inventory = append(s.Inventory, release.Entry{Ref: apply.RefOf(anew), Receipt: apply.Receipt{UID: "an earlier one"}})
		return s
	}
	for _, c := range []struct {
		name string
		data []string
		want []string // that stay
	}{
		{"unasked", nil, []string{"ConfigMap/kept", "CustomResourceDefinition/widgets.example.org", "Namespace/ns", "PersistentVolumeClaim/data-db-0", "PersistentVolumeClaim/own"}},
		{"one is named", []string{"PersistentVolumeClaim/own"}, []string{"ConfigMap/kept", "CustomResourceDefinition/widgets.example.org", "Namespace/ns", "PersistentVolumeClaim/data-db-0"}},
		{"all data", []string{AllData}, []string{"ConfigMap/kept", "Namespace/ns"}},
		{"all data, and what is kept by its annotation", []string{AllData, "ConfigMap/kept"}, []string{"Namespace/ns"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, d := cluster(t, set, claim, stranger, config, kept, anew, own, crd, widget, namespace)
			if err := p.Store.Save(t.Context(), state()); err != nil {
				t.Fatal(err)
			}
			removal, err := p.PlanUninstall(t.Context(), c.data)
			if err != nil {
				t.Fatal(err)
			}
			var stay []string
			for _, k := range removal.Kept {
				if k.Reason == "" {
					t.Errorf("%s stays without a reason", k.Entry.Ref)
				}
				stay = append(stay, k.Entry.Short())
			}
			slices.Sort(stay)
			if diff := cmp.Diff(c.want, stay); diff != "" {
				t.Error(diff)
			}
			if err := p.Uninstall(t.Context(), removal); err != nil {
				t.Fatal(err)
			}
			left := map[apply.Ref]bool{}
			for _, obj := range []*unstructured.Unstructured{set, claim, config, kept, own, crd, namespace} {
				if _, err := p.Cluster.Get(t.Context(), apply.RefOf(obj)); err == nil {
					left[apply.RefOf(obj)] = true
					if !slices.Contains(c.want, apply.RefOf(obj).Short()) {
						t.Errorf("%s is still there", apply.RefOf(obj))
					}
				}
			}
			if len(left) != len(c.want) {
				t.Errorf("left = %v, want %v", left, c.want)
			}
			for _, obj := range []*unstructured.Unstructured{stranger, anew, widget} {
				if _, err := p.Cluster.Get(t.Context(), apply.RefOf(obj)); err != nil {
					t.Errorf("%s, which is not ours: %v", apply.RefOf(obj), err)
				}
			}
			for _, resource := range []schema.GroupVersionResource{{Version: "v1", Resource: "secrets"}, {Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}} {
				if list, err := d.Resource(resource).Namespace("ns").List(context.Background(), metav1.ListOptions{}); err != nil || len(list.Items) > 0 {
					t.Errorf("%s are left: %v, %v", resource.Resource, list.Items, err)
				}
			}
			again, err := p.PlanUninstall(t.Context(), c.data)
			if err != nil || !again.Nothing() {
				t.Errorf("again: %+v, %v", again, err)
			}
		})
	}
}
